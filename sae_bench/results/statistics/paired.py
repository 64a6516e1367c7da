"""Is A better than B? The difference of one metric between two SAEs, paired by seed and unit where that is possible."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from sae_bench.results.samples import Samples
from sae_bench.results.statistics import intervals, pivot
from sae_bench.results.statistics.intervals import Bounds
from sae_bench.results.statistics.noise import (
    Noise,
    Parts,
    noise_of,
    noise_of_difference,
    seeds_only,
    take_apart,
)
from sae_bench.seeding import named_generator

PERMUTATIONS = 1999
_AT_ONCE = 1 << 24
"""Random signs that are in memory together."""

FIXED_UNITS = "the texts (units) behind the scores were not kept: the interval is over seeds alone"
OTHER_UNITS = "not the same texts (units): compared without pairing"
OTHER_SEEDS = "not the same seeds: compared without pairing them"
SHARED_SEEDS = "paired on the seeds that both have"
SAME = "the same for both in every seed and unit"
EQUAL = "equal up to the rounding of single precision in every seed and unit"
TOO_FEW = "fewer than 5 independent units: too few to tell two SAEs apart"
ALIKE = "all units differ alike: how far another would be off cannot be told"

MIN_UNITS = 5
"""Independent units below which nothing is decided."""

ROUNDING = 1e-6
"""What equal values of single precision may be apart, relative to their size."""


@dataclass(frozen=True)
class Evidence:
    """What is known of one metric of one SAE.

    Attributes:
        value: the published field.
        seeds: the seeds of `seed_values`.
        seed_values: the metric of each seed; empty where it was not kept.
        samples: rows in the order of `seeds`, or one row that stands for all.
    """

    value: float
    seeds: tuple[int, ...] = ()
    seed_values: tuple[float, ...] = ()
    samples: Samples | None = None

    @property
    def is_random(self) -> bool:
        """Whether seeds change the value."""
        return self.samples is None or self.samples.random

    def values(self, seeds: Sequence[int] | None = None) -> Float[np.ndarray, "S U"]:
        """What was kept, for some of its seeds or all; one unit where there are no samples."""
        rows = self._rows(seeds)
        if self.samples is None:
            return np.asarray([self.seed_values[row] for row in rows])[:, None]
        values_SU = self.samples.values_SU.double().numpy()[:, self.samples.weights_U.numpy() > 0]
        return values_SU[rows] if self.samples.random else values_SU

    def _rows(self, seeds: Sequence[int] | None) -> list[int]:
        return [self.seeds.index(seed) for seed in (self.seeds if seeds is None else seeds)]

    def parts(self, seeds: Sequence[int] | None = None) -> Parts | None:
        """Taken apart, for some of its seeds or all; None where nothing but the value is known."""
        rows = self._rows(seeds)
        if self.samples is not None:
            return take_apart(self.samples.rows(rows) if self.samples.random else self.samples)
        if self.seed_values:
            return seeds_only([self.seed_values[row] for row in rows])
        return None


@dataclass(frozen=True)
class Difference:
    """Value of A minus value of B.

    Attributes:
        noise: its variance by source; None without an error bar.
        low, high, p_value: 95 % interval (or of the level asked for) and the two-sided p-value that goes with it: the
            interval excludes 0 if and only if p is at most 1 - level.
        p_permutation: p-value of swapping A and B unit by unit, for the seeds that were run; None without shared units.
        n_seeds: seeds of the side that has fewer (of both, if paired); n_units likewise.
        notes: what could not be paired.
        reason: why there is no error bar, or no p-value.
    """

    effect: float
    noise: Noise | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    p_permutation: float | None = None
    n_seeds: int = 1
    n_units: int = 0
    paired_seeds: bool = False
    paired_units: bool = False
    random: bool = True
    notes: tuple[str, ...] = ()
    reason: str | None = None


def difference(
    a: Evidence, b: Evidence, *, level: float = intervals.LEVEL, bounds: Bounds = intervals.UNBOUNDED
) -> Difference:
    """The difference of one metric with its interval and p-value, from whatever both sides have kept.

    Args:
        bounds: least and greatest value of the metric; the interval stays within the differences that these allow.
    """
    if a.samples is None or b.samples is None:
        a, b = replace(a, samples=None), replace(b, samples=None)
    shared = _shared_seeds(a, b)
    parts_a, parts_b = a.parts(shared), b.parts(shared)
    if parts_a is None or parts_b is None:
        return Difference(a.value - b.value, reason=intervals.NO_VALUES)
    if not (np.isfinite(parts_a.seed_values_S).all() and np.isfinite(parts_b.seed_values_S).all()):
        return Difference(a.value - b.value, reason=intervals.UNDEFINED_SEED)
    n_seeds = min(p.n_seeds for p in (parts_a, parts_b) if p.random) if parts_a.random or parts_b.random else 1
    if (parts_a.random or parts_b.random) and n_seeds < 2:
        return Difference(parts_a.mean - parts_b.mean, n_seeds=1, reason=intervals.ONE_SEED)
    same_units = a.samples is not None and b.samples is not None and a.samples.key == b.samples.key
    noise = _noise(parts_a, parts_b, same_units=same_units, same_seeds=shared is not None)
    effect = parts_a.mean - parts_b.mean
    if not noise.is_known:
        return Difference(effect, reason=intervals.ONE_UNIT)
    pair = Pair(
        effect=effect,
        n_units=min(parts_a.n_clusters, parts_b.n_clusters) if a.samples is not None else None,
        least_p=least_p(parts_a, parts_b, same_units=same_units) if a.samples is not None else 0.0,
    )
    undecided = Difference(
        effect=effect,
        noise=noise,
        n_seeds=n_seeds,
        n_units=min(s.n_units if s is not None else 0 for s in (a.samples, b.samples)),
        paired_seeds=shared is not None and parts_a.random and parts_b.random,
        paired_units=same_units,
        random=parts_a.random or parts_b.random,
        notes=_notes(a, b, shared, same_units=same_units),
    )
    aligned = same_units or (a.samples is None and b.samples is None)
    if aligned and _equal_to_rounding(a, b, shared, bounds):
        return replace(undecided, noise=None, reason=SAME if effect == 0.0 else EQUAL)
    return _decided(undecided, pair, noise, level, bounds)


@dataclass(frozen=True)
class Pair:
    """What decides about two SAEs beside the noise.

    Attributes:
        n_units: independent units; None where the units were not kept.
        least_p: no p-value is smaller.
    """

    effect: float
    n_units: int | None
    least_p: float


def least_p(a: Parts, b: Parts, *, same_units: bool) -> float:
    """The p-value if all units that differ spoke for the same SAE: swapping A and B on them gives no smaller one.

    0 where the differences are graded (`Parts.is_graded`), since how much they vary then says more than their signs.
    """
    if not same_units:
        return min(1.0, 2.0 ** (1 - a.n_clusters - b.n_clusters))
    of_pair = a.minus(b)
    return 0.0 if of_pair.is_graded else min(1.0, 2.0 ** (1 - of_pair.n_differing))


def _decided(undecided: Difference, pair: Pair, noise: Noise, level: float, bounds: Bounds) -> Difference:
    """With interval and p-value, or the reason why there are none."""
    effect = pair.effect
    span = (
        None if bounds[1] is None or bounds[0] is None else bounds[0] - bounds[1],
        None if bounds[1] is None or bounds[0] is None else bounds[1] - bounds[0],
    )
    if intervals.is_certain(noise, effect):
        if abs(effect) <= 1e-9:
            return replace(undecided, effect=0.0, noise=None, reason=SAME)
        exact = None if pair.n_units is None else intervals.exact_bounds(effect, pair.n_units, span, level)
        if exact is None or pair.n_units is None:
            return replace(undecided, noise=None, reason=ALIKE)
        low, high, p = *exact, intervals.exact_p(effect, pair.n_units, span)
    else:
        half = pivot.margin(noise, level)
        low, high, p = effect - half, effect + half, pivot.two_sided_p(effect, noise)
    p, low, high = agreeing(max(p, pair.least_p), low, high, level)
    low, high = intervals.within(low, span), intervals.within(high, span)
    if pair.n_units is not None and pair.n_units < MIN_UNITS:
        return replace(undecided, low=min(low, 0.0), high=max(high, 0.0), reason=TOO_FEW)
    return replace(undecided, low=low, high=high, p_value=p)


def agreeing(p: float, low: float, high: float, level: float) -> tuple[float, float, float]:
    """p-value and interval of which the one is at most 1 - level if and only if the other excludes 0.

    They differ where p has a least value, and by rounding; then what says less holds.
    """
    if low <= 0.0 <= high:
        return max(p, float(np.nextafter(1.0 - level, 1.0))), low, high
    return (p, min(low, 0.0), max(high, 0.0)) if p > 1.0 - level else (p, low, high)


def scale_of(bounds: Bounds) -> float:
    """How large the values of a metric may be at least: its range; 0 where it has no ends."""
    return 0.0 if bounds[0] is None or bounds[1] is None else bounds[1] - bounds[0]


def _equal_to_rounding(a: Evidence, b: Evidence, shared: tuple[int, ...] | None, bounds: Bounds) -> bool:
    """Whether no value of both, seed by seed and unit by unit, differs by more than single precision tells."""
    if a.is_random and b.is_random and shared is None:
        return False
    of_a, of_b = a.values(shared if a.is_random else None), b.values(shared if b.is_random else None)
    if (np.isnan(of_a) != np.isnan(of_b)).any():
        return False
    size = max(float(np.nanmax(np.abs(of_a))), float(np.nanmax(np.abs(of_b))), scale_of(bounds))
    return float(np.nanmax(np.abs(of_a - of_b))) <= ROUNDING * size


def _shared_seeds(a: Evidence, b: Evidence) -> tuple[int, ...] | None:
    """The seeds to pair on, at least two; None where there are not as many, or where nothing is random."""
    shared = tuple(seed for seed in a.seeds if seed in b.seeds)
    return shared if len(shared) > 1 and a.is_random and b.is_random else None


def _noise(a: Parts, b: Parts, *, same_units: bool, same_seeds: bool) -> Noise:
    if same_seeds:
        both = same_units or (len(a.unit_U) == 0 and len(b.unit_U) == 0)
        return noise_of(a.minus(b)) if both else _paired_seeds_alone(a, b)
    return noise_of_difference(a, b, same_units=same_units)


def _paired_seeds_alone(a: Parts, b: Parts) -> Noise:
    """Seeds paired, units not."""
    units = noise_of_difference(a, b, same_units=False)
    seeds = noise_of(seeds_only((a.seed_values_S - b.seed_values_S).tolist()))
    return Noise(seeds.seeds, seeds.seeds_df, units.units, units.units_df)


def _notes(a: Evidence, b: Evidence, shared: tuple[int, ...] | None, *, same_units: bool) -> tuple[str, ...]:
    notes = []
    if a.samples is None or b.samples is None:
        notes.append(FIXED_UNITS)
    elif not same_units:
        notes.append(OTHER_UNITS)
    if a.is_random and b.is_random and shared is None:
        notes.append(OTHER_SEEDS)
    elif shared is not None and (len(shared) < len(a.seeds) or len(shared) < len(b.seeds)):
        notes.append(SHARED_SEEDS)
    return tuple(notes)


def unit_differences(a: Samples, b: Samples) -> Float[np.ndarray, " U"]:
    """What each unit adds to the difference of the means over seeds, for samples with the same units."""
    return _contributions(a) - _contributions(b)


def _contributions(samples: Samples) -> Float[np.ndarray, " U"]:
    values_SU = samples.values_SU.double().numpy()
    defined_SU = np.isfinite(values_SU)
    weights_SU = samples.weights_U.double().numpy() * defined_SU
    shares_SU = weights_SU / weights_SU.sum(axis=1, keepdims=True)
    return (shares_SU * np.where(defined_SU, values_SU, 0.0)).mean(axis=0)


def permutation_p(differences_PU: Float[np.ndarray, "P U"], *, draws: int = PERMUTATIONS) -> Float[np.ndarray, " P"]:
    """Two-sided p-values of P differences under swaps of A and B, unit by unit, the same swaps for all.

    It takes the seeds as they are, so it does not see that another seed would have given another difference.
    """
    n_units = differences_PU.shape[1]
    seed = named_generator("permutation", n_units, draws).initial_seed() % (1 << 63)
    rng = np.random.default_rng(seed)
    observed_P = np.abs(differences_PU.sum(axis=1))
    tolerance_P = 1e-9 * np.abs(differences_PU).sum(axis=1)
    as_large_P = np.zeros(len(differences_PU))
    left = draws
    while left:
        now = min(left, max(1, _AT_ONCE // max(n_units, 1)))
        signs_RU = rng.integers(0, 2, size=(now, n_units), dtype=np.int8).astype(np.float32) * 2.0 - 1.0
        sums_RP = np.abs(signs_RU @ differences_PU.T)
        as_large_P += (sums_RP >= observed_P - tolerance_P).sum(axis=0)
        left -= now
    return (as_large_P + 1.0) / (draws + 1.0)
