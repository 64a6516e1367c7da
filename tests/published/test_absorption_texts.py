"""First-letter prompts and tokens of a vocabulary as text."""

from __future__ import annotations

import random

import pytest

from sae_bench.evals.absorption.eval_config import AbsorptionEvalConfig
from sae_bench.evals.absorption.prompting import (
    VERBOSE_FIRST_LETTER_TEMPLATE,
    VERBOSE_FIRST_LETTER_TOKEN_POS,
    create_icl_prompt,
    first_letter,
    first_letter_formatter,
    random_icl_prompt,
)
from sae_bench.evals.absorption.vocab import ALL_ALPHA_LETTERS, LETTERS, LETTERS_UPPER, get_alpha_tokens, get_tokens
from sae_bench.testing.tiny_models import tiny_tokenizer

ANIMALS = ["otter", "heron", "newt", "wren", "stoat"]


@pytest.mark.parametrize(
    ("word", "choices", "expected"),
    [
        ("otter", {}, " O"),
        ("otter", {"capitalize": False}, " o"),
        ("OTTER", {"capitalize": False}, " O"),
        ("otter", {"prefix": "-"}, "-O"),
        ("_otter", {}, " O"),
        ("  otter", {}, " O"),
        ("\u2581otter", {}, " O"),
        ("7otter", {}, " O"),
        (" otter", {"ignore_non_alpha_chars": False}, " O"),
        ("\u2581otter", {"ignore_non_alpha_chars": False}, " \u2581"),
        ("7otter", {"ignore_non_alpha_chars": False}, " 7"),
    ],
)
def test_the_first_letter(word: str, choices: dict, expected: str):
    assert first_letter(word, **choices) == first_letter_formatter(**choices)(word) == expected


def test_a_word_without_letters_has_no_first_letter():
    with pytest.raises(ValueError, match="'77' has no letter"):
        first_letter("77")


def test_examples_come_before_the_question():
    prompt = create_icl_prompt("wren", ANIMALS[:2], shuffle_examples=False)
    assert (prompt.base, prompt.answer, prompt.word) == ("otter: O\nheron: H\nwren:", " W", "wren")
    prompt = create_icl_prompt(
        "wren", ANIMALS, "{word} >", "; ", first_letter_formatter(capitalize=False), 1, shuffle_examples=False,
        prepend_separator_to_first_example=True,
    )  # fmt: skip
    assert (prompt.base, prompt.answer) == ("; otter > o; wren >", " w")


def test_the_word_itself_is_no_example():
    random.seed(3)
    prompts = [create_icl_prompt("newt", [*ANIMALS, "newt"], max_icl_examples=3) for _ in range(20)]
    lines = [prompt.base.split("\n") for prompt in prompts]
    assert {len(line) for line in lines} == {4}
    assert all("newt: N" not in line for line in lines)
    assert len({prompt.base for prompt in prompts}) > 1
    kept = create_icl_prompt("otter", ANIMALS, max_icl_examples=1, shuffle_examples=False, check_contamination=False)
    assert kept.base == "otter: O\notter:"
    with pytest.raises(ValueError, match="there are 4 beside the word 'newt'"):
        create_icl_prompt("newt", ANIMALS, max_icl_examples=5)
    assert random_icl_prompt(ANIMALS, max_icl_examples=4).word in ANIMALS


def test_the_eval_asks_as_the_published_template_does():
    config = AbsorptionEvalConfig()
    assert (config.prompt_template, config.prompt_token_pos) == (
        VERBOSE_FIRST_LETTER_TEMPLATE, VERBOSE_FIRST_LETTER_TOKEN_POS,
    )  # fmt: skip


def test_tokens_of_a_vocabulary():
    tokenizer = tiny_tokenizer()
    assert len(get_tokens(tokenizer)) == len(tokenizer.get_vocab())
    assert any(token.startswith(" ") for token in get_tokens(tokenizer))
    assert not any(token.startswith(" ") for token in get_tokens(tokenizer, replace_special_chars=False))
    as_written = get_tokens(tokenizer, replace_special_chars=False)
    assert tokenizer.convert_tokens_to_ids(as_written) == list(range(len(as_written)))  # the same order everywhere
    upper = get_tokens(tokenizer, lambda text: text.isupper())
    assert {"A", "Z"} <= set(upper)
    assert all(token.isupper() for token in upper)


def test_words_of_a_vocabulary():
    tokenizer = tiny_tokenizer()
    words = get_alpha_tokens(tokenizer)
    assert ALL_ALPHA_LETTERS == LETTERS + LETTERS_UPPER
    assert any(word.startswith(" ") for word in words)
    assert all(set(word.removeprefix(" ")) <= set(ALL_ALPHA_LETTERS) for word in words)
    assert set(get_alpha_tokens(tokenizer, allow_leading_space=False)) == {w for w in words if not w.startswith(" ")}
