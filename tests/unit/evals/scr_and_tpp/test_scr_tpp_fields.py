"""Configuration and output of scr and tpp: published names, plain refusals."""

import pytest
from pydantic import ValidationError

from sae_bench.evals.scr_and_tpp import eval_output as output
from sae_bench.evals.scr_and_tpp.eval_config import ScrAndTppEvalConfig, ScrEvalConfig, TppEvalConfig
from sae_bench.evals.scr_and_tpp.spec import SCR_SPEC, TPP_SPEC

N = (2, 5, 10, 20, 50, 100, 500)
SCR = [f"scr_{kind}_threshold_{n}" for n in N for kind in ("dir1", "metric", "dir2")]
TPP = [
    f"tpp_threshold_{n}_{kind}" for n in N for kind in ("total_metric", "intended_diff_only", "unintended_diff_only")
]


def test_defaults_are_the_published_ones():
    config = ScrAndTppEvalConfig()
    assert (config.random_seed, config.train_set_size, config.test_set_size) == (42, 4000, 1000)
    assert (config.context_length, config.sae_batch_size, config.llm_batch_size) == (128, 125, None)
    assert (config.probe_train_batch_size, config.probe_test_batch_size, config.probe_epochs) == (16, 500, 20)
    assert (config.probe_lr, config.probe_l1_penalty, config.early_stopping_patience) == (1e-3, 1e-3, 20)
    assert config.n_values == list(N)
    assert config.perform_scr is True
    assert [len(pairs) for pairs in config.column1_vals_lookup.values()] == [4, 4]
    assert config.column1_vals_lookup["LabHC/bias_in_bios_class_set1"][0] == ("professor", "nurse")
    assert config.dataset_names == list(config.column1_vals_lookup)
    assert ScrAndTppEvalConfig(probe_test_batch_size=4000).probe_test_batch_size == 500


def test_field_names_and_their_order_are_the_published_ones():
    assert list(output.ScrMetrics.model_fields) == SCR
    assert list(output.TppMetrics.model_fields) == TPP
    assert list(output.ScrResultDetail.model_fields)[: len(SCR) + 1] == ["dataset_name", *SCR]
    assert list(output.TppResultDetail.model_fields) == ["dataset_name", *TPP]
    assert list(output.ScrMetricCategories.model_fields) == ["scr_metrics"]
    assert list(output.TppMetricCategories.model_fields) == ["tpp_metrics"]


@pytest.mark.parametrize("model", [output.ScrMetrics, output.TppMetrics, output.ScrResultDetail])
def test_every_field_has_a_title_and_a_description(model):
    for name, field in model.model_fields.items():
        assert field.description, name


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_values": [0, 1]}, r"n_values must be 1 or more, got \[0, 1\]"),
        ({"n_values": [2, 2]}, r"n_values must differ from one another, got \[2, 2\]"),
        ({"dataset_names": []}, "name at least one data set"),
        ({"dataset_names": ["a", "a"]}, "holds a name twice"),
        ({"column1_vals_lookup": {"a": [("x", "x")]}}, "two different classes"),
        ({"column1_vals_lookup": {"a": []}}, "one or more pairs"),
        ({"column1_vals_lookup": "not json"}, "must be JSON"),
        ({"probe_lr": 0.0}, "greater than 0"),
        ({"n_value": [1]}, "n_value"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        ScrAndTppEvalConfig(**settings)


def test_other_n_are_kept_and_other_extras_refused():
    assert output.ScrMetrics(scr_metric_threshold_3=0.5).model_dump()["scr_metric_threshold_3"] == 0.5
    assert output.TppMetrics(tpp_threshold_3_total_metric=0.5).model_dump()["tpp_threshold_3_total_metric"] == 0.5
    for model, extra in ((output.ScrMetrics, "scr_metric_threshold_0"), (output.TppMetrics, "scr_metric_threshold_3")):
        with pytest.raises(ValidationError, match="is no score of this eval"):
            model(**{extra: 0.5})


@pytest.mark.parametrize(
    ("output", "config", "categories"),
    [
        (
            output.ScrEvalOutput,
            ScrEvalConfig,
            output.ScrMetricCategories(scr_metrics=output.ScrMetrics(scr_metric_threshold_10=0.5)),
        ),
        (output.TppEvalOutput, TppEvalConfig, output.TppMetricCategories(tpp_metrics=output.TppMetrics())),
    ],
)
def test_an_output_makes_the_round_trip(output, config, categories):
    made = output(
        eval_config=config(),
        eval_id="id",
        datetime_epoch_millis=1,
        eval_result_metrics=categories,
        sae_bench_commit_hash="Unknown",
        sae_lens_id="id",
        sae_lens_release_id="release",
        sae_lens_version=None,
        sae_cfg_dict={},
    )
    assert output.model_validate_json(made.to_json()) == made
    assert output.model_json_schema()["title"] == output.model_config["title"]


@pytest.mark.parametrize("spec", [SCR_SPEC, TPP_SPEC])
def test_the_first_headline_metrics_are_those_shown_by_default(spec):
    fields = next(iter(spec.output.model_fields["eval_result_metrics"].annotation.model_fields.values())).annotation
    shown = [
        name for name, field in fields.model_fields.items() if (field.json_schema_extra or {}).get("ui_default_display")
    ]
    assert [metric.path.split(".")[1] for metric in spec.metrics[:2]] == shown
