"""From folders of results to a written report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sae_bench.atomic import replaceable, write_text_atomically
from sae_bench.report.collect import Collected, collect
from sae_bench.report.page import render
from sae_bench.report.sources import load_sources


def write_report(
    results: str | Path, output: str | Path, *, others: Sequence[str | Path] = (), details: bool = True
) -> Collected:
    """Write the page and return what it shows.

    Args:
        results: folder of results, a result file, or a hub data set of results.
        others: the same, shown beside them.
        details: whether the pages of single SAEs have their details.
    Raises:
        ResultError: a source does not exist or holds no result.
        PrerequisiteError: a hub data set that cannot be had.
        UsageError: `output` is no regular file.
    """
    replaceable(Path(output))
    collected = collect(load_sources(results, others))
    write_text_atomically(Path(output), render(collected, details=details))
    return collected
