"""Error bars of results as this version computes them: from the file if it is of this version, else from samples."""

from __future__ import annotations

from sae_bench.analysis.table import Record
from sae_bench.results.metric_statistics import VERSION, describe_metrics
from sae_bench.results.model import MetricStatistics, SeedResult
from sae_bench.results.statistics.intervals import Bounds


def error_bar(record: Record, path: str) -> MetricStatistics | None:
    """The error bar of a metric; None for results that were made without any.

    Results of an older version keep what their bars rest on, so that all bars of a table are of one kind.
    """
    stored = record.statistics.get(path)
    if stored is None or stored.version == VERSION:
        return stored
    samples = {path: record.samples[path]} if path in record.samples else {}
    seeds = [SeedResult.model_validate(entry) for entry in record.content["seed_results"]]
    return describe_metrics(
        {path: record.values[path]}, seed_results=seeds, samples=samples, bounds={path: bounds_of(record, path)},
        given=given_of(record), bootstrap_draws=0,
    ).get(path)  # fmt: skip


def bounds_of(record: Record, path: str) -> Bounds:
    """Least and greatest value of a metric, as its eval declares them."""
    return (None, None) if record.spec is None else record.spec.bounds_of(path)


def given_of(record: Record) -> str:
    """What the error bars of a result take as given; empty if nothing."""
    if record.spec is None:
        return ""
    return record.spec.given_with(resample_data=bool(record.provenance.get("resample_data")))
