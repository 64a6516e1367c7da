"""The judge in this process gives what greedy decoding gives, one question at a time or many."""

from __future__ import annotations

import pytest
import torch

from sae_bench.evals.autointerp.replies import read_numbers
from sae_bench.judges import CachedJudge, JudgeSettings, NumberList, Question, ReplyCache, YesOrNo, open_judge
from sae_bench.judges import local as local_module
from sae_bench.judges.conversation import conversation_ids
from sae_bench.judges.grammar import NumberListGrammar, is_beginning, is_whole
from sae_bench.judges.local import LocalJudge
from sae_bench.language_models import LanguageModel
from sae_bench.testing.tiny_models import tiny_model

TEXTS = ("the cat", "a river runs through the old city", "In 2021 the team won", "def main")


@pytest.fixture(scope="module")
def lm() -> LanguageModel:
    return tiny_model("llama")


def asked(form: NumberList | YesOrNo | None = None, max_tokens: int = 6) -> list[Question]:
    return [Question(({"role": "user", "content": text},), max_tokens, form) for text in TEXTS]


def greedy(lm: LanguageModel, judge: LocalJudge, question: Question) -> str:
    ids = conversation_ids(lm, question.messages)
    new: list[int] = []
    for _ in range(question.max_tokens if question.form is None else 200):
        with torch.no_grad():
            logits = lm.model(torch.tensor([ids + new])).logits[0, -1]
        if isinstance(question.form, NumberList):
            allowed = NumberListGrammar(judge.pieces, judge.end_tokens, question.form.most).allowed(
                0, torch.tensor(new)
            )
            masked = torch.full_like(logits, float("-inf"))
            masked[allowed] = logits[allowed]
            logits = masked
        token = int(logits.argmax())
        if token in judge.end_tokens:
            break
        new.append(token)
    return lm.tokenizer.decode(new, skip_special_tokens=True).strip()


@pytest.mark.parametrize("form", [None, NumberList(14)])
def test_batched_replies_are_those_of_greedy_decoding(lm, form, tmp_path, monkeypatch):
    judge = LocalJudge(lm)
    expected = [greedy(lm, judge, question) for question in asked(form)]
    found = CachedJudge(judge, ReplyCache(tmp_path / "a")).ask(asked(form))
    assert [reply.content for reply in found] == expected
    monkeypatch.setattr(local_module, "TOKENS_AT_ONCE", 1)
    one_by_one = CachedJudge(judge, ReplyCache(tmp_path / "b")).ask(asked(form))
    assert one_by_one == found
    if form is not None:
        assert all(read_numbers(reply.content, 14) is not None for reply in found)
        assert {reply.finish_reason for reply in found} == {"stop"}


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
    assert [reply.content for reply in found] == expected
    assert [reply.tokens_in for reply in found] == [len(conversation_ids(lm, q.messages)) for q in questions]
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
    assert CachedJudge(judge, ReplyCache(tmp_path / "a")).ask([question])[0].content == expected
    replies = {}
    judge.answer([question, question], lambda place, reply: replies.update({place: reply.content}))
    assert replies == {0: expected, 1: expected}


def test_a_chat_template_is_used_where_there_is_one(lm):
    (question, *_) = asked()
    assert lm.tokenizer.decode(conversation_ids(lm, question.messages)).endswith("the cat\n\nAnswer:")
    lm.tokenizer.chat_template = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}[assistant]"
    try:
        assert lm.tokenizer.decode(conversation_ids(lm, question.messages)) == "[user]the cat[assistant]"
    finally:
        lm.tokenizer.chat_template = None


@pytest.mark.parametrize("template", [None, "{% for m in messages %}<s>[{{ m.role }}]{{ m.content }}{% endfor %}[go]"])
def test_control_tokens_within_a_text_are_plain_text(lm, template):
    """No content can end a turn or begin another one; without a control token the tokens are those of the whole."""
    tokenizer = lm.tokenizer
    control = sorted(lm.special_token_ids)
    names = tokenizer.convert_ids_to_tokens(control)
    tokenizer.chat_template = template
    try:
        text = f"a text {names[0]} with {' '.join(names)}{names[-1]} in it"
        ids = conversation_ids(lm, [{"role": "system", "content": "read"}, {"role": "user", "content": text}])
        plain = conversation_ids(lm, [{"role": "system", "content": "read"}, {"role": "user", "content": "a text"}])
        assert sum(ids.count(token) for token in control) == sum(plain.count(token) for token in control)
        assert text in tokenizer.decode(ids, clean_up_tokenization_spaces=False)
        if template is not None:
            whole = "<s>[system]read<s>[user]a text[go]"
            assert plain == tokenizer(whole, add_special_tokens=False)["input_ids"]
    finally:
        tokenizer.chat_template = None


def test_the_grammar_is_that_of_lists_of_numbers_that_exist(lm):
    for text in ("", " ", "N", "None", " None", "1", "14", "2, 5", "2,5", "14, 1", "1, 10, 11", "2, "):
        assert is_beginning(text, 14), text
    for text in ("0", "15", "2, 2", "2, 5,, 1", "none", "2 5", "None, 1", "1, None", "x", "2. ", "-1", "  1", "1  "):
        assert not is_beginning(text, 14), text
    assert [t for t in ("", "None", "1", "1,", "1, 2", "1, 1", "Non", "14", " 3", "2, 15") if is_whole(t, 14)] == [
        "None", "1", "1, 2", "14", " 3",
    ]  # fmt: skip
    assert not is_beginning("1, 2, ", 2), "all numbers are named"
    judge = LocalJudge(lm)
    grammar = NumberListGrammar(judge.pieces, judge.end_tokens, 3)
    assert set(grammar.allowed(0, torch.tensor([*judge.end_tokens]))) == judge.end_tokens
    assert {grammar.pieces[t].strip() for t in grammar.allowed(0, torch.tensor([], dtype=torch.long))} >= {
        "1",
        "2",
        "3",
    }


def test_yes_or_no_is_read_off_the_first_word(lm, tmp_path, monkeypatch):
    judge = LocalJudge(lm)
    yes, no = judge.yes_and_no
    assert not set(yes) & set(no)
    questions = asked(YesOrNo(), max_tokens=1)
    expected = []
    for question in questions:
        with torch.no_grad():
            ids = torch.tensor([conversation_ids(lm, question.messages)])
            log_p = lm.model(ids).logits[0, -1].double().log_softmax(dim=0)
        expected.append(float(log_p[yes].logsumexp(dim=0) - log_p[no].logsumexp(dim=0)))
    replies = CachedJudge(judge, ReplyCache(tmp_path)).ask(questions)
    assert [reply.log_odds for reply in replies] == pytest.approx(expected, abs=1e-3)
    assert all(reply.no_answer is None for reply in replies)
    again = CachedJudge(judge, ReplyCache(tmp_path))
    assert again.ask(questions) == replies
    assert again.usage.asked == 0
    monkeypatch.setattr(lm, "reads_on", lambda: False)
    alone = CachedJudge(LocalJudge(lm), ReplyCache(tmp_path / "alone")).ask(questions)
    assert [reply.log_odds for reply in alone] == pytest.approx(expected, abs=1e-3)


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
