"""AUC and weighted F1 of many probes at once against scikit-learn."""

import math

import pytest
import torch
from sklearn.metrics import f1_score, roc_auc_score

from sae_bench.probes import roc_auc, weighted_f1


def sample(seed, n=60, levels=None):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 2, (5, n), generator=generator)
    decision = torch.randn(5, n, generator=generator) + labels * torch.rand(5, 1, generator=generator)
    return (decision if levels is None else (decision * levels).round()), labels


@pytest.mark.parametrize("levels", [None, 1, 3])
def test_auc_is_that_of_scikit_learn_ties_included(levels):
    decision, labels = sample(0, levels=levels)
    expected = [roc_auc_score(y, d) for y, d in zip(labels, decision, strict=True)]
    assert roc_auc(decision, labels).tolist() == pytest.approx(expected, abs=1e-12)


def test_masked_samples_do_not_count():
    decision, labels = sample(1)
    mask = torch.arange(60).expand(5, 60) < torch.tensor([[60], [50], [40], [30], [20]])
    expected = [roc_auc_score(y[m], d[m]) for y, d, m in zip(labels, decision, mask, strict=True)]
    assert roc_auc(decision, labels, mask).tolist() == pytest.approx(expected, abs=1e-12)
    expected = [f1_score(y[m], (d > 0)[m], average="weighted") for y, d, m in zip(labels, decision, mask, strict=True)]
    assert weighted_f1(decision > 0, labels, mask).tolist() == pytest.approx(expected, abs=1e-12)


def test_the_auc_of_one_class_is_not_a_number():
    assert math.isnan(roc_auc(torch.randn(1, 4), torch.ones(1, 4)).item())


def test_rounding_errors_break_no_ties():
    decision = torch.tensor([[1.0, 1.0 + 1e-12, 2.0, 0.0]], dtype=torch.float64)
    assert roc_auc(decision, torch.tensor([[1, 0, 1, 0]])).item() == pytest.approx(0.875)


def test_f1_counts_a_class_that_is_never_predicted_as_zero():
    labels = torch.tensor([[1, 1, 0, 0]])
    assert weighted_f1(torch.ones(1, 4, dtype=torch.bool), labels).item() == pytest.approx(1 / 3)
