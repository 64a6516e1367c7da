"""Cause and isolation scores from which completions were as they should be.

Shares of pairs per attribute; means over attributes, then entity classes. The disentanglement score is the mean of the
two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool
from torch import Tensor

from sae_bench.evals.families.reported import mean_of_known, unit_ids
from sae_bench.evals.ravel.correctness import is_correct
from sae_bench.evals.ravel.pairs import Pair
from sae_bench.evals.ravel.prompts import Answer
from sae_bench.results.samples import Samples, stack_draws, units_key

CAUSE, ISOLATION, DISENTANGLEMENT = (f"ravel.{name}_score" for name in ("cause", "isolation", "disentanglement"))
UNAIDED_CAUSE = "ravel.unaided_cause_score"
STRICT = {CAUSE: "ravel.strict_cause_score", ISOLATION: "ravel.strict_isolation_score"}
STRICT[DISENTANGLEMENT] = "ravel.strict_disentanglement_score"
UNIT = "pair of prompts"


@dataclass(frozen=True)
class Outcome:
    """The scored pairs of one attribute of an entity class under one seed.

    Attributes:
        right_B: whether the completion names what it should: the source's value for cause pairs, else the base's.
        n_chosen, n_train: size of the mask, pairs it was trained on.
        strict_B: the same by the strict rules.
    """

    entity_class: str
    attribute: str
    seed: int
    pairs: tuple[Pair, ...]
    right_B: Bool[Tensor, " B"]
    n_chosen: int
    n_train: int
    known: Sequence[Answer]
    strict_B: Bool[Tensor, " B"]

    @property
    def aided_B(self) -> Bool[Tensor, " B"]:
        """Cause pairs that may count without any change.

        The model says something of the base that counts as the source's value, or that value stands in the prompt.
        """
        return torch.tensor([pair.is_cause and self._is_aided(pair) for pair in self.pairs], dtype=torch.bool)

    def _is_aided(self, pair: Pair) -> bool:
        base, value = self.known[pair.base], self.known[pair.source].prompt.question.value
        text = base.prompt.question.text
        return is_correct(text, value, base.completion) or value.lower() in text.lower()

    def unaided(self) -> Outcome:
        """Without the pairs that may count without any change."""
        rest_B = ~self.aided_B
        pairs = tuple(pair for pair, stays in zip(self.pairs, rest_B.tolist(), strict=True) if stays)
        return replace(self, pairs=pairs, right_B=self.right_B[rest_B], strict_B=self.strict_B[rest_B])

    def strictly(self) -> Outcome:
        """By the strict rules."""
        return replace(self, right_B=self.strict_B)

    @property
    def cause_B(self) -> Bool[Tensor, " B"]:
        return torch.tensor([pair.is_cause for pair in self.pairs], dtype=torch.bool)

    @property
    def cause(self) -> float | None:
        return share(self.right_B, self.cause_B)

    @property
    def isolation(self) -> float | None:
        return share(self.right_B, ~self.cause_B)

    def by_first_token(self) -> tuple[float | None, float | None]:
        """Cause and isolation as the published code sorts pairs: by whether the first tokens to be written differ.

        A cause pair whose two values begin with the same token is an isolation pair there.
        """
        same_B = torch.tensor([self._same_first_token(pair) for pair in self.pairs], dtype=torch.bool)
        cause_B = self.cause_B & ~same_B
        return share(self.right_B, cause_B), share(self.right_B, ~cause_B)

    def _same_first_token(self, pair: Pair) -> bool:
        return self.known[pair.base].first_token == self.known[pair.source].first_token


def share(right_B: Bool[Tensor, " B"], chosen_B: Bool[Tensor, " B"]) -> float | None:
    """Share of the chosen pairs whose completion is right; None if no pair is chosen."""
    return float(right_B[chosen_B].double().mean()) if bool(chosen_B.any()) else None


def both(cause: float | None, isolation: float | None) -> float | None:
    """The disentanglement score: the mean of the cause and isolation scores."""
    return None if cause is None or isolation is None else (cause + isolation) / 2


def headline(outcomes: Sequence[Outcome]) -> dict[str, float | None]:
    """The headline numbers of one seed."""
    classes = dict.fromkeys(outcome.entity_class for outcome in outcomes)
    cause, isolation = (
        mean_of_known(mean_of_known(getattr(o, kind) for o in outcomes if o.entity_class == name) for name in classes)
        for kind in ("cause", "isolation")
    )
    return {CAUSE: cause, ISOLATION: isolation, DISENTANGLEMENT: both(cause, isolation)}


def best_place(cause: Sequence[Outcome], isolation: Sequence[Outcome]) -> list[Outcome]:
    """The cause pairs as the one left them, the isolation pairs as the other did."""
    return [
        replace(one, right_B=torch.where(one.cause_B, one.right_B, other.right_B))
        for one, other in zip(cause, isolation, strict=True)
    ]


def also(by_seed: Sequence[Sequence[Outcome]]) -> list[tuple[str, str, list[list[Outcome]]]]:
    """Further fields, the headline number that each of them is, and of which outcomes."""
    unaided = [[outcome.unaided() for outcome in of_seed] for of_seed in by_seed]
    strict = [[outcome.strictly() for outcome in of_seed] for of_seed in by_seed]
    return [(UNAIDED_CAUSE, CAUSE, unaided), *((field, path, strict) for path, field in STRICT.items())]


def samples(by_seed: Sequence[Sequence[Outcome]]) -> dict[str, Samples]:
    """Path of a headline metric -> the pairs it is a mean of."""
    by_path: dict[str, Samples] = {}
    for path, parts in ((CAUSE, (True,)), (ISOLATION, (False,)), (DISENTANGLEMENT, (True, False))):
        draws = [draw for outcomes in by_seed if (draw := _draw(outcomes, parts)) is not None]
        if len(draws) == len(by_seed):
            by_path[path] = stack_draws(draws)
    return by_path


def _draw(outcomes: Sequence[Outcome], parts: tuple[bool, ...]) -> Samples | None:
    """One seed's pairs, weighted as they enter the metric; None where one of the parts has none."""
    values: list[float] = []
    weights: list[float] = []
    groups: list[int] = []
    names: list[str] = []
    for is_cause in parts:
        chosen = [o for o in outcomes if bool((o.cause_B == is_cause).any())]
        if not chosen:
            return None
        classes = [o.entity_class for o in chosen]
        for number, outcome in enumerate(chosen):
            of_part = (outcome.cause_B == is_cause).nonzero()[:, 0].tolist()
            weight = 1 / (len(parts) * len(set(classes)) * classes.count(outcome.entity_class) * len(of_part))
            values += [float(outcome.right_B[b]) for b in of_part]
            weights += [weight] * len(of_part)
            groups += [2 * number + is_cause] * len(of_part)
            names += [_name(outcome, outcome.pairs[b]) for b in of_part]
    key = units_key("ravel", names)
    return Samples(torch.tensor([values]), torch.tensor(weights), tuple(groups), UNIT, key, ids_U=unit_ids(names))


def _name(outcome: Outcome, pair: Pair) -> str:
    base, source = (outcome.known[n].prompt.question.text for n in (pair.base, pair.source))
    return f"{outcome.attribute}\n{pair.is_cause}\n{base}\n{source}"
