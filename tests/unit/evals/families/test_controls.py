"""Random latents that match picked ones."""

from __future__ import annotations

import torch

from sae_bench.evals.families.controls import firing_rates, matched_latents


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_matches_are_alive_not_picked_and_all_different():
    rates_F = torch.linspace(0, 1, 100)  # latent 0 is dead
    picked_K = torch.tensor([1, 2, 3, 50, 99])
    matches = matched_latents(picked_K, rates_F, generator=generator())
    assert len(set(matches.tolist())) == 5
    assert not set(matches.tolist()) & {0, *picked_K.tolist()}


def test_matches_fire_as_often():
    rates_F = torch.rand(5000, generator=generator())
    picked_K = torch.randperm(5000, generator=generator(1))[:50]
    matches = matched_latents(picked_K, rates_F, generator=generator(2))
    assert (rates_F[matches] - rates_F[picked_K]).abs().max() < 0.01  # 20 of 5000 neighbours on one axis
    other = matched_latents(picked_K, rates_F, generator=generator(3))
    assert (matches != other).float().mean() > 0.8  # and are drawn at random


def test_matches_have_the_size_too():
    rates_F, sizes_F = torch.rand(2, 20000, generator=generator())
    picked_K = torch.arange(20)
    matches = matched_latents(picked_K, rates_F, sizes_F, generator=generator(1))
    for values_F in (rates_F, sizes_F):
        assert (values_F[matches] - values_F[picked_K]).abs().max() < 0.06


def test_too_few_that_live():
    rates_F = torch.tensor([0.5, 0.5, 0.5, 0.0])
    assert matched_latents(torch.tensor([0, 1]), rates_F, generator=generator()).tolist() == [2]


def test_rates_count_what_is_not_zero():
    codes = [torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), torch.tensor([[0.0, 2.0]])]
    assert firing_rates(codes).tolist() == [2 / 3, 1 / 3]
