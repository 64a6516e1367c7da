"""What a person sees while a run goes on and when it ends."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from sae_bench.evals.base import EvalSpec
from sae_bench.evals.runner import RunSummary

err = Console(stderr=True)
"""Progress, warnings and errors; results go to standard output."""


class RunProgress:
    """One bar: what happens now, and tokens read of those of the pass."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("starting", total=None)

    def phase(self, name: str, tokens: int) -> None:
        """A new phase; one that reads tokens shows how far it is."""
        self._progress.reset(self._task, description=name, total=tokens or None)

    def advance(self, tokens: int) -> None:
        """So many more tokens were read."""
        self._progress.advance(self._task, tokens)


@contextmanager
def run_progress() -> Iterator[RunProgress]:
    """A progress bar on a terminal, nothing elsewhere."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        yield RunProgress(progress)


def results_table(specs: Sequence[EvalSpec], results: Sequence[Path]) -> Table:
    """One row per SAE, the headline metrics of every eval as columns."""
    table = Table(title="Results", title_justify="left", header_style="bold")
    table.add_column("SAE", overflow="fold")
    contents = [json.loads(path.read_text(encoding="utf-8")) for path in results]
    columns = [(spec, metric) for spec in specs for metric in spec.metrics]
    for _, metric in columns:
        arrow = {True: " ↑", False: " ↓", None: ""}[metric.higher_is_better]
        table.add_column(f"{metric.title}{arrow}", justify="right")
    names = dict.fromkeys((c["sae_lens_release_id"], c["sae_lens_id"]) for c in contents)
    for release, sae_id in sorted(names):
        of_sae = {
            c["eval_type_id"]: c["eval_result_metrics"]
            for c in contents
            if (c["sae_lens_release_id"], c["sae_lens_id"]) == (release, sae_id)
        }
        cells = [_cell(metric.read(of_sae.get(spec.name, {}))) for spec, metric in columns]
        table.add_row(f"{release}:{sae_id}", *cells)
    return table


def show_summary(specs: Sequence[EvalSpec], summary: RunSummary, output_folder: Path, seconds: float) -> None:
    """The final table on standard output, then what was written, skipped and lost."""
    if summary.results:
        Console().print(results_table(specs, summary.results))
    done = f"{len(summary.written)} results written to {output_folder}, {len(summary.skipped)} were there already"
    spent = ", ".join(f"{phase} {value:.1f} s" for phase, value in summary.pass_seconds.items())
    err.print(f"{done}; {seconds:.0f} s in all" + (f" ({spent}, {summary.n_tokens:,} tokens)." if spent else "."))
    for failure in summary.failures:
        err.print(
            f"[red]failed[/red] {failure.eval_name} on {failure.sae}: {failure.message} "
            f"(traceback in {failure.traceback_file})",
            soft_wrap=True,
        )


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"
