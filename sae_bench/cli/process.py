"""What surrounds every command of the package: logging, plain errors, exit codes.

Exit codes: 0 all done; 1 some SAE or eval failed; 2 wrong usage or something missing, in one plain message; 130
interrupted.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from functools import partialmethod

import click
from rich.logging import RichHandler
from rich.markup import escape

from sae_bench.cli.console import err
from sae_bench.errors import IncompleteRunError, SAEBenchError
from sae_bench.text_files import printable

KEPT = "What was done is kept; the same command goes on from there."


def configure_logging(verbose: bool) -> None:
    """Warnings of this package on standard error; libraries stay quiet unless asked."""
    handler = RichHandler(console=err, show_path=verbose, show_time=verbose, markup=False)
    logging.basicConfig(level=logging.INFO if verbose else logging.ERROR, format="%(message)s", handlers=[handler])
    logging.getLogger("sae_bench").setLevel(logging.INFO if verbose else logging.WARNING)
    if not verbose:
        _silence_progress_bars()
        warnings.filterwarnings("ignore")
        _silence_transformers()


def _silence_transformers() -> None:
    """Its variables are read when it is imported, which a help text or a list does not do."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    if "transformers" in sys.modules:
        from transformers.utils import logging as transformers_logging

        transformers_logging.set_verbosity_error()
        transformers_logging.disable_progress_bar()


def _silence_progress_bars() -> None:
    """No bars of the libraries beside our own, unless one asks for its bar explicitly.

    tqdm's own switch, an environment variable, is read when it is first imported, and torch does that.
    """
    from tqdm import tqdm

    start = vars(tqdm)["__init__"]
    if not getattr(start, "keywords", {}).get("disable"):
        tqdm.__init__ = partialmethod(start, disable=True)


def run_command(command: click.Command) -> None:
    """Run a command on the arguments of this process; errors a user can act on become one message and an exit code."""
    try:
        command(standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(2)
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        path = "sae-bench" if context is None else context.command_path
        _stop(2, f"{error.format_message().rstrip('.')}. Next: '{path} --help' shows what there is.")
    except IncompleteRunError as error:
        _stop(1, str(error))
    except SAEBenchError as error:
        _stop(2, str(error))
    except (KeyboardInterrupt, click.Abort):
        err.print(f"interrupted. {KEPT}", soft_wrap=True)
        sys.exit(130)
    except (RuntimeError, MemoryError) as error:
        if not isinstance(error, MemoryError) and type(error).__name__ != "OutOfMemoryError":  # that of torch
            raise
        first_line = (str(error).splitlines() or ["out of memory"])[0]
        _stop(2, f"{first_line} Next: a smaller batch (--batch-tokens) or fewer SAEs at a time (--max-saes 1). {KEPT}")
    except OSError as error:
        where = f" ('{error.filename}')" if error.filename else ""
        _stop(2, f"{error.strerror or error}{where}. Next: mend it and start the same command again. {KEPT}")


def _stop(code: int, message: str) -> None:
    if "--verbose" in sys.argv[1:]:
        err.print_exception()
    err.print(f"[bold red]error:[/bold red] {escape(printable(message))}", soft_wrap=True, highlight=False)
    sys.exit(code)
