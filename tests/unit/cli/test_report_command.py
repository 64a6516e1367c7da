"""`sae-bench report`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sae_bench.testing.synthetic_results import write_synthetic_results

Call = Callable[..., Any]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    write_synthetic_results(tmp_path / "mine", 3, evals=("core",), n_units=12, n_latents=5)
    return tmp_path / "mine"


@pytest.mark.slow
def test_a_report_beside_others_with_figures(results: Path, sae_bench: Call, tmp_path: Path):
    write_synthetic_results(tmp_path / "theirs", 2, evals=("core",), n_units=12, n_latents=5)
    target = tmp_path / "r.html"
    figures = tmp_path / "figures"
    said = sae_bench("report", results, "-o", target, "--with", tmp_path / "theirs", "--figures", figures)
    assert said.code == 0, said.err
    assert f"{target}: 5 SAEs, 1 evals" in said.out
    assert f"figures in {figures}" in said.out
    assert target.stat().st_size > 1_000_000
    assert list(figures.glob("core_ce_loss_score_by_l0.*"))


def test_the_page_goes_into_the_folder_and_is_no_result(results: Path, sae_bench: Call):
    assert sae_bench("report", results).code == 0
    assert (results / "report.html").exists()
    again = sae_bench("report", results)
    assert (again.code, again.err) == (0, "")


def test_files_that_cannot_be_used_are_named_and_the_rest_is_shown(results: Path, sae_bench: Call):
    (results / "core" / "cut.json").write_text('{"eval_type_id": "co')
    (results / "core" / "failed").mkdir()
    (results / "core" / "failed" / "x_core.txt").write_text("Traceback\nValueError: it broke\n")
    said = sae_bench("report", results)
    assert said.code == 0
    assert "cut.json: broken or cut off" in said.message
    page = (results / "report.html").read_text()
    assert "2 files not used" in page
    assert "ValueError: it broke" in page


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "'nowhere' does not exist"),
        (["someone/results_of_theirs"], "HF_HUB_OFFLINE is set"),
        ([], "Missing argument"),
        (["nowhere", "--columns", "1"], "Next: add --figures DIR"),
    ],
)
def test_wrong_use(sae_bench: Call, arguments: list[str], message: str):
    said = sae_bench("report", *arguments)
    assert said.code == 2
    assert message in said.message
    assert "Traceback" not in said.err


def test_a_folder_without_results(sae_bench: Call, tmp_path: Path):
    said = sae_bench("report", tmp_path)
    assert (said.code, "holds no result" in said.message) == (2, True)
    assert not (tmp_path / "report.html").exists()
