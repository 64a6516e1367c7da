"""The command line `sae-bench`, a module per command; exit codes are those of `process`."""

from __future__ import annotations

import click

import sae_bench
from sae_bench.cli.check import check
from sae_bench.cli.compare import compare
from sae_bench.cli.demo import demo
from sae_bench.cli.export import export
from sae_bench.cli.listing import list_command
from sae_bench.cli.process import configure_logging, run_command
from sae_bench.cli.publish import publish
from sae_bench.cli.report import report
from sae_bench.cli.run import run
from sae_bench.cli.schema import schema
from sae_bench.cli.validate import validate


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(sae_bench.__version__, prog_name="sae-bench", help="Show the version and exit.")
@click.option("--verbose", is_flag=True, help="Show what libraries say, and tracebacks.")
def cli(verbose: bool) -> None:
    """A benchmark suite for sparse autoencoders on language models."""
    configure_logging(verbose)


cli.add_command(run)
cli.add_command(compare)
cli.add_command(validate)
cli.add_command(report)
cli.add_command(list_command)
cli.add_command(check)
cli.add_command(export)
cli.add_command(publish)
cli.add_command(schema)
cli.add_command(demo)


def main() -> None:
    """Entry point of `sae-bench`."""
    run_command(cli)
