"""Errors with a plain message and a next step; the command line prints them without a traceback.

They are also what Python raises in such a case (`ValueError`, `KeyError`, `RuntimeError`), for callers that catch that.
"""

from __future__ import annotations

import difflib
import signal
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class SAEBenchError(Exception):
    """Base of every error that a user can act on."""


class PrerequisiteError(SAEBenchError, RuntimeError):
    """Something the run needs is missing: a file, a package, a key, rows of a dataset."""


class UsageError(SAEBenchError, ValueError):
    """The request itself is wrong: an unknown name, a malformed SAE spec, settings that exclude each other."""


class UnknownNameError(UsageError, KeyError):
    """A name that is in no registry; the message proposes the closest ones."""

    def __init__(self, kind: str, got: str, allowed: Iterable[str], hint: str = "") -> None:
        names = sorted(allowed)
        close = difflib.get_close_matches(got, names, n=3, cutoff=0.4)
        message = f"unknown {kind} '{got}'."
        if close:
            message += f" Did you mean {_quoted(close)}?"
        elif names:
            shown = names[:12]
            message += f" Known: {_quoted(shown)}" + (" ..." if len(names) > len(shown) else ".")
        if hint:
            message += f" {hint}"
        super().__init__(message)
        self.close_names = close

    def __str__(self) -> str:
        return str(self.args[0])  # a KeyError would put quotes around it


class MissingFileError(PrerequisiteError, FileNotFoundError):
    """A file that was named and is not there."""


class HookError(UsageError):
    """A hook name that is malformed, beyond the model's depth, or that this architecture does not have."""


class DatasetError(PrerequisiteError, ValueError):
    """A dataset that cannot be found, lacks columns, or has too few rows."""


class ModelError(PrerequisiteError, ValueError):
    """A language model that cannot be found or whose structure is not understood."""


class SAELoadError(PrerequisiteError, ValueError):
    """An SAE whose files are missing, corrupt, or hold unusable weights."""


class SAEMismatchError(UsageError):
    """An SAE that does not fit the model: another width, another hook, another depth."""


class ContractError(SAEBenchError, AssertionError):
    """A user's SAE does not behave as the evals rely on; the message lists every finding."""


class IncompleteRunError(SAEBenchError, RuntimeError):
    """Some (SAE, eval) failed while the others were done; the message lists each with the file of its traceback."""


class ResultError(SAEBenchError, ValueError):
    """A result file that is broken, foreign, or made with other settings."""


class MissingResultError(ResultError, FileNotFoundError):
    """A folder or file of results that is not there."""


class ExitError(SAEBenchError, RuntimeError):
    """Code of others that wanted to end the program."""


@contextmanager
def no_exit(what: str) -> Iterator[None]:
    """Code of others that calls `sys.exit` fails; it does not end the run.

    An exit by the handler of a signal goes through.

    Args:
        what: whose code it is, for the message.
    Raises:
        ExitError: the block called `sys.exit`.
    """
    try:
        yield
    except SystemExit as error:
        if _is_of_a_signal(error):
            raise
        raise ExitError(
            f"the code of '{what}' called sys.exit({error.code!r}). Next: let it raise an error."
        ) from error


def _is_of_a_signal(error: SystemExit) -> bool:
    """Whether the handler of a signal raised it, whatever was at work when the signal came."""
    handlers = [signal.getsignal(number) for number in signal.valid_signals()]
    codes = {getattr(handler, "__code__", None) for handler in handlers}
    return any(frame.f_code in codes for frame, _ in traceback.walk_tb(error.__traceback__))


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
