"""Constructed evals for checks of the statistics: test texts in strata, seeds, and a mean that is known.

A text's value is mean + stratum + text + seed + (text, seed). Two SAEs share the texts' effects up to a correlation;
copies of one SAE with other seeds share all of them and no seed effect.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float

from sae_bench.results.samples import Samples
from sae_bench.results.statistics.paired import Evidence


@dataclass(frozen=True)
class Design:
    """How much is measured, and the standard deviation of each effect.

    Attributes:
        text: of a text, in every seed alike.
        cell: of a text in one seed.
        seed: of a whole seed.
        shared: correlation of two SAEs' text effects.
        binary: whether a text is right or wrong, right where its value is above 0.5.
        mean: of the values.
    """

    n_seeds: int = 3
    n_units: int = 240
    n_strata: int = 4
    text: float = 0.3
    cell: float = 0.2
    seed: float = 0.01
    shared: float = 0.5
    binary: bool = False
    mean: float = 0.8

    @property
    def groups(self) -> tuple[int, ...]:
        return tuple(np.repeat(np.arange(self.n_strata), self.n_units // self.n_strata).tolist())


DESIGNS = {
    "balanced": Design(),
    "two seeds": Design(n_seeds=2, seed=0.02),
    "seeds dominate": Design(seed=0.1, text=0.1),
    "texts dominate": Design(seed=0.001, cell=0.05),
    "five seeds": Design(n_seeds=5, seed=0.02),
    "ten seeds": Design(n_seeds=10, seed=0.02),
    "right or wrong": Design(binary=True, seed=0.02),
    "few texts": Design(n_units=32, n_strata=2, seed=0.05),
}
"""What the checks go through."""


def simulate(
    design: Design, rng: np.random.Generator, text_U: Float[np.ndarray, " U"], *, mean: float, key: str = "texts"
) -> Samples:
    """One SAE: fresh seeds on texts with these effects (standard normal)."""
    groups = np.asarray(design.groups)
    stratum_U = np.linspace(-0.05, 0.05, design.n_strata)[groups]
    seed_S1 = design.seed * rng.standard_normal((design.n_seeds, 1))
    cell_SU = design.cell * rng.standard_normal((design.n_seeds, len(groups)))
    latent_SU = mean + stratum_U + design.text * text_U + seed_S1 + cell_SU
    if design.binary:  # its mean is `truth`, not `mean`
        latent_SU = (latent_SU > 0.5).astype(float)
    values = torch.from_numpy(latent_SU).float()
    return Samples(values, torch.ones(len(groups)), design.groups, "test text", key)


def truth(design: Design) -> float:
    """The mean over all texts and seeds that a design stands for."""
    if not design.binary:
        return design.mean
    rng = np.random.default_rng(0)
    latent = design.mean + np.linspace(-0.05, 0.05, design.n_strata)[:, None]
    spread = np.sqrt(design.text**2 + design.cell**2 + design.seed**2)
    return float((latent + spread * rng.standard_normal((design.n_strata, 400_000)) > 0.5).mean())


def evidence(found: Samples, *, seeds: tuple[int, ...] | None = None) -> Evidence:
    """What a result with these samples would hold."""
    values = found.seed_values()
    seeds = seeds or tuple(range(42, 42 + len(values)))
    return Evidence(float(np.mean(values)), seeds, tuple(values), found)


def runs_of_one(design: Design, n: int, seed: int = 0) -> Iterator[Samples]:
    """One SAE in `n` runs, each with texts and seeds of its own."""
    rng = np.random.default_rng(seed)
    for _ in range(n):
        yield simulate(design, rng, rng.standard_normal(design.n_units), mean=design.mean)


def runs_of_two(
    design: Design, n: int, *, difference: float = 0.0, same_sae: bool = False, seed: int = 0
) -> Iterator[tuple[Evidence, Evidence]]:
    """Two SAEs on the same texts in `n` runs; as copies of one SAE they have seeds of their own."""
    rng = np.random.default_rng(seed)
    for _ in range(n):
        common_U = rng.standard_normal(design.n_units)
        own = [common_U, common_U] if same_sae else [
            np.sqrt(design.shared) * common_U + np.sqrt(1 - design.shared) * rng.standard_normal(design.n_units)
            for _ in range(2)
        ]  # fmt: skip
        a = simulate(design, rng, own[0], mean=design.mean + difference)
        b = simulate(design, rng, own[1], mean=design.mean)
        other = tuple(range(142, 142 + design.n_seeds)) if same_sae else None
        yield evidence(a), evidence(b, seeds=other)


def shifted(found: Evidence, by: float) -> Evidence:
    """The same SAE, better by this much."""
    assert found.samples is not None
    return evidence(replace(found.samples, values_SU=found.samples.values_SU + by), seeds=found.seeds)
