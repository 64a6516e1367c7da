"""Random latents that match picked ones."""

from __future__ import annotations

import pytest
import torch

from sae_bench.evals.families.controls import LatentMatcher


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_matches_are_alive_not_picked_and_all_different():
    rates_F = torch.linspace(0, 1, 100)  # latent 0 is dead
    picked_K = torch.tensor([1, 2, 3, 50, 99])
    matches = LatentMatcher(rates_F).draw(picked_K, generator=generator())
    assert len(set(matches.tolist())) == 5
    assert not set(matches.tolist()) & {0, *picked_K.tolist()}


def test_matches_fire_as_often():
    rates_F = torch.rand(5000, generator=generator())
    picked_K = torch.randperm(5000, generator=generator(1))[:50]
    matches = LatentMatcher(rates_F).draw(picked_K, generator=generator(2))
    assert (rates_F[matches] - rates_F[picked_K]).abs().max() < 0.01  # 20 of 5000 neighbours on one axis
    other = LatentMatcher(rates_F).draw(picked_K, generator=generator(3))
    assert (matches != other).float().mean() > 0.8  # and are drawn at random


def test_matches_have_the_size_too():
    rates_F, sizes_F = torch.rand(2, 20000, generator=generator())
    picked_K = torch.arange(20)
    matches = LatentMatcher(rates_F, sizes_F).draw(picked_K, generator=generator(1))
    for values_F in (rates_F, sizes_F):
        assert (values_F[matches] - values_F[picked_K]).abs().max() < 0.06


def test_too_few_that_live():
    rates_F = torch.tensor([0.5, 0.5, 0.5, 0.0])
    assert LatentMatcher(rates_F).draw(torch.tensor([0, 1]), generator=generator()).tolist() == [2]


@pytest.mark.parametrize("n_picked", [5, 150])
def test_a_matcher_that_has_drawn_before_draws_as_a_new_one(n_picked: int):
    """150 of 400 leave few neighbours free, so that the search goes on farther out."""
    rates_F, sizes_F = torch.rand(2, 400, generator=generator()) + 0.01
    used = LatentMatcher(rates_F, sizes_F)
    for seed in range(4):
        picked_K = sizes_F.topk(n_picked + seed).indices
        drawn = used.draw(picked_K, generator=generator(seed))
        assert drawn.equal(LatentMatcher(rates_F, sizes_F).draw(picked_K, generator=generator(seed)))


def test_fewer_than_twenty_that_are_free_are_nearer_than_a_match():
    rates_F, sizes_F = torch.rand(2, 400, generator=generator()) + 0.01
    ranks_FP = torch.stack([rates_F.argsort().argsort(), sizes_F.argsort().argsort()], dim=1)
    picked_K = sizes_F.topk(150).indices
    free_F = torch.ones(400, dtype=torch.bool)
    free_F[picked_K] = False
    matches = LatentMatcher(rates_F, sizes_F).draw(picked_K, generator=generator(1)).tolist()
    for latent, match in zip(picked_K.tolist(), matches, strict=True):
        distance_F = (ranks_FP - ranks_FP[latent]).abs().amax(dim=1)
        assert free_F[match]
        assert int((distance_F[free_F] < distance_F[match]).sum()) < 20
        free_F[match] = False
