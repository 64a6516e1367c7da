"""One entity class at work: its known prompts and pairs, and what one SAE makes of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sae_bench.evals.ravel.completions import decode
from sae_bench.evals.ravel.correctness import is_correct, is_strictly_correct
from sae_bench.evals.ravel.outcomes import Outcome
from sae_bench.evals.ravel.pairs import Pair, PairSplit
from sae_bench.evals.ravel.prompts import Answer
from sae_bench.evals.ravel.states import PromptStates
from sae_bench.evals.ravel.swaps import MeanActivation, Swap, WholeActivation
from sae_bench.evals.ravel.training import Schedule, TrainPairs, train
from sae_bench.language_models import LanguageModel

PAIRS_AT_ONCE = 512
"""Pairs whose codes are mixed together."""

MakeSwap = Callable[[PromptStates], Callable[[], Swap]]
"""From the prompts, with the activations at their entities, to a maker of untrained swaps."""


@dataclass(frozen=True)
class KnownClass:
    """What the model knows of an entity class.

    Attributes:
        counts: attribute -> prompts asked, known, and kept after choosing the best entities and templates.
        known: the kept ones; pairs refer to their places.
        splits: one per attribute and seed.
    """

    name: str
    counts: dict[str, dict[str, int]]
    known: tuple[Answer, ...]
    splits: tuple[PairSplit, ...]

    @property
    def used(self) -> list[int]:
        """Places of prompts that a pair refers to."""
        pairs = [pair for split in self.splits for pair in (*split.train, *split.test)]
        return sorted({prompt for pair in pairs for prompt in (pair.base, pair.source)})

    @property
    def trained(self) -> list[int]:
        """Places of prompts that are a base in training."""
        return sorted({pair.base for split in self.splits for pair in split.train})

    def states(self, lm: LanguageModel, hook: str, *, n_tokens: int, reads: str | None = None) -> PromptStates:
        """The prompts read up to a hook.

        Args:
            lm: the model.
            hook: where values are replaced.
            n_tokens: how many will be generated at most.
            reads: a hook before it whose values are wanted as well.
        """
        prompts = [answer.prompt for answer in self.known]
        return PromptStates(lm, hook, prompts, used=self.used, trained=self.trained, n_tokens=n_tokens, reads=reads)


def train_masks(
    known: KnownClass, states: PromptStates, makes: Sequence[MakeSwap], schedule: Schedule
) -> list[list[Swap]]:
    """Train a swap per attribute and seed for every maker, all of them in one pass over the model."""
    swaps_of = []
    for make in makes:
        maker = make(states)
        swaps_of.append([maker() for _ in known.splits])
    pairs = [train_pairs(known, states, split) for split in known.splits]
    train([swap for swaps in swaps_of for swap in swaps], pairs * len(makes), states, schedule)
    return swaps_of


def score_whole_and_mean(known: KnownClass, states: PromptStates) -> tuple[list[Outcome], list[Outcome]]:
    """Complete the test prompts with the source's whole activation, and with the mean of all entities, in its place."""
    swaps: list[Swap] = [WholeActivation(states.value_NW), MeanActivation(states.value_NW)]
    whole, mean = score_together(known, states, [[swap] * len(known.splits) for swap in swaps])
    return whole, mean


def score_untouched(known: KnownClass) -> list[Outcome]:
    """What the model says without any change; it said that already when it was asked what it knows."""
    written = [known.known[pair.base].completion for split in known.splits for pair in split.test]
    return _outcomes(known, written, [0] * len(known.splits))


def train_pairs(known: KnownClass, states: PromptStates, split: PairSplit) -> TrainPairs:
    """The training pairs of one split as rows of the states."""
    targets = [known.known[pair.source if pair.is_cause else pair.base].first_token for pair in split.train]
    return TrainPairs(
        states.rows([pair.base for pair in split.train]),
        states.rows([pair.source for pair in split.train]),
        torch.tensor(targets, dtype=torch.long),
    )


def score(known: KnownClass, states: PromptStates, swaps: Sequence[Swap]) -> list[Outcome]:
    """Complete the test prompts of all splits together, each under its own swap."""
    return score_together(known, states, [swaps])[0]


@torch.no_grad()
def score_together(known: KnownClass, states: PromptStates, swaps_of: Sequence[Sequence[Swap]]) -> list[list[Outcome]]:
    """Complete the test prompts under several sets of swaps together; every set has one swap per split."""
    rows: list[int] = []
    values: list[Tensor] = []
    for swaps in swaps_of:
        for split, swap in zip(known.splits, swaps, strict=True):
            base_B = states.rows([pair.base for pair in split.test])
            source_B = states.rows([pair.source for pair in split.test])
            parts = zip(base_B.split(PAIRS_AT_ONCE), source_B.split(PAIRS_AT_ONCE), strict=True)
            values += [swap.mixed(base, source, None).to(states.lm.dtype) for base, source in parts]
            rows += base_B.tolist()
    written = decode(states.lm, states.changed_completions(rows, torch.cat(values)))
    n_tests = sum(len(split.test) for split in known.splits)
    return [
        _outcomes(known, written[place * n_tests : (place + 1) * n_tests], [swap.n_chosen for swap in swaps])
        for place, swaps in enumerate(swaps_of)
    ]


def _outcomes(known: KnownClass, written: Sequence[str], n_chosen: Sequence[int]) -> list[Outcome]:
    """One outcome per split from the completions of all test prompts, one split after the other."""
    outcomes: list[Outcome] = []
    for split, n in zip(known.splits, n_chosen, strict=True):
        own, written = written[: len(split.test)], written[len(split.test) :]
        right_B, strict_B = (
            torch.tensor(
                [_is_right(known.known, pair, said, rule) for pair, said in zip(split.test, own, strict=True)],
                dtype=torch.bool,
            )
            for rule in (is_correct, is_strictly_correct)
        )
        outcomes.append(
            Outcome(
                split.entity_class, split.attribute, split.seed, split.test, right_B, n, len(split.train), known.known,
                strict_B,
            )
        )  # fmt: skip
    return outcomes


def _is_right(known: Sequence[Answer], pair: Pair, completion: str, rule: Callable[[str, str, str], bool]) -> bool:
    base = known[pair.base].prompt.question
    value = known[pair.source].prompt.question.value if pair.is_cause else base.value
    return rule(base.text, value, completion)
