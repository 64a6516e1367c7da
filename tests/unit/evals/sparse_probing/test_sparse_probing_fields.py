"""Configuration and output of sparse probing: published names, plain refusals."""

import json

import pytest
from pydantic import ValidationError

from sae_bench.evals.sparse_probing.eval_config import SparseProbingEvalConfig
from sae_bench.evals.sparse_probing.eval_output import (
    SparseProbingEvalOutput,
    SparseProbingLlmMetrics,
    SparseProbingMetricCategories,
    SparseProbingResultDetail,
    SparseProbingSaeMetrics,
)

TOP = [f"top_{k}_test_accuracy" for k in (1, 2, 5, 10, 20, 50, 100)]
LLM = ["llm_test_accuracy", *(f"llm_{name}" for name in TOP)]
SAE = ["sae_test_accuracy", *(f"sae_{name}" for name in TOP)]


def test_defaults_are_the_published_ones():
    config = SparseProbingEvalConfig()
    assert (config.random_seed, config.probe_train_set_size, config.probe_test_set_size) == (42, 4000, 1000)
    assert (config.context_length, config.sae_batch_size, config.llm_batch_size) == (128, 125, None)
    assert (config.llm_dtype, config.model_name, config.k_values) == ("", "", [1, 2, 5])
    assert len(config.dataset_names) == 8
    assert config.probe_selection == "test"
    assert config.wants_all_latents_probe


def test_two_configs_share_no_list():
    SparseProbingEvalConfig().k_values.append(7)
    assert SparseProbingEvalConfig().k_values == [1, 2, 5]


@pytest.mark.parametrize("model", [SparseProbingLlmMetrics, SparseProbingSaeMetrics])
def test_every_field_has_a_title_and_a_description(model):
    for name, field in model.model_fields.items():
        assert field.description, name


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"k_values": [0, 1]}, r"k_values must be 1 or more, got \[0, 1\]"),
        ({"k_values": [2, 2]}, r"k_values must differ from one another, got \[2, 2\]"),
        ({"k_values": []}, "at least 1 item"),
        ({"dataset_names": []}, "name at least one data set"),
        ({"dataset_names": ["a", "a"]}, "holds a name twice"),
        ({"probe_selection": "train"}, "'test' or 'validation'"),
        ({"k_value": [1]}, "k_value"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        SparseProbingEvalConfig(**settings)


def test_field_names_and_their_order_are_the_published_ones():
    assert list(SparseProbingLlmMetrics.model_fields) == LLM
    assert list(SparseProbingSaeMetrics.model_fields) == SAE
    assert list(SparseProbingResultDetail.model_fields) == ["dataset_name", *LLM, *SAE]


def test_only_the_accuracy_of_the_whole_stream_is_required():
    assert SparseProbingLlmMetrics(llm_test_accuracy=0.9).model_dump() == {
        **dict.fromkeys(LLM),
        "llm_test_accuracy": 0.9,
    }
    assert SparseProbingSaeMetrics().model_dump() == dict.fromkeys(SAE)
    with pytest.raises(ValidationError, match="llm_test_accuracy"):
        SparseProbingLlmMetrics()


def test_other_k_are_kept():
    metrics = SparseProbingSaeMetrics(sae_top_3_test_accuracy=0.5, sae_top_7_test_accuracy=None)
    assert SparseProbingSaeMetrics.model_validate_json(metrics.model_dump_json()) == metrics
    assert metrics.model_dump()["sae_top_3_test_accuracy"] == 0.5
    row = SparseProbingResultDetail(dataset_name="x", llm_test_accuracy=1, llm_top_3_test_accuracy=0.1)
    assert row.model_dump()["llm_top_3_test_accuracy"] == 0.1


@pytest.mark.parametrize(
    "extra",
    [{"sae_top_0_test_accuracy": 0.5}, {"llm_top_3_test_accuracy": 0.5}, {"f1": 1.0}, {"sae_top_3_test_accuracy": "x"}],
)
def test_other_extra_fields_are_refused(extra):
    with pytest.raises(ValidationError):
        SparseProbingSaeMetrics(**extra)


def test_an_output_makes_the_round_trip():
    output = SparseProbingEvalOutput(
        eval_config=SparseProbingEvalConfig(k_values=[1, 3]),
        eval_id="id",
        datetime_epoch_millis=1,
        eval_result_metrics=SparseProbingMetricCategories(
            llm=SparseProbingLlmMetrics(llm_test_accuracy=0.9, llm_top_3_test_accuracy=0.6),
            sae=SparseProbingSaeMetrics(),
        ),
        eval_result_details=[SparseProbingResultDetail(dataset_name="x_results", llm_test_accuracy=0.9)],
        sae_bench_commit_hash="Unknown",
        sae_lens_id="id",
        sae_lens_release_id="release",
        sae_lens_version=None,
        sae_cfg_dict={},
    )
    text = output.to_json()
    assert json.loads(text)["eval_type_id"] == "sparse_probing"
    assert json.loads(text)["eval_result_metrics"]["llm"]["llm_top_3_test_accuracy"] == 0.6
    assert SparseProbingEvalOutput.model_validate_json(text) == output


def test_the_schema_can_be_written():
    schema = SparseProbingEvalOutput.model_json_schema()
    assert schema["title"] == "Sparse Probing"
    shown = schema["$defs"]["SparseProbingSaeMetrics"]["properties"]
    assert [name for name, field in shown.items() if field.get("ui_default_display")] == SAE[:4]
