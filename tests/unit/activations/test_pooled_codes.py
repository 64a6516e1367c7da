"""Per-text means of activations and codes, dense and sparse, and what they cost in memory."""

from __future__ import annotations

import tracemalloc

import pytest
import torch
from pass_samples import HOOK, ROUNDING, activation_batch, member, plain_code_mean, plain_mean, random_texts
from scipy import sparse
from torch import Tensor

from sae_bench.activations.batches import ActivationBatch
from sae_bench.activations.pooled import CodeMatrix, PooledActivations, PooledCodes
from sae_bench.custom_saes.interface import SparseCodes, encode_tokens
from sae_bench.testing import tiny_model

BATCHES = [[4, 1, 7], [0, 3], [2, 6, 5]]
"""Texts arrive in another order than they are asked for."""


@pytest.fixture(scope="module")
def lm():
    return tiny_model("llama")


@pytest.fixture(scope="module")
def texts(lm):
    return random_texts(lm, 8)


def pooled(lm, texts, sae, *, dense: bool, limit: int = 1 << 30) -> CodeMatrix:
    codes = PooledCodes(len(texts), sae.cfg.d_sae, dense_limit_bytes=limit)
    for rows in BATCHES:
        batch = activation_batch(lm, texts, rows)
        code = encode_tokens(sae, batch.tokens(HOOK))
        codes.update(batch, code.to_dense() if dense and isinstance(code, SparseCodes) else code)
    return codes.finish()


def test_activations_are_the_plain_means_in_the_order_of_the_texts(lm, texts):
    means = PooledActivations(len(texts), lm.d_model)
    for rows in BATCHES:
        means.update(activation_batch(lm, texts, rows), HOOK)
    expected = torch.stack([plain_mean(lm, ids) for ids in texts])
    torch.testing.assert_close(means.mean_TD.double(), expected, atol=ROUNDING, rtol=0)


@pytest.mark.parametrize("limit", [1 << 30, 0], ids=["stored dense", "stored sparse"])
@pytest.mark.parametrize(
    ("architecture", "dense"), [("topk", False), ("topk", True), ("relu", True), ("identity", True)]
)
def test_codes_are_the_plain_means_in_the_order_of_the_texts(lm, texts, architecture, dense, limit):
    sae = member(architecture).sae
    matrix = pooled(lm, texts, sae, dense=dense, limit=limit)
    assert matrix.is_sparse == (limit == 0)
    assert matrix.shape == (len(texts), sae.cfg.d_sae)
    expected = torch.stack([plain_code_mean(lm, ids, sae) for ids in texts])
    torch.testing.assert_close(matrix.rows(torch.arange(8)).double(), expected, atol=ROUNDING, rtol=0)


def test_dense_and_sparse_storage_answer_alike(lm, texts):
    sae = member("topk").sae
    dense, compressed = (pooled(lm, texts, sae, dense=False, limit=limit) for limit in (1 << 30, 0))
    index, latents = torch.tensor([6, 0, 0, 3]), torch.tensor([5, 63, 0, 5])
    assert torch.equal(dense.rows(index), compressed.rows(index))
    assert torch.equal(dense.columns(index, latents), compressed.columns(index, latents))
    assert torch.equal(dense.columns(index, latents), dense.rows(index)[:, latents])
    torch.testing.assert_close(dense.mean(index), compressed.mean(index), atol=1e-15, rtol=1e-14)
    assert dense.mean(index).dtype == compressed.mean(index).dtype == torch.float64
    assert dense.nbytes == 8 * 64 * 4
    nothing = torch.tensor([], dtype=torch.long)
    assert bool(dense.mean(nothing).isnan().all())
    assert bool(compressed.mean(nothing).isnan().all())


def test_codes_are_silent_where_no_latent_is_active(monkeypatch):
    dense_TF = torch.zeros(5, 3)
    dense_TF[4, 1] = -0.5
    monkeypatch.setattr(CodeMatrix, "rows", None)  # of wide SAEs, rows are gigabytes
    for codes in (CodeMatrix(dense_TF), CodeMatrix(sparse.csr_matrix(dense_TF.numpy()))):
        assert not codes.is_silent(texts_at_once=2)
        assert codes.select(torch.arange(4)).is_silent(texts_at_once=2)
        assert not codes.select(torch.tensor([0, 4])).is_silent()


@pytest.mark.parametrize("limit", [1 << 30, 0])
def test_means_are_summed_in_float64(limit):
    """1 + 4096 times 2^-13 is 1.5; a float32 sum that starts at 1024 would lose every addend."""
    x_TF = torch.full((4097, 1), 2.0**-15)
    x_TF[0] = 1024.0
    codes = PooledCodes(4097, 1, dense_limit_bytes=limit)
    codes.update(one_token_texts(x_TF), x_TF)
    matrix = codes.finish()
    exact = (1024.0 + 4096 * 2.0**-15) / 4097
    assert float(matrix.mean(torch.arange(4097))) == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize("limit", [1 << 30, 0])
def test_texts_that_no_batch_held_stay_zero(lm, texts, limit):
    codes = PooledCodes(6, 64, dense_limit_bytes=limit)
    batch = activation_batch(lm, texts, [4, 2])
    codes.update(batch, member("topk").sae.encode(batch.tokens(HOOK)))
    matrix = codes.finish()
    assert matrix.shape == (6, 64)
    rows = matrix.rows(torch.arange(6))
    assert rows.abs().sum(dim=1).gt(0).tolist() == [False, False, True, False, True, False]
    assert bool((PooledCodes(2, 5, dense_limit_bytes=limit).finish().rows(torch.arange(2)) == 0).all())


@pytest.mark.slow
def test_wide_saes_fit_in_memory():
    """65,536 latents, 1,500 of them active per text: below 8 GB for 100,000 texts, and below twice that on the way.

    tracemalloc sees the arrays that grow with the number of texts (NumPy's), not the tensors of one batch.
    """
    n_texts, d_sae, active, at_once = 2000, 65_536, 1500, 50
    generator = torch.Generator().manual_seed(0)
    codes = PooledCodes(n_texts, d_sae, dense_limit_bytes=0)  # so few would be kept dense by default
    tracemalloc.start()
    for start in range(0, n_texts, at_once):
        batch = one_token_texts(torch.zeros(at_once, 1), first=start)
        values = torch.rand(at_once, active, generator=generator) + 0.1
        latents = torch.stack([torch.randperm(d_sae, generator=generator)[:active] for _ in range(at_once)])
        codes.update(batch, SparseCodes(values, latents, d_sae))
    matrix = codes.finish()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    share = 100_000 / n_texts
    assert matrix.nbytes >= n_texts * active * 4
    assert matrix.nbytes * share < 8e9
    assert peak < 2 * matrix.nbytes
    assert int((matrix.rows(torch.tensor([1234])) > 0).sum()) == active


def one_token_texts(x_TD: Tensor, *, first: int = 0) -> ActivationBatch:
    """A batch whose texts have one valid token each."""
    n = len(x_TD)
    ones = torch.ones(n, 1, dtype=torch.long)
    return ActivationBatch(tuple(range(first, first + n)), ones, ones.bool(), {HOOK: x_TD[:, None, :]})


@pytest.mark.parametrize("architecture", ["relu", "topk", "gated"])
def test_codes_of_wide_saes_are_pooled_without_a_matrix_of_texts_and_latents(
    lm, texts, architecture, monkeypatch: pytest.MonkeyPatch
):
    sae = member(architecture).sae
    dense = pooled(lm, texts, sae, dense=True)
    monkeypatch.setattr("sae_bench.custom_saes.codes.WIDE", sae.cfg.d_sae)
    monkeypatch.setattr(torch.Tensor, "to_dense", None)
    monkeypatch.setattr(SparseCodes, "to_dense", None)
    wide = pooled(lm, texts, sae, dense=False)
    assert wide.is_sparse
    torch.testing.assert_close(wide.rows(torch.arange(8)), dense.rows(torch.arange(8)), atol=ROUNDING, rtol=0)
    torch.testing.assert_close(wide.mean(torch.arange(8)), dense.mean(torch.arange(8)), atol=ROUNDING, rtol=0)
