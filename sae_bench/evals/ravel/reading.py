"""Prompts in batches, the tokens that those of one template begin with read once per template.

Only what comes after the beginning is a prompt's own: the entity and the words after it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from sae_bench.activations.device_limits import tokens_at_once
from sae_bench.evals.ravel.prompts import Prompt, shared_beginnings
from sae_bench.language_models import LanguageModel
from sae_bench.language_models.layout import attention_window
from sae_bench.language_models.text_cache import Past, TextCache

logger = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True)
class Tails:
    """Prompts split into shared beginnings, which the model reads once, and the tokens of each prompt after them.

    Attributes:
        order: places of the prompts, grouped by beginning.
        beginnings: the distinct beginnings; empty ones too.
        beginning_N: which of them each prompt has.
    """

    prompts: tuple[Prompt, ...]
    order: tuple[int, ...]
    beginnings: tuple[tuple[int, ...], ...]
    beginning_N: tuple[int, ...]

    @classmethod
    def of(cls, lm: LanguageModel, prompts: Sequence[Prompt], *, n_more: int) -> Tails:
        """Split prompts that will grow by `n_more` tokens; nothing is shared where the model cannot read on."""
        order = sorted(range(len(prompts)), key=lambda number: (prompts[number].question.template, number))
        longest = max((len(prompt.ids) for prompt in prompts), default=0) + n_more
        window = attention_window(lm.config)
        # padding between beginning and tail widens the distance of tokens: it must not push them out of a window
        shares = lm.reads_on() and (window is None or 2 * longest <= window)
        lengths = shared_beginnings([prompts[number] for number in order]) if shares else [0] * len(order)
        number_of: dict[tuple[int, ...], int] = {}
        beginning_N = [0] * len(prompts)
        for number, n in zip(order, lengths, strict=True):
            beginning_N[number] = number_of.setdefault(prompts[number].ids[:n], len(number_of))
        return cls(tuple(prompts), tuple(order), tuple(number_of), tuple(beginning_N))

    def ids(self, number: int) -> tuple[int, ...]:
        """Tokens of a prompt after the beginning that it shares with others."""
        return self.prompts[number].ids[self.n_shared(number) :]

    def n_shared(self, number: int) -> int:
        """Number of tokens in the beginning that a prompt shares with others."""
        return len(self.beginnings[self.beginning_N[number]])

    def position(self, number: int) -> int:
        """Where among its own tokens the entity ends."""
        return self.prompts[number].position - self.n_shared(number)

    def padded(self, numbers: Sequence[int], *, left: bool) -> tuple[Int[Tensor, "B L"], Bool[Tensor, "B L"]]:
        """Token ids and which of them are real; padding on one side."""
        rows = [self.ids(number) for number in numbers]
        length = max(map(len, rows))
        ids_BL = torch.zeros(len(rows), length, dtype=torch.long)
        real_BL = torch.zeros(len(rows), length, dtype=torch.bool)
        for b, row in enumerate(rows):
            part = slice(length - len(row), length) if left else slice(0, len(row))
            ids_BL[b, part] = torch.tensor(row, dtype=torch.long)
            real_BL[b, part] = True
        return ids_BL, real_BL

    def batches(self, lm: LanguageModel, numbers: Sequence[int] | None = None, *, n_more: int) -> Iterator[list[int]]:
        """Places of prompts that are read together: of one beginning as far as that goes, then of like length."""
        chosen = self.order if numbers is None else numbers
        ranked = sorted(chosen, key=lambda p: (self.n_shared(p), self.beginning_N[p], len(self.ids(p))))
        budget = tokens_at_once(lm.device)
        batch: list[int] = []
        longest = 0
        for number in ranked:
            length = len(self.ids(number)) + n_more
            if batch and max(longest, length) * (len(batch) + 1) > budget:
                yield batch
                batch, longest = [], 0
            batch.append(number)
            longest = max(longest, length)
        if batch:
            yield batch

    @torch.no_grad()
    def read_beginnings(self, lm: LanguageModel, numbers: Sequence[int]) -> Past | None:
        """Keys and values of some of the beginnings; None if they are all empty."""
        rows = [self.beginnings[number] for number in numbers]
        length = max((len(row) for row in rows), default=0)
        if length == 0:
            return None
        ids_BP = torch.zeros(len(rows), length, dtype=torch.long)
        real_BP = torch.zeros(len(rows), length, dtype=torch.bool)
        for b, row in enumerate(rows):
            ids_BP[b, : len(row)] = torch.tensor(row, dtype=torch.long)
            real_BP[b, : len(row)] = True
        cache = TextCache()
        lm.final_hidden(ids_BP, attention_mask_BL=real_BP.long(), cache=cache)
        return cache.past()

    def past_of(self, lm: LanguageModel, prompt_numbers: Sequence[int]) -> Past | None:
        """Keys and values of the beginnings of some prompts, each beginning read once."""
        numbers = sorted({self.beginning_N[prompt_number] for prompt_number in prompt_numbers})
        past = self.read_beginnings(lm, numbers)
        row_of = {number: row for row, number in enumerate(numbers)}
        rows_N = torch.tensor([row_of[self.beginning_N[prompt_number]] for prompt_number in prompt_numbers])
        return None if past is None else past.select(rows_N)


def with_halving(run: Callable[[list[int]], list[T]], numbers: list[int]) -> list[T]:
    """Call `run` on all prompts, or on halves of them if memory runs out."""
    try:
        return run(numbers)
    except torch.OutOfMemoryError:
        if len(numbers) == 1:
            raise
    logger.warning("out of memory on %d prompts; going on with halves", len(numbers))
    torch.cuda.empty_cache()
    half = len(numbers) // 2
    return [*with_halving(run, numbers[:half]), *with_halving(run, numbers[half:])]
