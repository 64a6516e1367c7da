"""YAML and JSON that others wrote, read to a bounded size and depth: a small file cannot become a huge one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from sae_bench.errors import UsageError

MAX_CHARACTERS = 1_000_000
MAX_DEPTH = 100
"""Mappings and lists within one another that YAML may have."""

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_yaml(path: Path) -> Any:
    """The content of a YAML file.

    Raises:
        UsageError: it is not there, no file, no text, no YAML, too long, nested too deeply, or has aliases.
    """
    if not path.is_file():
        what = "it is a folder" if path.is_dir() else "it is no regular file" if path.exists() else "there is none"
        raise UsageError(f"cannot read the file '{path}': {what}. Next: give the path of a YAML file.")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"'{path}' cannot be read as text: {error}. Next: save it as UTF-8, readable.") from error
    return parse_yaml(text, f"'{path}'")


def parse_yaml(text: str, where: str) -> Any:
    """The value that YAML text stands for; `where` names the text in errors. Raises `UsageError` as `read_yaml`."""
    if len(text) > MAX_CHARACTERS:
        raise UsageError(f"{where} has {len(text):,} characters. Next: make it at most {MAX_CHARACTERS:,}.")
    try:
        _check_structure(text, where)
        return yaml.load(text, Loader=_Loader)  # both loaders are safe ones
    except yaml.YAMLError as error:
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise UsageError(f"{where} is no YAML{_line_of(error)}: {problem}. Next: mend it there.") from error
    except UsageError:
        raise
    except (ValueError, OverflowError) as error:  # a number or a date that is none
        raise UsageError(f"{where} has a value that cannot be read: {error}. Next: write another one.") from error


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        ValueError: it cannot be read, is no UTF-8, no JSON, or nested too deeply; the message does not name the file.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def check_words(text: str) -> None:
    """Raise `UsageError` if there is nothing to read in a text, or it could not be written to a file."""
    if not text.strip():
        raise UsageError("it is empty")
    if not is_utf8(text):
        raise UsageError(f"{text!a} is no UTF-8 text")


def is_utf8(text: str) -> bool:
    """Whether a text can be written to a file; names of files may hold other bytes."""
    return text.encode("utf-8", "ignore").decode("utf-8") == text


def printable(text: str) -> str:
    """Text as it can be shown anywhere, bytes that are no UTF-8 as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _check_structure(text: str, where: str) -> None:
    """Stop at the first alias, or where the text goes too deep, before any value is made of it."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.AliasEvent):
            raise UsageError(f"{where} has an alias (*name). Next: write the value out.")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise UsageError(f"{where} is nested too deeply. Next: at most {MAX_DEPTH} levels.")


def _line_of(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    return "" if mark is None else f" (line {mark.line + 1})"
