"""`sae-bench check`: whether a folder of results may go into a repository of results."""

from __future__ import annotations

from pathlib import Path

import click

from sae_bench.cli.values import FOLDER


@click.command(epilog="\b\nExample:\n  sae-bench check results/")
@click.argument("results", type=FOLDER)
def check(results: Path) -> None:
    """Check RESULTS file by file: schema, provenance, duplicates, mixed SAEs, samples, sizes.

    What a repository of results runs on every change. Exit code 1 if something is wrong; notes alone are no fault.
    """
    from sae_bench.analysis.integrity import check_results

    problems = check_results(results)
    for problem in problems:
        click.echo(f"{'error' if problem.serious else 'note'}: {problem.path}: {problem.text}")
    n_serious = sum(problem.serious for problem in problems)
    click.echo(f"{n_serious} errors, {len(problems) - n_serious} notes.")
    if n_serious:
        raise SystemExit(1)
