"""The floor and the ceiling of core: a constant SAE at the mean stands at 0, the identity at 1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from core_plain import corpus_rows, run_core, settings, valid_tokens

from sae_bench.activations.one_pass import run_pass
from sae_bench.custom_saes.loading import Member
from sae_bench.evals.base import EvalContext, Scores
from sae_bench.evals.core.evaluate import CoreJob
from sae_bench.language_models import LanguageModel
from sae_bench.results.model import MetricValidity
from sae_bench.results.references import describe_references
from sae_bench.testing import tiny_model, tiny_sae

HOOK = "blocks.1.hook_resid_post"
LOSS, KL = "model_performance_preservation.ce_loss_score", "model_behavior_preservation.kl_div_score"
EXPLAINED, COSINE = "reconstruction_quality.explained_variance", "reconstruction_quality.cossim"
ONE_BATCH = {"n_eval_reconstruction_batches": 1, "n_eval_sparsity_variance_batches": 1}


def member(architecture: str, *, hook: str = HOOK, name: str = "", seed: int = 0) -> Member:
    return Member("tiny", name or architecture, tiny_sae(architecture, hook_name=hook, seed=seed), hook)


def at_the_mean(lm: LanguageModel, rows_NL: torch.Tensor, hook: str = HOOK) -> Member:
    """A dead SAE whose decoder bias is the mean activation of the rows."""
    dead = member("relu", hook=hook, name="dead")
    dead.sae.b_enc.data.fill_(-1e6)
    dead.sae.b_dec.data.copy_(lm.capture(rows_NL, [hook])[hook][valid_tokens(lm, rows_NL)].mean(dim=0))
    return dead


def validity(scores: Scores) -> Mapping[str, MetricValidity]:
    return describe_references(scores.references, scores.samples, {})


@pytest.mark.parametrize("keep_special", [True, False])
@pytest.mark.parametrize("hook", [HOOK, "blocks.1.hook_mlp_out"])
def test_a_dead_sae_at_the_mean_stands_at_the_floor_and_the_identity_at_the_ceiling(hook: str, keep_special: bool):
    lm = tiny_model("llama")
    rows = corpus_rows(lm, 2)
    config = settings(**ONE_BATCH, exclude_special_tokens_from_reconstruction=keep_special)
    members = [at_the_mean(lm, rows, hook), member("identity", hook=hook)]
    dead, identity = (validity(scores) for scores in run_core(lm, config, rows, members))
    for path in (LOSS, KL, EXPLAINED, COSINE):
        assert dead[path].above_floor.value == pytest.approx(0.0, abs=2e-4), path
        assert identity[path].above_floor.value == pytest.approx(1.0, abs=2e-5), path
        assert dead[path].floor == identity[path].floor


def test_zeros_stand_beside_the_floor_and_need_not_be_it():
    lm = tiny_model("llama")
    rows = corpus_rows(lm, 2)
    (scores,) = run_core(lm, settings(**ONE_BATCH), rows, [member("topk")])
    for path in (LOSS, KL):
        beside = validity(scores)[path]
        assert [(other.name, other.value) for other in beside.others] == [
            ("zeros in the place of every activation", 0.0)
        ]
        assert beside.floor is not None
        assert abs(beside.floor.value or 0.0) > 1e-3


def test_the_floor_is_measured_once_for_a_hook_and_is_the_same_in_every_group(monkeypatch: pytest.MonkeyPatch):
    lm = tiny_model("llama")
    job = CoreJob(EvalContext(lm, (HOOK,), (1,)), settings(), corpus_rows(lm, 4))
    groups = [[member("topk"), member("relu")], [member("jumprelu")], [member("topk", hook="blocks.0.hook_resid_post")]]
    floors: list[Any] = []
    branches: list[int] = []
    final_hidden = lm.final_hidden
    monkeypatch.setattr(lm, "final_hidden", lambda *a, **k: branches.append(1) or final_hidden(*a, **k))
    runs: list[int] = []
    for members in groups:
        branches.clear()
        requests = job.requests(members)
        report = run_pass(lm, requests, members)
        assert not report.failed
        for one in members:
            floors.append(validity(job.score(one, report.served))[LOSS].floor)
        runs.append(len(branches))
    assert floors[0] == floors[1] == floors[2] != floors[3]
    n_batches = settings().n_eval_reconstruction_batches
    assert runs[0] - runs[1] >= 2 * n_batches  # one SAE more, and the mean


def test_what_was_not_computed_has_no_floor():
    lm = tiny_model("llama")
    config = settings(compute_kl=False, compute_variance_metrics=False)
    (scores,) = run_core(lm, config, corpus_rows(lm, 4), [member("topk")])
    assert KL not in scores.references
    assert EXPLAINED not in scores.references
    assert LOSS in scores.references
