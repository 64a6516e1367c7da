"""Published numbers of result files: their types, what a file must have, and -1 for null on request."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel
from tiny_runs import handle

from sae_bench.analysis.table import load_results
from sae_bench.evals.absorption.eval_output import AbsorptionEvalOutput
from sae_bench.evals.core.eval_output import CoreEvalOutput
from sae_bench.evals.registry import eval_names, get_eval
from sae_bench.results.published_numbers import PUBLISHED_NUMBERS, with_published_nulls, without_published_nulls
from sae_bench.run.runner import RunPlan, run

OUTPUTS = {get_eval(name).type_id: get_eval(name).output for name in eval_names()}
NAMES = {"dataset_name", "first_letter"}
OF_OTHER_FORM = {"autointerp", "ravel", "unlearning", "meta_structure_decoder_variance"}
"""Evals whose published files have no rows of details, so that ours may require what they like."""


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def _metrics(type_id: str) -> dict[str, Any]:
    """Metric -> its schema, of all categories of an eval."""
    (categories,) = _models(OUTPUTS[type_id].model_fields["eval_result_metrics"].annotation)
    fields: dict[str, Any] = {}
    for category in categories.model_fields.values():
        (metrics,) = _models(category.annotation)
        fields |= metrics.model_json_schema()["properties"]
    return fields


def _details(type_id: str) -> dict[str, Any]:
    (row,) = _models(OUTPUTS[type_id].model_fields["eval_result_details"].annotation)
    return row.model_json_schema()


def _type(schema: dict[str, Any]) -> str:
    types = [schema.get("type"), *(option.get("type") for option in schema.get("anyOf", ()))]
    (only,) = [kind for kind in types if kind not in (None, "null")]
    return only


@pytest.mark.parametrize("type_id", PUBLISHED_NUMBERS)
def test_published_numbers_are_there_and_whole_where_they_must_be(type_id: str):
    numbers = PUBLISHED_NUMBERS[type_id]
    for names, fields in ((numbers.metrics, _metrics(type_id)), (numbers.details, _details(type_id)["properties"])):
        for name in names:
            assert _type(fields[name]) == ("integer" if name in numbers.whole else "number"), name


@pytest.mark.parametrize("type_id", PUBLISHED_NUMBERS)
def test_nothing_that_this_package_added_is_required(type_id: str):
    numbers = PUBLISHED_NUMBERS[type_id]
    assert [
        name for name, schema in _metrics(type_id).items() if "default" not in schema and name not in numbers.metrics
    ] == []
    if type_id not in OF_OTHER_FORM:
        assert set(_details(type_id).get("required", ())) <= numbers.details | NAMES


def test_which_evals_have_no_published_result_file():
    assert set(OUTPUTS) - set(PUBLISHED_NUMBERS) == {"mdl", "ground_truth"}


def test_published_absorption_results_load():
    row = {
        "first_letter": "a", "mean_absorption_fraction": 0.1, "full_absorption_rate": 0.2, "num_full_absorption": 2,
        "num_probe_true_positives": 10, "num_split_features": 1,
    }  # fmt: skip
    mean = dict.fromkeys(PUBLISHED_NUMBERS["absorption_first_letter"].metrics, 0.5)
    config = {"model_name": "gemma-2-2b", "llm_batch_size": 32, "min_GT_probe_f1": 0.6, "min_feats_for_eval": 20}
    output = AbsorptionEvalOutput.model_validate(
        {
            "eval_type_id": "absorption_first_letter", "eval_config": config, "eval_id": "x",
            "datetime_epoch_millis": 1736485313294, "eval_result_metrics": {"mean": mean},
            "eval_result_details": [row], "sae_bench_commit_hash": "abc", "sae_lens_id": "a", "sae_lens_version": "5",
            "sae_lens_release_id": "b", "sae_cfg_dict": {}, "eval_result_unstructured": None,
        }
    )  # fmt: skip
    assert (output.eval_result_details[0].num_full_absorption, output.eval_result_details[0].probe_f1) == (2, None)
    assert output.eval_config.min_feats_for_eval == 20


# ---- -1 for null


def _without_kl(make_plan: Callable[..., RunPlan], **changes: Any) -> tuple[Path, RunPlan]:
    plan = make_plan([handle("a")], evals=["core"])
    (request,) = plan.evals
    request = dataclasses.replace(request, config=dataclasses.replace(request.config, compute_kl=False))
    plan = dataclasses.replace(plan, evals=[request], **changes)
    (path,) = run(plan).written
    return path, plan


def test_null_is_written_as_minus_one_on_request_and_read_as_null(make_plan: Callable[..., RunPlan]):
    path, plan = _without_kl(make_plan, published_nulls=True)
    content = json.loads(path.read_text())
    behavior = content["eval_result_metrics"]["model_behavior_preservation"]
    assert behavior == {"kl_div_score": -1, "kl_div_with_ablation": -1, "kl_div_with_sae": -1}
    assert any("kl_div_score" in name for name in content["not_computed"])
    assert content["provenance"]["published_nulls"] is True
    (record,) = load_results(plan.output_folder).records
    assert not any("kl_div" in name for name in record.values)
    assert record.read()["eval_result_metrics"]["model_behavior_preservation"]["kl_div_score"] is None
    assert run(plan).written == []


def test_without_the_request_null_stays_null(make_plan: Callable[..., RunPlan]):
    path, _ = _without_kl(make_plan)
    content = json.loads(path.read_text())
    assert content["eval_result_metrics"]["model_behavior_preservation"]["kl_div_score"] is None
    assert content["provenance"]["published_nulls"] is False
    output = CoreEvalOutput.model_validate(content)
    assert output.to_dict() == content
    other = path.with_name("copy.json")
    output.to_json_file(other)
    assert other.read_text() == path.read_text()


def test_only_published_numbers_are_replaced_and_a_minus_one_of_others_stays():
    content = {
        "eval_type_id": "ravel", "eval_result_metrics": {"ravel": {"cause_score": None, "isolation_score": 0.5}},
        "eval_result_details": [{"cause_score": None, "note": -1}], "not_computed": {"a": "why"},
        "provenance": {"published_nulls": False},
    }  # fmt: skip
    written = with_published_nulls(content)
    assert written["eval_result_metrics"] == {"ravel": {"cause_score": -1, "isolation_score": 0.5}}
    assert written["eval_result_details"] == content["eval_result_details"]
    assert without_published_nulls(written)["eval_result_metrics"] == content["eval_result_metrics"]
    assert without_published_nulls({**content, "eval_result_metrics": {"ravel": {"cause_score": -1}}}) == {
        **content, "eval_result_metrics": {"ravel": {"cause_score": -1}},
    }  # fmt: skip
