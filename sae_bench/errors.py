"""Errors with a plain message and a next step; the command line prints them without a traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SAEBenchError(Exception):
    """Base of every error that a user can act on."""


class PrerequisiteError(SAEBenchError):
    """Something the run needs is missing: a file, a package, a key, rows of a dataset."""


class UsageError(SAEBenchError):
    """The request itself is wrong: an unknown name, a malformed SAE spec, settings that exclude each other."""


class UnknownNameError(UsageError):
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


class HookError(UsageError):
    """A hook name that is malformed, beyond the model's depth, or that this architecture does not have."""


class DatasetError(PrerequisiteError):
    """A dataset that cannot be found, lacks columns, or has too few rows."""


class ModelError(PrerequisiteError):
    """A language model that cannot be found or whose structure is not understood."""


class SAELoadError(PrerequisiteError):
    """An SAE whose files are missing, corrupt, or hold unusable weights."""


class SAEMismatchError(UsageError):
    """An SAE that does not fit the model: another width, another hook, another depth."""


class ContractError(SAEBenchError):
    """A user's SAE does not behave as the evals rely on; the message lists every finding."""


class IncompleteRunError(SAEBenchError):
    """Some (SAE, eval) failed while the others were done; the message lists each with the file of its traceback."""


class ResultError(SAEBenchError):
    """A result file that is broken, foreign, or made with other settings."""


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
