"""Floors and ceilings of sae-probes: what is planted at them stands at 0 and 1."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sae_bench.activations.pooled import CodeMatrix
from sae_bench.custom_saes.loading import Member
from sae_bench.evals.base import EvalContext, Scores
from sae_bench.evals.sparse_probing_sae_probes.eval_config import SparseProbingSaeProbesEvalConfig
from sae_bench.evals.sparse_probing_sae_probes.evaluate import SaeProbesJob
from sae_bench.evals.sparse_probing_sae_probes.reference_probes import majority_scores
from sae_bench.evals.sparse_probing_sae_probes.tasks import BinaryTask
from sae_bench.results.model import MetricValidity
from sae_bench.results.references import describe_references
from sae_bench.testing import tiny_model, tiny_sae

N_TEXTS, HOOK = 240, "blocks.1.hook_resid_post"
OF_A_TIE = 0.03
"""A probe that reads nothing names either class where training texts are balanced: 49 or 50 of 99 test texts."""
MEMBER = Member("tiny", "topk", tiny_sae("topk", hook_name=HOOK), HOOK)


def task(name: str, n_positive: int, seed: int) -> BinaryTask:
    labels = np.random.default_rng(seed).permutation(np.arange(N_TEXTS) < n_positive)
    return BinaryTask(name, ("no", "yes"), tuple(f"{name} {i}" for i in range(N_TEXTS)), labels.astype(np.int64))


TASKS = [task("one", 120, 0), task("other", 120, 1)]
LABELS = torch.from_numpy(np.concatenate([of.labels_T for of in TASKS]))


def job(**settings: object) -> SaeProbesJob:
    config = SparseProbingSaeProbesEvalConfig(**{"ks": [1], "context_length": 32, "setting": "normal", **settings})
    return SaeProbesJob(EvalContext(tiny_model(), (HOOK,), (1,)), config, TASKS)


def score(one: SaeProbesJob, codes_TF: torch.Tensor) -> Scores:
    assert len(one.token_ids) == len(LABELS)
    generator = torch.Generator().manual_seed(0)
    planted_TD = 6.0 * LABELS[:, None] * torch.eye(4)[0] + torch.randn(len(LABELS), 4, generator=generator)
    return one.score_codes(MEMBER, CodeMatrix(codes_TF), one.prepare(planted_TD))


def validity(scores: Scores) -> dict[str, MetricValidity]:
    return describe_references(scores.references, scores.samples, {})


def test_a_latent_that_marks_the_class_stands_at_the_ceiling_and_a_dead_one_at_the_floor():
    one = job()
    marks_TF = torch.stack([LABELS.float(), torch.rand(len(LABELS), generator=torch.Generator().manual_seed(1))], dim=1)
    oracle, dead = validity(score(one, marks_TF)), validity(score(one, torch.zeros_like(marks_TF)))
    for metric in ("test_auc", "test_accuracy", "test_f1"):
        assert oracle[f"sae.sae_top_1_{metric}"].above_floor.value == pytest.approx(1.0, abs=0.02), metric
        assert dead[f"sae.sae_top_1_{metric}"].above_floor.value == pytest.approx(0.0, abs=OF_A_TIE), metric
        assert oracle[f"llm.llm_{metric}"].above_floor.value == pytest.approx(1.0, abs=0.02), metric
        assert oracle[f"sae.sae_top_1_{metric}"].others[0].value == pytest.approx(1.0, abs=0.02), metric


def test_guessing_has_the_share_of_the_larger_class():
    table = majority_scores(job(setting="imbalance").draws)
    for draw, scores in table.items():
        larger = float(draw.test_labels.mean())
        expected = larger if 2 * draw.train_labels.sum() > len(draw.train_labels) else 1.0 - larger
        assert scores.accuracy == pytest.approx(expected)
        assert scores.auc == 0.5
    accuracies = [scores.accuracy for scores in table.values()]
    assert min(accuracies) >= 0.49
    assert max(accuracies) > 0.8


def test_without_the_residual_stream_there_is_a_floor_and_a_reason():
    beside = validity(score(job(include_llm_baseline=False), LABELS[:, None].float()))["sae.sae_top_1_test_auc"]
    assert beside.floor is not None
    assert beside.floor.value == 0.5
    assert beside.ceiling is not None
    assert "include_llm_baseline" in (beside.ceiling.reason or "")
    assert beside.above_floor.reason == beside.ceiling.reason
