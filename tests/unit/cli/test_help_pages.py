"""Pages that help: what they quote is what the code says, and the tutorial's commands exist."""

from __future__ import annotations

import ast
import re
import shlex
from functools import cache
from pathlib import Path

import pytest

from sae_bench.cli import cli
from sae_bench.custom_saes.listing import DERIVED_BASELINES, SPEC_FORMS

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
TROUBLE = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
QUOTED = [row.split("`")[1] for row in TROUBLE.splitlines() if row.startswith("| `") and " in a table" not in row]
COMMANDS = [
    line.removeprefix("$ ")
    for page in sorted(DOCS.glob("*.md"))
    for line in page.read_text(encoding="utf-8").splitlines()
    if line.startswith("$ sae-bench ")
]


@cache
def said() -> str:
    """All texts of the code, what is put into them left out."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / "sae_bench").rglob("*.py")]
    texts = [n.value for tree in trees for n in ast.walk(tree) if isinstance(n, ast.Constant)]
    return "\0".join(text for text in texts if isinstance(text, str))


def test_the_page_quotes_messages():
    assert len(QUOTED) > 20


@pytest.mark.parametrize("message", QUOTED)
def test_a_message_of_the_page_is_one_of_the_code(message: str):
    parts = [part.strip() for part in re.split(r"…", message) if len(part.strip()) > 3]
    assert parts
    assert [part for part in parts if part not in said()] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_docs_has_flags_that_exist(command: str):
    _, name, *arguments = shlex.split(command.rstrip("\\"), comments=True)
    options = {flag for option in cli.commands[name].params for flag in (*option.opts, *option.secondary_opts)}
    assert [word for word in arguments if word.startswith("--") and word.split("=")[0] not in options] == []


def test_help_names_every_form_of_a_spec():
    said = cli.commands["run"].help or ""
    assert [form for scheme, form in SPEC_FORMS.items() if scheme != "baseline" and form not in said] == []
    assert [form for form in DERIVED_BASELINES.values() if f"baseline:{form}" not in said] == []
