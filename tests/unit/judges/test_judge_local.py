"""The judge in this process gives what greedy decoding gives, one question at a time or many."""

from __future__ import annotations

import pytest
import torch

from sae_bench.judges import CachedJudge, JudgeSettings, Question, ReplyCache, open_judge
from sae_bench.judges import local as local_module
from sae_bench.judges.local import LocalJudge
from sae_bench.language_models import LanguageModel
from sae_bench.testing.tiny_models import tiny_model

TEXTS = ("the cat", "a river runs through the old city", "In 2021 the team won", "def main")


@pytest.fixture(scope="module")
def lm() -> LanguageModel:
    return tiny_model("llama")


def asked(only: str | None = None, max_tokens: int = 6) -> list[Question]:
    return [Question(({"role": "user", "content": text},), max_tokens, only) for text in TEXTS]


def greedy(lm: LanguageModel, judge: LocalJudge, question: Question) -> str:
    ids = judge._prompt(question.messages)
    new: list[int] = []
    allowed = None if question.only is None else judge._allowed_tokens(question.only, judge._ends())
    for _ in range(question.max_tokens):
        with torch.no_grad():
            logits = lm.model(torch.tensor([ids + new])).logits[0, -1]
        if allowed is not None:
            logits = logits.masked_fill(~allowed, float("-inf"))
        token = int(logits.argmax())
        if token in judge._ends():
            break
        new.append(token)
    return lm.tokenizer.decode(new, skip_special_tokens=True).strip()


@pytest.mark.parametrize("only", [None, "0123456789, "])
def test_batched_replies_are_those_of_greedy_decoding(lm, only, tmp_path, monkeypatch):
    judge = LocalJudge(lm)
    expected = [greedy(lm, judge, question) for question in asked(only)]
    found = CachedJudge(judge, ReplyCache(tmp_path / "a")).ask(asked(only))
    assert [reply.text for reply in found] == expected
    monkeypatch.setattr(local_module, "TOKENS_AT_ONCE", 1)
    one_by_one = CachedJudge(judge, ReplyCache(tmp_path / "b")).ask(asked(only))
    assert one_by_one == found
    if only is not None:
        assert all(set(reply.text) <= set(only) for reply in found)
        assert any(reply.text for reply in found)


@pytest.mark.parametrize("family", ["llama", "gemma3", "gpt2"])
def test_what_questions_begin_with_is_read_once(family, tmp_path):
    lm = tiny_model(family)
    judge = LocalJudge(lm)
    begin = "Name the pieces in which the neuron is active. The pieces: "
    questions = [Question(({"role": "user", "content": begin + text},), 5, None) for text in TEXTS]
    expected = [greedy(lm, judge, question) for question in questions]
    lm.reads_on()  # found by trying, once
    lengths: list[tuple[int, int]] = []
    handle = lm.embedding.register_forward_hook(lambda _m, args, _o: lengths.append(tuple(args[0].shape)))
    found = CachedJudge(judge, ReplyCache(tmp_path)).ask(questions)
    handle.remove()
    assert [reply.text for reply in found] == expected
    assert [reply.tokens_in for reply in found] == [len(judge._prompt(q.messages)) for q in questions]
    n_begin = len(lm.tokenize([begin])[0])
    if family == "gemma3":  # its window is shorter than twice a prompt: every prompt is read whole
        assert {rows for rows, _ in lengths} == {4}
        assert max(length for _, length in lengths) > n_begin
    else:
        assert sum(1 for rows, _ in lengths if rows == 1) == 1
        assert max(length for rows, length in lengths if rows == 4) < n_begin


def test_one_question_and_equal_questions(lm, tmp_path):
    judge = LocalJudge(lm)
    (question, *_) = asked()
    expected = greedy(lm, judge, question)
    assert CachedJudge(judge, ReplyCache(tmp_path / "a")).ask([question])[0].text == expected
    replies = {}
    judge.answer([question, question], lambda place, reply: replies.update({place: reply.text}))
    assert replies == {0: expected, 1: expected}


def test_a_chat_template_is_used_where_there_is_one(lm):
    judge = LocalJudge(lm)
    (question, *_) = asked()
    assert lm.tokenizer.decode(judge._prompt(question.messages)).endswith("the cat\n\nAnswer:")
    lm.tokenizer.chat_template = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}[assistant]"
    try:
        assert lm.tokenizer.decode(judge._prompt(question.messages)) == "[user]the cat[assistant]"
    finally:
        lm.tokenizer.chat_template = None


def test_the_loaded_model_is_the_judge_unless_another_is_named(lm, tmp_path, monkeypatch):
    judge = open_judge(JudgeSettings("local", cache=tmp_path), lm)
    assert isinstance(judge.judge, LocalJudge)
    assert judge.judge.lm is lm
    assert judge.identity["fingerprint"] == lm.fingerprint()
    other = tiny_model("gpt2")
    monkeypatch.setattr("sae_bench.judges.opening.load_language_model", lambda *_a, **_k: other)
    judge = open_judge(JudgeSettings("local", local_model="gpt2", cache=tmp_path), lm)
    assert isinstance(judge.judge, LocalJudge)
    assert judge.judge.lm is other


def test_the_default_folder_is_in_the_users_cache(monkeypatch, tmp_path, lm):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert open_judge(JudgeSettings("local"), lm).cache.folder == tmp_path / "sae_bench" / "judge"
