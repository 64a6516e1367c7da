"""Gradients and training without dense codes, against autograd; planted structure."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from meta_plain import PlainMetaSAE, train_plainly
from torch import Tensor

from sae_bench.evals.meta_structure import training
from sae_bench.evals.meta_structure.eval_config import MetaStructureEvalConfig
from sae_bench.evals.meta_structure.meta_sae import MetaSAEs
from sae_bench.evals.meta_structure.training import explain_decoder, meta_width, step_gradients, train

D_IN = 12


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def unit_rows(n: int = 60, d: int = D_IN, *, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    rows = torch.randn(n, d, generator=generator(seed), dtype=dtype)
    return rows / rows.norm(dim=1, keepdim=True)


def settings(**changes: Any) -> MetaStructureEvalConfig:
    base = {"train_steps": 40, "train_batch_size": 16, "k": 2, "learning_rate": 0.01, "dtype": "float64"}
    return MetaStructureEvalConfig(**(base | changes))


def random_saes(n_seeds: int, n_latents: int) -> MetaSAEs:
    """Weights where nothing is zero, so that no gradient is missed."""
    g = generator(5)
    shapes = ((n_seeds, n_latents, D_IN), (n_seeds, n_latents), (n_seeds, n_latents, D_IN), (n_seeds, D_IN))
    return MetaSAEs(*(torch.randn(*shape, generator=g, dtype=torch.float64) * 0.5 for shape in shapes))


def plain_of(saes: MetaSAEs, seed: int, k: int) -> PlainMetaSAE:
    return PlainMetaSAE(*(weight[seed] for weight in saes.weights), k)


@pytest.mark.parametrize("n_dead", [0, 1, 4, 9])
def test_gradients_are_those_of_autograd(n_dead: int):
    """float64: the two differ by rounding alone. D / 2 = 6 lies between 4 and 9 dead meta-latents."""
    saes, rows = random_saes(3, 15), unit_rows()
    x_SBD = torch.stack([rows[torch.randint(60, (16,), generator=generator(s))] for s in range(3)])
    dead_SM = torch.zeros(3, 15, dtype=torch.bool)
    dead_SM[1, :n_dead] = True
    dead_SM[2, 2 : 2 + n_dead // 2] = True
    found, used_SM = step_gradients(saes, x_SBD, dead_SM, 2)
    for seed in range(3):
        plain = plain_of(saes, seed, 2)
        loss, used = plain.loss(x_SBD[seed], dead_SM[seed])
        loss.backward()
        assert used_SM[seed].tolist() == used.tolist()
        for gradient, parameter in zip(found, plain.parameters(), strict=True):
            assert torch.allclose(gradient[seed], parameter.grad, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("changes", [{}, {"dead_feature_window": 3}, {"weight_decay": 0.1}], ids=str)
def test_training_is_that_of_the_plain_way(changes: dict[str, Any]):
    config, rows, seeds = settings(**changes), unit_rows(), (7, 8)
    saes = train(rows, seeds, config)
    start = MetaSAEs.start(seeds, meta_width(60, config), rows)
    drawn = list(training._batches(60, seeds, config))
    dead: list[int] = []
    for place in range(2):
        plain = plain_of(start, place, config.k)
        dead += train_plainly(plain, [rows[index_SB[place]] for index_SB in drawn], config)
        for found, expected in zip(saes.weights, plain.parameters(), strict=True):
            assert torch.allclose(found[place], expected, atol=1e-8), "40 steps of float64 rounding"
        with torch.no_grad():
            error_F = (rows - plain(rows)).pow(2).sum(1)
        assert torch.allclose(training.reconstruction_errors(saes, rows, config)[place], error_F, atol=1e-8)
    assert (max(dead) > 0) == ("dead_feature_window" in changes), "the loss of dead meta-latents was at work"


def test_gradients_are_clipped_per_seed():
    saes = random_saes(2, 15)
    x_SBD = unit_rows()[:16].expand(2, -1, -1) * torch.tensor([1e-3, 50.0], dtype=torch.float64)[:, None, None]
    gradients, _ = step_gradients(saes, x_SBD, torch.zeros(2, 15, dtype=torch.bool), 2)
    clipped = training._clipped(gradients)
    norm_S = sum(g.flatten(1).pow(2).sum(1) for g in clipped).sqrt()
    before_S = sum(g.flatten(1).pow(2).sum(1) for g in gradients).sqrt()
    assert norm_S.tolist() == pytest.approx([min(1.0, n) for n in before_S.tolist()], rel=1e-5)
    assert before_S[1] > 1


def test_seeds_side_by_side_are_the_same_as_one_after_the_other(monkeypatch: pytest.MonkeyPatch):
    config, rows = settings(), unit_rows()
    apart = explain_decoder(rows, (1, 2, 3), config)
    assert [one.seed for one in apart] == [1, 2, 3]
    monkeypatch.setitem(training.BYTES_AT_ONCE, "cpu", 1 << 30)
    together = explain_decoder(rows, (3, 1), config)
    for one in together:
        other = next(a for a in apart if a.seed == one.seed)
        assert torch.allclose(one.error_F, other.error_F, atol=1e-8)
    assert len({round(one.variance_explained, 6) for one in apart}) == 3, "seeds matter"


def test_the_global_random_state_is_left_alone():
    before = torch.get_rng_state()
    first = explain_decoder(unit_rows(), (1,), settings())[0]
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(123)
    assert torch.equal(explain_decoder(unit_rows(), (1,), settings())[0].error_F, first.error_F)


def test_variance_and_error_are_those_of_the_definition():
    rows, config = unit_rows(), settings(eval_batch_size=25)
    (found,) = explain_decoder(rows, (4,), config)
    saes = train(rows, (4,), config)
    plain = plain_of(saes, 0, config.k)
    with torch.no_grad():
        out = torch.cat([plain(part) for part in rows.split(25)])
    assert found.mse == pytest.approx(float((rows - out).pow(2).mean()), rel=1e-9)
    spread = (rows - rows.mean(0)).pow(2).sum()
    assert found.variance_explained == pytest.approx(1 - float((rows - out).pow(2).sum() / spread), rel=1e-9)


def test_widths():
    assert meta_width(60, settings(width_ratio=0.25)) == 15
    assert meta_width(61, settings(width_ratio=0.25)) == 16
    assert meta_width(4, settings(width_ratio=0.25, k=3)) == 3


# ---- planted truths


def planted_rows(n: int, *, n_directions: int, d: int = 32, seed: int = 0) -> Tensor:
    """Unit rows that each are a sum of two out of a few directions."""
    directions = unit_rows(n_directions, d, seed=seed, dtype=torch.float32)
    pairs = torch.stack([torch.randperm(n_directions, generator=generator(seed + i))[:2] for i in range(n)])
    rows = directions[pairs].sum(1)
    return rows / rows.norm(dim=1, keepdim=True)


def test_rows_made_of_few_directions_are_explained_and_random_ones_are_not():
    config = settings(train_steps=600, train_batch_size=64, k=2, dtype="float32")
    n = 128
    (planted,) = explain_decoder(planted_rows(n, n_directions=16), (1,), config)
    (random,) = explain_decoder(unit_rows(n, 32, dtype=torch.float32), (1,), config)
    assert planted.variance_explained > 0.9
    assert random.variance_explained < 0.6


def test_equal_rows_have_no_variance_to_explain():
    rows = unit_rows(1).expand(20, -1).contiguous()
    (found,) = explain_decoder(rows, (1,), settings(train_steps=2))
    assert found.spread_F.sum() < 1e-20
    assert found.variance_explained <= 0.0
