"""Result files of the published package in the forms that its versions wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from written_results import published

from sae_bench.analysis import published_forms as forms
from sae_bench.analysis.table import Record, load_results
from sae_bench.errors import ResultError

QUALITY = {"explained_variance": 0.9, "mse": 2.0, "cossim": 0.95}
LETTER = {"first_letter": "a", "num_probe_true_positives": 10, "num_split_features": 1}
ABSORPTION = "absorption_first_letter"


def rewritten(path: Path, **changes: Any) -> Path:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return path


def only(folder: Path) -> Record:
    (record,) = load_results(folder).records
    return record


def test_explained_variance_up_to_0_4_0_is_the_legacy_one(tmp_path: Path):
    published(tmp_path, "x", {"reconstruction_quality": dict(QUALITY)})
    record = only(tmp_path)
    assert record.values == {
        "reconstruction_quality.explained_variance_legacy": 0.9,
        "reconstruction_quality.mse": 2.0,
        "reconstruction_quality.cossim": 0.95,
    }
    assert (record.protocol, record.moved) == (forms.OLD_CORE, (forms.LEGACY_VARIANCE,))


def test_later_files_have_both_variances_where_they_belong(tmp_path: Path):
    published(tmp_path, "x", {"reconstruction_quality": {**QUALITY, "explained_variance_legacy": 0.95}})
    record = only(tmp_path)
    assert record.values["reconstruction_quality.explained_variance"] == 0.9
    assert record.values["reconstruction_quality.explained_variance_legacy"] == 0.95
    assert (record.protocol, record.moved) == (forms.NEW_CORE, ())


def test_the_first_core_files_hold_their_latents_as_lists(tmp_path: Path):
    path = published(tmp_path, "x", {"sparsity": {"l0": 3.0}})
    rewritten(path, eval_result_details=[{"feature_density": [0.1, 0.0], "encoder_norm": [1.0, 2.0]}])
    assert only(tmp_path).read()["eval_result_details"] == [
        {"index": 0, "feature_density": 0.1, "encoder_norm": 1.0},
        {"index": 1, "feature_density": 0.0, "encoder_norm": 2.0},
    ]


def test_absorption_of_0_1_and_0_2(tmp_path: Path):
    path = published(
        tmp_path, "x", {"mean": {"mean_absorption_score": 0.2, "mean_num_split_features": 1.5}}, eval_name=ABSORPTION
    )
    rewritten(path, eval_result_details=[{**LETTER, "absorption_rate": 0.2, "num_absorption": 2}])
    record = only(tmp_path)
    assert record.values == {"mean.mean_full_absorption_score": 0.2, "mean.mean_num_split_features": 1.5}
    assert record.protocol == forms.OLDEST_ABSORPTION
    (row,) = record.read()["eval_result_details"]
    assert (row["full_absorption_rate"], row["num_full_absorption"]) == (0.2, 2)


@pytest.mark.parametrize(
    ("config", "field", "protocol"),
    [
        ({}, "mean_absorption_fraction_score", forms.OLD_ABSORPTION),
        ({"min_GT_probe_f1": 0.6}, "mean_absorption_fraction_thresholded_score", forms.NEW_ABSORPTION),
    ],
)
def test_the_absorption_fraction_was_redefined_in_0_4_1(tmp_path: Path, config: dict, field: str, protocol: str):
    metrics = {"mean": {"mean_absorption_fraction_score": 0.3, "mean_full_absorption_score": 0.1}}
    rewritten(published(tmp_path, "x", metrics, eval_name=ABSORPTION), eval_config=config)
    record = only(tmp_path)
    assert record.values == {f"mean.{field}": 0.3, "mean.mean_full_absorption_score": 0.1}
    assert record.protocol == protocol


def test_times_written_as_text_are_compared_as_numbers(tmp_path: Path):
    for folder, time in (("a", "1729834113150"), ("b", 1_600_000_000_000)):
        rewritten(published(tmp_path / folder, "x", {"sparsity": {"l0": 3.0}}), datetime_epoch_millis=time)
    table = load_results(tmp_path)
    assert table.records[0].path.is_relative_to(tmp_path / "a")
    assert len(table.skipped) == 1


def test_own_results_keep_their_names_and_protocol():
    content = {"eval_type_id": "core", "eval_result_metrics": {"reconstruction_quality": dict(QUALITY)},
               "provenance": {"protocol": "core-1"}}  # fmt: skip
    current, protocol, moved = forms.as_current(content)
    assert (current["eval_result_metrics"]["reconstruction_quality"], protocol, moved) == (QUALITY, "core-1", ())


def test_files_whose_parts_are_of_the_wrong_kind_are_skipped(tmp_path: Path):
    published(tmp_path, "good", {"sparsity": {"l0": 3.0}})
    rewritten(published(tmp_path, "bad", {"sparsity": {"l0": 3.0}}), provenance=["x"])
    rewritten(published(tmp_path, "worse", {"sparsity": {"l0": 3.0}}), eval_config="none")
    table = load_results(tmp_path)
    assert table.saes() == ["old:good"]
    assert sorted(entry.reason for entry in table.skipped) == [
        "broken: its eval_config is no mapping", "broken: its provenance is no mapping",
    ]  # fmt: skip


def test_ravel_of_early_2025_is_the_eval_ravel(tmp_path: Path):
    content = {
        "eval_type_id": "RAVEL", "eval_config": {}, "eval_result_metrics": {"ravel": {"cause_score": 0.6}},
        "eval_result_details": [], "sae_lens_release_id": "release", "sae_lens_id": "sae",
    }  # fmt: skip
    (tmp_path / "one.json").write_text(json.dumps(content))
    (record,) = load_results(tmp_path).records
    assert (record.eval_name, record.values["ravel.cause_score"]) == ("ravel", 0.6)


@pytest.mark.parametrize("key", ["custom_eval_config", "eval_results", "eval_config"])
def test_a_file_from_before_there_were_metrics_is_named_as_that(key: str, tmp_path: Path):
    (tmp_path / "old.json").write_text(json.dumps({key: {"score": 0.5}}))
    with pytest.raises(ResultError, match="of 2024"):
        load_results(tmp_path)
