"""The error bar of one metric: from its variance components, and from a two-level bootstrap to look at beside it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import stdev

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import beta

from sae_bench.results.samples import Samples
from sae_bench.results.statistics import pivot
from sae_bench.results.statistics.noise import Noise, Parts, Strata, noise_of, seeds_only, skewness_of, take_apart
from sae_bench.seeding import named_generator

LEVEL = 0.95
BOOTSTRAP_DRAWS = 1000

MOST_KEPT = 4096
"""Bootstraps of more cells are drawn anew for every metric: what each needs is too much to keep."""

ONE_SEED = "one seed: no error bar; run more (--seeds 3 or more)"
NO_VALUES = "no values per seed or per unit were kept: no error bar"
ONE_UNIT = "a single unit that no seed changes: no error bar"
UNDEFINED_SEED = "the metric is undefined for some seed: no error bar"
NO_VARIANCE = "the same in every seed and unit: how far another would be off cannot be told"
EQUAL_SEEDS = "every seed gave the same: how far another would be off cannot be told"

Bounds = tuple[float | None, float | None]
UNBOUNDED: Bounds = (None, None)
"""Least and greatest value that a metric can take."""

SEEDS_AND_UNITS = "variance components over seeds and units"
UNITS = "Student's t over units; nothing is random"
SEEDS = "Student's t over seeds; units held fixed"
EXACT = "Clopper and Pearson's bounds: nothing varied"


@dataclass(frozen=True)
class Interval:
    """A metric with its error bar, or the reason why there is none.

    Attributes:
        noise: its variance by source; None without an error bar.
        bootstrap_low, bootstrap_high: percentiles of a bootstrap of seeds and, within strata, of units.
        reason: why there is no error bar.
    """

    mean: float
    std_over_seeds: float | None
    low: float | None
    high: float | None
    n_seeds: int
    n_units: int
    noise: Noise | None
    method: str
    bootstrap_low: float | None = None
    bootstrap_high: float | None = None
    reason: str | None = None


def interval_of_samples(
    samples: Samples, *, level: float = LEVEL, draws: int = BOOTSTRAP_DRAWS, bounds: Bounds = UNBOUNDED
) -> Interval:
    """The interval of a metric whose values per unit are known.

    Args:
        draws: of the bootstrap; 0 leaves it out.
        bounds: least and greatest value of the metric; the interval stays within.
    """
    parts = take_apart(samples)
    method = SEEDS_AND_UNITS if parts.random else UNITS
    interval = _interval(parts, samples.n_units, method, level, bounds)
    if interval.noise is None or draws == 0:
        return interval
    low, high = bootstrap_interval(samples, level=level, draws=draws)
    return replace(interval, bootstrap_low=within(low, bounds), bootstrap_high=within(high, bounds))


def interval_of_seeds(values: list[float], *, level: float = LEVEL, bounds: Bounds = UNBOUNDED) -> Interval:
    """The interval of a metric of which the values per seed are known and nothing else."""
    return _interval(seeds_only(values), 0, SEEDS, level, bounds)


def no_interval(mean: float, n_seeds: int, reason: str) -> Interval:
    """A number without an error bar."""
    return Interval(mean, None, None, None, n_seeds, 0, None, "none", reason=reason)


def _interval(parts: Parts, n_units: int, method: str, level: float, bounds: Bounds) -> Interval:
    mean = within(parts.mean, bounds)
    if not np.isfinite(parts.seed_values_S).all():
        return no_interval(mean, parts.n_seeds, UNDEFINED_SEED)
    spread = stdev(parts.seed_values_S.tolist()) if parts.random and parts.n_seeds > 1 else None
    noise = noise_of(parts)
    if parts.random and parts.n_seeds < 2:
        return Interval(mean, None, None, None, 1, n_units, None, "none", reason=ONE_SEED)
    if not noise.is_known:
        return Interval(mean, None, None, None, 1, n_units, None, "none", reason=ONE_UNIT)
    interval = Interval(mean, spread, None, None, parts.n_seeds, n_units, noise, method)
    if is_certain(noise, mean):
        exact = exact_bounds(mean, parts.n_clusters, bounds, level)
        if exact is None:
            reason = NO_VARIANCE if n_units else EQUAL_SEEDS
            return replace(interval, noise=None, method="none", reason=reason)
        return replace(interval, low=exact[0], high=exact[1], method=EXACT)
    below, above = pivot.margins(noise, skewness_of(parts, bounds), level)
    return replace(interval, low=within(mean - below, bounds), high=within(mean + above, bounds))


def is_certain(noise: Noise, value: float) -> bool:
    """Whether nothing varied, up to the rounding of single precision."""
    return noise.standard_error <= 1e-7 * max(abs(value), 1e-6)


def exact_bounds(mean: float, n: int, bounds: Bounds, level: float) -> tuple[float, float] | None:
    """Clopper and Pearson's interval for a share, of a metric that did not vary over `n` units; None if unbounded.

    No distribution on the range has a larger variance than one that takes its two ends alone, so what holds for n
    answers that are right or wrong holds for any n values that are bounded.
    """
    low, high = bounds
    if low is None or high is None or n < 1:
        return None
    hits, tail = n * (mean - low) / (high - low), (1.0 - level) / 2.0
    below = float(beta.ppf(tail, hits, n - hits + 1.0)) if hits > 0 else 0.0
    above = float(beta.ppf(1.0 - tail, hits + 1.0, n - hits)) if hits < n else 1.0
    return low + below * (high - low), low + above * (high - low)


def exact_p(mean: float, n: int, bounds: Bounds) -> float:
    """Two-sided p-value of 0 that goes with `exact_bounds`."""
    low, high = bounds
    assert low is not None
    assert high is not None
    hits, share = n * (mean - low) / (high - low), -low / (high - low)
    below = float(beta.cdf(share, hits, n - hits + 1.0)) if hits > 0 else 1.0
    above = float(beta.sf(share, hits + 1.0, n - hits)) if hits < n else 1.0
    return min(1.0, 2.0 * min(below, above))


def within(value: float, bounds: Bounds) -> float:
    """The value, or the bound that it is beyond."""
    low, high = bounds
    value = value if low is None else max(value, low)
    return value if high is None else min(value, high)


def bootstrap_interval(samples: Samples, *, level: float = LEVEL, draws: int = BOOTSTRAP_DRAWS) -> tuple[float, float]:
    """Percentiles of the mean over resampled seeds of the mean over units resampled within strata.

    With few seeds it is too narrow (S seeds vary by (S - 1)/S of what they should), so it is no basis for decisions;
    with ten and more it shows the shape that a symmetric interval does not.
    """
    values_SU = samples.values_SU.double().numpy()
    weights_U = samples.weights_U.double().numpy()
    defined_SU = np.isfinite(values_SU)
    used_U = (weights_U > 0) & defined_SU.any(axis=0)
    values_SU, defined_SU = np.where(defined_SU, values_SU, 0.0)[:, used_U], defined_SU[:, used_U]
    weights_SU = weights_U[used_U] * defined_SU
    seed = named_generator("bootstrap", samples.key, draws).initial_seed() % (1 << 63)
    counts_RU, picked_RS = _bootstrapped(Strata.of(samples, used_U), draws, len(values_SU), seed)
    with np.errstate(invalid="ignore"):
        means_RS = (counts_RU @ (weights_SU * values_SU).T) / (counts_RU @ weights_SU.T)
    drawn_RS = np.take_along_axis(means_RS, picked_RS, axis=1)
    known_RS = np.isfinite(drawn_RS)
    with np.errstate(invalid="ignore"):  # a draw without any defined value has no mean and is left out
        means_R = np.where(known_RS, drawn_RS, 0.0).sum(axis=1) / known_RS.sum(axis=1)
    tail = (1.0 - level) / 2.0
    low, high = np.nanquantile(means_R, [tail, 1.0 - tail])
    return float(low), float(high)


def _bootstrapped(
    strata: Strata, draws: int, n_seeds: int, seed: int
) -> tuple[Float[np.ndarray, "R U"], Int[np.ndarray, "R S"]]:
    """How often each unit is drawn, all units of a cluster together, and the seeds that are drawn.

    Metrics of the same units, of whichever SAE, have the same draws.
    """
    draw = _drawn if len(strata.stratum_X) <= MOST_KEPT else _drawn.__wrapped__
    counts_RX, picked_RS = draw(strata.stratum_X.tobytes(), strata.stratum_X.dtype, draws, n_seeds, seed)
    return counts_RX[:, strata.cell_N].astype(np.float64), picked_RS


@lru_cache(maxsize=4)
def _drawn(
    stratum_X: bytes, dtype: np.dtype, draws: int, n_seeds: int, seed: int
) -> tuple[Float[np.ndarray, "R X"], Int[np.ndarray, "R S"]]:
    """From each stratum as many clusters as it has; a cluster of several strata is drawn in each of them."""
    strata_X = np.frombuffer(stratum_X, dtype=dtype)
    rng = np.random.default_rng(seed)
    counts_RX = np.empty((draws, len(strata_X)), dtype=np.float32)
    for stratum in np.unique(strata_X):
        index_N = np.flatnonzero(strata_X == stratum)
        counts_RX[:, index_N] = rng.multinomial(len(index_N), np.full(len(index_N), 1.0 / len(index_N)), size=draws)
    return counts_RX, rng.integers(n_seeds, size=(draws, n_seeds))
