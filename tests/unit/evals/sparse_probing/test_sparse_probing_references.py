"""Floors and ceilings of sparse probing: what is planted at them stands at 0 and 1."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from sae_bench.datasets import LabelledTexts
from sae_bench.evals.families.labelled import PooledDataset
from sae_bench.evals.sparse_probing.eval_config import SparseProbingEvalConfig
from sae_bench.evals.sparse_probing.probing import PreparedDataset, prepare_dataset, score_sae
from sae_bench.evals.sparse_probing.reference_probes import majority_accuracy, probe_references
from sae_bench.evals.sparse_probing.text_samples import ProbedTexts, text_samples
from sae_bench.probes import DenseFeatures
from sae_bench.results.model import MetricValidity
from sae_bench.results.references import describe_references

CLASSES, N_TRAIN, N_TEST, D = ("a", "b", "c"), 150, 14, 8
N = N_TRAIN + N_TEST
CLASS_T = torch.arange(3 * N) // N
CONFIG = SparseProbingEvalConfig(k_values=[1, 2], dataset_names=["toy"])


def activations(gap: float) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return gap * torch.eye(D)[CLASS_T] + torch.randn(3 * N, D, generator=generator)


def prepared(gap: float, seeds: tuple[int, ...] = (0, 1, 2)) -> PreparedDataset:
    train = {name: torch.arange(c * N, c * N + N_TRAIN) for c, name in enumerate(CLASSES)}
    test = {name: torch.arange(c * N + N_TRAIN, (c + 1) * N) for c, name in enumerate(CLASSES)}
    dataset = PooledDataset("toy", CLASSES, train, test)
    return prepare_dataset(dataset, activations(gap), CONFIG, seeds=seeds)


def validity(one: PreparedDataset, codes_TF: torch.Tensor) -> dict[str, MetricValidity]:
    texts: dict[str, Any] = {name: [f"{name} {i}" for i in range(N_TEST)] for name in CLASSES}
    units = ProbedTexts.of([LabelledTexts("toy", CLASSES, texts, texts, {})])
    results = [one.llm.joined(score_sae(one, DenseFeatures(codes_TF), CONFIG))]
    samples = text_samples([one], results, units)
    return describe_references(probe_references([one], samples, units), samples, {})


def test_latents_that_mark_the_classes_stand_at_the_ceiling() -> None:
    described = validity(prepared(gap=8.0), torch.eye(5)[CLASS_T])
    assert described["llm.llm_test_accuracy"].above_floor.value == pytest.approx(1.0)
    for k in (1, 2):
        beside = described[f"sae.sae_top_{k}_test_accuracy"]
        assert beside.floor is not None
        assert beside.floor.value == 0.5
        assert beside.ceiling is not None
        assert beside.ceiling.value == pytest.approx(1.0)
        assert beside.above_floor.value == pytest.approx(1.0)
        assert beside.others[0].value == pytest.approx(1.0)


def test_latents_that_are_never_active_stand_at_the_floor() -> None:
    for path, beside in validity(prepared(gap=8.0), torch.zeros(3 * N, 5)).items():
        if path.startswith("sae."):
            assert beside.above_floor.value == pytest.approx(0.0, abs=1e-6), path


def test_where_the_residual_stream_knows_nothing_there_is_no_place_to_stand_in() -> None:
    beside = validity(prepared(gap=0.0), torch.eye(5)[CLASS_T])["sae.sae_top_1_test_accuracy"]
    assert beside.above_floor.value is None
    assert "cannot be told apart" in (beside.above_floor.reason or "")


def test_guessing_is_right_on_half_of_balanced_texts() -> None:
    assert majority_accuracy([prepared(gap=1.0), prepared(gap=2.0)]) == 0.5
