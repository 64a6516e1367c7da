"""`sae-bench schema`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from sae_bench.evals.registry import eval_names


def test_one_eval_prints_its_schema(sae_bench: Callable):
    said = sae_bench("schema", "core")
    assert said.code == 0
    assert json.loads(said.out)["title"] == "Core"


def test_several_print_an_object(sae_bench: Callable):
    found = json.loads(sae_bench("schema").out)
    assert list(found) == list(eval_names())
    assert found["core"]["title"] == "Core"


def test_out_writes_files(sae_bench: Callable, tmp_path: Path):
    said = sae_bench("schema", "core", "--out", tmp_path / "schemas")
    path = tmp_path / "schemas" / "eval_output_schema_core.json"
    assert said.code == 0
    assert said.out.split() == [str(path)]
    assert json.loads(path.read_text())["title"] == "Core"


def test_wrong_usage(sae_bench: Callable):
    said = sae_bench("schema", "cor")
    assert said.code == 2
    assert "Did you mean 'core'" in said.message
    said = sae_bench("schema", "core", "--typescript")
    assert said.code == 2
    assert "--out" in said.message
