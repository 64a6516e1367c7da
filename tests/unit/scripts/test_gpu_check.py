"""The check of an accelerator runs as a whole at toy size, and says what it left out."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from sae_bench.evals.registry import evals_of

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    for name in ("gpu_check", "gpu_inputs"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import gpu_check  # type: ignore[import-not-found]

    return gpu_check


def rows_of(page: str) -> list[list[str]]:
    """The cells of the rows of the table of evals."""
    table = page.split("## Evals")[1]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line[:1] == "|"]
    return rows[2:]


@pytest.mark.slow
def test_every_measurement_is_on_the_page_and_went_well(script: Any, tmp_path: Path):
    script.main(["--toy", "--out", str(tmp_path / "gpu.md")])
    page = (tmp_path / "gpu.md").read_text()
    measured = json.loads((tmp_path / "gpu.json").read_text())
    widths = {
        name: script.TOY.widths if name in script.FIRST else script.TOY.widths_of_all for name in evals_of("language")
    }
    wanted = {(name, model, f"{width:,}") for name in widths for model in script.SHAPES for width in widths[name]}
    rows = rows_of(page)
    assert {tuple(row[:3]) for row in rows} == wanted
    assert {row[-1] for row in rows} == {"ok"}
    assert all(float(row[3]) > 0 and float(row[6]) > 0 for row in rows)
    assert "failed" not in page
    assert all(passed["of_peak"] > 0 for passed in measured["passes"])
    assert set(measured["compared"]["differences"]) == set(script.BOUNDS)
    assert measured["compared"]["n_codes"] > 100
    l0 = [v for row in measured["evals"] for key, v in row.get("values", {}).items() if key.endswith("sparsity.l0")]
    assert len(l0) == 2 * len(script.TOY.widths) * len(script.SHAPES)
    assert all(script.TOY.l0 / 2 < value < 2 * script.TOY.l0 for value in l0)


def test_what_the_time_does_not_allow_is_said(script: Any, tmp_path: Path):
    script.main(["--toy", "--budget", "0", "--out", str(tmp_path / "gpu.md")])
    rows = rows_of((tmp_path / "gpu.md").read_text())
    assert rows
    assert all(row[-1].startswith("left out: 0 s left") for row in rows)


def case(script: Any, tmp_path: Path, measure: Any, *, case_s: float = 30.0) -> dict[str, Any]:
    torch = script.torch
    size = script.replace(script.TOY, case_s=case_s)
    check = script.Check(size, torch.device("cpu"), torch.float32, script.perf_counter() + 60, tmp_path)
    return script.guarded(check, "case", 0.0, measure)


def test_one_case_that_runs_out_of_memory_or_time_or_fails_ends_no_other(script: Any, tmp_path: Path):
    def raises(error: Exception) -> Any:
        def measure() -> dict[str, Any]:
            raise error

        return measure

    def never_ends() -> dict[str, Any]:
        while True:
            try:
                sum(range(1000))
            except Exception:
                continue

    outcome = "outcome"
    memory = script.torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")
    assert case(script, tmp_path, raises(memory))[outcome] == "out of memory"
    assert case(script, tmp_path, raises(ValueError("no")))[outcome] == "failed: ValueError: no"
    assert case(script, tmp_path, never_ends, case_s=0.1)[outcome].startswith("stopped after")
    assert case(script, tmp_path, lambda: {"seconds_spent": 1})[outcome] == "ok"


def test_a_difference_beyond_its_bound_is_a_failure(script: Any):
    x_ND = script.torch.ones(4, 8)
    values = {name: {"score": 0.5, "count": 1000.0} for name in script.COMPARED}
    assert "outcome" not in script.compare((x_ND, x_ND, values), (x_ND, x_ND, values))
    shifted = {**values, "core": {"score": 0.5, "count": 1002.0}, "mdl": {"score": 0.5}}
    compared = script.compare((x_ND, x_ND, values), (1.001 * x_ND, x_ND - (x_ND.cumsum(0) > 3).float(), shifted))
    assert compared["outcome"] == "failed: beyond the bound: activations, codes on one side only, core, mdl"
    assert compared["differences"]["core"] == pytest.approx(0.002)
    assert compared["differences"]["codes on one side only"] == pytest.approx(0.25)
