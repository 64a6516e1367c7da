"""All pairs of many SAEs on one metric at once: p-values and intervals as `paired.difference` gives them, in one go.

Pairs stand in scipy's condensed order: (0, 1), (0, 2), ..., (1, 2), ...
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np
from jaxtyping import Float
from scipy.spatial.distance import pdist
from scipy.special import ndtr

from sae_bench.results.statistics import intervals, pivot
from sae_bench.results.statistics.intervals import Bounds
from sae_bench.results.statistics.noise import Noise, Parts, is_graded, n_differing, noise_of
from sae_bench.results.statistics.paired import (
    EQUAL,
    MIN_UNITS,
    ROUNDING,
    SAME,
    Difference,
    Evidence,
    difference,
    scale_of,
)
from sae_bench.results.statistics.pooled import NOTHING_COMMON, common_variance

_RATIOS = 513
"""Shares of the seeds' variance at which the quantile is computed; between them it is interpolated."""
_AT_ONCE = 1 << 22


@dataclass(frozen=True)
class Pairwise:
    """Value of the first minus value of the second of every pair; NaN where nothing is known.

    Where all values are equal, up to rounding, there is nothing to test: p is NaN and half the width 0.

    Attributes:
        effect_C: the differences.
        p_C: two-sided p-values.
        half_C: half the widths of the intervals.
    """

    effect_C: Float[np.ndarray, " C"]
    p_C: Float[np.ndarray, " C"]
    half_C: Float[np.ndarray, " C"]

    def square(self, x_C: Float[np.ndarray, " C"], n: int) -> Float[np.ndarray, "P P"]:
        """A number per pair of n SAEs as a symmetric table, NaN on the diagonal."""
        x_PP = np.full((n, n), np.nan)
        x_PP[np.triu_indices(n, k=1)] = x_C
        return np.fmin(x_PP, x_PP.T)


def pairwise(
    evidence: Sequence[Evidence],
    *,
    level: float = intervals.LEVEL,
    most_one_by_one: int | None = None,
    bounds: Bounds = intervals.UNBOUNDED,
    pooled: bool = False,
) -> Pairwise:
    """Every pair, fast where all share their seeds and units, else one by one.

    Args:
        bounds: least and greatest value of the metric.
        pooled: whether each pair's variance between seeds borrows from that of all (`statistics.pooled`), which
            rankings of many SAEs need.
        most_one_by_one: beyond this number of SAEs that do not share them, p-values and intervals are left out.
    """
    parts = aligned_parts(evidence)
    if parts is not None:
        return _with_certain_ones(_of_aligned(parts, level, pooled=pooled), evidence, level, bounds)
    values = np.asarray([e.value for e in evidence])
    unknown_C = np.full(len(evidence) * (len(evidence) - 1) // 2, np.nan)
    if most_one_by_one is not None and len(evidence) > most_one_by_one:
        effects = [values[i] - values[j] for i, j in combinations(range(len(values)), 2)]
        return Pairwise(np.asarray(effects), unknown_C, unknown_C)
    differences = [difference(a, b, level=level, bounds=bounds) for a, b in combinations(evidence, 2)]
    return Pairwise(
        np.asarray([d.effect for d in differences]),
        np.asarray([np.nan if d.p_value is None else d.p_value for d in differences]),
        np.asarray([_half_width(d) for d in differences]),
    )


def _half_width(of_pair: Difference) -> float:
    if of_pair.reason in (SAME, EQUAL):
        return 0.0
    if of_pair.p_value is None or of_pair.high is None or of_pair.low is None:
        return np.nan
    return max(of_pair.high - of_pair.effect, of_pair.effect - of_pair.low)


def _with_certain_ones(pairs: Pairwise, evidence: Sequence[Evidence], level: float, bounds: Bounds) -> Pairwise:
    """Pairs without any variance are looked at one by one, for they need more than it, and those equal to rounding."""
    first_C, second_C = np.triu_indices(len(evidence), k=1)
    size_P = np.maximum(np.abs([e.value for e in evidence]), scale_of(bounds))
    near_C = np.abs(pairs.effect_C) <= ROUNDING * np.maximum(size_P[first_C], size_P[second_C])
    certain_C = pairs.half_C == 0
    for pair in np.flatnonzero(near_C | certain_C):
        of_pair = difference(evidence[first_C[pair]], evidence[second_C[pair]], level=level, bounds=bounds)
        if certain_C[pair] or of_pair.reason in (SAME, EQUAL):
            pairs.p_C[pair] = np.nan if of_pair.p_value is None else of_pair.p_value
            pairs.half_C[pair] = _half_width(of_pair)
    return pairs


def aligned_parts(evidence: Sequence[Evidence]) -> list[Parts] | None:
    """All taken apart once, if all share their seeds and units and have an error bar."""
    keys = {None if e.samples is None else (e.samples.key, e.samples.random, e.seeds) for e in evidence}
    if len(keys) != 1 or None in keys:
        return None
    parts = [parts_of_sae for e in evidence if (parts_of_sae := e.parts()) is not None]
    usable = all(np.isfinite(p.seed_values_S).all() and noise_of(p).is_known for p in parts)
    alike = len({(p.unit_U.shape, p.units_df) for p in parts}) == 1
    return parts if usable and alike and (parts[0].n_seeds > 1 or not parts[0].random) else None


def _of_aligned(parts: Sequence[Parts], level: float, *, pooled: bool) -> Pairwise:
    """`noise_of(a.minus(b))` of every pair: squared distances instead of differences one by one."""
    n_seeds, random = parts[0].n_seeds, parts[0].random and parts[0].n_seeds > 1
    seed_values_PS = np.stack([p.seed_values_S for p in parts])
    means_P = seed_values_PS.mean(axis=1)
    first_C, second_C = np.triu_indices(len(parts), k=1)
    effect_C = means_P[first_C] - means_P[second_C]
    units_C = pdist(np.stack([p.unit_U for p in parts]), "sqeuclidean")
    seeds_C, seeds_df = np.zeros_like(units_C), 0.0
    if random:
        seeds_C = pdist(seed_values_PS - means_P[:, None], "sqeuclidean") / ((n_seeds - 1) * n_seeds)
        common = common_variance(seed_values_PS) if pooled else NOTHING_COMMON
        seeds_C, seeds_df = common.moved(seeds_C, n_seeds - 1.0, times=2.0 / n_seeds), n_seeds - 1.0 + common.df
        cells_C = pdist(np.stack([p.cell_SU.ravel() for p in parts]), "sqeuclidean") / (n_seeds * (n_seeds - 1))
        seeds_C, units_C = np.maximum(seeds_C, cells_C), np.maximum(units_C - cells_C, 0.0)
    units_df = parts[0].units_df
    size_C = np.maximum(np.maximum(np.abs(means_P[first_C]), np.abs(means_P[second_C])), 1e-6)
    certain_C = np.sqrt(seeds_C + units_C) <= 1e-7 * size_C
    seeds_C[certain_C] = units_C[certain_C] = 0.0
    p_C = _two_sided_p(effect_C, seeds_C, units_C, seeds_df, units_df)
    half_C = _margins(seeds_C, units_C, seeds_df, units_df, level)
    if len(parts[0].weights_C):
        p_C = np.maximum(p_C, _least_p(parts, p_C))
        too_few_P = np.asarray([p.n_clusters for p in parts]) < MIN_UNITS
        unknown_C = (too_few_P[first_C] | too_few_P[second_C]) & ~certain_C
        p_C, half_C = np.where(unknown_C, np.nan, p_C), np.where(unknown_C, np.nan, half_C)
    half_C = agreeing(p_C, half_C, effect_C, level)
    half_C[certain_C] = 0.0
    return Pairwise(effect_C, p_C, half_C)


def agreeing(p_C: np.ndarray, half_C: np.ndarray, effect_C: np.ndarray, level: float) -> Float[np.ndarray, " C"]:
    """Half widths of intervals that exclude 0 if and only if p is at most 1 - level (see `paired.agreeing`)."""
    size_C = np.abs(effect_C)
    return np.where(p_C > 1.0 - level, np.maximum(half_C, size_C), np.minimum(half_C, size_C * (1.0 - 1e-9)))


def _least_p(parts: Sequence[Parts], p_C: np.ndarray) -> Float[np.ndarray, " C"]:
    """`paired.least_p` of every pair; whether differences are graded is looked at where that decides."""
    share_PC, weights_PC = np.stack([p.share_C for p in parts]), np.stack([p.weights_C for p in parts])
    least, done = np.empty(len(p_C)), 0
    for first in range(len(parts) - 1):
        least_P = np.minimum(1.0, 2.0 ** (1.0 - n_differing(share_PC[first + 1 :] - share_PC[first])))
        for other in np.flatnonzero(least_P > p_C[done : done + len(least_P)]):
            weights_CC = np.stack([weights_PC[first], weights_PC[first + 1 + other]])
            both_C = np.where((weights_CC > 0).all(axis=0), weights_CC.mean(axis=0), 0.0)
            if is_graded(share_PC[first + 1 + other] - share_PC[first], both_C):
                least_P[other] = 0.0
        least[done : done + len(least_P)] = least_P
        done += len(least_P)
    return least


def _two_sided_p(
    effect_C: np.ndarray, seeds_C: np.ndarray, units_C: np.ndarray, seeds_df: float, units_df: float
) -> Float[np.ndarray, " C"]:
    """`pivot.two_sided_p` of many differences with the same degrees of freedom."""
    seeds_w, seeds_share = pivot.mixing_grid(seeds_df)
    units_w, units_share = pivot.mixing_grid(units_df)
    share_N = (seeds_share[:, None] * units_share[None, :]).ravel()
    p_C = np.where(effect_C == 0, np.nan, 0.0)  # without noise: the same everywhere, or surely different
    noisy = np.flatnonzero(seeds_C + units_C > 0)
    step = max(1, _AT_ONCE // len(share_N))
    for start in range(0, len(noisy), step):
        at = noisy[start : start + step]
        variance = seeds_C[at, None, None] / seeds_w[:, None] + units_C[at, None, None] / units_w[None, :]
        tails = ndtr(-np.abs(effect_C[at, None]) / np.sqrt(variance.reshape(len(at), -1)))
        p_C[at] = np.clip(pivot.SAFETY * 2.0 * tails @ share_N, pivot.TAIL, 1.0)
    return p_C


def _margins(
    seeds_C: np.ndarray, units_C: np.ndarray, seeds_df: float, units_df: float, level: float
) -> Float[np.ndarray, " C"]:
    """`pivot.margin` of many: it scales with the standard error and else depends on the seeds' share alone."""
    variance_C = seeds_C + units_C
    share_C = np.divide(seeds_C, variance_C, out=np.zeros_like(seeds_C), where=variance_C > 0)
    known_df = pivot.FEW + 1.0  # all degrees of freedom beyond FEW give the same quantiles
    dfs = min(seeds_df, known_df), min(units_df, known_df)
    shares = np.unique(share_C) if len(share_C) <= _RATIOS else np.linspace(0.0, 1.0, _RATIOS)
    if not seeds_df > 0:
        shares = np.zeros(1)
    return np.sqrt(variance_C) * np.interp(share_C, shares, _quantiles_of_shares(tuple(shares), *dfs, level))


@lru_cache(maxsize=256)
def _quantiles_of_shares(shares: tuple[float, ...], seeds_df: float, units_df: float, level: float) -> np.ndarray:
    """Half widths where the standard error is 1 and the seeds have these shares of its square."""
    return np.asarray([pivot.margin(Noise(share, seeds_df, 1.0 - share, units_df), level) for share in shares])
