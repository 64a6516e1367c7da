"""One pass in bounded memory gives what all activations give: the same latents, the same examples."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from autointerp_plain import dense_codes, top_positions
from torch import Tensor

from sae_bench.custom_saes.interface import SparseCodes
from sae_bench.errors import UsageError
from sae_bench.evals.autointerp.eval_config import AutoInterpEvalConfig
from sae_bench.evals.autointerp.gathering import LatentActivations, active, latent_order, rank_within
from sae_bench.evals.autointerp.sampling import (
    WindowRules,
    drawn_places,
    race_keys,
    random_windows,
    top_places,
)

RULES = WindowRules(row_length=16, buffer=2, n_top=3, n_drawn=3, n_random=4, no_overlap=True)
SEEDS = (1, 2)


def gathered(x_RLF: Tensor, *, kept_at_once: int, n_wanted: int = 6, min_active: float | None = 20.0, rows: int = 8):
    n_rows, length, d_sae = x_RLF.shape
    order = torch.randperm(d_sae, generator=torch.Generator().manual_seed(5))
    found = LatentActivations(
        d_sae, order, n_wanted=n_wanted, min_active=min_active, rules=RULES, n_rows=n_rows, seeds=SEEDS,
        kept_at_once=kept_at_once,
    )  # fmt: skip
    most = 0
    for start in range(0, n_rows, rows):
        positions = torch.arange(start * length, min(start + rows, n_rows) * length)
        found.add(positions, x_RLF[start : start + rows].flatten(0, 1))
        most = max(most, found.n_kept)
    return found, order, most


def everything(positions: Tensor, values: Tensor, latent: int, n_rows: int):
    """Top places, and draws below them for each seed, with the values of every window."""
    top = top_places(positions, values, RULES)
    shown = [(int(positions[p]), float(values[p])) for p in top]
    below = shown[-1][1]
    windows = [position for position, _ in shown]
    for seed in SEEDS:
        drawn = drawn_places(latent, positions, values, RULES, below=below, seed=seed)
        shown += [(int(positions[p]), float(values[p])) for p in drawn]
        windows += [int(positions[p]) for p in drawn] + random_windows(seed, latent, n_rows, RULES)
    at = dict(zip(positions.tolist(), values.tolist(), strict=True))
    return shown, [[at.get(p + d, 0.0) for d in range(-RULES.buffer, RULES.buffer + 1)] for p in windows]


@pytest.mark.parametrize("density", [0.02, 0.2, 0.9])
@pytest.mark.parametrize("n_wanted", [3, 30])
def test_bounded_memory_loses_no_example(density, n_wanted):
    x_RLF = dense_codes(96, 16, 24, density=density, seed=3)
    x_RLF[..., :4] *= torch.rand(96, 16, 4, generator=torch.Generator().manual_seed(8)) < 0.01  # hardly live
    whole, order, _ = gathered(x_RLF, kept_at_once=10**9, n_wanted=n_wanted)
    small, _, most = gathered(x_RLF, kept_at_once=400, n_wanted=n_wanted)
    counts = (x_RLF > 0).sum(dim=(0, 1))
    live = [k for k in order.tolist() if counts[k] > 20]
    assert whole.chosen() == small.chosen() == live[:n_wanted]
    assert torch.equal(small.count_F, counts)
    assert small.n_live == len(live)
    kept, bounded = whole.by_latent(), small.by_latent()
    assert list(kept) == list(bounded) == whole.chosen()
    for latent, (positions, values) in kept.items():
        dense = x_RLF[..., latent].flatten()
        assert torch.equal(positions.long(), dense.nonzero()[:, 0])
        assert torch.equal(values, dense[dense > 0])
        assert everything(*bounded[latent], latent, 96) == everything(positions, values, latent, 96)
    if density > 0.1 and n_wanted == 3:
        assert most < 0.5 * int((x_RLF > 0).sum())


def test_ties_at_the_limit_and_constant_codes_survive_compaction():
    x_RLF = (dense_codes(64, 16, 4, density=0.6, seed=1) > 0).float()
    x_RLF[..., 1] *= torch.where(torch.rand(64, 16, generator=torch.Generator().manual_seed(2)) < 0.3, 0.5, 1.0)
    whole, _, _ = gathered(x_RLF, kept_at_once=10**9, min_active=None)
    small, _, most = gathered(x_RLF, kept_at_once=100, min_active=None)
    assert most < int((x_RLF > 0).sum())
    for latent, (positions, values) in whole.by_latent().items():
        assert everything(*small.by_latent()[latent], latent, 64) == everything(positions, values, latent, 64)


def test_memory_does_not_grow_with_the_corpus():
    kept = []
    for n_rows in (200, 800):
        x_RLF = dense_codes(n_rows, 16, 8, density=0.9, seed=4)
        found, _, _ = gathered(x_RLF, kept_at_once=100, n_wanted=8)
        found.compact()
        kept.append(found.n_kept)
    assert kept[1] < 1.2 * kept[0]


@pytest.mark.parametrize("no_overlap", [True, False])
def test_top_examples_are_those_of_the_definition(no_overlap):
    for density in (0.05, 0.5):
        x_RL = dense_codes(12, 16, 1, density=density, seed=9)[..., 0]
        flat = x_RL.flatten()
        positions = flat.nonzero()[:, 0]
        for n_top in (1, 5, 40):
            rules = replace(RULES, n_top=n_top, no_overlap=no_overlap)
            found = [divmod(int(positions[p]), 16) for p in top_places(positions, flat[positions], rules)]
            assert found == top_positions(x_RL, n_top, 2, no_overlap=no_overlap)


def test_draws_are_in_proportion_to_the_square_and_below_the_limit():
    positions = torch.tensor([3, 5, 7, 9, 11])
    values = torch.tensor([1.0, 2.0, 3.0, 9.0, 2.0])
    keys = race_keys(0, torch.arange(4000).repeat_interleave(5), positions.repeat(4000), values.repeat(4000)).view(
        -1, 5
    )
    keys[:, 3] = float("inf")  # not below the limit
    share = torch.bincount(keys.argmin(dim=1), minlength=5) / 4000
    expected = values.square() * torch.tensor([1, 1, 1, 0, 1])
    assert torch.allclose(share, expected / expected.sum(), atol=0.03)  # four standard errors of 4000 draws
    first = drawn_places(17, positions, values, replace(RULES, n_drawn=1), below=9.0, seed=0)
    assert first == [int(keys[17].argmin())]
    all_of_them = drawn_places(0, positions, values, replace(RULES, n_drawn=9), below=9.0, seed=0)
    assert sorted(all_of_them) == [0, 1, 2, 4]


def test_draws_are_independent_of_what_else_is_kept():
    latent = torch.tensor([4, 4, 9])
    position = torch.tensor([17, 40, 17])
    value = torch.tensor([1.0, 2.0, 1.0])
    keys = race_keys(3, latent, position, value)
    assert torch.equal(race_keys(3, latent[1:], position[1:], value[1:]), keys[1:])
    assert len(set(keys.tolist())) == 3
    assert not torch.equal(race_keys(4, latent, position, value), keys)
    many = race_keys(0, torch.zeros(20000, dtype=torch.long), torch.arange(20000), torch.ones(20000))
    assert float(many.mean()) == pytest.approx(1.0, abs=0.03)
    assert float((many < 0.6931).double().mean()) == pytest.approx(0.5, abs=0.015)


def test_windows_from_anywhere_stay_within_their_rows():
    for seed in range(20):
        windows = random_windows(seed, 7, 5, RULES)
        assert len(windows) == 4
        assert all(0 <= p < 80 and 2 <= p % 16 < 14 for p in windows)
    assert random_windows(1, 7, 5, RULES) != random_windows(1, 8, 5, RULES)


def test_sparse_and_dense_codes_are_the_same_activations():
    dense_NF = dense_codes(1, 30, 9, density=0.3, seed=2)[0]
    dense_NF[3] *= -1
    values_NK, indices_NK = dense_NF.topk(9)
    found = active(SparseCodes(values_NK, indices_NK, 9))
    rebuilt = torch.zeros_like(dense_NF)
    rebuilt[found[0], found[1]] = found[2]
    assert torch.equal(rebuilt, dense_NF.abs())
    token, latent, value = active(dense_NF)
    assert torch.equal(dense_NF[token, latent].abs(), value)
    assert int((dense_NF != 0).sum()) == len(value)


def test_rank_within_groups():
    group = torch.tensor([2, 0, 2, 2, 0])
    key = torch.tensor([0.5, 1.0, 0.1, 0.5, 0.0])
    assert rank_within(group, key).tolist() == [1, 1, 0, 2, 0]


def test_named_latents_have_to_exist():
    config = AutoInterpEvalConfig(override_latents=[3, 1])
    assert latent_order(4, config).tolist() == [3, 1]
    assert config.n_latents == 2
    with pytest.raises(UsageError, match="latents 0 to 2; there is no 3"):
        latent_order(3, config)
