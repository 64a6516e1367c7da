"""Values of options: empty ones are refused, since an empty path would be the working directory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from sae_bench.errors import UsageError
from sae_bench.text_files import check_words


class FilledPath(click.Path):
    """A path that is not empty."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path; fails as `click.Path`, and if it is empty or no UTF-8."""
        try:
            check_words(os.fspath(value))
        except UsageError as error:
            self.fail(f"{error} ('.' is the working directory).", param, ctx)
        if not self.file_okay and Path(value).exists() and not Path(value).is_dir():
            self.fail(f"'{value}' is no folder.", param, ctx)
        return super().convert(value, param, ctx)


class FilledText(click.ParamType):
    """Text that is not empty."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text; fails if it is empty or no UTF-8."""
        try:
            check_words(value)
        except UsageError as error:
            self.fail(f"{error}.", param, ctx)
        return str(value)


FILE = FilledPath(path_type=Path, dir_okay=False)
FOLDER = FilledPath(path_type=Path, file_okay=False)
FILE_OR_FOLDER = FilledPath(path_type=Path)
TEXT = FilledText()
