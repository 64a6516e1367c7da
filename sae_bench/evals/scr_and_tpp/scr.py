"""Spurious correlation removal: three probes per pair of classes, two directions, scores as shares of lost accuracy.

For a pair of classes (professor, nurse) and a second attribute (male, female), probes for "class" and "attribute" learn
from balanced texts, the "biased" probe from male professors and female nurses only. Direction 1 ablates the latents of
the attribute and asks the biased probe for the class; direction 2 ablates those of the class and asks for the other:

    score = (accuracy after ablation - accuracy before) / (accuracy of the unbiased probe - accuracy before)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sae_bench.evals.families.reported import mean_of_known
from sae_bench.evals.scr_and_tpp.ablation import Ablation, Contrast, logits
from sae_bench.evals.scr_and_tpp.eval_output import EVAL_TYPE_ID_SCR, scr_key
from sae_bench.evals.scr_and_tpp.texts import QUADRANTS, Quadrant
from sae_bench.probes import AdamWProbes, AdamWSettings, DenseFeatures, ProbeProblem, train_adamw_probes

Concept = Literal["class", "attribute", "biased"]
CONCEPTS: tuple[Concept, ...] = ("class", "attribute", "biased")
_POSITIVE: dict[Concept, tuple[Quadrant, ...]] = {
    "class": ((0, 0), (0, 1)),
    "attribute": ((0, 0), (1, 0)),
    "biased": ((0, 0),),
}
_NEGATIVE: dict[Concept, tuple[Quadrant, ...]] = {
    "class": ((1, 0), (1, 1)),
    "attribute": ((0, 1), (1, 1)),
    "biased": ((1, 1),),
}
DIRECTIONS: dict[int, tuple[Concept, Concept]] = {1: ("attribute", "class"), 2: ("class", "attribute")}
"""Direction -> whose latents are ablated, and what the biased probe is asked for."""

MIN_DENOMINATOR = 0.001
"""A smaller one gives the score 0, as published."""
SMALL_DENOMINATOR = 0.05
"""Below this a score is marked as unstable."""


@dataclass(frozen=True)
class ScrPair:
    """Where the texts of one pair stand in the pooled matrices, by quadrant; the biased quadrants hold twice as many.

    Attributes:
        name: `<data set>_scr_<class>_<class>`.
        train, test: rows of the quadrants.
    """

    name: str
    train: Mapping[Quadrant, Tensor]
    test: Mapping[Quadrant, Tensor]


@dataclass(frozen=True)
class PreparedScr:
    """What all SAEs share at one hook: trained probes, and what the biased ones make of the texts as they are."""

    pairs: tuple[ScrPair, ...]
    seeds: tuple[int, ...]
    probes: AdamWProbes
    ablations: tuple[Ablation, ...]
    base_AU: tuple[Tensor, ...]
    """Logits of each ablation's evaluated probe before it."""
    clean_AU: tuple[Tensor, ...]
    """Whether the unbiased probe is right, for the direction of each ablation."""


def rows_of(quadrants: Mapping[Quadrant, Tensor], concept: Concept) -> tuple[Tensor, Tensor]:
    """Rows of the positive and the negative texts of a concept, equally many."""
    size = len(quadrants[0, 1]) * (2 if concept == "biased" else 1)
    positive, negative = (
        torch.cat([quadrants[quadrant][:size] for quadrant in of[concept]]) for of in (_POSITIVE, _NEGATIVE)
    )
    return positive, negative


def balanced(quadrants: Mapping[Quadrant, Tensor]) -> Int[Tensor, " U"]:
    """Rows of equally many texts of each quadrant: what both directions are measured on."""
    size = len(quadrants[0, 1])
    return torch.cat([quadrants[quadrant][:size] for quadrant in QUADRANTS])


def balanced_labels(n_texts: int, concept: Concept) -> Bool[Tensor, " U"]:
    """Whether the texts of `balanced` belong to the first class, or have the first value of the attribute."""
    size = n_texts // len(QUADRANTS)
    return torch.cat([torch.full((size,), quadrant in _POSITIVE[concept]) for quadrant in QUADRANTS])


def prepare_scr(
    pairs: Sequence[ScrPair],
    activations_TD: Float[Tensor, "T D"],
    *,
    seeds: Sequence[int],
    settings: AdamWSettings,
    device: torch.device | None = None,
) -> PreparedScr:
    """Train the probes of all pairs and seeds in one loop, and lay out the ablations.

    Args:
        activations_TD: the mean activation of each text.
        settings: the recipe of the probes.
        device: where to train; by default where the activations are.
    """
    features = DenseFeatures(activations_TD if device is None else activations_TD.to(device))
    problems = [probe_problem(pair, concept, seed) for pair in pairs for seed in seeds for concept in CONCEPTS]
    probes = train_adamw_probes(features, problems, settings=settings, device=device)
    ablations: list[Ablation] = []
    clean: list[Tensor] = []
    base: list[Tensor] = []
    for p, pair in enumerate(pairs):
        test_rows_U = balanced(pair.test)
        x_UD = activations_TD[test_rows_U].cpu()
        contrasts = {concept: Contrast(*rows_of(pair.train, concept)) for concept in CONCEPTS}
        for s, seed in enumerate(seeds):
            first = (p * len(seeds) + s) * len(CONCEPTS)
            probe_of = {concept: first + c for c, concept in enumerate(CONCEPTS)}
            for ablated, asked in DIRECTIONS.values():
                ablation = Ablation(
                    probe_of[ablated],
                    contrasts[ablated],
                    (probe_of["biased"],),
                    test_rows_U,
                    signed=False,
                    name=(EVAL_TYPE_ID_SCR, pair.name, ablated, seed),
                )
                ablations.append(ablation)
                base.append(logits(probes, x_UD, ablation.evaluated)[0])
                right_U = (logits(probes, x_UD, [probe_of[asked]])[0] > 0) == balanced_labels(len(x_UD), asked)
                clean.append(right_U)
    return PreparedScr(tuple(pairs), tuple(seeds), probes, tuple(ablations), tuple(base), tuple(clean))


def probe_problem(pair: ScrPair, concept: Concept, seed: int) -> ProbeProblem:
    """What the probe of one concept of a pair learns from and is tested on."""
    train, test = rows_of(pair.train, concept), rows_of(pair.test, concept)
    return ProbeProblem(
        name=(EVAL_TYPE_ID_SCR, pair.name, concept, seed),
        train_rows=torch.cat(train),
        train_labels=torch.cat([torch.ones(len(train[0])), torch.zeros(len(train[1]))]).long(),
        test_rows=torch.cat(test),
        test_labels=torch.cat([torch.ones(len(test[0])), torch.zeros(len(test[1]))]).long(),
    )


# ---- scores


@dataclass(frozen=True)
class Direction:
    """One direction of one pair with one seed.

    Attributes:
        clean, original: accuracy of the unbiased and of the biased probe before ablation.
        changed: N -> accuracy of the biased probe after it.
        units_NU: for every N (in the order of `changed`), values of the test texts whose mean is the score: the ratio,
            linearised (score + (numerator of the text - score * denominator of the text) / denominator).
    """

    clean: float
    original: float
    changed: dict[int, float]
    units_NU: Float[Tensor, "N U"]

    @property
    def denominator(self) -> float:
        """Denominator of the score: clean accuracy minus the accuracy before ablation."""
        return self.clean - self.original

    def score(self, n: int) -> float:
        """Share of the lost accuracy that the ablation recovers; 0 where less than 0.001 was lost."""
        return scr_score(self.changed[n], original=self.original, clean=self.clean)


def scr_score(changed: float, *, original: float, clean: float) -> float:
    """(changed - original) / (clean - original), or 0 where the denominator is under 0.001."""
    denominator = clean - original
    return 0.0 if denominator < MIN_DENOMINATOR - 1e-9 else (changed - original) / denominator


@dataclass(frozen=True)
class PairScores:
    """Both directions of one pair for every seed."""

    pair: ScrPair
    by_seed: Mapping[int, Mapping[int, Direction]]

    def metric_direction(self, seed: int) -> int | None:
        """The direction that counts: what the biased probe knows less well; None where it knows both equally well."""
        first, second = (self.by_seed[seed][direction].original for direction in DIRECTIONS)
        return None if first == second else 1 if first < second else 2

    def value(self, seed: int, kind: str, n: int) -> float | None:
        """A score by its published kind: dir1, dir2 or metric."""
        direction = self.metric_direction(seed) if kind == "metric" else int(kind.removeprefix("dir"))
        return None if direction is None else self.by_seed[seed][direction].score(n)

    def denominators(self, direction: int) -> list[float]:
        """Denominator of the score for every seed."""
        return [of[direction].denominator for of in self.by_seed.values()]


def score_scr(
    prepared: PreparedScr, shifts: Sequence[Float[Tensor, "N 1 U"]], sizes: Sequence[int]
) -> list[PairScores]:
    """Scores of one SAE from how far its ablations move the logits, in the order of `prepared.ablations`."""
    ablations = iter(zip(shifts, prepared.base_AU, prepared.clean_AU, strict=True))
    results = []
    for pair in prepared.pairs:
        by_seed = {
            seed: {
                direction: _direction(*next(ablations), asked, sizes) for direction, (_, asked) in DIRECTIONS.items()
            }
            for seed in prepared.seeds
        }
        results.append(PairScores(pair, by_seed))
    return results


def _direction(shift_N1U: Tensor, base_U: Tensor, clean_U: Tensor, asked: Concept, sizes: Sequence[int]) -> Direction:
    labels_U = balanced_labels(len(base_U), asked)
    original_U = (base_U > 0) == labels_U
    changed_NU = (base_U + shift_N1U[:, 0] > 0) == labels_U
    clean, original = (right_U.double().mean().item() for right_U in (clean_U, original_U))
    changed = dict(zip(sizes, changed_NU.double().mean(dim=1).tolist(), strict=True))
    denominator_U = clean_U.double() - original_U.double()
    units = []
    for n, changed_U in zip(sizes, changed_NU.double(), strict=True):
        score = scr_score(changed[n], original=original, clean=clean)
        if clean - original < MIN_DENOMINATOR - 1e-9:
            units.append(torch.zeros_like(denominator_U))
        else:
            moved_U = changed_U - original_U.double() - score * denominator_U
            units.append(score + moved_U / (clean - original))
    return Direction(clean, original, changed, torch.stack(units).float())


KINDS = ("dir1", "metric", "dir2")


def seed_metrics(results: Sequence[PairScores], sizes: Sequence[int]) -> dict[int, dict[str, float | None]]:
    """Seed -> field -> mean over the pairs that have a value; None where none has."""
    seeds = list(results[0].by_seed)
    return {
        seed: {
            scr_key(kind, n): mean_of_known([result.value(seed, kind, n) for result in results])
            for n in sizes
            for kind in KINDS
        }
        for seed in seeds
    }


def detail_row(result: PairScores, sizes: Sequence[int]) -> dict[str, str | float | bool | None]:
    """Scores of one pair, means over the seeds that have a value, and the accuracies behind them."""
    scores = {
        scr_key(kind, n): mean_of_known([result.value(seed, kind, n) for seed in result.by_seed])
        for n in sizes
        for kind in KINDS
    }
    return {"dataset_name": f"{result.pair.name}_results", **scores, **pair_accuracies(result)}


def pair_accuracies(result: PairScores) -> dict[str, float | bool]:
    """Accuracies before ablation and denominators of one pair, means over seeds."""
    fields: dict[str, float | bool] = {}
    for direction in DIRECTIONS:
        of_seeds = [of[direction] for of in result.by_seed.values()]
        fields[f"scr_dir{direction}_clean_accuracy"] = fmean(of.clean for of in of_seeds)
        fields[f"scr_dir{direction}_original_accuracy"] = fmean(of.original for of in of_seeds)
        fields[f"scr_dir{direction}_denominator"] = fmean(of.denominator for of in of_seeds)
        small = any(of.denominator < SMALL_DENOMINATOR for of in of_seeds)
        fields[f"scr_dir{direction}_small_denominator"] = small
    return fields


def unstructured_results(results: Sequence[PairScores]) -> dict[str, Any]:
    """Pair -> seed -> which direction counts, and the accuracies of both."""

    def of_direction(direction: Direction) -> dict[str, Any]:
        return {
            "clean_accuracy": direction.clean,
            "original_accuracy": direction.original,
            "denominator": direction.denominator,
            "changed_accuracy": {str(n): accuracy for n, accuracy in direction.changed.items()},
        }

    return {
        f"{result.pair.name}_results": {
            str(seed): {
                "metric_direction": result.metric_direction(seed),
                **{f"dir{direction}": of_direction(of[direction]) for direction in DIRECTIONS},
            }
            for seed, of in result.by_seed.items()
        }
        for result in results
    }
