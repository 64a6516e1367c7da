"""Two folders of results are the same bit for bit, or every place where they differ is named."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[3] / "scripts" / "compare_results.py"
CONTENT = {
    "eval_id": "a",
    "metrics": {"x": 0.1, "n": 3, "none": None},
    "rows": [{"v": 1.0}],
    "provenance": {"seconds": 1},
}


def write(folder: Path, content: dict[str, Any], name: str = "one") -> Path:
    path = folder / "core" / f"{name}_eval_results.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return folder


def compare(before: Path, after: Path) -> tuple[int, str]:
    run = subprocess.run([sys.executable, SCRIPT, before, after], capture_output=True, text=True, check=False)
    return run.returncode, run.stdout


def test_ids_and_provenance_do_not_count(tmp_path: Path):
    before = write(tmp_path / "a", CONTENT)
    after = write(tmp_path / "b", {**CONTENT, "eval_id": "b", "provenance": {"seconds": 2}})
    assert compare(before, after) == (0, "1 files in both folders, 0 differ\n")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"metrics": {"x": 0.1 + 2e-17, "n": 3, "none": None}}, "metrics.x: 0.1, then"),
        ({"metrics": {"x": 0.1, "n": 3.0, "none": None}}, "metrics.n: 3, then 3.0"),
        ({"metrics": {"x": 0.1, "n": 3, "none": -1}}, "metrics.none: None, then -1"),
        ({"rows": [{"v": 1.0}, {"v": 2.0}]}, "rows: 1 entries, then 2"),
        ({"metrics": {"x": 0.1, "n": 3}}, "metrics.none: gone"),
    ],
)
def test_the_last_bit_a_type_and_a_field_count(tmp_path: Path, changed: dict[str, Any], said: str):
    code, out = compare(write(tmp_path / "a", CONTENT), write(tmp_path / "b", {**CONTENT, **changed}))
    assert code == 1
    assert said in out


def test_a_file_that_is_missing_is_named(tmp_path: Path):
    write(tmp_path / "a", CONTENT, "two")
    code, out = compare(write(tmp_path / "a", CONTENT), write(tmp_path / "b", CONTENT))
    assert code == 1
    assert "two_eval_results.json: only in" in out
