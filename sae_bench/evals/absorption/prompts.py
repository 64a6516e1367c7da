"""First-letter prompts as token ids, cut after the word that is read.

A prompt is a few solved lines ("cat has the first letter: C"), then the line of a word. What comes after the word
cannot change its activation in a causal model, so the ids end there. Words may share their solved lines; those are
then computed once for all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sae_bench.activations.batches import bucket_by_length, pad
from sae_bench.activations.device_limits import capture_with_halving, tokens_at_once
from sae_bench.errors import ModelError
from sae_bench.evals.absorption.eval_config import PROMPTS_AT_ONCE, WORD, AbsorptionEvalConfig
from sae_bench.evals.absorption.words import LETTERS, SEPARATOR, TEXTS_AT_ONCE, last_token_within, letter_of
from sae_bench.language_models import LanguageModel
from sae_bench.language_models.layout import TokenTree, attention_window, lay_out
from sae_bench.language_models.numbers import check_finite
from sae_bench.seeding import named_generator


@dataclass(frozen=True)
class WordPrompts:
    """Prompts of all words, in the order of the words.

    Attributes:
        token_ids: BOS first where the model takes one; the last token is the last one of the word.
        groups: the words (as places in the list of words) that share their examples.
    """

    token_ids: list[list[int]]
    groups: list[list[int]]


def draw_examples(n_words: int, read: Sequence[Sequence[int]], n_examples: int, seed: int) -> list[list[int]]:
    """Distinct examples at random for every group of words, none of them among those words.

    Raises:
        ModelError: there are too few words to draw from.
    """
    longest = max(map(len, read))
    if n_words < n_examples + longest:
        raise ModelError(
            f"{n_examples} examples for {longest} words at a time need {n_examples + longest} words; "
            f"there are {n_words}. Next: raise max_words or lower max_icl_examples or words_per_examples."
        )
    generator = named_generator("absorption", "examples", seed)
    drawn: list[list[int]] = []
    for own in read:
        taken = set(own)
        examples: list[int] = []
        while len(examples) < n_examples:
            for word in torch.randint(n_words, (n_examples,), generator=generator).tolist():
                if word not in taken and len(examples) < n_examples:
                    taken.add(word)
                    examples.append(word)
        drawn.append(examples)
    return drawn


def build_prompts(lm: LanguageModel, words: Sequence[str], config: AbsorptionEvalConfig) -> WordPrompts:
    """One prompt per word.

    Raises:
        ModelError: there are too few words for the examples.
    """
    order = torch.randperm(len(words), generator=named_generator("absorption", "prompts", config.random_seed)).tolist()
    together = config.words_per_examples
    groups = [order[start : start + together] for start in range(0, len(order), together)]
    examples = draw_examples(len(words), groups, config.max_icl_examples, config.random_seed)
    solved_of: dict[int, str] = {}
    for group, drawn in zip(groups, examples, strict=True):
        solved = "".join(_line(words[e], config.prompt_template, solved=True) for e in drawn)
        solved_of |= dict.fromkeys(group, solved)
    token_ids: list[list[int]] = []
    for start in range(0, len(words), TEXTS_AT_ONCE):
        part = range(start, min(start + TEXTS_AT_ONCE, len(words)))
        token_ids += _cut_prompts(lm, [solved_of[w] for w in part], [words[w] for w in part], config.prompt_template)
    return WordPrompts(token_ids, groups)


@torch.no_grad()
def word_activations(
    lm: LanguageModel, prompts: WordPrompts, hooks: Sequence[str], *, batch_size: int | None = None
) -> dict[str, Float[Tensor, "W _"]]:
    """Hook -> float32 activations of every word at its token, in the order of the words; leaves at the last hook.

    Args:
        batch_size: rows that the model reads at once at most; by default as many as suit the device.
    """
    n_words = len(prompts.token_ids)
    by_hook: dict[str, Tensor] = {}
    share = can_share(lm, prompts)
    for group, row_N, position_N, values in _captured(lm, prompts, hooks, batch_size, share=share):
        for hook, x_BLD in values.items():
            device = x_BLD.device
            if hook not in by_hook:
                by_hook[hook] = torch.empty(n_words, x_BLD.shape[-1], device=device)
            by_hook[hook][torch.tensor(group, device=device)] = x_BLD[row_N.to(device), position_N.to(device)].float()
    check_finite(lm.name, lm.dtype, by_hook)
    return by_hook


def can_share(lm: LanguageModel, prompts: WordPrompts) -> bool:
    """Whether examples are shared and can be computed once: not in models with a shorter window of attention."""
    if all(len(group) == 1 for group in prompts.groups):
        return False
    window = attention_window(lm.config)
    longest = max(map(len, prompts.token_ids))
    return (window is None or longest <= window) and lm.shares_beginnings()


def _captured(
    lm: LanguageModel, prompts: WordPrompts, hooks: Sequence[str], batch_size: int | None, *, share: bool
) -> Iterator[tuple[list[int], Tensor, Tensor, dict[str, Tensor]]]:
    """Batch after batch: words, the row and the position of each, and the values of all rows and positions."""
    groups = prompts.groups if share else [[word] for word in range(len(prompts.token_ids))]
    trees = [TokenTree.of([prompts.token_ids[word] for word in group]) for group in groups]
    lengths = [len(tree.ids) for tree in trees]
    max_tokens = tokens_at_once(lm.device)
    if batch_size is not None:
        max_tokens = batch_size * max(lengths)
    for rows in bucket_by_length(lengths, max_tokens=max_tokens, max_texts=batch_size or PROMPTS_AT_ONCE):
        ids_BL, _ = pad([trees[row].ids for row in rows], lm)
        layout = lay_out([trees[row] for row in rows]) if share else None
        values = capture_with_halving(lm, ids_BL, hooks, layout=layout)
        words = [word for row in rows for word in groups[row]]
        row_N = torch.tensor([tree_number for tree_number, row in enumerate(rows) for _ in groups[row]])
        position_N = torch.tensor([path[-1] for row in rows for path in trees[row].paths])
        yield words, row_N, position_N, values


def _line(word: str, template: str, *, solved: bool) -> str:
    """A line starts with the separator, the first one too: tokenizers treat the start of a text differently."""
    answer = f" {LETTERS[letter_of(word)].upper()}" if solved else ""
    return SEPARATOR + template.replace(WORD, word) + answer


def _cut_prompts(lm: LanguageModel, solved: Sequence[str], words: Sequence[str], template: str) -> list[list[int]]:
    """Token ids of prompts up to the last token of their words."""
    tokenizer: Any = lm.tokenizer
    texts = [start + _line(word, template, solved=False) for start, word in zip(solved, words, strict=True)]
    encoded = tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    bos = [lm.bos_token_id] if lm.prepend_bos and lm.bos_token_id is not None else []
    head = len(SEPARATOR) + len(template.partition(WORD)[0])
    cut: list[list[int]] = []
    for start, word, ids, offsets in zip(solved, words, encoded["input_ids"], encoded["offset_mapping"], strict=True):
        end = len(start) + head + len(word)
        last, _ = last_token_within(offsets, end - len(word.lstrip()), end)
        cut.append([*bos, *ids[: last + 1]])
    return cut
