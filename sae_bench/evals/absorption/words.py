"""Words of a model's vocabulary: tokens of letters only, alone or after a space.

W words, S seeds.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from sae_bench.errors import ModelError, UsageError
from sae_bench.evals.absorption.eval_config import WORD, AbsorptionEvalConfig
from sae_bench.language_models import LanguageModel
from sae_bench.seeding import named_generator

LETTERS = "abcdefghijklmnopqrstuvwxyz"
SEPARATOR = "\n"
TRAIN_SHARE = 0.8
TEXTS_AT_ONCE = 1024
_NAME = "absorption"
_WORD_TOKEN = re.compile("(?P<space>[▁Ġ ]?)(?P<letters>[A-Za-z]+)")
"""SentencePiece writes a space as U+2581, byte-level BPE as U+0120; ASCII letters stand for themselves in both."""


@dataclass(frozen=True)
class LetterWords:
    """Words with the place of their first letter in the alphabet.

    Attributes:
        words: with their leading space, if they have one.
        labels_W: 0 for a to 25 for z.
        letters: letters with enough words to be measured, as places in the alphabet.
        left_out: letter -> its number of words, for those with too few.
        n_in_vocabulary: words in the vocabulary that are one token in the prompt, before `max_words`.
        n_not_whole: words of the vocabulary that the tokenizer writes with other tokens in the prompt.
    """

    words: tuple[str, ...]
    labels_W: Int[Tensor, " W"]
    letters: tuple[int, ...]
    left_out: dict[str, int]
    n_in_vocabulary: int
    n_not_whole: int

    @property
    def key(self) -> str:
        """Short hash of the words and their order."""
        return hashlib.sha256("\x00".join(self.words).encode()).hexdigest()[:12]


def letter_words(lm: LanguageModel, config: AbsorptionEvalConfig) -> LetterWords:
    """The words that the eval reads: of one token in the prompt, and at most `max_words` of them.

    Raises:
        ModelError: the tokenizer gives no offsets, or fewer than two letters have enough words.
    """
    if lm.tokenizer is None or not getattr(lm.tokenizer, "is_fast", False):
        raise ModelError(
            f"absorption finds words by the tokenizer's offsets, which '{lm.name}' lacks. Next: load the model with a "
            "fast tokenizer (tokenizer.json)."
        )
    vocabulary = vocabulary_words(lm.tokenizer)
    whole = _written_as_one_token(lm.tokenizer, vocabulary, config.prompt_template)
    chosen = choose_words(whole, config.max_words, seed=config.random_seed)
    return group_words(
        chosen, min_per_letter=config.min_words_per_letter, n_whole=len(whole), n_not_whole=len(vocabulary) - len(whole)
    )


def group_words(words: Sequence[str], *, min_per_letter: int, n_whole: int, n_not_whole: int) -> LetterWords:
    """Label words and keep the letters with enough of them.

    Raises:
        ModelError: fewer than two letters are left.
    """
    labels_W = torch.tensor([letter_of(word) for word in words], dtype=torch.long)
    counts = torch.bincount(labels_W, minlength=len(LETTERS)).tolist()
    letters = tuple(i for i, n in enumerate(counts) if n >= min_per_letter)
    if len(letters) < 2:
        raise ModelError(
            f"absorption needs two or more letters with at least {min_per_letter} words; of the {len(words)} words "
            f"that this run reads the best letter has {max(counts)}. Next: raise max_words, lower "
            "min_words_per_letter, or take a model with words in its vocabulary."
        )
    left_out = {LETTERS[i]: n for i, n in enumerate(counts) if n < min_per_letter}
    return LetterWords(tuple(words), labels_W, letters, left_out, n_whole, n_not_whole)


def letter_of(word: str) -> int:
    """Number of a word's first letter in the alphabet, from 0 for "a"."""
    return LETTERS.index(word.lstrip()[0].lower())


def vocabulary_words(tokenizer: Any) -> dict[str, int]:
    """Word -> token id, for tokens that are ASCII letters with or without a space before, by token id."""
    special = set(tokenizer.all_special_ids)
    words: dict[str, int] = {}
    for token, token_id in sorted(tokenizer.get_vocab().items(), key=lambda item: item[1]):
        match = _WORD_TOKEN.fullmatch(token)
        if match and token_id not in special:
            words.setdefault((" " if match["space"] else "") + match["letters"], token_id)
    return words


def choose_words(words: Sequence[str], max_words: int | None, *, seed: int) -> list[str]:
    """At most `max_words` of the words, drawn at random, as evenly over letters as their numbers allow."""
    if max_words is None or len(words) <= max_words:
        return list(words)
    generator = named_generator(_NAME, "words", seed)
    of_letter: dict[int, list[int]] = {i: [] for i in range(len(LETTERS))}
    for row in torch.randperm(len(words), generator=generator).tolist():
        of_letter[letter_of(words[row])].append(row)
    chosen: list[int] = []
    left = max_words
    for n_more, rows_of_letter in zip(range(len(LETTERS), 0, -1), sorted(of_letter.values(), key=len), strict=True):
        taken = rows_of_letter[: left // n_more]
        chosen += taken
        left -= len(taken)
    return [words[row] for row in sorted(chosen)]


def split_words(words: LetterWords, seed: int) -> tuple[Int[Tensor, " N"], Int[Tensor, " M"]]:
    """Places of training and test words of a seed: four fifths and one fifth of every letter's words."""
    generator = named_generator(_NAME, "split", seed)
    train: list[Tensor] = []
    test: list[Tensor] = []
    for letter in range(len(LETTERS)):
        rows_N = (words.labels_W == letter).nonzero()[:, 0]
        rows_N = rows_N[torch.randperm(len(rows_N), generator=generator)]
        n_train = int(TRAIN_SHARE * len(rows_N))
        train.append(rows_N[:n_train])
        test.append(rows_N[n_train:])
    return torch.cat(train).sort().values, torch.cat(test).sort().values


def last_token_within(offsets: Sequence[tuple[int, int]], start: int, end: int) -> tuple[int, int]:
    """The last token that overlaps the characters from `start` to `end`, and how many tokens do.

    Raises:
        UsageError: none does.
    """
    touching = [token for token, (first, stop) in enumerate(offsets) if first < end and stop > start and stop > first]
    if not touching:
        raise UsageError(f"no token covers the characters {start} to {end} of a prompt; check prompt_template.")
    return touching[-1], len(touching)


def _written_as_one_token(tokenizer: Any, words: dict[str, int], template: str) -> list[str]:
    """The words that the tokenizer keeps as one token, the same as in the vocabulary, inside the prompt."""
    head = SEPARATOR + template.partition(WORD)[0]
    single: list[str] = []
    names = list(words)
    for start in range(0, len(names), TEXTS_AT_ONCE):
        part = names[start : start + TEXTS_AT_ONCE]
        texts = [SEPARATOR + template.replace(WORD, word) for word in part]
        encoded = tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        for word, ids, offsets in zip(part, encoded["input_ids"], encoded["offset_mapping"], strict=True):
            end = len(head) + len(word)
            last, n_tokens = last_token_within(offsets, end - len(word.lstrip()), end)
            if n_tokens == 1 and ids[last] == words[word]:
                single.append(word)
    return single
