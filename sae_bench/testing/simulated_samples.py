"""Constructed evals for checks of the statistics: test texts, seeds, and a mean that is known.

A text's value is mean + stratum + text + seed + (text, seed). Two SAEs share the texts' effects up to a correlation;
copies of one SAE with other seeds share all of them and no seed effect.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from scipy.stats import norm

from sae_bench.results.samples import Samples, stack_draws
from sae_bench.results.statistics.intervals import UNBOUNDED, Bounds
from sae_bench.results.statistics.paired import Evidence

Values = Literal["real", "right or wrong", "1 or 2"]
Tails = Literal["normal", "heavy", "skewed"]


@dataclass(frozen=True)
class Design:
    """How much is measured, and the standard deviation of each effect.

    Attributes:
        n_seeds: 1 with `random` = False for an eval that no seed changes.
        n_strata: of equal size, unless `strata` gives the sizes; strata weigh the same whatever their size.
        text: of a text, in every seed alike.
        cell: of a text in one seed.
        seed: of a whole seed.
        shared: correlation of two SAEs' text effects.
        values: what a text's value is; a text is right (or 2) where its value is above 0.5.
        mean: of the values, or the share that is right.
        tails: distribution of the texts' effects: Student's t with 3 degrees of freedom is heavy, a log-normal skewed.
        document: texts of one document, whose effects correlate by `within`.
        drawn: units that every seed draws from the `n_units` of a source, on which the value does not depend on seeds.
        defined: units on which the metric is defined; None: all.
        random: whether seeds change anything.
    """

    n_seeds: int = 3
    n_units: int = 240
    n_strata: int = 4
    text: float = 0.3
    cell: float = 0.2
    seed: float = 0.01
    shared: float = 0.5
    values: Values = "real"
    mean: float = 0.8
    strata: tuple[int, ...] = ()
    tails: Tails = "normal"
    document: int = 1
    within: float = 0.0
    drawn: int | None = None
    defined: int | None = None
    random: bool = True

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Units of every stratum."""
        return self.strata or (self.n_units // self.n_strata,) * self.n_strata

    @cached_property
    def groups(self) -> tuple[int, ...]:
        return tuple(np.repeat(np.arange(len(self.sizes)), self.sizes).tolist())

    @cached_property
    def weights_U(self) -> torch.Tensor:
        """Equal weights of strata."""
        return torch.from_numpy(1.0 / np.repeat(self.sizes, self.sizes)).float() * len(self.groups) / len(self.sizes)

    @property
    def bounds(self) -> Bounds:
        """Range of the metric."""
        return (0.0, 1.0) if self.values == "right or wrong" else (0.0, None) if self.values == "1 or 2" else UNBOUNDED


LETTERS = Design(n_units=26, n_strata=1, values="1 or 2", mean=0.2)
"""Latents per letter: 1 for most, 2 for some."""

DESIGNS = {
    "balanced": Design(),
    "two seeds": Design(n_seeds=2, seed=0.02),
    "seeds dominate": Design(seed=0.1, text=0.1),
    "texts dominate": Design(seed=0.001, cell=0.05),
    "five seeds": Design(n_seeds=5, seed=0.02),
    "ten seeds": Design(n_seeds=10, seed=0.02),
    "right or wrong": Design(values="right or wrong", seed=0.02),
    "few texts": Design(n_units=32, n_strata=2, seed=0.05),
    "right or wrong, 50 %": Design(n_units=20, n_strata=1, values="right or wrong", mean=0.5),
    "right or wrong, 95 %": Design(n_units=20, n_strata=1, values="right or wrong", mean=0.95),
    "right or wrong, 99 %": Design(n_units=20, n_strata=1, values="right or wrong", mean=0.99),
    "right or wrong, two seeds": Design(n_seeds=2, n_units=20, n_strata=1, values="right or wrong", mean=0.95),
    "right or wrong, no seeds": Design(
        n_seeds=1, n_units=20, n_strata=1, values="right or wrong", mean=0.95, random=False
    ),
    "letters that are 1 or 2": LETTERS,
    "letters, two seeds": replace(LETTERS, n_seeds=2),
    "documents of 4 rows": Design(n_seeds=1, n_strata=1, document=4, within=0.3, random=False),
    "9 documents": Design(n_seeds=1, n_units=9, n_strata=1, random=False),
    "9 documents, heavy tails": Design(n_seeds=1, n_units=9, n_strata=1, tails="heavy", random=False),
    "9 documents of 4 rows right or wrong": Design(
        n_seeds=1, n_units=36, n_strata=1, document=4, within=0.3, values="right or wrong", random=False
    ),
    "240 of 250 blocks per seed": Design(n_units=250, n_strata=1, cell=0.0, seed=0.0, drawn=240),
    "training texts redrawn": Design(n_units=120, n_strata=2, seed=0.05, shared=0.8),
    "3 of 100 defined": Design(n_units=100, n_strata=1, defined=3),
    "10 of 100 defined": Design(n_units=100, n_strata=1, defined=10),
    "strata of 3, 5, 12, 600": Design(strata=(3, 5, 12, 600)),
    "3, 5, 12, 600, right or wrong": Design(strata=(3, 5, 12, 600), values="right or wrong", mean=0.9),
    "3, 5, 12, 600, without seeds": Design(
        n_seeds=1, strata=(3, 5, 12, 600), values="right or wrong", mean=0.95, random=False
    ),
    "heavy tails": Design(n_seeds=1, n_units=48, n_strata=1, tails="heavy", random=False),
    "skewed": Design(n_seeds=1, n_strata=1, tails="skewed", random=False),
    "skewed, 20 texts": Design(n_seeds=1, n_units=20, n_strata=1, tails="skewed", cell=0.0, random=False),
}
"""What the checks go through."""


@dataclass(frozen=True)
class Contest:
    """Many SAEs that are ranked.

    Attributes:
        spread: distance of the best from the worst; 0: all are equal.
        uneven: how many times as much as the others every tenth SAE varies between seeds.
    """

    n_saes: int
    design: Design
    spread: float = 0.0
    uneven: float = 1.0


RIGHT_OR_WRONG = Design(n_units=20, n_strata=1, values="right or wrong", mean=0.9)
DOCUMENTS = Design(n_seeds=1, n_units=9, n_strata=1, random=False)
CONTESTS = {
    "9 SAEs, 240 texts": Contest(9, Design()),
    "9 SAEs, 20 texts right or wrong": Contest(9, RIGHT_OR_WRONG),
    "9 SAEs, 9 documents": Contest(9, DOCUMENTS),
    "9 SAEs, 9 documents, heavy tails": Contest(9, replace(DOCUMENTS, tails="heavy")),
    "9 SAEs of other quality, 9 documents": Contest(9, DOCUMENTS, spread=1.0),
    "9 SAEs, one with 5 times the noise of seeds": Contest(9, Design(seed=0.05), uneven=5.0),
    "30 SAEs, 26 letters 1 or 2": Contest(30, LETTERS),
    "60 SAEs, 20 texts right or wrong": Contest(60, RIGHT_OR_WRONG),
    "60 SAEs, 240 texts": Contest(60, Design()),
    "60 SAEs, one in ten with 5 times the noise of seeds": Contest(60, Design(seed=0.05), uneven=5.0),
    "300 SAEs, 240 texts": Contest(300, Design()),
    "60 SAEs of other quality": Contest(60, Design(), spread=0.2),
    "300 SAEs of other quality": Contest(300, Design(), spread=0.2),
}


def effects(design: Design, rng: np.random.Generator) -> Float[np.ndarray, " U"]:
    """Effects of texts, of mean 0 and standard deviation 1; those of one document correlate."""
    n = len(design.groups)
    if design.tails == "heavy":
        return rng.standard_t(3, n) / np.sqrt(3.0)
    if design.tails == "skewed":
        return (np.exp(rng.standard_normal(n)) - np.exp(0.5)) / np.sqrt((np.e - 1.0) * np.e)
    own = rng.standard_normal(n)
    if design.document == 1:
        return own
    documents = np.repeat(rng.standard_normal(n // design.document), design.document)
    return np.sqrt(design.within) * documents + np.sqrt(1.0 - design.within) * own


def simulate(
    design: Design,
    rng: np.random.Generator,
    text_U: Float[np.ndarray, " U"],
    *,
    mean: float,
    key: str = "texts",
    drawn: Sequence[np.ndarray] = (),
) -> Samples:
    """One SAE: fresh seeds on texts with these effects.

    Args:
        mean: of the values, or the share that is right.
        drawn: the units that each seed drew, for designs that draw.
    """
    groups = np.asarray(design.groups)
    apart = 0.05 if design.values == "real" and len(design.sizes) > 1 else 0.0
    stratum_U = np.linspace(-apart, apart, len(design.sizes))[groups]
    seed_S1 = design.seed * design.random * rng.standard_normal((design.n_seeds, 1))
    cell_SU = design.cell * rng.standard_normal((design.n_seeds, len(groups)))
    noise_SU = stratum_U + design.text * text_U + seed_S1 + cell_SU
    values_SU = mean + noise_SU
    if design.values != "real":
        spread = np.sqrt(design.text**2 + design.cell**2 + (design.seed * design.random) ** 2)
        values_SU = (noise_SU > -spread * norm.ppf(mean)).astype(float) + (1.0 if design.values == "1 or 2" else 0.0)
    if design.defined is not None:
        values_SU[:, design.defined :] = np.nan
    values = torch.from_numpy(values_SU).float()
    if drawn:
        return stack_draws([_draw(values[seed], ids_U, key) for seed, ids_U in enumerate(drawn)])
    clusters_U = torch.arange(len(groups)) // design.document if design.document > 1 else None
    return Samples(values, design.weights_U, design.groups, "test text", key, design.random, clusters_U=clusters_U)


def _draw(values_U: torch.Tensor, ids_U: np.ndarray, key: str) -> Samples:
    ids = torch.from_numpy(ids_U)
    name = f"{key} {hash(ids_U.tobytes())}"
    return replace(Samples.of_equal_units(values_U[ids][None], unit="block", key=name), ids_U=ids)


def draw_units(design: Design, rng: np.random.Generator) -> list[np.ndarray]:
    """The units that each seed draws from a source; none where all seeds have all."""
    if design.drawn is None:
        return []
    return [np.sort(rng.permutation(design.n_units)[: design.drawn]) for _ in range(design.n_seeds)]


def truth(design: Design) -> float:
    """The mean over all texts and seeds that a design stands for."""
    return design.mean + (1.0 if design.values == "1 or 2" else 0.0)


def evidence(samples: Samples, *, seeds: tuple[int, ...] | None = None) -> Evidence:
    """What a result with these samples would hold."""
    values = samples.seed_values()
    if not samples.random:
        return Evidence(values[0], (), (), samples)
    seeds = seeds or tuple(range(42, 42 + len(values)))
    return Evidence(float(np.mean(values)), seeds, tuple(values), samples)


def runs_of_one(design: Design, n: int, seed: int = 0) -> Iterator[Samples]:
    """One SAE in `n` runs, each with texts and seeds of its own."""
    rng = np.random.default_rng(seed)
    for _ in range(n):
        text_U = effects(design, rng)
        yield simulate(design, rng, text_U, mean=design.mean, drawn=draw_units(design, rng))


def runs_of_two(
    design: Design, n: int, *, difference: float = 0.0, same_sae: bool = False, seed: int = 0
) -> Iterator[tuple[Evidence, Evidence]]:
    """Two SAEs on the same texts in `n` runs; as copies of one SAE they have seeds of their own."""
    rng = np.random.default_rng(seed)
    for _ in range(n):
        common_U, drawn = effects(design, rng), draw_units(design, rng)
        own = [common_U, common_U] if same_sae else [_related(design, rng, common_U) for _ in range(2)]
        a = simulate(design, rng, own[0], mean=design.mean + difference, drawn=drawn)
        b = simulate(design, rng, own[1], mean=design.mean, drawn=drawn)
        other = tuple(range(142, 142 + design.n_seeds)) if same_sae else None
        yield evidence(a), evidence(b, seeds=other)


def runs_of_many(contest: Contest, n: int, seed: int = 0) -> Iterator[list[Evidence]]:
    """All SAEs of a contest on the same texts in `n` runs, the best last."""
    rng, design = np.random.default_rng(seed), contest.design
    for _ in range(n):
        common_U = effects(design, rng)
        means = design.mean + np.linspace(-contest.spread, 0.0, contest.n_saes)
        yield [
            evidence(simulate(_seeds_of(contest, n), rng, _related(design, rng, common_U), mean=float(m)))
            for n, m in enumerate(means)
        ]


def _seeds_of(contest: Contest, sae: int) -> Design:
    return contest.design if sae % 10 else replace(contest.design, seed=contest.uneven * contest.design.seed)


def _related(design: Design, rng: np.random.Generator, common_U: Float[np.ndarray, " U"]) -> Float[np.ndarray, " U"]:
    return np.sqrt(design.shared) * common_U + np.sqrt(1 - design.shared) * effects(design, rng)


def shifted(original: Evidence, by: float) -> Evidence:
    """The same SAE, better by this much."""
    assert original.samples is not None
    return evidence(replace(original.samples, values_SU=original.samples.values_SU + by), seeds=original.seeds)
