"""What the documentation site shows that stands elsewhere: the README as its start, the evals' settings.

A hook of mkdocs (mkdocs.yml names it). Pages under docs/ may link to files beside that folder, which a site does not
hold: such a link becomes its text.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from sae_bench.evals.registry import eval_names, get_eval
from sae_bench.results.model import config_fields

README = Path(__file__).resolve().parent.parent / "README.md"
LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)#\s]+)(#[^)\s]*)?\)")
SETTINGS = "<!-- settings -->"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The README is the first page; its links begin at the folder of the pages."""
    text = README.read_text(encoding="utf-8").replace("](docs/", "](")
    files.append(File.generated(config, "index.md", content=text))
    return files


def on_page_markdown(markdown: str, *, page: Page, files: Files, **_: Any) -> str:
    """Links to what is not on the site become text; the settings of all evals stand where their mark is."""

    def checked(match: re.Match[str]) -> str:
        text, target, anchor = match.groups()
        if "://" in target:
            return match[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(page.file.src_uri), target))
        if path == "../README.md":
            back = posixpath.relpath("index.md", posixpath.dirname(page.file.src_uri) or ".")
            return f"[{text}]({back}{anchor or ''})"
        return match[0] if files.get_file_from_path(path) else text

    return LINK.sub(checked, markdown).replace(SETTINGS, settings())


def settings() -> str:
    """A section per eval: every setting with its default, what the presets make of it, and its meaning."""
    return "\n".join(line for name in eval_names() for line in settings_of(name))


def settings_of(name: str) -> list[str]:
    """The lines of one eval's section."""
    spec = get_eval(name)
    lines = [f"## {name}", "", spec.summary, "", "| setting | default | meaning |", "| --- | --- | --- |"]
    for setting, field in config_fields(spec.config).items():
        default = "" if field.is_required() else field.get_default(call_default_factory=True)
        presets = {preset: values[setting] for preset, values in spec.presets.items() if setting in values}
        values = [
            _code(default),
            *(f"{preset}: {_code(value)}" for preset, value in presets.items() if value != default),
        ]
        meaning = " ".join((field.description or "").split()).replace("|", "\\|").replace("<", "&lt;")
        lines.append(f"| `{setting}` | {'<br>'.join(filter(None, values))} | {meaning} |")
    return [*lines, ""]


def _code(value: Any) -> str:
    shown = f"{value}".replace("|", "\\|")
    return f"`{shown}`" if shown else ""
