"""What surrounds every command of the package: logging, plain errors, exit codes.

Exit codes: 0 all done; 1 some SAE or eval failed; 2 wrong usage or something missing, in one plain message; 130
interrupted.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Callable
from functools import partialmethod
from pathlib import Path
from typing import TypeVar

import click
from rich.logging import RichHandler
from rich.markup import escape

from sae_bench.cli.console import be_quiet, err, is_quiet
from sae_bench.cli.values import FILE
from sae_bench.errors import IncompleteRunError, SAEBenchError, UsageError
from sae_bench.text_files import printable

_PROGRESS = "sae_bench.cli.progress"

KEPT = "What was done is kept; the same command goes on from there."


class _Lines(logging.Handler):
    """Messages on standard error, one line each however long; progress only where no bar shows it.

    What the summary at the end of a command says again (`in_summary`) waits for it.
    """

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(record, "in_summary", False):
            return
        if record.levelno >= logging.WARNING:
            message = f"[yellow]{record.levelname.lower()}:[/yellow] {escape(record.getMessage())}"
            err.print(message, soft_wrap=True, highlight=False)
        elif record.name == _PROGRESS and not err.is_terminal and not is_quiet():
            err.print(escape(record.getMessage()), soft_wrap=True, highlight=False)


def configure_logging(verbose: bool) -> None:
    """Warnings and progress of this package on standard error; libraries stay quiet unless asked."""
    handler = RichHandler(console=err, markup=False) if verbose else _Lines()
    logging.basicConfig(level=logging.INFO if verbose else logging.ERROR, format="%(message)s", handlers=[handler])
    logging.getLogger("sae_bench").setLevel(logging.INFO)
    if not verbose:
        _silence_progress_bars()
        warnings.filterwarnings("ignore")
        _silence_transformers()


def log_to(file: Path) -> None:
    """Write what is logged, with the time, to the end of a file too.

    Raises:
        UsageError: it cannot be written.
    """
    try:
        handler = logging.FileHandler(file, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"the log file '{file}' cannot be written: {error.strerror}. Next: name another.") from error
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.getLogger("sae_bench").addHandler(handler)


CommandT = TypeVar("CommandT", bound=Callable[..., object])


def speech_options(command: CommandT) -> CommandT:
    """Flags of a command that takes long: how much it says, and where else."""

    def quiet(_context: click.Context, _option: click.Parameter, value: bool) -> None:
        if value:
            be_quiet()

    def log_file(_context: click.Context, _option: click.Parameter, value: Path | None) -> None:
        if value is not None:
            log_to(value)

    command = click.option(
        "--log-file", type=FILE, expose_value=False, callback=log_file,
        help="Write progress, warnings and failures to the end of this file too, with the time.",
    )(command)  # fmt: skip
    return click.option(
        "--quiet", is_flag=True, expose_value=False, callback=quiet,
        help="Show warnings, failures and errors only; no progress and no tables.",
    )(command)  # fmt: skip


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
