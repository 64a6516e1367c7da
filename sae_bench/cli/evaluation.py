"""A run as a command shows it: progress, tables, exit code."""

from __future__ import annotations

from time import perf_counter

from sae_bench.cli.console import show_summary
from sae_bench.cli.progress import run_progress
from sae_bench.cli.tracking import track, tracker_module
from sae_bench.run.evaluate import execute
from sae_bench.run.request import RunRequest


def evaluate_and_show(request: RunRequest, tracker: str | None = None) -> None:
    """Run, show the results, log them to a tracker if one is named; exit code 1 if some SAE or eval failed.

    Raises:
        SAEBenchError: something is wrong or missing; nothing has been written then.
    """
    if tracker is not None:
        tracker_module(tracker)  # before hours of work
    start = perf_counter()
    with run_progress() as progress:
        summary = execute(request, progress.listener)
    folders = dict.fromkeys(str(target.output_folder or request.output_folder) for target in request.targets)
    show_summary(request.specs(), summary, ", ".join(folders), perf_counter() - start)
    if tracker is not None:
        track(tracker, request.specs(), summary.results)
    if summary.failures:
        raise SystemExit(1)
