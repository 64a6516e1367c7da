"""Gradients and training without dense codes, against autograd; planted structure."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from meta_plain import PlainMetaSAE, train_plainly
from torch import Tensor

from sae_bench.evals.meta_structure.eval_config import MetaStructureEvalConfig
from sae_bench.evals.meta_structure.evaluate import EXPLAINED, MSE, score_decoder
from sae_bench.evals.meta_structure.meta_sae import MetaSAE, train
from sae_bench.seeding import named_generator

D_IN = 12


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def unit_rows(n: int = 60, d: int = D_IN, *, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    rows = torch.randn(n, d, generator=generator(seed), dtype=dtype)
    return rows / rows.norm(dim=1, keepdim=True)


def settings(**changes: Any) -> MetaStructureEvalConfig:
    base = {"train_steps": 40, "train_batch_size": 16, "k": 2, "learning_rate": 0.01, "dtype": "float64"}
    return MetaStructureEvalConfig(**(base | changes))


def random_sae(n_latents: int, seed: int = 5) -> MetaSAE:
    """Weights where nothing is zero, so that no gradient is missed."""
    sae, g = MetaSAE(0, n_latents, unit_rows()), generator(seed)
    for parameter in sae.parameters():
        parameter.data = torch.randn(parameter.shape, generator=g, dtype=torch.float64) * 0.5
    return sae


def plain_of(sae: MetaSAE, k: int) -> PlainMetaSAE:
    return PlainMetaSAE(sae.W_enc_MD.data, sae.b_enc_M.data, sae.W_dec_MD.data, sae.b_dec_D.data, k)


def pairs(sae: MetaSAE, plain: PlainMetaSAE) -> list[tuple[Tensor, Tensor]]:
    own = (sae.W_enc_MD, sae.b_enc_M, sae.W_dec_MD, sae.b_dec_D)
    return list(zip(own, (plain.W_enc, plain.b_enc, plain.W_dec, plain.b_dec), strict=True))


@pytest.mark.parametrize("n_dead", [0, 1, 4, 9])
def test_loss_and_gradients_are_those_of_dense_codes(n_dead: int):
    """float64: the two differ by rounding alone. D / 2 = 6 lies between 4 and 9 dead meta-latents."""
    sae, x_BD = random_sae(15), unit_rows()[torch.randint(60, (16,), generator=generator())]
    plain, dead_M = plain_of(sae, 2), torch.arange(15) < n_dead
    loss, entry_A = sae.loss(x_BD, dead_M, 2)
    expected, used = plain.loss(x_BD, dead_M)
    loss.backward()
    expected.backward()
    assert float(loss) == pytest.approx(float(expected), rel=1e-12)
    assert set((entry_A % 15).tolist()) == set(used.nonzero()[:, 0].tolist())
    for own, other in pairs(sae, plain):
        assert torch.allclose(own.grad, other.grad, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("changes", [{}, {"dead_feature_window": 3}, {"weight_decay": 0.1}], ids=str)
def test_training_is_that_of_the_plain_way(changes: dict[str, Any]):
    config, rows = settings(**changes), unit_rows()
    sae, plain = train(rows, 7, config), plain_of(MetaSAE(7, 15, rows), config.k)
    draws = named_generator("meta_structure", "batches", 7)
    batches = [rows[torch.randint(60, (16,), generator=draws)] for _ in range(config.train_steps)]
    dead = train_plainly(plain, batches, config)
    for own, other in pairs(sae, plain):
        assert torch.allclose(own, other, atol=1e-8), "40 steps of float64 rounding"
    with torch.no_grad():
        error_F = (rows - plain(rows)).pow(2).sum(1)
    assert torch.allclose(sae.errors(rows, config), error_F, atol=1e-8)
    assert (max(dead) > 0) == ("dead_feature_window" in changes), "the loss of dead meta-latents was at work"


def test_the_global_random_state_is_left_alone():
    before = torch.get_rng_state()
    first = explained(unit_rows(), settings(), seed=1)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(123)
    assert explained(unit_rows(), settings(), seed=1) == first != explained(unit_rows(), settings(), seed=2)


def test_variance_and_error_are_those_of_the_definition():
    rows, config = unit_rows(), settings(eval_batch_size=25)
    scores = score_decoder(rows, (4,), config)
    plain = plain_of(train(rows, 4, config), config.k)
    with torch.no_grad():
        out = torch.cat([plain(part) for part in rows.split(25)])
    found = scores.seed_results[0].metrics
    assert found[MSE] == pytest.approx(float((rows - out).pow(2).mean()), rel=1e-9)
    spread = (rows - rows.mean(0)).pow(2).sum()
    assert found[EXPLAINED] == pytest.approx(1 - float((rows - out).pow(2).sum() / spread), rel=1e-9)


@pytest.mark.parametrize(("n", "changes", "width"), [(60, {}, 15), (61, {}, 16), (4, {"k": 3}, 3)])
def test_widths(n: int, changes: dict[str, Any], width: int):
    sae = train(unit_rows(n), 0, settings(train_steps=1, **changes))
    assert len(sae.b_enc_M) == width


def explained(rows: Tensor, config: MetaStructureEvalConfig, seed: int = 1) -> float:
    return score_decoder(rows, (seed,), config).seed_results[0].metrics[EXPLAINED]


# ---- planted truths


def planted_rows(n: int, *, n_directions: int, d: int = 32, seed: int = 0) -> Tensor:
    """Unit rows that each are a sum of two out of a few directions."""
    directions = unit_rows(n_directions, d, seed=seed, dtype=torch.float32)
    pairs = torch.stack([torch.randperm(n_directions, generator=generator(seed + i))[:2] for i in range(n)])
    rows = directions[pairs].sum(1)
    return rows / rows.norm(dim=1, keepdim=True)


@pytest.mark.slow
def test_rows_made_of_few_directions_are_explained_and_random_ones_are_not():
    config = settings(train_steps=600, train_batch_size=64, k=2, dtype="float32")
    n = 128
    assert explained(planted_rows(n, n_directions=16), config) > 0.9
    assert explained(unit_rows(n, 32, dtype=torch.float32), config) < 0.6


def test_equal_rows_have_no_variance_to_explain():
    rows = unit_rows(1).expand(20, -1).contiguous()
    assert explained(rows, settings(train_steps=2)) <= 0.0
