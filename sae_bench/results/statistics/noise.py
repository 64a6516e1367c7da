"""How much of a metric is noise: the variance of its mean over seeds and units (test texts, letters, ...).

A value y_su of seed s and unit u is mean + seed effect + unit effect + their interaction. The metric averages over
both, so its variance has two parts that add up:

- seeds: the variance of the S seed values over S. It holds the seed effects and the interaction, S - 1 degrees of
  freedom.
- units: the variance of the units' means over seeds, less what the interaction put into it. It holds the effects of
  units that all seeds share, and has many degrees of freedom.

This is two-way clustering (Cameron, Gelbach and Miller 2011; Owen 2007 for the crossed bootstrap), within strata.
Units that only one seed saw cancel out of the second part, so data redrawn per seed need no other formula.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from jaxtyping import Bool, Float, Int

from sae_bench.results.samples import Samples


@dataclass(frozen=True)
class Noise:
    """Variance of a metric or of a difference, by where it comes from.

    Attributes:
        seeds, seeds_df: variance due to seeds and its degrees of freedom; both 0 where nothing is random.
        units, units_df: variance due to the choice of units; both 0 where it is not known.
    """

    seeds: float
    seeds_df: float
    units: float
    units_df: float

    @property
    def standard_error(self) -> float:
        """Of both parts together."""
        return sqrt(self.seeds + self.units)

    @property
    def is_known(self) -> bool:
        """Whether there is anything to base an error bar on."""
        return self.seeds_df > 0 or self.units_df > 0

    def with_seeds(self, n_seeds: int, now: int) -> Noise:
        """What it would be with another number of seeds."""
        return Noise(self.seeds * now / n_seeds, self.seeds_df * (n_seeds - 1) / (now - 1), self.units, self.units_df)


@dataclass(frozen=True)
class Parts:
    """A metric taken apart. Parts of two SAEs on the same seeds and units subtract.

    Attributes:
        seed_values_S: the metric of each seed.
        unit_U: how far each unit moves the mean over seeds, from the mean of its stratum; empty without units.
        cell_SU: how far it does so in one seed more than in the others.
        units_df: degrees of freedom of the units' variance.
        random: whether the seeds change anything.
    """

    seed_values_S: Float[np.ndarray, " S"]
    unit_U: Float[np.ndarray, " U"]
    cell_SU: Float[np.ndarray, "S U"]
    units_df: float
    random: bool

    @property
    def n_seeds(self) -> int:
        return len(self.seed_values_S)

    @property
    def mean(self) -> float:
        return float(self.seed_values_S.mean())

    def minus(self, other: Parts) -> Parts:
        """The paired difference."""
        return Parts(
            self.seed_values_S - other.seed_values_S,
            self.unit_U - other.unit_U,
            self.cell_SU - other.cell_SU,
            min(self.units_df, other.units_df),
            self.random or other.random,
        )


def take_apart(samples: Samples) -> Parts:
    """Seed values, and the influence of every unit on them (weights renormalised over the defined units of a seed)."""
    values_SU = samples.values_SU.double().numpy()
    weights_U = samples.weights_U.double().numpy()
    defined_SU = np.isfinite(values_SU)
    weights_SU = weights_U * defined_SU
    weights_SU = weights_SU / weights_SU.sum(axis=1, keepdims=True)
    values_SU = np.where(defined_SU, values_SU, 0.0)
    seed_values_S = (weights_SU * values_SU).sum(axis=1)
    influence_SU = weights_SU * (values_SU - seed_values_S[:, None])
    used_U = (weights_U > 0) & defined_SU.any(axis=0)
    strata_N, clusters_N = strata_and_clusters(samples, used_U)
    centred_SC = _centre_within(influence_SU[:, used_U], strata_N, clusters_N, n_clusters=_n_clusters(samples))
    unit_C = centred_SC.mean(axis=0)
    return Parts(
        seed_values_S=seed_values_S,
        unit_U=unit_C,
        cell_SU=centred_SC - unit_C,
        units_df=_degrees_of_freedom(weights_U[used_U], strata_N, clusters_N),
        random=samples.random,
    )


def seeds_only(seed_values: Sequence[float]) -> Parts:
    """Parts of a metric of which the values per seed are known and nothing else."""
    values_S = np.asarray(seed_values, dtype=np.float64)
    return Parts(values_S, np.empty(0), np.empty((len(values_S), 0)), 0.0, True)


def noise_of(parts: Parts) -> Noise:
    """The noise of a metric, or of the difference of two that are paired by seed and unit."""
    seeds, seeds_df, cells = _of_seeds(parts)
    units = max(float(np.square(parts.unit_U).sum()) - cells, 0.0)
    return Noise(seeds, seeds_df, units, parts.units_df)


def noise_of_difference(a: Parts, b: Parts, *, same_units: bool) -> Noise:
    """The noise of a difference of two metrics whose seeds are not paired.

    Args:
        same_units: whether their units are the same in the same order.
    """
    if not same_units:
        return _add(noise_of(a), noise_of(b))
    (seeds_a, df_a, cells_a), (seeds_b, df_b, cells_b) = _of_seeds(a), _of_seeds(b)
    units = max(float(np.square(a.unit_U - b.unit_U).sum()) - cells_a - cells_b, 0.0)
    return Noise(seeds_a + seeds_b, _pooled_df((seeds_a, df_a), (seeds_b, df_b)), units, min(a.units_df, b.units_df))


def _of_seeds(parts: Parts) -> tuple[float, float, float]:
    """Variance of the seeds' mean, its degrees of freedom, and how much of the units' variance is interaction."""
    n = parts.n_seeds
    if not parts.random or n < 2:
        return 0.0, 0.0, 0.0
    cells = float(np.square(parts.cell_SU).sum()) / (n * (n - 1))
    return float(parts.seed_values_S.var(ddof=1)) / n, n - 1.0, cells


def _add(a: Noise, b: Noise) -> Noise:
    return Noise(
        a.seeds + b.seeds,
        _pooled_df((a.seeds, a.seeds_df), (b.seeds, b.seeds_df)),
        a.units + b.units,
        _pooled_df((a.units, a.units_df), (b.units, b.units_df)),
    )


def _pooled_df(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Degrees of freedom of a sum of two variances (Welch-Satterthwaite); a part without any has no variance."""
    parts = [(variance, df) for variance, df in (a, b) if df > 0]
    total = sum(variance for variance, _ in parts)
    if total <= 0:
        return min((df for _, df in parts), default=0.0)
    return total**2 / sum(variance**2 / df for variance, df in parts)


def strata_and_clusters(
    samples: Samples, used_U: Bool[np.ndarray, " U"]
) -> tuple[Int[np.ndarray, " N"], Int[np.ndarray, " N"]]:
    """Stratum and cluster of the N units that are used, numbered from 0; without clusters every unit is one.

    Clusters are numbered among all units, so that those of two SAEs with other units undefined remain the same.
    """
    groups_N = np.asarray(samples.groups_U)[used_U]
    if samples.clusters_U is None:
        return merge_lone_units(groups_N), np.flatnonzero(used_U)
    clusters_N = np.unique(samples.clusters_U.numpy(), return_inverse=True)[1].reshape(-1)[used_U]
    return merge_lone_units(groups_N, clusters_N), clusters_N


def _n_clusters(samples: Samples) -> int:
    return len(samples.weights_U) if samples.clusters_U is None else len(samples.clusters_U.unique())


def merge_lone_units(
    groups_U: Int[np.ndarray, " U"], clusters_U: Int[np.ndarray, " U"] | None = None
) -> Int[np.ndarray, " U"]:
    """Strata 0 .. G-1 in which no cluster is alone: lone ones form a stratum, or a single one joins the largest."""
    _, strata_U = np.unique(groups_U, return_inverse=True)
    strata_U = strata_U.reshape(-1)
    counts_G = _clusters_per_stratum(strata_U, np.arange(len(strata_U)) if clusters_U is None else clusters_U)
    lone_G = counts_G == 1
    if lone_G.any() and len(counts_G) > 1:
        home = np.flatnonzero(lone_G)[0] if lone_G.sum() > 1 else int(counts_G.argmax())
        strata_U = np.where(lone_G[strata_U], home, strata_U)
    return np.unique(strata_U, return_inverse=True)[1].reshape(-1)


def _clusters_per_stratum(strata_U: Int[np.ndarray, " U"], clusters_U: Int[np.ndarray, " U"]) -> Int[np.ndarray, " G"]:
    if not len(strata_U):
        return np.zeros(0, dtype=np.int64)
    pairs = np.unique(np.stack([strata_U, clusters_U]), axis=1)
    return np.bincount(pairs[0])


def _centre_within(
    x_SU: Float[np.ndarray, "S U"],
    strata_U: Int[np.ndarray, " U"],
    clusters_U: Int[np.ndarray, " U"],
    *,
    n_clusters: int,
) -> Float[np.ndarray, "S C"]:
    """Sums of the clusters, less the mean of their stratum, scaled so that their sum of squares is unbiased.

    A cluster that lies in several strata is one: what it adds to each of them is summed up.
    """
    if x_SU.shape[1] == 0:
        return np.zeros((len(x_SU), n_clusters))
    cells, cell_of_U = np.unique(np.stack([strata_U, clusters_U]), axis=1, return_inverse=True)
    sums_SX = _sums(x_SU, cell_of_U.reshape(-1), cells.shape[1])
    strata_X, clusters_X = cells
    counts_G = np.bincount(strata_X)
    means_SG = _sums(sums_SX, strata_X, len(counts_G)) / counts_G
    scale_G = np.sqrt(counts_G / np.maximum(counts_G - 1, 1))
    return _sums((sums_SX - means_SG[:, strata_X]) * scale_G[strata_X], clusters_X, n_clusters)


def _sums(x_SU: Float[np.ndarray, "S U"], places_U: Int[np.ndarray, " U"], n: int) -> Float[np.ndarray, "S N"]:
    """Sums of the columns that share a place."""
    if n == x_SU.shape[1] and np.array_equal(places_U, np.arange(n)):
        return x_SU
    return np.stack([np.bincount(places_U, weights=row, minlength=n) for row in x_SU])


def _degrees_of_freedom(
    weights_U: Float[np.ndarray, " U"], strata_U: Int[np.ndarray, " U"], clusters_U: Int[np.ndarray, " U"]
) -> float:
    """Of the units' variance, if a cluster's influence is as large as its weight; 0 for fewer than two clusters."""
    n_clusters = len(np.unique(clusters_U))
    if n_clusters < 2:
        return 0.0
    cells, cell_of_U = np.unique(np.stack([strata_U, clusters_U]), axis=1, return_inverse=True)
    weights_X = np.bincount(cell_of_U.reshape(-1), weights=weights_U / weights_U.max())
    squares_G = np.bincount(cells[0], weights=weights_X**2)
    fourths_G = np.bincount(cells[0], weights=weights_X**4)
    df_G = np.maximum(squares_G**2 / fourths_G - 1.0, 1e-3)
    df = max(1.0, float(squares_G.sum() ** 2 / (squares_G**2 / df_G).sum()))
    return min(df, n_clusters - 1.0)
