"""Tests go through public names: what a test shows, a user can see, and a private name may change at any time."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import sae_bench

TESTS = Path(__file__).parents[1]
PACKAGE = Path(sae_bench.__file__).parent
PRIVATE = re.compile(r"_[A-Za-z]\w*")
LEFT_OUT = ("parity", "reference_side")
"""Folder of programs that run the published package, whose own private names they read."""
PUBLIC = {"_replace", "_asdict", "_fields"}
"""Of named tuples: the underscore only keeps them apart from the fields."""

TAKE_NAMES = ("setattr", "getattr", "delattr", "hasattr", "patch", "attrgetter")


def is_private(name: str) -> bool:
    return PRIVATE.fullmatch(name) is not None


def defined_names(tree: ast.AST) -> Iterator[str]:
    """Names of functions, classes, variables and attributes that a file makes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and is_own(node):
            yield node.attr


def is_own(node: ast.Attribute) -> bool:
    """Whether it is an attribute of the object whose method this is."""
    return isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")


def reached_names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Private names of others in a file: imported, read off an object, or named in a call of `setattr` and the like."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, alias.name) for alias in node.names if is_private(alias.name))
        elif isinstance(node, ast.Attribute) and is_private(node.attr) and not is_own(node):
            yield node.lineno, node.attr
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            called = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            texts = [arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
            names = [text.rpartition(".")[2] for text in texts if called in TAKE_NAMES]
            yield from ((node.lineno, name) for name in names if is_private(name))


def names_made_in(folder: Path) -> set[str]:
    """Private names that the files of a folder define or assign."""
    made = re.compile(r"(?:def |class |self\.|^\s*)(_[A-Za-z]\w*)(?=[ (:,=\[])", re.MULTILINE)
    return {name for path in folder.rglob("*.py") for name in made.findall(path.read_text(encoding="utf-8"))}


@cache
def parsed_tests() -> dict[Path, ast.Module]:
    """The tests in which a private name stands at all."""
    texts = {path: path.read_text(encoding="utf-8") for path in sorted(TESTS.rglob("*.py"))}
    own = {path: text for path, text in texts.items() if path.relative_to(TESTS).parts[:2] != LEFT_OUT}
    return {path: ast.parse(text) for path, text in own.items() if re.search(r"\W_[A-Za-z]", text)}


def test_no_test_reaches_for_a_private_name():
    ours = names_made_in(PACKAGE) - PUBLIC
    published = names_made_in(PACKAGE / "published")  # some published names begin with an underscore
    assert len(ours) > 100, "the package was not read"
    reached = []
    for path, tree in parsed_tests().items():
        private = ours - set(defined_names(tree))
        if path.relative_to(TESTS).parts[0] == "published":
            private -= published
        reached += [
            f"{path.relative_to(TESTS)}:{line}: {name}" for line, name in reached_names(tree) if name in private
        ]
    assert not reached, "\n".join(reached)


def test_an_import_between_tests_is_of_public_names():
    imported = [
        f"{path.relative_to(TESTS)}:{node.lineno}: {alias.name}"
        for path, tree in parsed_tests().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and not (node.module or "").startswith("sae_bench")
        for alias in node.names
        if is_private(alias.name)
    ]
    assert not imported


def test_every_way_of_reaching_is_seen():
    source = """
from sae_bench.atomic import _host
judge._pieces
lm._shares_beginnings = True
monkeypatch.setattr("sae_bench.published.eval_command._evaluate", f)
monkeypatch.setattr(lm, "_reads_on", False)
self._own = f"{name}_results"
"""
    tree = ast.parse(source)
    names = {name for _, name in reached_names(tree)} - set(defined_names(tree))
    assert names == {"_host", "_pieces", "_shares_beginnings", "_evaluate", "_reads_on"}
