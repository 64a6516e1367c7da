"""Every public name of the published package 0.6.0: there with its parameters, or gone with a reason."""

from __future__ import annotations

import importlib
import inspect
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
MODULES: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("names.yaml").read_text(encoding="utf-8"))
KEPT = {name: module for name, module in MODULES.items() if "removed" not in module}
POSITIONAL = ("sae_regex_pattern", "sae_block_pattern")


def of(module: Any, dotted: str) -> Any:
    for part in dotted.split("."):
        module = getattr(module, part)
    return module


@pytest.mark.parametrize("name", KEPT)
def test_published_names_are_there_with_their_parameters(name: str):
    module, wrong = importlib.import_module(name), []
    for dotted, entry in KEPT[name]["names"].items():
        if "removed" in entry:
            if hasattr(module, dotted):
                wrong.append(f"{dotted} is called removed, but it is there")
            continue
        value = of(module, dotted)
        published = entry.get("parameters", "").split()
        own = [p for p in inspect.signature(value).parameters if p not in ("self", "cls")] if published else []
        if own[: len(published)] != published:
            wrong.append(f"{dotted} takes {own}, published was {published}")
    assert wrong == []


@pytest.mark.parametrize("name", [name for name, module in MODULES.items() if "removed" in module])
def test_what_is_called_removed_is_gone(name: str):
    with pytest.raises(ImportError):
        importlib.import_module(name)


@pytest.mark.parametrize("name", [name for name, module in KEPT.items() if module.get("flags")])
def test_published_flags_are_taken(name: str):
    module = importlib.import_module(name)
    parser = module.arg_parser()
    in_parser = {option.lstrip("-") for action in parser._actions for option in action.option_strings or [action.dest]}
    in_command = {flag.lstrip("-") for param in module.command.params for flag in (*param.opts, *param.secondary_opts)}
    published = set(KEPT[name]["flags"])
    assert published - in_parser == set()
    assert published - in_command == set()
    silent = [p.name for p in module.command.params if isinstance(p, click.Option) and not p.help]
    assert silent == []


def test_a_name_replaced_under_its_published_path_is_replaced_where_it_is_used():
    utils = importlib.import_module("sae_bench.sae_bench_utils.sae_selection_utils")
    assert utils is importlib.import_module("sae_bench.published.utils.sae_selection_utils")


def test_reasons_are_sentences_that_say_what_instead():
    entries = [e for m in KEPT.values() for e in m["names"].values()] + [m for m in MODULES.values() if "removed" in m]
    reasons = [entry["removed"] for entry in entries if "removed" in entry]
    assert all(reason[0].isupper() and reason.endswith((".", ")")) for reason in reasons)


def test_the_table_of_the_docs_is_current(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "path", [str(ROOT / "scripts"), *sys.path])
    script = importlib.import_module("write_migration_table")
    page = (ROOT / "docs" / "migration.md").read_text(encoding="utf-8")
    assert script.page_with(script.table(MODULES), page) == page, "Next: python scripts/write_migration_table.py"
