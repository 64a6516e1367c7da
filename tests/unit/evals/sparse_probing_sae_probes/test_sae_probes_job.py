"""The eval at work on a tiny model: what it reads, its fields, seeds, order of SAEs, and bad input."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import click
import numpy as np
import pytest
import torch
from pydantic import ValidationError
from tiny_run_fixtures import chosen_by_command
from tiny_runs import HOOK, handle, read

from sae_bench.activations.one_pass import PassOptions, run_pass
from sae_bench.custom_saes.loading import GroupLimits, Member
from sae_bench.custom_saes.spec import SAEHandle
from sae_bench.errors import DatasetError
from sae_bench.evals.base import EvalContext
from sae_bench.evals.sparse_probing_sae_probes import evaluate
from sae_bench.evals.sparse_probing_sae_probes.eval_config import SparseProbingSaeProbesEvalConfig
from sae_bench.evals.sparse_probing_sae_probes.eval_output import (
    SaeProbesResultDetail,
    SaeProbesSaeMetrics,
    SparseProbingSaeProbesEvalOutput,
)
from sae_bench.evals.sparse_probing_sae_probes.evaluate import SaeProbesJob, tokenize_ends
from sae_bench.evals.sparse_probing_sae_probes.main import command, run_eval, run_eval_single_sae
from sae_bench.evals.sparse_probing_sae_probes.spec import SPEC
from sae_bench.evals.sparse_probing_sae_probes.tasks import BinaryTask
from sae_bench.language_models import LanguageModel
from sae_bench.run.planning import load_context, make_config
from sae_bench.run.runner import EvalRequest, RunPlan, run
from sae_bench.testing.tiny_models import tiny_sae

pytestmark = pytest.mark.slow

WORDS = (("river", "water", "boat", "lake"), ("return", "def", "import", "while"))


def make_task(name: str, n: int = 220, *, seed: int = 0, duplicates: bool = False) -> BinaryTask:
    """Texts that end in a word of their class."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % 2)
    texts = [
        f"{'' if duplicates else i} the {WORDS[1 - y][i % 4]} and {WORDS[y][(i * 7 + 1) % 4]}"
        for i, y in enumerate(labels)
    ]
    return BinaryTask(name, ("water", "code"), tuple(texts), labels.astype(np.int64))


TASKS = {name: make_task(name, seed=i) for i, name in enumerate(("1_words", "2_more_words"))}


@pytest.fixture(autouse=True)
def _tiny_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "choose_tasks", lambda names, limit: tuple(names or TASKS)[:limit])
    monkeypatch.setattr(evaluate, "load_task", lambda name, max_texts: TASKS[name].first(max_texts))


@pytest.fixture
def plan_of(lm: LanguageModel, tmp_path: Path) -> Callable[..., RunPlan]:
    def plan(
        handles: Sequence[SAEHandle],
        *,
        out: str = "results",
        max_saes: int | None = None,
        seeds: tuple[int, ...] = (42,),
        **settings: Any,
    ) -> RunPlan:
        values = {"model_name": lm.name, "llm_dtype": "float32", "ks": [1, 2], "context_length": 32, **settings}
        return RunPlan(
            lm=lm,
            evals=[EvalRequest(SPEC, make_config(SPEC, values))],
            handles=handles,
            output_folder=tmp_path / out,
            load_context=load_context(lm),
            limits=GroupLimits(max_saes=max_saes),
            pass_options=PassOptions(max_tokens=512),
            seeds=seeds,
        )

    return plan


def job_of(
    lm: LanguageModel, *, seeds: tuple[int, ...] = (42,), tasks: Sequence[BinaryTask] | None = None, **settings: Any
):
    config = SparseProbingSaeProbesEvalConfig(**{"ks": [1, 2], "context_length": 32, **settings})
    return SaeProbesJob(EvalContext(lm, (HOOK,), seeds), config, tasks)


def member(name: str = "a", architecture: str = "topk", **kwargs: Any) -> Member:
    return Member("tiny", name, tiny_sae(architecture, hook_name=HOOK, **kwargs), HOOK)


def scored(lm: LanguageModel, job: SaeProbesJob, *members: Member) -> list[Any]:
    report = run_pass(lm, job.requests(members), members)
    assert not report.failed
    return [job.score(m, report.served) for m in members]


# ---- results


def test_a_run_writes_the_published_fields(plan_of, tmp_path):
    (path,) = run(plan_of([handle("a")], seeds=(42, 43))).written
    content = json.loads(path.read_text())
    output = SparseProbingSaeProbesEvalOutput.model_validate(content)
    sae, llm = output.eval_result_metrics.sae.model_dump(), output.eval_result_metrics.llm.model_dump()
    for metric in ("test_accuracy", "test_auc", "test_f1"):
        assert 0 <= llm[f"llm_{metric}"] <= 1
        for k in (1, 2):
            values = [s.metrics[f"sae.sae_top_{k}_{metric}"] for s in output.seed_results]
            assert sae[f"sae_top_{k}_{metric}"] == pytest.approx(fmean(values))
            rows = [row.model_dump()[f"sae_top_{k}_{metric}"] for row in output.eval_result_details]
            assert fmean(rows) == pytest.approx(fmean(values))
            assert output.sae_metrics_by_k[k][metric] == pytest.approx(fmean(values))
    assert llm["llm_test_auc"] > 0.9, "the class stands in the last word"
    assert sae["sae_top_5_test_auc"] is None
    assert [row.dataset_name for row in output.eval_result_details] == list(TASKS)
    assert "never fills it" in output.not_computed["eval_result_metrics.sae.sae_test_accuracy"]
    assert output.provenance.datasets["1_words"]["file"] == "1_words.csv.zst"
    assert output.provenance.warnings == []


def test_results_do_not_depend_on_the_order_or_the_grouping_of_saes(plan_of):
    handles = [handle("a"), handle("b", "jumprelu"), handle("c", "gated", hook="blocks.0.hook_resid_pre")]
    few = {"ks": [1], "dataset_names": ["1_words"]}
    runs = {
        "one group": plan_of(handles, out="1", **few),
        "one by one, reversed": plan_of(handles[::-1], out="2", max_saes=1, **few),
        "alone": plan_of(handles[1:2], out="3", **few),
    }
    found = {name: {p.name: read(p) for p in run(plan).written} for name, plan in runs.items()}
    for name, results in found.items():
        for file, result in results.items():
            assert result == found["one group"][file], name


def test_seeds_change_the_splits_and_samples_hold_every_task(lm):
    one = {"ks": [1], "include_llm_baseline": False}
    (scores,) = scored(lm, job_of(lm, **one, seeds=(1, 2, 3)), member())
    key = "sae.sae_top_1_test_auc"
    assert [s.seed for s in scores.seed_results] == [1, 2, 3]
    assert len({s.metrics[key] for s in scores.seed_results}) > 1
    samples = scores.samples[key]
    assert samples.values_SU.shape == (3, 2)
    assert samples.values_SU.mean(1).tolist() == pytest.approx([s.metrics[key] for s in scores.seed_results], abs=1e-6)
    other = scored(lm, job_of(lm, **one, seeds=(1, 2, 3)), member("b", "relu"))[0]
    fewer = scored(lm, job_of(lm, **one, seeds=(1, 2, 3), max_texts=160), member())[0]
    assert other.samples[key].key == samples.key != fewer.samples[key].key
    alone = scored(lm, job_of(lm, **one, seeds=(2,)), member())[0]
    assert alone.seed_results[0].metrics == scores.seed_results[1].metrics


def test_more_than_the_published_k_and_k_above_the_width(lm):
    (scores,) = scored(lm, job_of(lm, ks=[3, 500]), member(d_sae=64))
    assert scores.metrics.sae.model_dump()["sae_top_3_test_auc"] > 0.4
    assert scores.details[0].sae_metrics_by_k.keys() == {3}
    assert "k = 500 is more than" in scores.not_computed["eval_result_metrics.sae.sae_top_500_test_auc"]


def test_without_the_residual_stream(lm):
    (scores,) = scored(lm, job_of(lm, include_llm_baseline=False), member())
    assert scores.metrics.llm.llm_test_auc is None
    assert scores.not_computed["eval_result_metrics.llm.llm_test_auc"] == "left out: include_llm_baseline is off."


def test_the_residual_stream_is_probed_once_per_hook(lm, monkeypatch):
    calls = []
    plain = evaluate.probing.score_stream
    monkeypatch.setattr(evaluate.probing, "score_stream", lambda *a, **k: (calls.append(1), plain(*a, **k))[1])
    job = job_of(lm, ks=[1], tasks=[TASKS["1_words"]])
    first = scored(lm, job, member("a"), member("b", "relu"))
    second = scored(lm, job, member("c", "gated"))
    assert len(calls) == 1
    assert first[0].metrics.llm == first[1].metrics.llm == second[0].metrics.llm


@pytest.mark.parametrize(("setting", "steps"), [("scarcity", 13), ("imbalance", 19)])
def test_other_settings_are_means_over_their_steps(lm, setting, steps):
    task = make_task("1_words", 400 if setting == "imbalance" else 220)
    (scores,) = scored(lm, job_of(lm, setting=setting, tasks=[task], ks=[1], include_llm_baseline=False), member())
    found = scores.unstructured["1_words"]
    assert len(found) == steps
    mean = fmean(step["sae_top_1_test_auc"] for step in found.values())
    assert scores.metrics.sae.model_dump()["sae_top_1_test_auc"] == pytest.approx(mean)
    if setting == "scarcity":
        assert [step["n_train"] for step in found.values()] == [int(name) for name in found]
        assert found["2"]["sae_top_1_c"] == [1.0]
    else:
        assert {step["n_train"] for step in found.values()} == {next(iter(found.values()))["n_train"]}


def test_duplicates_are_told(lm):
    task = make_task("1_words", duplicates=True)
    (scores,) = scored(lm, job_of(lm, tasks=[task], ks=[1], include_llm_baseline=False), member())
    assert "100% of the test texts are among the training texts" in scores.warnings[0]
    assert scores.unstructured["1_words"]["normal"]["test_texts_seen_in_training"] == 1.0


# ---- what it reads


def test_codes_are_those_of_the_last_token(lm):
    job, m = job_of(lm), member()
    (pooled,) = run_pass(lm, job.requests([m]), [m]).served
    task, draw = TASKS["1_words"], job.draws[0]
    ids = lm.tokenize(task.texts)
    for row in draw.train_rows[:5]:
        codes = pooled.codes[m.key].rows(torch.tensor([int(row)]))
        text = next(text for text in ids if np.array_equal(text, job.token_ids[row]))
        x = lm.capture(torch.tensor([text]), [HOOK])[HOOK][0, -1:]
        torch.testing.assert_close(codes, m.sae.encode(x), atol=2e-5, rtol=0)


def test_labels_belong_to_their_texts(lm):
    job = job_of(lm)
    for draw in job.draws:
        texts = lm.tokenizer.batch_decode([list(job.token_ids[row]) for row in draw.test_rows])
        says_code = [text.split()[-1] in WORDS[1] for text in texts]
        assert says_code == draw.test_labels.astype(bool).tolist()


def test_long_texts_keep_bos_and_their_end(lm):
    (ids,) = lm.tokenize(["one two three four five six seven eight nine ten"])
    (cut,) = tokenize_ends(lm, ["one two three four five six seven eight nine ten"], 8)
    assert cut == [ids[0], *ids[-7:]]
    (whole,) = tokenize_ends(lm, ["a"], 8)
    assert whole == lm.tokenize(["a"])[0]
    (positions,) = tokenize_ends(lm, ["word " * 2000], 10_000)
    assert len(positions) == lm.config.max_position_embeddings


def test_no_tokens_are_kept_twice(lm):
    same = [make_task("1_words"), make_task("2_more_words")]
    job = job_of(lm, tasks=same)
    assert len(job.token_ids) == 220
    first, second = (draw for draw in job.draws)
    assert np.array_equal(first.train_rows, second.train_rows)


# ---- bad input


@pytest.mark.parametrize(("setting", "n"), [("normal", 90), ("imbalance", 220)])
def test_a_task_that_is_too_small_is_found_before_the_pass(lm, setting, n):
    with pytest.raises(DatasetError, match="'small' has"):
        job_of(lm, setting=setting, tasks=[make_task("small", n)])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ks": [0]}, r"ks must be 1 or more, got \[0\]"),
        ({"ks": [1, 1]}, "ks must differ"),
        ({"ks": []}, "at least 1 item"),
        ({"dataset_names": ["a", "a"]}, "holds a name twice"),
        ({"reg_type": "l3"}, "'l1' or 'l2'"),
        ({"setting": "corrupt"}, "'normal', 'scarcity' or 'imbalance'"),
        ({"baseline_method": "knn"}, "'logreg'"),
        ({"binarize": True, "setting": "scarcity"}, "binarize works in the setting 'normal' only"),
        ({"max_texts": 50}, "greater than or equal to 104"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        SparseProbingSaeProbesEvalConfig(**settings)


def test_defaults_are_the_published_ones():
    config = SparseProbingSaeProbesEvalConfig()
    assert (config.random_seed, config.reg_type, config.setting, config.ks) == (42, "l1", "normal", [1, 2, 5])
    assert (config.binarize, config.include_llm_baseline, config.baseline_method) == (False, True, "logreg")
    assert (config.context_length, config.dataset_names) == (1024, [])


def test_every_field_has_a_title_and_a_description():
    for name, field in SaeProbesSaeMetrics.model_fields.items():
        assert field.description, name


def test_extra_fields_are_other_k_only():
    assert SaeProbesSaeMetrics(sae_top_3_test_f1=0.5).model_dump()["sae_top_3_test_f1"] == 0.5
    for name in ("sae_top_0_test_auc", "sae_top_3_test_mcc", "llm_top_3_test_auc"):
        with pytest.raises(ValidationError, match="is no result of this eval"):
            SaeProbesResultDetail(dataset_name="a", **{name: 0.5})


# ---- published functions


def test_the_published_functions(lm, tmp_path, monkeypatch):

    monkeypatch.setattr("sae_bench.run.evaluate.load_language_model", lambda *_args, **_kwargs: lm)
    config = SparseProbingSaeProbesEvalConfig(model_name=lm.name, ks=[1], context_length=32)
    sae = tiny_sae("topk", hook_name=HOOK)
    results = run_eval(config, [("mine", sae)], "cpu", tmp_path)
    metrics = results["mine_custom_sae"]["eval_result_metrics"]
    values, details = run_eval_single_sae(config, sae, lm, "cpu")
    assert values["sae_top_1_test_auc"] == metrics["sae"]["sae_top_1_test_auc"]
    assert [row["dataset_name"] for row in details] == list(TASKS)


def test_the_published_flags(tmp_path, monkeypatch):
    chosen = chosen_by_command(monkeypatch)
    arguments = ["--sae_regex_pattern", "embedded", "--sae_block_pattern", "topk", "--model_name", "embedded",
                 "--ks", "1", "2", "16", "--reg_type", "l2", "--setting", "scarcity", "--random_seed", "3",
                 "--model_cache_path", str(tmp_path), "--results_path", "here", "--output_folder", str(tmp_path),
                 "--force_rerun"]  # fmt: skip
    command.main(arguments, standalone_mode=False)
    config = make_config(SPEC, chosen["settings"])
    assert chosen["folder"] == tmp_path
    assert (config.ks, config.reg_type, config.setting, config.random_seed) == ([1, 2, 16], "l2", "scarcity", 3)
    assert (config.model_cache_path, config.results_path, config.binarize) == (str(tmp_path), "here", False)
    command.main([*arguments[:6], "--binarize", "--ks=5", "--ks", "7,9"], standalone_mode=False)
    config = make_config(SPEC, chosen["settings"])
    assert (config.ks, config.binarize) == ([5, 7, 9], True)
    with pytest.raises(click.UsageError, match="unexpected extra argument"):
        command.main([*arguments[:6], "--reg_type", "l1", "l2"], standalone_mode=False)
