"""The `statistics` of a result file: an error bar for every headline metric, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sae_bench.results.model import MetricStatistics, SeedResult
from sae_bench.results.samples import Samples
from sae_bench.results.statistics import intervals
from sae_bench.results.statistics.intervals import Bounds, Interval

VERSION = 3
"""Of the methods; raised when the same values would get other error bars."""


def describe_metrics(
    values: Mapping[str, float | None],
    *,
    seed_results: Sequence[SeedResult],
    samples: Mapping[str, Samples],
    bounds: Mapping[str, Bounds] | None = None,
    given: str = "",
    bootstrap_draws: int = intervals.BOOTSTRAP_DRAWS,
) -> dict[str, MetricStatistics]:
    """Metric path -> statistics, for the metrics that have a value.

    Args:
        values: the published fields by path.
        seed_results: headline numbers of each seed; empty where nothing is random.
        samples: what is known per unit.
        bounds: least and greatest value of each metric; one without any is unbounded.
        given: what all seeds share, and the intervals take as given.
    """
    statistics: dict[str, MetricStatistics] = {}
    for path, value in values.items():
        if value is not None:
            of_metric = (bounds or {}).get(path, intervals.UNBOUNDED)
            interval = _interval(path, value, seed_results, samples.get(path), bootstrap_draws, of_metric)
            statistics[path] = _as_statistics(interval, samples.get(path), given)
    return statistics


def _interval(
    path: str, value: float, seed_results: Sequence[SeedResult], samples: Samples | None, draws: int, bounds: Bounds
) -> Interval:
    if samples is not None:
        return intervals.interval_of_samples(samples, draws=draws, bounds=bounds)
    per_seed = [result.metrics.get(path) for result in seed_results]
    known = [number for number in per_seed if number is not None]
    if not known:
        return intervals.no_interval(value, max(len(per_seed), 1), intervals.NO_VALUES)
    if len(known) < len(per_seed):
        return intervals.no_interval(value, len(per_seed), intervals.UNDEFINED_SEED)
    return intervals.interval_of_seeds(known, bounds=bounds)


def _as_statistics(interval: Interval, samples: Samples | None, given: str) -> MetricStatistics:
    noise = interval.noise
    return MetricStatistics(
        mean=interval.mean,
        std_over_seeds=interval.std_over_seeds,
        ci_low=interval.low,
        ci_high=interval.high,
        confidence=intervals.LEVEL,
        se_seeds=noise.seeds**0.5 if noise is not None and noise.seeds_df > 0 else None,
        se_units=noise.units**0.5 if noise is not None and noise.units_df > 0 else None,
        bootstrap_low=interval.bootstrap_low,
        bootstrap_high=interval.bootstrap_high,
        n_seeds=interval.n_seeds,
        n_units=interval.n_units,
        unit=None if samples is None else samples.unit,
        method=interval.method,
        reason=interval.reason,
        given=given,
        version=VERSION,
    )
