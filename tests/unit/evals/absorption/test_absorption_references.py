"""The ends of absorption: an oracle at 1, all absorbed at 0, and an SAE that says nothing at neither."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from absorption_tiny import HOOK, TINY, PlantedSAE, absorbed_words, planted_activations, planted_words, word_model

from sae_bench.custom_saes.loading import Member
from sae_bench.evals.absorption.eval_config import AbsorptionEvalConfig
from sae_bench.evals.absorption.evaluate import AbsorptionJob
from sae_bench.evals.base import EvalContext
from sae_bench.results.model import MetricValidity
from sae_bench.results.references import describe_references

FRACTION, FULL = "mean.mean_absorption_fraction_score", "mean.mean_full_absorption_score"
THRESHOLDED, SPLIT = "mean.mean_absorption_fraction_thresholded_score", "mean.mean_num_split_features"


@pytest.fixture(scope="module")
def job() -> AbsorptionJob:
    """A job at whose hook planted activations stand."""
    words = planted_words()
    config = AbsorptionEvalConfig(**{**TINY, "k_sparse_probe_batch_size": 64})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "sae_bench.evals.absorption.evaluate.word_activations",
            lambda _lm, _prompts, hooks, **_: dict.fromkeys(hooks, planted_activations(words)),
        )
        return AbsorptionJob(EvalContext(word_model(), (HOOK,), (42, 43)), config, words)


def validity(job: AbsorptionJob, sae: Any) -> dict[str, MetricValidity]:
    scores = job.score(Member("tiny", "planted", sae, HOOK))
    return describe_references(scores.references, scores.samples, {})


def planted(share: float) -> PlantedSAE:
    words = planted_words()
    return PlantedSAE(words, planted_activations(words), absorbed_words(words, share))


def test_an_oracle_stands_at_the_ceiling(job: AbsorptionJob) -> None:
    described = validity(job, planted(0.0))
    for path in (FRACTION, FULL, THRESHOLDED, SPLIT):
        assert described[path].above_floor.value == pytest.approx(1.0, abs=0.05), path


def test_absorption_takes_an_sae_towards_the_floor(job: AbsorptionJob) -> None:
    half, oracle = validity(job, planted(0.5)), validity(job, planted(0.0))
    assert (half[FULL].above_floor.value or 0.0) == pytest.approx(0.5, abs=0.15)
    assert half[FULL].floor == oracle[FULL].floor


def test_an_sae_that_says_nothing_has_no_place_though_it_scores_0(job: AbsorptionJob) -> None:
    silent = planted(0.0)
    encode = silent.encode
    silent.encode = lambda x: torch.zeros_like(encode(x))
    for path, beside in validity(job, silent).items():
        assert beside.above_floor.value is None, path
        assert "no merit" in (beside.above_floor.reason or ""), path
