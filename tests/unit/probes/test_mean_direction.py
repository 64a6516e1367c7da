"""The probe without training: planted directions, and its threshold against all others."""

import pytest
import torch

from sae_bench.probes import fit_mean_direction


def planted(n=200, d=8, gap=4.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    labels_N = (torch.arange(n) % 3 == 0).long()
    direction_D = torch.nn.functional.normalize(torch.randn(d, generator=generator), dim=0)
    x_ND = torch.randn(n, d, generator=generator) + gap * labels_N[:, None] * direction_D
    return x_ND, labels_N, direction_D


def accuracy(probe, x_ND, labels_N):
    return float(((probe.decision(x_ND) > 0) == (labels_N > 0)).double().mean())


def test_the_planted_direction_is_found_and_classes_of_unequal_size_are_split():
    x_ND, labels_N, direction_D = planted()
    probe = fit_mean_direction(x_ND, labels_N)
    assert float(torch.cosine_similarity(probe.direction_D.float(), direction_D, dim=0)) > 0.97
    assert accuracy(probe, *planted(seed=0)[:2]) > 0.95


def test_no_other_threshold_gets_more_training_samples_right():
    x_ND, labels_N, _ = planted(gap=0.7)
    probe = fit_mean_direction(x_ND, labels_N)
    projections_N = x_ND.double() @ probe.direction_D
    right = [float(((projections_N > cut) == (labels_N > 0)).double().mean()) for cut in projections_N]
    assert accuracy(probe, x_ND, labels_N) == pytest.approx(max([*right, 1 - float(labels_N.double().mean())]))


def test_of_thresholds_that_do_equally_well_the_middle_one_is_taken():
    x_ND = torch.tensor([[0.0], [1.0], [9.0], [10.0]])
    probe = fit_mean_direction(x_ND, torch.tensor([0, 0, 1, 1]))
    assert probe.threshold == pytest.approx(5.0 * float(probe.direction_D))


def test_classes_with_one_mean_are_guessed():
    x_ND = torch.ones(6, 3)
    probe = fit_mean_direction(x_ND, torch.tensor([1, 0, 0, 0, 0, 1]))
    assert not bool((probe.decision(x_ND) > 0).any())
