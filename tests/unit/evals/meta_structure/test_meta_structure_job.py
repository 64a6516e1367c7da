"""meta_structure in a run, its error bars, the published functions and flags."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click
import pytest
import torch
from click.testing import CliRunner
from pydantic import ValidationError
from tiny_runs import handle, read

from sae_bench.analysis.table import load_results
from sae_bench.custom_saes.loading import Member
from sae_bench.evals.base import EvalContext
from sae_bench.evals.meta_structure import main
from sae_bench.evals.meta_structure.eval_config import MetaStructureEvalConfig
from sae_bench.evals.meta_structure.eval_output import MetaStructureEvalOutput
from sae_bench.evals.meta_structure.evaluate import EXPLAINED, MSE, MetaStructureJob, score_decoder
from sae_bench.evals.registry import get_eval
from sae_bench.language_models import LanguageModel
from sae_bench.results.references import describe_references
from sae_bench.run.planning import make_config
from sae_bench.run.runner import EvalRequest, RunPlan, run
from sae_bench.testing import tiny_model, tiny_sae

HOOK = "blocks.1.hook_resid_post"
PUBLISHED_DEFAULTS: dict[str, Any] = {
    "random_seed": 42,
    "width_ratio": 0.25,
    "k": 4,
    "train_steps": 1500,
    "train_batch_size": 1024,
    "learning_rate": 5e-4,
    "weight_decay": 0.0,
    "autocast": True,
    "eval_batch_size": 4096,
    "dead_feature_window": 2000,
    "feature_sampling_window": 200,
    "dtype": "float32",
}
TINY = {"train_steps": 20, "train_batch_size": 16, "k": 2}


def plan_of(make_plan: Any, lm: LanguageModel, names: list[str], **changes: Any) -> RunPlan:
    spec = get_eval("meta_structure")
    config = make_config(spec, {"model_name": lm.name, "llm_dtype": "float32", **TINY})
    plan = make_plan([handle(name, seed=i) for i, name in enumerate(names)], evals=(), **changes)
    return RunPlan(**{**plan.__dict__, "evals": [EvalRequest(spec, config)]})


def without_time(path: Path) -> dict[str, Any]:
    content = read(path)
    content["eval_result_metrics"]["meta_structure"].pop("train_time_seconds")
    return content


def test_a_run_reads_no_text_and_resumes(make_plan, lm: LanguageModel, monkeypatch: pytest.MonkeyPatch):
    first = run(plan_of(make_plan, lm, ["a"], seeds=(1, 2)))
    assert first.n_tokens == 0
    output = MetaStructureEvalOutput.model_validate_json(first.written[0].read_text())
    metrics = output.eval_result_metrics.meta_structure
    assert [r.seed for r in output.seed_results] == [1, 2]
    mean = sum(r.metrics[EXPLAINED] for r in output.seed_results) / 2
    assert metrics.decoder_fraction_variance_explained == pytest.approx(mean)
    assert 0 < metrics.decoder_fraction_variance_explained < 1
    statistics = output.statistics[EXPLAINED]
    assert (statistics.n_seeds, statistics.n_units, statistics.unit) == (2, 64, "decoder row")
    assert statistics.ci_low < statistics.mean < statistics.ci_high
    again = run(plan_of(make_plan, lm, ["a", "b"], seeds=(1, 2)))
    assert (len(again.skipped), len(again.written)) == (1, 1)


def test_company_changes_nothing(make_plan, lm: LanguageModel, tmp_path: Path):
    (alone,) = run(plan_of(make_plan, lm, ["a"], out=tmp_path / "one")).written
    beside = run(plan_of(make_plan, lm, ["a", "b"], out=tmp_path / "two")).written
    assert without_time(alone) == without_time(beside[0])


def test_samples_average_to_the_metrics(lm: LanguageModel):
    config = MetaStructureEvalConfig(**TINY)
    job = MetaStructureJob(EvalContext(lm, (HOOK,), (1, 2, 3)), config)
    members = [Member("tiny", f"relu{i}", tiny_sae("relu", seed=i), HOOK) for i in range(2)]
    assert not job.requests(members)
    assert job.datasets == {}
    scores = [job.score(member) for member in members]
    for path in (EXPLAINED, MSE):
        samples = scores[0].samples[path]
        assert samples.seed_values() == pytest.approx([r.metrics[path] for r in scores[0].seed_results], rel=1e-5)
        assert samples.key != scores[1].samples[path].key, "rows of two SAEs are not the same rows"
        assert samples.key == job.score(members[0]).samples[path].key


def test_half_precision_decoders(lm: LanguageModel):
    sae = tiny_sae("relu").to(dtype=torch.bfloat16)
    job = MetaStructureJob(EvalContext(lm, (HOOK,), (1,)), MetaStructureEvalConfig(**TINY))
    scores = job.score(Member("tiny", "half", sae, HOOK))
    assert 0 < scores.metrics.meta_structure.decoder_fraction_variance_explained < 1


@pytest.fixture
def model_dir(tmp_path: Path) -> str:
    lm = tiny_model("gpt2")
    lm.model.save_pretrained(tmp_path / "model")
    lm.tokenizer.save_pretrained(tmp_path / "model")
    return str(tmp_path / "model")


def test_the_published_functions(model_dir: str, tmp_path: Path):
    sae = tiny_sae("relu", model_name=model_dir)
    config = MetaStructureEvalConfig(**TINY, random_seed=5)
    found = main.run_eval(config, [("mine", sae)], "cpu", tmp_path / "out")
    single = main.run_eval_single_sae("mine", "custom_sae", sae, config, "cpu")
    explained = single.eval_result_metrics.meta_structure.decoder_fraction_variance_explained
    assert found == {"mine_custom_sae": pytest.approx(explained, rel=1e-9)}
    assert single.eval_type_id == "meta_structure_decoder_variance"
    assert single.seed_results[0].seed == 5
    other = main.run_eval_single_sae("mine", "x", sae, replace(config, random_seed=6), "cpu")
    assert other.eval_result_metrics.meta_structure.decoder_fraction_variance_explained != explained
    path = tmp_path / "published" / "mine_x_eval_results.json"
    path.parent.mkdir()
    path.write_text(single.to_json())
    (record,) = load_results(path.parent).records
    assert record.spec is get_eval("meta_structure"), "files with the published id are read"


def test_the_published_flags():
    flags = {name for p in main.command.params for name in (*p.opts, *p.secondary_opts)}
    published = ["sae_regex_pattern", "sae_id_pattern", "output_folder", "force_rerun"]
    published += [name for name in PUBLISHED_DEFAULTS if name not in ("dead_feature_window", "feature_sampling_window")]
    assert {f"--{name}" for name in published} <= flags
    wrong = CliRunner().invoke(
        main.command, ["--sae_regex_pattern", "embedded", "--sae_id_pattern", ".*", "--no-autocast", "--dtype", "int8"]
    )
    assert isinstance(wrong.exception, Exception)
    assert "dtype must be one of" in str(wrong.exception)
    assert not isinstance(wrong.exception, click.UsageError)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"width_ratio": 0}, "greater than 0"),
        ({"k": 0}, "greater than or equal to 1"),
        ({"train_steps": 0}, "greater than or equal to 1"),
        ({"dtype": "int8"}, "dtype must be one of"),
        ({"rate": 1}, "Unexpected keyword"),
    ],
)
def test_bad_settings(values: dict[str, Any], message: str):
    with pytest.raises(ValidationError, match=message):
        MetaStructureEvalConfig(**values)


def test_published_defaults():
    assert asdict(MetaStructureEvalConfig()) == PUBLISHED_DEFAULTS | {"model_name": "", "llm_dtype": ""}


def test_the_mean_row_is_the_floor_and_the_rows_themselves_the_ceiling():
    """Of the explained variance and of the error alike: their places agree, for they say the same."""
    W_dec_FD = torch.randn(24, 8, generator=torch.Generator().manual_seed(0))
    scores = score_decoder(W_dec_FD, (1, 2), MetaStructureEvalConfig(**TINY))
    beside = describe_references(scores.references, scores.samples, {})
    floor = beside[MSE].floor
    assert floor is not None
    assert floor.value == pytest.approx(float(W_dec_FD.var(dim=0, correction=0).mean()), rel=1e-5)
    metrics = scores.metrics.model_dump()["meta_structure"]
    explained = metrics["decoder_fraction_variance_explained"]
    assert beside[EXPLAINED].above_floor.value == pytest.approx(explained, abs=1e-5)
    assert beside[MSE].above_floor.value == pytest.approx(explained, abs=1e-5)
