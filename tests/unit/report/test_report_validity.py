"""What `validate` and `compare --consistency` wrote beside results stands beside their metrics."""

from __future__ import annotations

from pathlib import Path

import pytest

from sae_bench.analysis.consistency import Consistencies, Consistency, PairConsistency
from sae_bench.analysis.validity import validate
from sae_bench.report.collect import collect
from sae_bench.report.page import render
from sae_bench.report.payload import page_data
from sae_bench.report.sources import load_sources
from sae_bench.testing.synthetic_panel import follows, write_panel

RANKS, INVALID = "scr|scr_metrics.scr_metric_threshold_10", "scr|scr_metrics.scr_metric_threshold_20"
ELSEWHERE = "An independent audit"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    write_panel(tmp_path, [follows(0.5), follows(0.0)], eval_name="scr")
    return tmp_path


def texts(folder: Path, key: str) -> list[tuple[str, bool]]:
    metric = collect(load_sources(folder)).metric(key)
    assert metric is not None
    return [(caveat.text, caveat.serious) for caveat in metric.caveats]


def test_a_verdict_takes_the_place_of_what_was_found_elsewhere(results: Path):
    (before, was_serious), *others = texts(results, RANKS)
    assert before.startswith(ELSEWHERE)
    assert was_serious
    (results / "validity.json").write_text(validate(results).model_dump_json())
    (good, good_serious), *rest = texts(results, RANKS)
    assert good.startswith("ranks SAEs here: trained SAEs beat every null baseline")
    assert not good_serious
    assert rest == others
    (bad, bad_serious), *_ = texts(results, INVALID)
    assert bad.startswith("not valid here: ")
    assert bad_serious


def test_the_page_has_a_row_per_metric_and_per_pair(results: Path):
    collected = collect(load_sources(results))
    assert page_data(collected)["run"]["sources"][0]["validity"] == []
    (results / "validity.json").write_text(validate(results).model_dump_json())
    pair = PairConsistency(
        a="r:a", b="r:b", pw_mcc=0.8, null=0.2, calibrated=0.75, shared=0.6, code_correlation=0.5, activity_iou=0.4,
        n_matched=64, n_silent=0, within_candidates=False,
    )  # fmt: skip
    of_hook = Consistency(
        model="m", hook="h", saes=["r:a", "r:b"], pw_mcc=0.8, null=0.2, calibrated=0.75, shared=0.6,
        code_correlation=0.5, activity_iou=0.4, n_tokens=10, pairs=[pair], sentence="they do", reason="2 runs",
    )  # fmt: skip
    (results / "consistency.json").write_text(Consistencies(hooks=[of_hook]).model_dump_json())
    collected = collect(load_sources(results))
    (facts,) = page_data(collected)["run"]["sources"]
    assert [row["verdict"] for row in facts["validity"]] == ["ranks SAEs here", "not valid here"]
    assert facts["validity"][0]["nulls"] == "20 of 20"
    assert facts["consistency"][0]["pairs"][0]["calibrated"] == 0.75
    assert not facts["skipped"]
    assert "What each metric is worth here" in render(collected, details=False)


def test_a_broken_file_is_named(results: Path):
    (results / "validity.json").write_text('{"metrics": [{"eval')
    (source,) = load_sources(results)
    assert source.validation is None
    assert [entry.path.name for entry in source.table.skipped] == ["validity.json"]
