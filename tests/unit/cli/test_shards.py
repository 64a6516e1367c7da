"""Shares of one run on several machines make the results of one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def numbers(folder: Path) -> dict[str, Any]:
    """Everything that is measured, by file."""
    contents = {path.name: json.loads(path.read_text()) for path in (folder / "core").glob("*.json")}
    parts = ("eval_result_metrics", "eval_result_details", "seed_results", "statistics")
    return {name: {part: content[part] for part in parts} for name, content in contents.items()}


@pytest.fixture(scope="module")
def whole() -> dict[str, Any]:
    return {}


@pytest.mark.parametrize("count", [1, 2, 5])
def test_shares_add_up_to_the_whole(
    count: int, whole: dict[str, Any], world: Any, sae_bench: Callable[..., Any], tmp_path: Path
):  # fmt: skip
    if not whole:
        assert sae_bench(*world.run_arguments(tmp_path / "whole", "--quiet")).code == 0
        whole.update(numbers(tmp_path / "whole"))
    for index in range(1, count + 1):
        said = sae_bench(*world.run_arguments(tmp_path / "shares", "--quiet", "--shard", f"{index}/{count}"))
        assert said.code == 0, said.err
        assert len(numbers(tmp_path / "shares")) >= index
    assert numbers(tmp_path / "shares") == whole


def test_a_share_that_cannot_be(world: Any, sae_bench: Callable[..., Any], tmp_path: Path):
    said = sae_bench(*world.run_arguments(tmp_path / "out", "--shard", "3/2"))
    assert said.code == 2
    assert "1/2 to 2/2" in said.err
