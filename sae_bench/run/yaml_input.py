"""YAML that a user wrote: read without aliases and to a bounded size, so that a small file cannot become a huge one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from sae_bench.errors import UsageError

MAX_CHARACTERS = 1_000_000


def read_yaml(path: Path) -> Any:
    """The content of a YAML file.

    Raises:
        UsageError: it is not there, no text, no YAML, too long, or has aliases.
    """
    if not path.is_file():
        raise UsageError(f"there is no file '{path}'.")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"'{path}' cannot be read as text: {error}.") from error
    return parse_yaml(text, f"'{path}'")


def parse_yaml(text: str, where: str) -> Any:
    """The value that YAML text stands for; `where` names the text in errors. Raises `UsageError` as `read_yaml`."""
    if len(text) > MAX_CHARACTERS:
        raise UsageError(f"{where} has {len(text):,} characters; settings have at most {MAX_CHARACTERS:,}.")
    try:
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text)):
            raise UsageError(f"{where} has an alias (*name). Next: write the value out.")
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UsageError(f"{where} is no YAML: {getattr(error, 'problem', None) or error}.") from error
    except RecursionError as error:
        raise UsageError(f"{where} is nested too deeply.") from error
