"""Prompts: MMLU's form, the chat template of the tokenizer, and which tokens are scored."""

from __future__ import annotations

import copy

import pytest
from unlearning_plain import questions

from sae_bench.datasets.multiple_choice import Question
from sae_bench.errors import ModelError, UsageError
from sae_bench.evals.unlearning import prompts
from sae_bench.evals.unlearning.formats import letter_tokens, make_reader
from sae_bench.evals.unlearning.prompts import ORDERS, Ask
from sae_bench.language_models import LanguageModel

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content }}[end]{% endfor %}"
    "{% if add_generation_prompt %}[model]{% endif %}"
)
QUESTION = Question(0, "What is it?", ("red", "a green one", "blue", "grey"), 1)


@pytest.fixture
def chat_lm(lm: LanguageModel) -> LanguageModel:
    tokenizer = copy.deepcopy(lm.tokenizer)
    tokenizer.chat_template = TEMPLATE
    return LanguageModel(lm.model, tokenizer, name="tiny-chat")


def test_orders():
    assert len(ORDERS) == 24
    assert ORDERS[0] == (0, 1, 2, 3)
    ask = Ask(QUESTION, "colours", (2, 0, 3, 1))
    assert ask.choices == ("blue", "red", "grey", "a green one")
    assert ask.right == 3


def test_letters_in_plain_text(lm):
    text = prompts.letters_prompt(lm, Ask(QUESTION, "colours"), chat=False)
    assert text == (
        "The following are multiple choice questions (with answers) about colours.\n"
        "What is it?\nA. red\nB. a green one\nC. blue\nD. grey\nAnswer:"
    )
    blind = prompts.letters_prompt(lm, Ask(QUESTION, "colours", with_question=False), chat=False)
    assert blind == "A. red\nB. a green one\nC. blue\nD. grey\nAnswer:"


def test_letters_in_the_chat_template(chat_lm):
    text = prompts.letters_prompt(chat_lm, Ask(QUESTION, "colours"), chat=True)
    assert text.startswith("<bos>[user]The following are")
    assert text.endswith("D. grey[end][model]Answer: (")
    (row,) = prompts.letters_rows(chat_lm, [Ask(QUESTION, "colours")], chat=True)
    assert row.ids.count(chat_lm.bos_token_id) == 1  # the template's, not one more
    assert row.scored_from == len(row.ids)
    assert list(row.reads) == [len(row.ids) - 1]


def test_plain_rows_begin_with_bos(lm):
    (row,) = prompts.letters_rows(lm, [Ask(QUESTION, "colours")], chat=False)
    assert row.ids[0] == lm.bos_token_id
    assert row.ids.count(lm.bos_token_id) == 1


def test_cloze_scores_the_tokens_of_the_choice(lm):
    rows = prompts.cloze_rows(lm, [Ask(QUESTION, "colours"), Ask(QUESTION, "colours", with_question=False)], chat=False)
    assert len(rows) == 8
    for place, row in enumerate(rows):
        assert lm.tokenizer.decode(row.ids[row.scored_from :]) == " " + QUESTION.choices[place % 4]
        assert list(row.reads) == list(range(row.scored_from - 1, len(row.ids) - 1))
    assert lm.tokenizer.decode(rows[0].ids[1:]) == "Question: What is it?\nAnswer: red"
    assert lm.tokenizer.decode(rows[4].ids[1:]) == "Answer: red"


def test_cloze_in_a_chat_comes_right_after_the_template(chat_lm):
    rows = prompts.cloze_rows(chat_lm, [Ask(QUESTION, "colours")], chat=True)
    for row, choice in zip(rows, QUESTION.choices, strict=True):
        assert chat_lm.tokenizer.decode(row.ids[row.scored_from :]) == choice


def test_auto_takes_the_chat_for_letters_alone(lm, chat_lm):
    assert prompts.uses_chat(chat_lm, "letters", "auto")
    assert not prompts.uses_chat(chat_lm, "cloze", "auto")
    assert not prompts.uses_chat(lm, "letters", "auto")
    assert prompts.uses_chat(chat_lm, "cloze", "chat")
    assert not prompts.uses_chat(chat_lm, "letters", "plain")
    with pytest.raises(UsageError, match="no chat template"):
        make_reader(lm, "letters", "chat")


def test_letter_tokens_with_and_without_a_space(lm):
    found = letter_tokens(lm)
    for row in found:
        assert [lm.tokenizer.decode([token]).strip() for token in row.tolist()] == ["A", "B", "C", "D"]
    assert len(found) in (1, 2)


def test_letters_that_are_no_tokens(lm, monkeypatch):
    broken = copy.copy(lm)
    broken.tokenizer = lambda text, **_: {"input_ids": [1, 2]}
    with pytest.raises(ModelError, match="answer_format cloze"):
        letter_tokens(broken)


def test_no_asks(lm):
    assert prompts.letters_rows(lm, [], chat=False) == []
    assert prompts.cloze_rows(lm, [], chat=False) == []
    assert len(questions(3)) == 3
