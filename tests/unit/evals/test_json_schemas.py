"""Schemas and types of result files: fresh, with the published names, and able to tell a result from something else."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator, ValidationError
from pydantic import Field
from tiny_runs import handle

from sae_bench.cli import typescript_types
from sae_bench.errors import PrerequisiteError
from sae_bench.evals import generate_json_schemas as schemas
from sae_bench.evals.base import EvalSpec
from sae_bench.evals.core.eval_output import CoreEvalOutput
from sae_bench.evals.registry import eval_names, get_eval
from sae_bench.results import model as base
from sae_bench.run.runner import RunPlan, run


@pytest.mark.parametrize("name", eval_names())
def test_schema_and_types_are_fresh(name: str):
    """They were made from the output class as it is now; otherwise the message says how to make them again."""
    found = schemas.stale([get_eval(name)])
    assert not found, f"{'; '.join(found)}. Next: {schemas.COMMAND}"


@pytest.mark.parametrize("name", eval_names())
def test_schema_is_one(name: str):
    schema = schemas.output_schema(get_eval(name).output)
    Draft202012Validator.check_schema(schema)
    shown = [
        k for d in schema["$defs"].values() for k, v in d.get("properties", {}).items() if v.get("ui_default_display")
    ]
    assert shown, f"no field of '{name}' is shown first"


@pytest.mark.slow
def test_types_are_those_that_the_tool_makes(tmp_path: Path):
    """The full check, where Node.js and the tool are there already."""
    made = {schemas.schema_name(get_eval(name)): schemas.output_schema(get_eval(name).output) for name in eval_names()}
    try:
        paths = typescript_types.generate(made, tmp_path, offline=True)
    except PrerequisiteError as error:
        pytest.skip(str(error))
    for path in paths:
        assert path.read_text() == typescript_types.types_path(path.name.removesuffix(".d.ts")).read_text()


# ---- what is published


def test_published_names_of_core():
    schema = schemas.output_schema(CoreEvalOutput)
    assert schema["title"] == "Core"
    assert schema["required"] == [
        "eval_config", "eval_id", "datetime_epoch_millis", "eval_result_metrics", "sae_bench_commit_hash",
        "sae_lens_id", "sae_lens_release_id", "sae_lens_version", "sae_cfg_dict",
    ]  # fmt: skip
    assert schema["properties"]["eval_type_id"]["default"] == "core"
    assert schema["properties"]["eval_result_details"]["type"] == "array"
    assert schema["$defs"]["SparsityMetrics"]["properties"]["l0"]["ui_default_display"] is True
    assert "ui_default_display" not in schema["$defs"]["SparsityMetrics"]["properties"]["l1"]
    assert set(schema["$defs"]["CoreFeatureMetric"]["properties"]) >= {"index", "feature_density", "encoder_norm"}


def test_place_and_name_of_a_schema():
    path = schemas.schema_path(get_eval("core"))
    assert path.parent.name == "core"
    assert path.name == "eval_output_schema_core.json"


# ---- results


def test_results_validate_and_other_things_do_not(make_plan: Callable[..., RunPlan]):
    for path in run(make_plan([handle("a")], seeds=(1, 2))).written:
        content = json.loads(path.read_text())
        kept = schemas.schema_path(get_eval(path.parent.name)).read_text()
        validator = Draft202012Validator(json.loads(kept))
        validator.validate(content)
        for broken in (_without(content, "eval_config"), {**content, "eval_id": 3}, {**content, "invented": 1}):
            with pytest.raises(ValidationError):
                validator.validate(broken)


def test_every_result_of_a_test_is_validated(make_plan: Callable[..., RunPlan], monkeypatch: pytest.MonkeyPatch):
    """The fixture of all tests is at work: a result that does not fit its schema stops the run."""
    lacking = CoreEvalOutput.model_construct(eval_id="1", sae_lens_id="a")
    monkeypatch.setattr("sae_bench.run.writing.ResultWriter.describe", lambda *_, **__: lacking)
    with pytest.raises(ValidationError):
        run(make_plan([handle("a")], evals=["core"]))


# ---- an eval that changed, and one that is new


class _NewMetrics(base.BaseMetrics):
    score: float | None = Field(default=None, json_schema_extra=base.DEFAULT_DISPLAY)


class _NewCategories(base.BaseMetricCategories):
    new: _NewMetrics


class _NewOutput(base.BaseEvalOutput[base.BaseEvalConfig, _NewCategories, base.BaseResultDetail]):
    eval_type_id: str = "new_eval"


def new_spec() -> EvalSpec:
    return replace(get_eval("core"), name="new", output=_NewOutput)


def test_a_new_eval_without_schema_is_named():
    assert schemas.stale([new_spec()]) == [
        "'new' has no schema (eval_output_schema_new_eval.json)",
        "'new' has no TypeScript types (eval_output_schema_new_eval.d.ts)",
    ]


def test_a_changed_output_shows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    spec = new_spec()
    old = tmp_path / "eval_output_schema_new_eval.json"
    monkeypatch.setattr(schemas, "schema_path", lambda _spec: old)
    monkeypatch.setattr(typescript_types, "FOLDER", tmp_path)
    schemas.generate_json_schema(_NewOutput, old)
    head = f"/* {old.name}, schema sha256 {typescript_types.digest(schemas.output_schema(_NewOutput))} */\n"
    (tmp_path / "eval_output_schema_new_eval.d.ts").write_text(head)
    assert schemas.stale([spec]) == []

    class ChangedOutput(_NewOutput):
        one_more: int = 0

    found = schemas.stale([replace(spec, output=ChangedOutput)])
    assert len(found) == 2
    assert all("is older than" in line for line in found)


def test_main_writes_every_schema(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(schemas, "schema_path", lambda spec: tmp_path / f"{schemas.schema_name(spec)}.json")
    assert len(schemas.main()) == len(eval_names())
    assert json.loads((tmp_path / "eval_output_schema_core.json").read_text())["title"] == "Core"


def test_check_says_which_command_to_run(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(schemas, "registered_specs", lambda: [new_spec()])
    answer = CliRunner().invoke(schemas.command, ["--check"])
    assert answer.exit_code == 1
    assert "'new' has no schema" in answer.output
    assert "Next: make schemas" in answer.output


def test_digest_does_not_depend_on_the_order_of_keys():
    assert typescript_types.digest({"a": 1, "b": {"c": 2, "d": 3}}) == typescript_types.digest(
        {"b": {"d": 3, "c": 2}, "a": 1}
    )


def test_no_node_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr("shutil.which", lambda _name: None)
    with pytest.raises(PrerequisiteError, match="install Node"):
        typescript_types.generate({"x": {"type": "object"}}, tmp_path)


def _without(content: dict[str, Any], key: str) -> dict[str, Any]:
    return {k: v for k, v in content.items() if k != key}
