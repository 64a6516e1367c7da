"""docs/what_can_be_evaluated.md says what the readers and the declarations of evals say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sae_bench.custom_saes.listing import SPEC_FORMS
from sae_bench.custom_saes.loaders.safetensors_dir import FORMATS
from sae_bench.evals.base import RECONSTRUCTION, SINGLE_TOKENS, Need
from sae_bench.evals.registry import eval_names, get_eval
from sae_bench.language_models.hooks import parse_hook_name

PAGE = (Path(__file__).parents[3] / "docs" / "what_can_be_evaluated.md").read_text(encoding="utf-8")


def rows_of(title: str, second: str = "") -> list[list[str]]:
    """The cells of the table whose first columns have these titles."""
    table = re.search(rf"^\| {title} \| {second}.*\n\|[- |]+\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    assert table is not None
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in table[1].splitlines()]


def test_every_layout_is_in_the_table_with_its_scheme() -> None:
    schemes = {row[0]: re.findall(r"`(\w+)`", row[1]) for row in rows_of("files of")}
    assert {layout.title for layout in FORMATS} <= schemes.keys()
    for layout in FORMATS:
        assert schemes[layout.title] == [layout.scheme, "path"]
    assert {scheme for named in schemes.values() for scheme in named} | {
        "baseline",
        "embedded",
        "synthetic",
        "python",
    } == {*SPEC_FORMS}


@pytest.mark.parametrize(("kind", "need"), [("transcoders", RECONSTRUCTION), ("SAEs of whole texts", SINGLE_TOKENS)])
def test_the_evals_that_take_a_kind_are_those_that_need_nothing_it_lacks(kind: str, need: Need) -> None:
    rows = rows_of("eval", kind)
    verdicts = {name: row[1].startswith("yes") for row in rows for name in re.findall(r"`(\w+)`", row[0])}
    assert verdicts == {name: need not in get_eval(name).needs for name in eval_names()}


def test_the_hooks_of_the_table_are_hooks() -> None:
    for row in rows_of("hook"):
        for name in re.findall(r"`([^`]+)`", row[0]):
            assert parse_hook_name(name.replace("<L>", "3")).layer == 3
