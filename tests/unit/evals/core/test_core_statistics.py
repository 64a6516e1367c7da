"""Sums behind the core metrics against plain formulas, and the geometry of weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from core_plain import plain_densities, plain_projection, plain_statistics
from torch import Tensor

from sae_bench.custom_saes.interface import SparseCodes, decode_tokens
from sae_bench.evals.core.token_statistics import (
    ReconstructionStatistics,
    TargetStatistics,
    active_per_row,
    summarise_densities,
)
from sae_bench.evals.core.weights import (
    nth_decoder_projection,
    weight_metrics,
)
from sae_bench.testing import tiny_sae

BOUND = 1e-5
"""Relative; single tokens are float32, sums float64."""
ROW_LENGTHS = ([3, 0, 5], [1, 2, 4], [9, 9, 1])
"""Valid tokens of each row: batches of 8, 7 and 19 tokens, one row without any."""


def planted(sae: Any) -> list[tuple[Tensor, Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    batches = []
    for number, lengths in enumerate(ROW_LENGTHS):
        row_N = torch.repeat_interleave(torch.arange(3), torch.tensor(lengths))
        x_ND = torch.randn(len(row_N), 32, generator=generator) * (number + 1) + 2.0
        batches.append((x_ND, sae.encode(x_ND), row_N))
    return batches


def summed(sae: Any, batches: list[tuple[Tensor, Tensor, Tensor]], *, sparse: bool = False) -> dict[str, float]:
    inputs, sums = TargetStatistics(), ReconstructionStatistics(sae.cfg.d_sae)
    for x_ND, codes, row_N in batches:
        code = as_sparse(codes) if sparse else codes
        inputs.update(x_ND)
        sums.update(inputs, x_ND, decode_tokens(sae, code), code, row_N, 3)
    density, consistency = sums.densities()
    expected_density, expected_consistency = plain_densities(batches)
    torch.testing.assert_close(density, expected_density)
    torch.testing.assert_close(consistency, expected_consistency, equal_nan=True)
    return {**sums.quality(inputs), **sums.shrinkage(inputs), **sums.sparsity(), **summarise_densities(density)}


def as_sparse(codes_NF: Tensor, *, slots: int = 12) -> SparseCodes:
    """Codes in slots of which some are not used."""
    top = codes_NF.topk(slots, dim=-1)
    return SparseCodes(top.values, top.indices, codes_NF.shape[1])


@pytest.mark.parametrize(
    ("architecture", "sparse"), [("topk", False), ("topk", True), ("relu", False), ("identity", False)]
)
def test_every_field_equals_its_plain_formula(architecture: str, sparse: bool):
    sae = tiny_sae(architecture)
    batches = planted(sae)
    found, expected = summed(sae, batches, sparse=sparse), plain_statistics(sae, batches)
    assert found.keys() == expected.keys()
    assert found == {k: pytest.approx(v, rel=BOUND, abs=1e-6) for k, v in expected.items()}


def test_what_depends_on_the_batches_and_what_does_not():
    sae = tiny_sae("topk")
    batches = planted(sae)
    joined = [tuple(torch.cat(parts) for parts in zip(*batches, strict=True))]
    one, three = plain_statistics(sae, joined), summed(sae, batches)
    depends = {"mse", "explained_variance_legacy", "relative_reconstruction_bias"}
    for name, value in three.items():
        assert (value == pytest.approx(one[name], rel=BOUND)) == (name not in depends), name


def test_the_right_variance_where_the_mean_is_large():
    """Dimensions that are large and constant, as in real residual streams, must not swallow the variance."""
    generator = torch.Generator().manual_seed(0)
    inputs = TargetStatistics()
    batches = [torch.randn(500, 8, generator=generator) * 0.05 + 2000.0 for _ in range(3)]
    for x_ND in batches:
        inputs.update(x_ND)
    x = torch.cat(batches).double()
    expected = float((x - x.mean(0)).pow(2).sum(-1).mean())
    assert inputs.total_variance == pytest.approx(expected, rel=5e-3)  # means of a batch are float32: steps of 1.2e-4


def test_constant_activations_have_no_explained_variance():
    sae, x_ND = tiny_sae("identity"), torch.ones(4, 32)
    inputs, sums = TargetStatistics(), ReconstructionStatistics(32)
    inputs.update(x_ND)
    sums.update(inputs, x_ND, x_ND, sae.encode(x_ND), torch.zeros(4, dtype=torch.long), 1)
    assert inputs.total_variance == 0
    quality = sums.quality(inputs)
    assert quality["explained_variance"] != quality["explained_variance"]
    assert TargetStatistics().total_variance != TargetStatistics().total_variance


def test_active_tokens_per_row():
    codes = torch.tensor([[1.0, 0.0, -2.0], [3.0, 0.0, 0.0], [0.0, 0.0, 0.5]])
    expected = [[2, 0, 1], [0, 0, 0], [0, 0, 1]]
    rows = torch.tensor([0, 0, 2])
    assert active_per_row(codes, rows, 3, 3).tolist() == expected
    positive = SparseCodes(
        torch.tensor([[1.0, -2.0], [3.0, 0.0], [0.5, 0.0]]), torch.tensor([[0, 2], [0, 0], [2, 1]]), 3
    )
    assert active_per_row(positive, rows, 3, 3).tolist() == expected


def test_summaries_of_densities():
    exact = summarise_densities(torch.tensor([0.0, 0.01, 0.05, 0.1, 0.34], dtype=torch.float64))
    assert exact["frac_alive"] == pytest.approx(0.8)
    assert exact["freq_over_1_percent"] == pytest.approx(0.6)  # 0.01 itself is not over 1 %
    assert exact["freq_over_10_percent"] == pytest.approx(0.2)
    assert exact["normalized_freq_over_1_percent"] == pytest.approx(0.98)
    assert exact["normalized_freq_over_10_percent"] == pytest.approx(0.68)
    assert set(summarise_densities(torch.zeros(3)).values()) == {0.0}


def plain_max_cosine(directions: Tensor) -> Tensor:
    unit = directions.double() / directions.double().norm(dim=1, keepdim=True)
    return (unit @ unit.T).fill_diagonal_(float("-inf")).amax(dim=1)


def test_share_of_latents_with_an_opposite_one():
    sae = tiny_sae("identity", d_in=8)
    assert weight_metrics(sae).summary["opposite_decoder_pairs"] == 0
    sae.W_dec[5], sae.W_dec[6] = -sae.W_dec[1], -3 * sae.W_dec[1]
    summary = weight_metrics(sae).summary
    assert summary["opposite_decoder_pairs"] == 2
    assert summary["frac_with_opposite_decoder"] == 3 / 8


def test_projections_are_of_evenly_spaced_tokens_where_there_are_many(monkeypatch: pytest.MonkeyPatch):
    sae, x = tiny_sae("topk"), torch.randn(60, 32, generator=torch.Generator().manual_seed(2))
    monkeypatch.setattr("sae_bench.evals.core.weights.PROJECTIONS", 20 * len(sae.W_dec))
    assert nth_decoder_projection(sae, x) == pytest.approx(plain_projection(sae, x[::3]), abs=1e-5)


def test_projection_is_lowest_for_directions_that_mix_nothing():
    """Sparse features on a basis: a dictionary that mixes neighbours reaches into more activations."""
    sae = tiny_sae("identity", d_in=32)
    generator = torch.Generator().manual_seed(3)
    x = torch.rand(200, 32, generator=generator) * (torch.rand(200, 32, generator=generator) < 0.15)
    clean = nth_decoder_projection(sae, x)
    sae.W_dec += 0.5 * sae.W_dec.roll(1, dims=0)
    assert nth_decoder_projection(sae, x) > clean + 0.05


@pytest.mark.parametrize("architecture", ["relu", "gated", "identity"])
def test_weight_metrics(architecture: str):
    sae = tiny_sae(architecture, seed=4)
    with torch.no_grad():
        sae.W_enc.mul_(2.5).add_(0.01)
    found, summary, missing = weight_metrics(sae)
    assert missing == {}
    encoder, decoder = sae.W_enc.double().T, sae.W_dec.double()
    cosine = (encoder * decoder).sum(1) / encoder.norm(dim=1) / decoder.norm(dim=1)
    expected = {
        "encoder_norm": encoder.norm(dim=1),
        "encoder_decoder_cosine_sim": cosine,
        "max_encoder_cosine_sim": plain_max_cosine(encoder),
        "max_decoder_cosine_sim": plain_max_cosine(decoder),
        "encoder_bias": (sae.b_mag if architecture == "gated" else sae.b_enc).double(),
    }
    assert found.keys() == expected.keys()
    assert summary["average_max_decoder_cosine_sim"] == pytest.approx(float(plain_max_cosine(decoder).mean()), abs=1e-5)
    for name, value in expected.items():
        torch.testing.assert_close(found[name].double(), value, atol=1e-5, rtol=0)


def test_weight_metrics_of_an_sae_without_an_encoder():
    class Bare:
        cfg = None
        W_dec = torch.eye(4)

        def encode(self, x: Tensor) -> Tensor:
            return x

        def decode(self, f: Tensor) -> Tensor:
            return f

    found, _, missing = weight_metrics(Bare())
    assert found["encoder_bias"].tolist() == [0.0] * 4
    assert set(missing) == {"encoder_norm", "encoder_decoder_cosine_sim", "max_encoder_cosine_sim"}
    assert set(found) == {"encoder_bias", "max_decoder_cosine_sim"}
