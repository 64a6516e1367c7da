"""`sae-bench report`: results as one HTML page, and as figures for papers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.markup import escape

from sae_bench.cli.console import err
from sae_bench.cli.values import FILE, FOLDER, TEXT
from sae_bench.errors import UsageError

if TYPE_CHECKING:
    from sae_bench.report.collect import Collected

EXAMPLES = """\b
Examples:
  sae-bench report demo_results
  sae-bench report mine/ -o report.html --with published/
  sae-bench report mine/ --with adamkarvonen/sae_bench_results_0125
  sae-bench report mine/ --figures figures/
"""

FILE_NAME = "report.html"
_SHOWN_SKIPPED = 20


@click.command(epilog=EXAMPLES)
@click.argument("results", type=TEXT)
@click.option(
    "-o", "--output", type=FILE,
    help=f"The page.  [default: {FILE_NAME} in RESULTS]",
)  # fmt: skip
@click.option(
    "--with", "others", type=TEXT, multiple=True, metavar="RESULTS",
    help="Results to show beside them, those of the published package too; repeat for several.",
)  # fmt: skip
@click.option("--figures", type=FOLDER, help="Write the plots as PNG and SVG here too.")
@click.option(
    "--columns", type=click.Choice(["1", "2"]),
    help="With --figures: columns of a paper that they are as wide as.  [default: 2]",
)  # fmt: skip
@click.option("--no-details", is_flag=True, help="Leave the details of single SAEs out: a smaller file.")
def report(
    results: str,
    output: Path | None,
    others: tuple[str, ...],
    figures: Path | None,
    columns: str | None,
    no_details: bool,
) -> None:
    """Show RESULTS (the output folder of a run, a result file, or a hub data set of results) as one HTML page.

    The page opens without network. Files that cannot be used are named and left out; the rest is shown.
    """
    if columns is not None and figures is None:
        raise UsageError(
            f"--columns {columns} sets the width of figures, and none are asked for. Next: add --figures DIR."
        )
    from sae_bench.report.write import write_report

    target = output or _default_output(results)
    collected = write_report(results, target, others=others, details=not no_details)
    for source in collected.sources:
        for n_shown, entry in enumerate(source.table.skipped):
            if n_shown == _SHOWN_SKIPPED:
                err.print(
                    f"... and {len(source.table.skipped) - n_shown} more (all are in the report)", highlight=False
                )
                break
            err.print(
                f"[yellow]skipped[/yellow] {escape(f'{entry.path}: {entry.reason}')}", soft_wrap=True, highlight=False
            )
    say_written(target, collected)
    if figures is not None:
        from sae_bench.report.figures import write_figures

        written = write_figures(collected, figures, columns=1 if columns == "1" else 2)
        click.echo(f"{len(written)} figures in {figures}")


def say_written(target: Path, collected: Collected) -> None:
    """Where the page is, and what it holds."""
    size = target.stat().st_size / 2**20
    click.echo(
        f"{target}: {len(collected.saes)} SAEs, {len(collected.evals)} evals, {size:.1f} MB. Open it in a browser."
    )


def _default_output(results: str) -> Path:
    path = Path(results)
    return (path if path.is_dir() else Path(".")) / FILE_NAME
