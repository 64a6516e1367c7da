"""What benchmarks, parity checks and scripts take from the package is there; they are run too seldom to tell."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
FILES = sorted(path for folder in ("benchmarks", "scripts", "tests/parity") for path in (ROOT / folder).glob("*.py"))


def imported(path: Path) -> Iterator[tuple[str, str]]:
    """Module and name of every `from sae_bench... import ...`, those inside functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "sae_bench":
            yield from ((node.module or "", alias.name) for alias in node.names)


def is_there(module: str, name: str) -> bool:
    if hasattr(importlib.import_module(module), name):
        return True
    try:
        importlib.import_module(f"{module}.{name}")
    except ModuleNotFoundError:
        return False
    return True


def test_there_is_something_to_check():
    assert len(FILES) > 30
    assert sum(1 for path in FILES for _ in imported(path)) > 100


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_name_is_there(path: Path):
    assert [f"{module}.{name}" for module, name in imported(path) if not is_there(module, name)] == []
