"""First-letter prompts of single words as text, for scripts; the eval builds token ids (`absorption.prompts`)."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sae_bench.errors import UsageError
from sae_bench.evals.absorption.eval_config import WORD

VERBOSE_FIRST_LETTER_TEMPLATE = f"{WORD} has the first letter:"
VERBOSE_FIRST_LETTER_TOKEN_POS = -6
"""Where the word's last token stands in a prompt of this template, from its end."""

Formatter = Callable[[str], str]
"""From a word to the answer that the prompt expects."""


@dataclass
class SpellingPrompt:
    """A question about a word.

    Attributes:
        base: the solved examples and the question.
        answer: what comes after it.
        word: the word that is asked about.
    """

    base: str
    answer: str
    word: str


def first_letter(
    word: str, prefix: str = " ", capitalize: bool = True, ignore_leading_space: bool = True,
    ignore_non_alpha_chars: bool = True,
) -> str:  # fmt: skip
    """The first letter of a word after a prefix.

    Args:
        word: a word, possibly as a token with the sign of a leading space.
        prefix: what stands before the letter.
        capitalize: whether the letter becomes a capital.
        ignore_leading_space: whether white space around the word is left out.
        ignore_non_alpha_chars: whether the first letter counts, or the first character of any kind.
    Raises:
        UsageError: the word has no such character.
    """
    left = word.strip() if ignore_leading_space else word
    first = next((char for char in left if char.isalpha() or not ignore_non_alpha_chars), None)
    if first is None:
        raise UsageError(f"{word!r} has no letter.")
    return prefix + (first.upper() if capitalize else first)


def first_letter_formatter(
    prefix: str = " ", capitalize: bool = True, ignore_leading_space: bool = True, ignore_non_alpha_chars: bool = True
) -> Formatter:
    """`first_letter` with these choices, as a function of the word alone."""
    return lambda word: first_letter(word, prefix, capitalize, ignore_leading_space, ignore_non_alpha_chars)


def create_icl_prompt(
    word: str,
    examples: Sequence[str],
    base_template: str = f"{WORD}:",
    example_separator: str = "\n",
    answer_formatter: Formatter = first_letter,
    max_icl_examples: int | None = None,
    shuffle_examples: bool = True,
    check_contamination: bool = True,
    max_attempts: int = 1000,
    prepend_separator_to_first_example: bool = False,
) -> SpellingPrompt:
    """A few solved examples, then the question about a word.

    Args:
        word: the word that is asked about.
        examples: words to take examples from.
        base_template: a line about a word, with `{word}` in its place.
        example_separator: what stands between lines.
        answer_formatter: from a word to its answer.
        max_icl_examples: number of examples; None takes all.
        shuffle_examples: whether they are drawn at random (from Python's own generator), or the first are taken.
        check_contamination: whether the word itself is never among them.
        max_attempts: accepted as published; the word is left out before examples are drawn.
        prepend_separator_to_first_example: whether the prompt starts with the separator.
    Raises:
        UsageError: there are fewer examples than asked for.
    """
    del max_attempts
    n_examples = len(examples) if max_icl_examples is None else max_icl_examples
    allowed = list(range(len(examples)))
    if check_contamination and word in examples:
        allowed = [i for i in allowed if examples[i] != word]
        n_examples = min(n_examples, len(allowed)) if max_icl_examples is None else n_examples
    if n_examples > len(allowed):
        raise UsageError(f"{n_examples} examples are asked for, there are {len(allowed)} beside the word {word!r}.")
    chosen = random.sample(allowed, n_examples) if shuffle_examples else allowed[:n_examples]
    lines = [base_template.format(word=examples[i]) + answer_formatter(examples[i]) for i in chosen]
    base = example_separator.join([*lines, base_template.format(word=word)])
    start = example_separator if prepend_separator_to_first_example else ""
    return SpellingPrompt(start + base, answer_formatter(word), word)


def random_icl_prompt(
    vocab: Sequence[str],
    base_template: str = f"{WORD}:",
    example_separator: str = "\n",
    answer_formatter: Formatter = first_letter,
    max_icl_examples: int = 10,
    prepend_separator_to_first_example: bool = False,
) -> SpellingPrompt:
    """`create_icl_prompt` for a word drawn at random, with the others as examples."""
    return create_icl_prompt(
        random.choice(vocab),
        vocab,
        base_template,
        example_separator,
        answer_formatter,
        max_icl_examples,
        prepend_separator_to_first_example=prepend_separator_to_first_example,
    )
