"""Error bars and samples of real runs: they belong to the published fields, and seeds and texts are where they say."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_runs import handle, read

from sae_bench.activations.one_pass import run_pass
from sae_bench.analysis.comparison import compare
from sae_bench.custom_saes.loading import Member
from sae_bench.errors import ResultError
from sae_bench.evals.base import EvalContext, Metric
from sae_bench.evals.families.rows import block_unit
from sae_bench.evals.registry import get_eval
from sae_bench.evals.sparse_probing import probing
from sae_bench.evals.sparse_probing.evaluate import SparseProbingJob
from sae_bench.language_models import LanguageModel
from sae_bench.results.sample_files import read_samples, samples_path
from sae_bench.results.samples import Samples
from sae_bench.results.statistics.intervals import ONE_SEED
from sae_bench.run.resampled import DETAILS_DIFFER, ResampledJob, start_resampled
from sae_bench.run.runner import RunPlan, run
from sae_bench.testing.tiny_models import tiny_sae

pytestmark = pytest.mark.slow

Plan = Callable[..., RunPlan]


def samples_of(path: Path) -> dict[str, Samples]:
    content = json.loads(path.read_text())
    beside = samples_path(path.parent, content["sae_lens_release_id"], content["sae_lens_id"])
    return read_samples(beside, eval_id=content["eval_id"])


def value(content: dict[str, Any], path: str) -> float:
    found = Metric(path, path).read(content["eval_result_metrics"])
    assert found is not None
    return found


@pytest.mark.parametrize("name", ["core", "sparse_probing"])
def test_samples_average_to_the_published_fields(make_plan: Plan, name: str):
    (path,) = run(make_plan([handle("a")], evals=[name], seeds=(1, 2, 3))).written
    content, samples = json.loads(path.read_text()), samples_of(path)
    metrics = content["eval_result_metrics"]
    headline = {m.path for m in get_eval(name).metrics if m.read(metrics) is not None}
    assert headline - set(samples) <= {"misc_metrics.frac_alive"}
    for metric, found in samples.items():
        values = found.seed_values()
        assert len(values) == (3 if name == "sparse_probing" else 1)
        assert sum(values) / len(values) == pytest.approx(value(content, metric), abs=2e-6), metric
        per_seed = [seed["metrics"].get(metric) for seed in content["seed_results"]]
        if name == "sparse_probing":
            assert values == pytest.approx(per_seed, abs=2e-6), metric


def test_every_headline_metric_has_an_error_bar_or_a_reason(make_plan: Plan):
    for path in run(make_plan([handle("a")], seeds=(1, 2, 3))).written:
        content = json.loads(path.read_text())
        with_value = [
            m for m in get_eval(path.parent.name).metrics if m.read(content["eval_result_metrics"]) is not None
        ]
        assert len(with_value) >= 3
        for metric in with_value:
            bar = content["statistics"][metric.path]
            assert bar["mean"] == pytest.approx(value(content, metric.path), abs=2e-6)
            assert (bar["ci_low"] is None) == (bar["reason"] is not None)
            if bar["ci_low"] is not None:
                assert bar["ci_low"] <= bar["mean"] <= bar["ci_high"]
                assert bar["bootstrap_low"] <= bar["bootstrap_high"]
        assert get_eval(path.parent.name).output.model_validate_json(path.read_text())


def test_one_seed_gives_no_error_bar_where_seeds_matter(make_plan: Plan):
    core, probing_path = sorted(run(make_plan([handle("a")])).written)
    bar = json.loads(probing_path.read_text())["statistics"]["sae.sae_top_1_test_accuracy"]
    assert (bar["ci_low"], bar["std_over_seeds"], bar["reason"], bar["n_seeds"]) == (None, None, ONE_SEED, 1)
    bar = json.loads(core.read_text())["statistics"]["shrinkage.l2_ratio"]
    assert bar["reason"] is None
    assert (bar["n_seeds"], bar["n_units"], bar["unit"]) == (1, 2, block_unit(4))


def test_two_saes_share_their_units(make_plan: Plan):
    a, b, *_ = run(make_plan([handle("a"), handle("b", "relu")], evals=["sparse_probing"], seeds=(1, 2))).written
    one, other = samples_of(a), samples_of(b)
    assert {s.key for s in one.values()} == {s.key for s in other.values()}
    residual = "llm.llm_test_accuracy"
    assert torch.equal(one[residual].values_SU, other[residual].values_SU)


def test_runs_compare(make_plan: Plan):
    plan = make_plan([handle("a"), handle("b", "relu")], seeds=(1, 2, 3))
    run(plan)
    found = compare(plan.output_folder, a="a", b="b")
    by_metric = {pair.metric: pair for pair in found.pairs}
    assert by_metric["llm.llm_test_accuracy"].verdict == "the same"
    top = by_metric["sae.sae_top_1_test_accuracy"]
    assert (top.paired_seeds, top.paired_units, top.n_seeds, top.n_units) == (True, True, 3, 12)
    assert by_metric["sparsity.l0"].n_seeds == 1
    assert not found.skipped


def test_a_text_adds_what_its_tests_add(lm: LanguageModel, make_plan: Plan):
    """The metric without one text is the mean that its tests leave."""
    plan = make_plan([handle("a")], evals=["sparse_probing"], seeds=(1, 2))
    config = plan.evals[0].config
    job = SparseProbingJob(EvalContext(lm, ("blocks.1.hook_resid_post",), (1, 2)), config)
    member = Member("tiny", "a", tiny_sae("topk", hook_name="blocks.1.hook_resid_post"), "blocks.1.hook_resid_post")
    served = run_pass(lm, job.requests([member]), [member]).served
    (prepared,) = job.prepare(served[0].activations[member.hook_name])
    samples = job.score(member, served).samples["sae.sae_top_2_test_accuracy"]
    result = probing.score_sae(prepared, served[0].codes[member.key], config)
    rows = torch.cat([prepared.dataset.test_rows[name] for name in prepared.dataset.classes])
    n = len(prepared.dataset.classes)
    for seed_place, seed in enumerate((1, 2)):
        metric = result.means(seed)["sae_top_2_test_accuracy"]
        for unit, row in enumerate(rows.tolist()):
            tests = [
                (float(right), len(draw.test_rows))
                for draw, correct in zip(prepared.draws, result.correct["sae_top_2_test_accuracy"], strict=True)
                for test_row, right in zip(draw.test_rows.tolist(), correct.tolist(), strict=True)
                if draw.seed == seed and test_row == row
            ]
            share = sum(1 / (n * size) for _, size in tests)
            right = sum(got / (n * size) for got, size in tests)
            wanted = metric + (right - metric * share) * len(rows)
            assert float(samples.values_SU[seed_place, unit]) == pytest.approx(wanted, abs=1e-5)
    assert samples.groups_U == tuple(place // (len(rows) // n) for place in range(len(rows)))


# ---- files


def test_samples_go_with_their_result(make_plan: Plan):
    plan = make_plan([handle("a")], evals=["sparse_probing"], seeds=(1, 2))
    (path,) = run(plan).written
    beside = samples_path(path.parent, "tiny", "a")
    before = beside.stat().st_mtime_ns
    run(plan)
    assert beside.stat().st_mtime_ns == before
    beside.unlink()
    assert run(plan).skipped == [path]  # the result counts, not what stands beside it
    run(make_plan([handle("a")], evals=["sparse_probing"], seeds=(1, 2), force_rerun=True))
    assert samples_of(path)


# ---- texts drawn anew for every seed


def test_resampled_texts_differ_by_seed_and_the_fields_are_means(make_plan: Plan):
    plan = make_plan([handle("a"), handle("b", "relu")], seeds=(1, 2, 3), resample_data=True)
    for path in run(plan).written:
        content, samples = json.loads(path.read_text()), samples_of(path)
        assert content["provenance"]["resample_data"]
        assert [entry["seed"] for entry in content["seed_results"]] == [1, 2, 3]
        for metric, found in samples.items():
            per_seed = [entry["metrics"].get(metric) for entry in content["seed_results"]]
            if None not in per_seed:
                assert found.seed_values() == pytest.approx(per_seed, abs=1e-5)
                assert value(content, metric) == pytest.approx(sum(per_seed) / 3, abs=1e-6)
        assert get_eval(path.parent.name).output.model_validate_json(path.read_text())
    core = next(p for p in run(plan).skipped if p.parent.name == "core")
    cosine = samples_of(core)["reconstruction_quality.cossim"]
    assert cosine.random
    assert cosine.values_SU.shape[0] == 3
    assert len({round(v, 6) for v in cosine.seed_values()}) > 1


def test_a_seed_alone_is_what_it_is_among_others(make_plan: Plan, tmp_path: Path):
    together = run(make_plan([handle("a")], evals=["sparse_probing"], seeds=(1, 2), resample_data=True)).written[0]
    settings = {"sparse_probing": {"random_seed": 2}}
    plan = make_plan([handle("a")], evals=["sparse_probing"], seeds=(2,), settings=settings, out=tmp_path / "alone")
    alone = run(plan).written[0]
    assert read(together)["seed_results"][1] == read(alone)["seed_results"][0]


def test_resampled_and_plain_results_are_not_mixed_up(make_plan: Plan):
    plan = make_plan([handle("a")], evals=["sparse_probing"], seeds=(1, 2))
    run(plan)
    with pytest.raises(ResultError, match="resample_data: False there, True asked for"):
        run(make_plan([handle("a")], evals=["sparse_probing"], seeds=(1, 2), resample_data=True))


def test_draws_with_other_rows_keep_the_details_of_the_first(lm: LanguageModel, make_plan: Plan):
    spec = get_eval("sparse_probing")
    config = make_plan([handle("a")], evals=["sparse_probing"]).evals[0].config
    job = start_resampled(spec, EvalContext(lm, ("blocks.1.hook_resid_post",), (1, 2)), config)
    assert isinstance(job, ResampledJob)
    member = Member("tiny", "a", tiny_sae("topk", hook_name="blocks.1.hook_resid_post"), "blocks.1.hook_resid_post")
    served = run_pass(lm, job.requests([member]), [member]).served
    draws = [one.score(member, [part]) for one, part in zip(job.jobs, served, strict=True)]
    job.jobs[1].score = lambda _member, _served: draws[1]  # type: ignore[method-assign] # the second draw lacks its rows
    draws[1].details = []
    merged = job.score(member, served)
    assert len(merged.details) == 1
    assert DETAILS_DIFFER in merged.warnings
