"""First-letter prompts as token ids, cut after the last word that is read.

A prompt is a few solved lines ("cat has the first letter: C"), then the lines of the words that are read. What comes
after a word cannot change its activation in a causal model, so the ids end there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sae_bench.activations.batches import bucket_by_length, pad
from sae_bench.activations.one_pass import TOKENS_ON_ACCELERATOR, TOKENS_ON_CPU, capture_with_halving
from sae_bench.errors import ModelError
from sae_bench.evals.absorption.eval_config import WORD, AbsorptionEvalConfig
from sae_bench.evals.absorption.words import LETTERS, SEPARATOR, TEXTS_AT_ONCE, last_token_within, letter_of
from sae_bench.language_models import LanguageModel
from sae_bench.seeding import named_generator

MAX_PROMPTS = 256


@dataclass(frozen=True)
class WordPrompts:
    """Prompts and where their words are.

    Attributes:
        token_ids: one list per prompt, BOS first where the model takes one; the last token is that of its last word.
        words: for each prompt, the words that it reads, as places in the list of words.
        positions: for each of them, the place of its token in the prompt.
    """

    token_ids: list[list[int]]
    words: list[list[int]]
    positions: list[list[int]]

    @property
    def n_tokens(self) -> int:
        """Tokens that the model reads."""
        return sum(map(len, self.token_ids))


def draw_examples(n_words: int, read: Sequence[Sequence[int]], n_examples: int, seed: int) -> list[list[int]]:
    """For every prompt distinct examples at random, none of them among the words that it reads.

    Raises:
        ModelError: there are too few words to draw from.
    """
    longest = max(map(len, read))
    if n_words < n_examples + longest:
        raise ModelError(
            f"a prompt with {n_examples} examples and {longest} words to read needs {n_examples + longest} words; "
            f"there are {n_words}. Next: raise max_words or lower max_icl_examples or words_per_prompt."
        )
    generator = named_generator("absorption", "examples", seed)
    drawn: list[list[int]] = []
    for own in read:
        taken = set(own)
        examples: list[int] = []
        while len(examples) < n_examples:
            for place in torch.randint(n_words, (n_examples,), generator=generator).tolist():
                if place not in taken and len(examples) < n_examples:
                    taken.add(place)
                    examples.append(place)
        drawn.append(examples)
    return drawn


def build_prompts(lm: LanguageModel, words: Sequence[str], config: AbsorptionEvalConfig) -> WordPrompts:
    """Prompts that together read every word once.

    Raises:
        ModelError: there are too few words for the examples.
    """
    order = torch.randperm(len(words), generator=named_generator("absorption", "prompts", config.random_seed)).tolist()
    at_once = config.words_per_prompt
    read = [order[start : start + at_once] for start in range(0, len(order), at_once)]
    examples = draw_examples(len(words), read, config.max_icl_examples, config.random_seed)
    prompts = WordPrompts([], [], [])
    for start in range(0, len(read), TEXTS_AT_ONCE):
        part = slice(start, start + TEXTS_AT_ONCE)
        texts = [
            _text([words[e] for e in solved], [words[w] for w in own], config.prompt_template)
            for solved, own in zip(examples[part], read[part], strict=True)
        ]
        _add(prompts, lm, texts, read[part])
    return prompts


@torch.no_grad()
def word_activations(
    lm: LanguageModel, prompts: WordPrompts, hooks: Sequence[str], *, batch_size: int | None = None
) -> dict[str, Float[Tensor, "W _"]]:
    """Hook -> float32 activations of every word at its token, in the order of the words; leaves at the last hook."""
    n_words = sum(map(len, prompts.words))
    max_tokens = TOKENS_ON_CPU if lm.device.type == "cpu" else TOKENS_ON_ACCELERATOR
    lengths = [len(ids) for ids in prompts.token_ids]
    if batch_size is not None:
        max_tokens = batch_size * max(lengths)
    found: dict[str, Tensor] = {}
    for batch in bucket_by_length(lengths, max_tokens=max_tokens, max_texts=batch_size or MAX_PROMPTS):
        ids_BL, _ = pad([prompts.token_ids[row] for row in batch], lm)
        values = capture_with_halving(lm, ids_BL, hooks)
        place_N = torch.tensor([place for place, row in enumerate(batch) for _ in prompts.words[row]])
        position_N = torch.tensor([position for row in batch for position in prompts.positions[row]])
        word_N = torch.tensor([word for row in batch for word in prompts.words[row]])
        for hook, x_BLD in values.items():
            if hook not in found:
                found[hook] = torch.empty(n_words, x_BLD.shape[-1], device=x_BLD.device)
            device = x_BLD.device
            found[hook][word_N.to(device)] = x_BLD[place_N.to(device), position_N.to(device)].float()
    return found


@dataclass(frozen=True)
class _Text:
    """A whole prompt with its last line unsolved, and the characters of each word that it reads."""

    text: str
    spans: list[tuple[int, int]]


def _text(examples: Sequence[str], read: Sequence[str], template: str) -> _Text:
    head = template.partition(WORD)[0]
    text = "".join(_line(word, template, solved=True) for word in examples)
    spans: list[tuple[int, int]] = []
    for place, word in enumerate(read):
        end = len(text) + len(SEPARATOR) + len(head) + len(word)
        spans.append((end - len(word.lstrip()), end))
        text += _line(word, template, solved=place < len(read) - 1)
    return _Text(text, spans)


def _line(word: str, template: str, *, solved: bool) -> str:
    """A line starts with the separator, the first one too: tokenizers treat the start of a text differently."""
    answer = f" {LETTERS[letter_of(word)].upper()}" if solved else ""
    return SEPARATOR + template.replace(WORD, word) + answer


def _add(prompts: WordPrompts, lm: LanguageModel, texts: Sequence[_Text], read: Sequence[list[int]]) -> None:
    tokenizer: Any = lm.tokenizer
    encoded = tokenizer([t.text for t in texts], add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    start = [] if lm.bos_token_id is None or not lm.prepend_bos else [lm.bos_token_id]
    for text, own, ids, offsets in zip(texts, read, encoded["input_ids"], encoded["offset_mapping"], strict=True):
        places = [len(start) + last_token_within(offsets, *span)[0] for span in text.spans]
        prompts.token_ids.append([*start, *ids][: places[-1] + 1])
        prompts.words.append(list(own))
        prompts.positions.append(places)
