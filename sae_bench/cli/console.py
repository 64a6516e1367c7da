"""What a person sees while a run goes on and when it ends."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from sae_bench.evals.base import EvalSpec
    from sae_bench.run.plan import Failure
    from sae_bench.run.runner import RunSummary

err = Console(stderr=True)
"""Progress, warnings and errors; results go to standard output."""


_NAME_WIDTH = 32
"""Columns that a name has at least, however many numbers stand beside it."""

PLAIN_WIDTH = 110
"""Columns of the tables in a file or a pipe, which have no width of their own."""


_QUIET = "sae_bench.quiet"


def be_quiet() -> None:
    """Show nothing but warnings, failures and errors until the command at work ends."""
    click.get_current_context().meta[_QUIET] = True


def is_quiet() -> bool:
    """Whether the command at work was asked to be quiet."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(_QUIET))


def table_console(*, quiet: bool = False) -> Console:
    """Standard output for tables: as wide as the terminal or as COLUMNS says, else `PLAIN_WIDTH`."""
    tables = Console(quiet=quiet)
    if not tables.is_terminal and "COLUMNS" not in os.environ:
        tables.width = PLAIN_WIDTH
    return tables


def results_table(spec: EvalSpec, contents: Sequence[Mapping[str, Any]], width: int) -> Table:
    """The headline metrics of one eval, one row per SAE; names fold, numbers stay whole.

    Args:
        contents: of the result files.
        width: columns to fill; a table whose numbers need more is wider.
    """
    names = [f"{content['sae_lens_release_id']}:{content['sae_lens_id']}" for content in contents]
    numbers = [[_cell(metric.read(content["eval_result_metrics"])) for metric in spec.metrics] for content in contents]
    arrows = {True: " ↑", False: " ↓", None: ""}
    titles = [f"{metric.title}{arrows[metric.higher_is_better]}" for metric in spec.metrics]
    words = [max(map(len, title.split())) for title in titles]  # a title folds between words only
    widths = [max(word, *map(len, column)) for word, column in zip(words, zip(*numbers, strict=True), strict=True)]
    left_for_names = width - 4 - sum(3 + max(len(title), cells) for title, cells in zip(titles, widths, strict=True))
    name_width = min(max(map(len, names)), max(left_for_names, _NAME_WIDTH))
    needed = 4 + name_width + sum(3 + cells for cells in widths)
    table = Table(title=spec.title, title_justify="left", header_style="bold", width=needed if needed > width else None)
    table.add_column("SAE", overflow="fold", width=name_width)
    for title, cells in zip(titles, widths, strict=True):
        table.add_column(title, justify="right", min_width=cells, overflow="fold")
    for name, row in zip(names, numbers, strict=True):
        table.add_row(escape(name), *row)
    return table


def show_summary(specs: Sequence[EvalSpec], summary: RunSummary, output_folder: Path | str, seconds: float) -> None:
    """One table per eval on standard output, then what was written, skipped and lost."""
    from sae_bench.results.statistics.intervals import ONE_SEED

    tables = table_console(quiet=is_quiet())
    contents = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(summary.results)]
    for spec in specs:
        of_eval = [content for content in contents if content["eval_type_id"] == spec.type_id]
        if of_eval:
            tables.print(results_table(spec, of_eval, tables.width), crop=False)
            if any(
                bar.get("reason") == ONE_SEED for content in of_eval for bar in content.get("statistics", {}).values()
            ):
                err.print(f"[yellow]{spec.name}[/yellow]: {ONE_SEED}.", soft_wrap=True, highlight=False)
    done = f"{len(summary.written)} results written to {output_folder}, {len(summary.skipped)} were there already"
    spent = ", ".join(f"{phase} {value:.1f} s" for phase, value in summary.pass_seconds.items())
    spent = f" ({spent}, {summary.n_tokens:,} tokens)" if spent else ""
    dtypes = sorted({content["provenance"]["llm_dtype"] for content in contents if content.get("provenance")})
    model = f"; model in {' and '.join(dtypes)}" if dtypes else ""
    if not is_quiet():
        err.print(escape(f"{done}{model}; {seconds:.0f} s in all{spent}."), soft_wrap=True)
    for line in failure_lines(summary.failures):
        err.print("[red]failed[/red] " + escape(line), soft_wrap=True)


def failure_lines(failures: Sequence[Failure]) -> list[str]:
    """What failed and why; a reason that several evals and SAEs have in common is one line."""
    evals_of: dict[tuple[str, str], list[Failure]] = {}
    for failure in failures:
        evals_of.setdefault((failure.sae, failure.message), []).append(failure)
    alike: dict[tuple[str, str], list[Failure]] = {}
    for (_, message), of_sae in evals_of.items():
        alike.setdefault((message, ", ".join(one.eval_name for one in of_sae)), []).extend(of_sae)
    lines = []
    for (message, evals), of_line in alike.items():
        saes = ", ".join(dict.fromkeys(one.sae for one in of_line))
        others = f" and {len(of_line) - 1} more" if len(of_line) > 1 else ""
        lines.append(f"{evals} on {saes}: {message} (traceback: {of_line[0].traceback_file}{others})")
    return lines


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"
