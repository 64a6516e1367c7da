"""The error bar of one metric: from its variance components, and from a two-level bootstrap to look at beside it."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import stdev

import numpy as np
from jaxtyping import Float, Int

from sae_bench.results.samples import Samples
from sae_bench.results.statistics import pivot
from sae_bench.results.statistics.noise import Noise, Parts, noise_of, seeds_only, strata_and_clusters, take_apart
from sae_bench.seeding import named_generator

LEVEL = 0.95
BOOTSTRAP_DRAWS = 1000

ONE_SEED = "one seed: no error bar; run more (--seeds 3 or more)"
NO_VALUES = "no values per seed or per unit were kept: no error bar"
ONE_UNIT = "a single unit that no seed changes: no error bar"
UNDEFINED_SEED = "the metric is undefined for some seed: no error bar"

SEEDS_AND_UNITS = "variance components over seeds and units"
UNITS = "Student's t over units; nothing is random"
SEEDS = "Student's t over seeds; units held fixed"


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


def interval_of_samples(samples: Samples, *, level: float = LEVEL, draws: int = BOOTSTRAP_DRAWS) -> Interval:
    """The interval of a metric whose values per unit are known. `draws` = 0 leaves the bootstrap out."""
    parts = take_apart(samples)
    method = SEEDS_AND_UNITS if parts.random else UNITS
    found = _interval(parts, samples.n_units, method, level)
    if found.noise is None or draws == 0:
        return found
    low, high = bootstrap_interval(samples, level=level, draws=draws)
    return Interval(**{**vars(found), "bootstrap_low": low, "bootstrap_high": high})


def interval_of_seeds(values: list[float], *, level: float = LEVEL) -> Interval:
    """The interval of a metric of which the values per seed are known and nothing else."""
    return _interval(seeds_only(values), 0, SEEDS, level)


def no_interval(mean: float, n_seeds: int, reason: str) -> Interval:
    """A number without an error bar."""
    return Interval(mean, None, None, None, n_seeds, 0, None, "none", reason=reason)


def _interval(parts: Parts, n_units: int, method: str, level: float) -> Interval:
    spread = stdev(parts.seed_values_S.tolist()) if parts.random and parts.n_seeds > 1 else None
    if not np.isfinite(parts.seed_values_S).all():
        return no_interval(parts.mean, parts.n_seeds, UNDEFINED_SEED)
    noise = noise_of(parts)
    if parts.random and parts.n_seeds < 2:
        return Interval(parts.mean, None, None, None, 1, n_units, None, "none", reason=ONE_SEED)
    if not noise.is_known:
        return Interval(parts.mean, None, None, None, 1, n_units, None, "none", reason=ONE_UNIT)
    half = pivot.margin(noise, level)
    return Interval(parts.mean, spread, parts.mean - half, parts.mean + half, parts.n_seeds, n_units, noise, method)


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
    rng = np.random.default_rng(seed)
    counts_RU = _resampled(*strata_and_clusters(samples, used_U), draws, rng)
    with np.errstate(invalid="ignore"):
        means_RS = (counts_RU @ (weights_SU * values_SU).T) / (counts_RU @ weights_SU.T)
    picked_RS = rng.integers(len(values_SU), size=(draws, len(values_SU)))
    drawn_RS = np.take_along_axis(means_RS, picked_RS, axis=1)
    known_RS = np.isfinite(drawn_RS)
    with np.errstate(invalid="ignore"):  # a draw without any defined value has no mean and is left out
        means_R = np.where(known_RS, drawn_RS, 0.0).sum(axis=1) / known_RS.sum(axis=1)
    tail = (1.0 - level) / 2.0
    low, high = np.nanquantile(means_R, [tail, 1.0 - tail])
    return float(low), float(high)


def _resampled(
    strata_U: Int[np.ndarray, " U"], clusters_U: Int[np.ndarray, " U"], draws: int, rng: np.random.Generator
) -> Float[np.ndarray, "R U"]:
    """How often each unit is drawn, all units of a cluster together.

    From each stratum as many clusters are drawn as it has; a cluster of several strata is drawn in each of them.
    """
    counts_RU = np.empty((draws, len(strata_U)), dtype=np.float32)
    for stratum in np.unique(strata_U):
        places = np.flatnonzero(strata_U == stratum)
        clusters, cluster_of = np.unique(clusters_U[places], return_inverse=True)
        shares = np.full(len(clusters), 1.0 / len(clusters))
        counts_RU[:, places] = rng.multinomial(len(clusters), shares, size=draws)[:, cluster_of.reshape(-1)]
    return counts_RU
