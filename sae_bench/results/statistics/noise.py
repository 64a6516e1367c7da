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
from functools import cached_property, lru_cache
from math import sqrt

import numpy as np
from jaxtyping import Bool, Float, Int

from sae_bench.results.samples import Samples

BORROWED = 2.0
"""A stratum of n units takes this over (n - 1 + this) of the total variance on top of its own."""

NOTHING = 0.05
"""Share of the largest contribution up to which a unit does not count as one by which two SAEs differ."""

SAME_SIZE = 1e-6
"""Share of the largest difference up to which two count as equal."""

MOSTLY = 0.75
"""Share of the units that must differ for their differences to count as graded."""

DISTINCT = 0.9
"""Share of the units that must differ by an amount of their own for that."""

FEW_SHOW_LESS = 8.5
"""Over the number of units: by how much of itself the skewness that they show is too small."""

UNEVEN = 2.0
"""How many times the variance of the others any one stratum may have for the degrees of freedom to be right."""


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
        unit_U: how far each cluster of units moves the mean over seeds, from the mean of its stratum; behind these, in
            as many places, how far it does so from the mean of all, for what a small stratum borrows from the others.
            Its squares sum up to the variance. Empty without units.
        cell_SU: how far it does so in one seed more than in the others.
        weights_C: share of each cluster in the metric; 0 where it is never defined.
        share_C: what each cluster adds to the metric; they sum up to its mean over seeds.
        cubes_U: by how much the cubes of `unit_U` count for the third moment.
        units_df: degrees of freedom of the units' variance.
        random: whether the seeds change anything.
    """

    seed_values_S: Float[np.ndarray, " S"]
    unit_U: Float[np.ndarray, " U"]
    cell_SU: Float[np.ndarray, "S U"]
    weights_C: Float[np.ndarray, " C"]
    share_C: Float[np.ndarray, " C"]
    cubes_U: Float[np.ndarray, " U"]
    units_df: float
    random: bool

    @property
    def n_seeds(self) -> int:
        return len(self.seed_values_S)

    @property
    def mean(self) -> float:
        return float(self.seed_values_S.mean())

    @property
    def n_clusters(self) -> int:
        """Independent units that are defined."""
        return int((self.weights_C > 0).sum())

    @property
    def n_differing(self) -> int:
        """Clusters that add something to the metric: more than `NOTHING` of what the one adds that adds most."""
        return int(n_differing(self.share_C[None])[0])

    @property
    def is_graded(self) -> bool:
        """Whether most clusters add something, and nearly every one an amount of its own.

        Then their values lie on no grid (right or wrong, 1 or 2, ties), and their variance is known as that of normal
        ones is: Student's t holds also where all have the same sign.
        """
        return is_graded(self.share_C, self.weights_C)

    def minus(self, other: Parts) -> Parts:
        """The paired difference."""
        return Parts(
            self.seed_values_S - other.seed_values_S,
            self.unit_U - other.unit_U,
            self.cell_SU - other.cell_SU,
            np.where((self.weights_C > 0) & (other.weights_C > 0), (self.weights_C + other.weights_C) / 2.0, 0.0),
            self.share_C - other.share_C,
            self.cubes_U,
            min(self.units_df, other.units_df),
            self.random or other.random,
        )


def take_apart(samples: Samples) -> Parts:
    """Seed values, and the influence of every unit on them (weights renormalised over the defined units of a seed)."""
    values_SU = samples.values_SU.double().numpy()
    weights_U = samples.weights_U.double().numpy()
    defined_SU = np.isfinite(values_SU)
    weights_SU = weights_U * defined_SU
    with np.errstate(invalid="ignore"):  # a seed without any defined unit has no value
        weights_SU = weights_SU / weights_SU.sum(axis=1, keepdims=True)
    values_SU = np.where(defined_SU, values_SU, 0.0)
    seed_values_S = (weights_SU * values_SU).sum(axis=1)
    influence_SU = weights_SU * (values_SU - seed_values_S[:, None])
    used_U = (weights_U > 0) & defined_SU.any(axis=0)
    strata = Strata.of(samples, used_U)
    moved_SU = strata.spread(influence_SU[:, used_U])
    unit_U = moved_SU.mean(axis=0)
    return Parts(
        seed_values_S=seed_values_S,
        unit_U=unit_U,
        cell_SU=moved_SU - unit_U,
        weights_C=strata.weights_C,
        share_C=strata.per_cluster((weights_SU * values_SU).mean(axis=0)[None, used_U])[0],
        cubes_U=strata.cubes_U,
        units_df=strata.degrees_of_freedom,
        random=samples.random,
    )


def seeds_only(seed_values: Sequence[float]) -> Parts:
    """Parts of a metric of which the values per seed are known and nothing else."""
    values_S = np.asarray(seed_values, dtype=np.float64)
    return Parts(values_S, np.empty(0), np.empty((len(values_S), 0)), *(np.empty(0),) * 3, 0.0, True)


def noise_of(parts: Parts) -> Noise:
    """The noise of a metric, or of the difference of two that are paired by seed and unit."""
    seeds, seeds_df, cells = _of_seeds(parts)
    units = max(float(np.square(parts.unit_U).sum()) - cells, 0.0)
    return Noise(seeds, seeds_df, units, parts.units_df)


@dataclass(frozen=True)
class Skewness:
    """What makes the units' error longer on one side.

    Attributes:
        slope: how much the variance grows per unit that the mean grows, in a family of two-valued distributions that
            has this mean, variance and skewness.
        n_effective: independent units, those of larger weight counted for more.
    """

    slope: float = 0.0
    n_effective: float = float("inf")


def n_differing(share_PC: Float[np.ndarray, "P C"]) -> Int[np.ndarray, " P"]:
    """How many entries of each row are more than `NOTHING` of its largest."""
    size_PC = np.abs(share_PC)
    largest_P1 = size_PC.max(axis=1, keepdims=True, initial=0.0)
    return ((size_PC > NOTHING * largest_P1) & (largest_P1 > 1e-12)).sum(axis=1)


def is_graded(share_C: Float[np.ndarray, " C"], weights_C: Float[np.ndarray, " C"]) -> bool:
    """`Parts.is_graded` from what each cluster adds and weighs."""
    used_C = weights_C > 0
    n = int(used_C.sum())
    if n < 2:
        return False
    size_C = np.sort(np.abs(share_C[used_C] / weights_C[used_C]))
    n_distinct = 1 + int((np.diff(size_C) > SAME_SIZE * size_C[-1]).sum())
    return n_distinct >= DISTINCT * n and int(n_differing(share_C[None])[0]) >= MOSTLY * n


def skewness_of(parts: Parts, bounds: tuple[float | None, float | None] = (None, None)) -> Skewness:
    """From the third moments of the clusters' shifts.

    Few units show less skewness than there is (what makes it is rare), so it is taken 1 + 8.5/n times as large (Bobee
    and Robitaille 1975), but no larger than that of the two ends of a bounded metric.
    """
    squares = float(np.square(parts.unit_U).sum())
    if squares <= 0:
        return Skewness()
    n_effective = 1.0 / float(np.square(parts.weights_C).sum())
    seen = float((parts.cubes_U * parts.unit_U**3).sum()) / squares
    size, (low, high) = (1.0 + FEW_SHOW_LESS / n_effective) * abs(seen), bounds
    if low is not None and high is not None:
        size = max(abs(seen), min(size, abs(low + high - 2.0 * parts.mean) / n_effective))
    return Skewness(float(np.copysign(size, seen)), n_effective)


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
    """Variance of the seeds' mean, its degrees of freedom, and how much of the units' variance is interaction.

    The interaction of seeds and units is part of the variance between seeds, which can come out smaller by accident:
    two seeds may agree in the mean and still differ unit by unit.
    """
    n = parts.n_seeds
    if not parts.random or n < 2:
        return 0.0, 0.0, 0.0
    cells = float(np.square(parts.cell_SU).sum()) / (n * (n - 1))
    return max(float(parts.seed_values_S.var(ddof=1)) / n, cells), n - 1.0, cells


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


@dataclass(frozen=True)
class Strata:
    """Which units that count lie together: X cells of one stratum and one cluster each.

    Attributes:
        cell_N: the cell of every unit that is used.
        stratum_X, cluster_X: of every cell.
        weights_X: share of every cell in the metric.
        n_clusters: clusters that have a place, among them those that are never defined.
    """

    cell_N: Int[np.ndarray, " N"]
    stratum_X: Int[np.ndarray, " X"]
    cluster_X: Int[np.ndarray, " X"]
    weights_X: Float[np.ndarray, " X"]
    n_clusters: int

    @classmethod
    def of(cls, samples: Samples, used_U: Bool[np.ndarray, " U"]) -> Strata:
        """Strata and clusters of the units that are used; without clusters every unit is one.

        Clusters are numbered among all units, so that those of two SAEs with other units undefined remain the same.
        """
        clusters_U = b"" if samples.clusters_U is None else samples.clusters_U.long().numpy().tobytes()
        return _strata(samples.groups_U, samples.weights_U.double().numpy().tobytes(), clusters_U, used_U.tobytes())

    @cached_property
    def weights_C(self) -> Float[np.ndarray, " C"]:
        """Share of every cluster in the metric."""
        return _weighted(self.cluster_X, self.weights_X, self.n_clusters)

    @cached_property
    def _counts_G(self) -> Int[np.ndarray, " G"]:
        return np.bincount(self.stratum_X)

    @cached_property
    def _borrowed_G(self) -> Float[np.ndarray, " G"]:
        """How much of the total variance each stratum takes on top of its own."""
        return BORROWED / (self._counts_G - 1.0 + BORROWED) if len(self._counts_G) > 1 else np.zeros(1)

    @cached_property
    def _squares_G(self) -> Float[np.ndarray, " G"]:
        return _weighted(self.stratum_X, self.weights_X**2)

    def spread(self, x_SN: Float[np.ndarray, "S N"]) -> Float[np.ndarray, "S M"]:
        """Distances of the clusters from the mean of their stratum, then from that of all, as `Parts.unit_U` has them.

        They are scaled so that their squares sum up to the variance of the sum over all: sum over strata of own
        variance + borrowed total variance, times the squares of the weights. Three units that happen to agree then
        still vary about as much as units do elsewhere.
        """
        if x_SN.shape[1] == 0:
            return np.zeros((len(x_SN), 2 * self.n_clusters))
        sums_SX = _sums(x_SN, self.cell_N, len(self.stratum_X))
        counts_G, borrowed_G = self._counts_G, self._borrowed_G
        means_SG = _sums(sums_SX, self.stratum_X, len(counts_G)) / counts_G
        scale_G = np.sqrt(counts_G / np.maximum(counts_G - 1, 1))
        own_SX = (sums_SX - means_SG[:, self.stratum_X]) * scale_G[self.stratum_X]
        total_SX = sums_SX * np.sqrt(float((borrowed_G * self._squares_G).sum()) / self.weights_X)
        return np.concatenate([_sums(part, self.cluster_X, self.n_clusters) for part in (own_SX, total_SX)], axis=1)

    def per_cluster(self, x_SN: Float[np.ndarray, "S N"]) -> Float[np.ndarray, "S C"]:
        """Sums over the units of each cluster."""
        return _sums(_sums(x_SN, self.cell_N, len(self.stratum_X)), self.cluster_X, self.n_clusters)

    @cached_property
    def cubes_U(self) -> Float[np.ndarray, " U"]:
        """What turns the cubes of what `spread` gives into the third moment of the sum over all.

        A stratum that borrows the total variance borrows the total skewness: weights cubed times the mean of cubes.
        """
        squares = float((self._borrowed_G * self._squares_G).sum())
        cubes = float((self._borrowed_G * _weighted(self.stratum_X, self.weights_X**3)).sum())
        weights_C = self.weights_C
        scale_C = cubes / squares**1.5 / np.sqrt(np.where(weights_C > 0, weights_C, 1.0)) if squares > 0 else 0.0
        return np.concatenate([np.ones(self.n_clusters), np.broadcast_to(scale_C, self.n_clusters)])

    @cached_property
    def degrees_of_freedom(self) -> float:
        """Of the units' variance, for units of which the influence is as large as the weight; 0 for fewer than two.

        Satterthwaite's, for the most unfavourable of the strata having `UNEVEN` times the variance of the others.
        """
        n_clusters = int((self.weights_C > 0).sum())
        if n_clusters < 2:
            return 0.0
        squares_G = self._squares_G
        fourths_G = _weighted(self.stratum_X, self.weights_X**4)
        df_G = np.maximum(squares_G**2 / fourths_G - 1.0, 1e-3)
        shares_GG = squares_G * (1.0 + (UNEVEN - 1.0) * np.eye(len(squares_G)) * (len(squares_G) > 1))
        df = float((shares_GG.sum(axis=1) ** 2 / (shares_GG**2 / df_G).sum(axis=1)).min())
        return min(max(1.0, df), n_clusters - 1.0)


@lru_cache(maxsize=64)
def _strata(groups_U: tuple[int, ...], weights: bytes, clusters: bytes, used: bytes) -> Strata:
    """`Strata.of`, once for all SAEs and metrics that have the same units."""
    used_U = np.frombuffer(used, dtype=bool)
    groups_N, weights_N = np.asarray(groups_U)[used_U], np.frombuffer(weights)[used_U]
    n_clusters, clusters_N = len(used_U), np.flatnonzero(used_U)
    if clusters:
        names, clusters_U = np.unique(np.frombuffer(clusters, dtype=np.int64), return_inverse=True)
        n_clusters, clusters_N = len(names), clusters_U.reshape(-1)[used_U]
    cell_N, stratum_X, cluster_X = _cells(merge_lone_units(groups_N, clusters_N), clusters_N)
    weights_X = _weighted(cell_N, weights_N, len(stratum_X)) / max(weights_N.sum(), 1e-300)
    return Strata(cell_N, stratum_X, cluster_X, weights_X, n_clusters)


def merge_lone_units(
    groups_U: Int[np.ndarray, " U"], clusters_U: Int[np.ndarray, " U"] | None = None
) -> Int[np.ndarray, " U"]:
    """Strata 0 .. G-1 in which no cluster is alone: lone ones form a stratum, or a single one joins the largest."""
    strata_U = np.unique(groups_U, return_inverse=True)[1].reshape(-1)
    clusters_U = np.arange(len(strata_U)) if clusters_U is None else clusters_U
    counts_G = np.bincount(_cells(strata_U, clusters_U)[1])
    lone_G = counts_G == 1
    if lone_G.any() and len(counts_G) > 1:
        home = np.flatnonzero(lone_G)[0] if lone_G.sum() > 1 else int(counts_G.argmax())
        strata_U = np.where(lone_G[strata_U], home, strata_U)
    return np.unique(strata_U, return_inverse=True)[1].reshape(-1)


def _cells(
    strata_N: Int[np.ndarray, " N"], clusters_N: Int[np.ndarray, " N"]
) -> tuple[Int[np.ndarray, " N"], Int[np.ndarray, " X"], Int[np.ndarray, " X"]]:
    """The pairs of stratum and cluster that there are: their number for every unit, then their two parts."""
    if len(np.unique(clusters_N)) == len(clusters_N):
        return np.arange(len(clusters_N)), strata_N, clusters_N
    n_clusters = int(clusters_N.max(initial=0)) + 1
    pairs, cell_N = np.unique(strata_N * n_clusters + clusters_N, return_inverse=True)
    return cell_N.reshape(-1), pairs // n_clusters, pairs % n_clusters


def _weighted(places_N: Int[np.ndarray, " N"], weights_N: Float[np.ndarray, " N"], n: int = 0) -> np.ndarray:
    """Sums of the weights that share a place; floats also where there is none."""
    return np.bincount(places_N, weights=weights_N, minlength=n).astype(np.float64)


def _sums(x_SN: Float[np.ndarray, "S N"], places_N: Int[np.ndarray, " N"], n: int) -> Float[np.ndarray, "S M"]:
    """Sums of the columns that share a place."""
    if x_SN.size == 0:
        return np.zeros((len(x_SN), n))
    if n == x_SN.shape[1] and np.array_equal(places_N, np.arange(n)):
        return x_SN
    return np.stack([_weighted(places_N, row, n) for row in x_SN])
