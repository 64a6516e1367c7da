"""The command line: `sae-bench run | list | demo`.

Exit codes: 0 all done; 1 some SAE or eval failed; 2 wrong usage or something missing, in one plain message.
"""

from __future__ import annotations

import logging
import sys
import warnings

import click
from rich.logging import RichHandler

import sae_bench
from sae_bench.cli.console import err
from sae_bench.cli.demo import demo
from sae_bench.cli.listing import list_command
from sae_bench.cli.run import run
from sae_bench.errors import SAEBenchError


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(sae_bench.__version__, prog_name="sae-bench")
@click.option("--verbose", is_flag=True, help="Show what libraries say, and tracebacks.")
def cli(verbose: bool) -> None:
    """A benchmark suite for sparse autoencoders on language models."""
    configure_logging(verbose)


cli.add_command(run)
cli.add_command(list_command)
cli.add_command(demo)


def configure_logging(verbose: bool) -> None:
    """Warnings of this package on standard error; libraries stay quiet unless asked."""
    handler = RichHandler(console=err, show_path=verbose, show_time=verbose, markup=False)
    logging.basicConfig(level=logging.INFO if verbose else logging.ERROR, format="%(message)s", handlers=[handler])
    logging.getLogger("sae_bench").setLevel(logging.INFO if verbose else logging.WARNING)
    if not verbose:
        warnings.filterwarnings("ignore")
        from transformers.utils import logging as transformers_logging

        transformers_logging.set_verbosity_error()
        transformers_logging.disable_progress_bar()


def main() -> None:
    """Entry point: turns errors a user can act on into one message and an exit code."""
    verbose = "--verbose" in sys.argv[1:]
    try:
        cli(standalone_mode=False)
    except SAEBenchError as error:
        _stop(2, str(error), verbose)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (KeyboardInterrupt, click.Abort):
        _stop(130, "interrupted; what was done is kept, the same command goes on from there.", False)
    except OSError as error:
        _stop(2, f"{error.strerror or error}: {error.filename or ''} (what was done is kept; the same command goes on)",
              verbose)  # fmt: skip


def _stop(code: int, message: str, verbose: bool) -> None:
    if verbose:
        err.print_exception()
    err.print(f"[bold red]error:[/bold red] {message}" if code == 2 else message, soft_wrap=True, highlight=False)
    sys.exit(code)
