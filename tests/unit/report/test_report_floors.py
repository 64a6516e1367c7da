"""Floors and ceilings in tables, rankings and reports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sae_bench.analysis.comparison import rank
from sae_bench.analysis.table import load_results
from sae_bench.cli.compare import ranking_table
from sae_bench.report.collect import Collected, collect
from sae_bench.report.payload import page_data
from sae_bench.report.sources import load_sources
from sae_bench.testing.synthetic_results import write_synthetic_results

TOP_1, TOP_2 = "sae.sae_top_1_test_accuracy", "sae.sae_top_2_test_accuracy"


def beside(floor: float, above: float) -> dict[str, Any]:
    return {
        "floor": {"name": "guessing", "value": floor},
        "ceiling": {"name": "the probe on all", "value": 0.9, "ci_low": 0.85, "ci_high": 0.95},
        "above_floor": {"value": above, "ci_low": above - 0.1, "ci_high": above + 0.1},
    }


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four SAEs; on one metric all have the same floor, on another each has its own, and one knows nothing."""
    folder = tmp_path_factory.mktemp("floors")
    write_synthetic_results(folder, 4, evals=("sparse_probing",), n_units=24, n_latents=5)
    for n, path in enumerate(sorted((folder / "sparse_probing").glob("*.json"))):
        content = json.loads(path.read_text())
        both = {TOP_1: beside(0.5, 0.2 * n), TOP_2: beside(0.4 + 0.01 * n, 0.2 * n)}
        path.write_text(json.dumps({**content, "validity": both if n else {}}))
    return folder


@pytest.fixture(scope="module")
def collected(results: Path) -> Collected:
    return collect(load_sources(results))


def test_a_frame_holds_floor_ceiling_and_the_place_between(results: Path) -> None:
    frame = load_results(results).to_frame()
    of_metric = frame[(frame.metric == TOP_1) & frame.floor.notna()]
    assert len(of_metric) == 3
    assert set(of_metric.floor) == {0.5}
    assert set(of_metric.ceiling) == {0.9}
    assert list(of_metric.above_floor_high - of_metric.above_floor) == pytest.approx([0.1] * 3)
    assert frame[frame.metric == "sae.sae_top_5_test_accuracy"].above_floor.isna().all()


def test_a_ranking_says_them(results: Path) -> None:
    first, second = rank(results, metrics=["Top-1", "Top-2"]).rankings[:2]
    known = [row.above_floor for row in first.saes if row.above_floor is not None]
    assert sorted(known) == pytest.approx([0.2, 0.4, 0.6])
    assert first.beside == ""  # one SAE does not know its floor
    columns = [column.header for column in ranking_table(first).columns]
    assert columns[-1] == "above floor"
    cells = [list(column.cells) for column in ranking_table(second).columns][-1]
    assert "-" in cells
    assert any(cell.startswith("0.600 (0.500 to 0.700)") for cell in cells)


def test_where_all_have_one_floor_it_stands_in_words(results: Path, tmp_path: Path) -> None:
    for path in sorted((results / "sparse_probing").glob("*.json"))[1:]:
        (tmp_path / path.name).write_text(path.read_text())
    first, second = rank(tmp_path, metrics=["Top-1", "Top-2"]).rankings[:2]
    assert first.beside == "floor 0.5 (guessing), ceiling 0.9 (the probe on all)"
    assert second.beside == "floor of its own for each SAE (guessing), ceiling 0.9 (the probe on all)"


def test_a_report_draws_a_floor_that_all_share(collected: Collected) -> None:
    values = collected.values[f"sparse_probing|{TOP_1}"]
    assert (values.reference("floor"), values.reference("ceiling")) == (0.5, 0.9)
    assert collected.values[f"sparse_probing|{TOP_2}"].reference("floor") is None
    packed = page_data(collected)["values"][f"sparse_probing|{TOP_1}"]
    assert sorted(packed["floor"], key=str) == [0.5, 0.5, 0.5, None]
    assert len(packed["above"]) == len(packed["alo"]) == len(packed["ahi"]) == 4
    assert "floor" not in page_data(collected)["values"]["sparse_probing|sae.sae_top_5_test_accuracy"]


def test_a_validity_that_cannot_be_read_is_no_result(results: Path, tmp_path: Path) -> None:
    path = sorted((results / "sparse_probing").glob("*.json"))[1]
    content = {**json.loads(path.read_text()), "validity": {TOP_1: {"floor": "half"}}}
    (tmp_path / "good.json").write_text(path.read_text())
    (tmp_path / "bad.json").write_text(json.dumps({**content, "sae_lens_id": "bad"}))
    (skipped,) = load_results(tmp_path).skipped
    assert skipped.path.name == "bad.json"
    assert "validity" in skipped.reason
