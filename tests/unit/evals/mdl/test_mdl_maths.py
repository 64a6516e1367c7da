"""Bins, histograms and entropies of all latents at once, against one latent and one code at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from mdl_plain import entropy, plain_bin

from sae_bench.custom_saes.interface import SparseCodes, decode_tokens
from sae_bench.evals.mdl.bins import Ranges, bin_of, bits, code_lengths, histograms, middle_of
from sae_bench.evals.mdl.codes import ActiveCodes, Decoder
from sae_bench.testing import tiny_sae


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def sparse_codes(n: int = 200, d_sae: int = 12, *, seed: int = 0, signed: bool = False) -> torch.Tensor:
    g = generator(seed)
    codes = torch.randn(n, d_sae, generator=g)
    codes = codes if signed else codes.abs()
    codes = codes * (torch.rand(n, d_sae, generator=g) < torch.linspace(0, 0.9, d_sae))
    codes[:, 3] = (codes[:, 3] != 0) * 0.7  # a latent with one value
    return codes


def ranges_of(codes: torch.Tensor) -> tuple[Ranges, ActiveCodes]:
    active = ActiveCodes.of(codes, ranked=False)
    ranges = Ranges(codes.shape[1], codes.device)
    for part in (slice(0, 50), slice(50, None)):  # in pieces, as batches come
        ranges.update(active.latent_A[part], active.value_A[part])
    return ranges, active


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("n_bins", [1, 2, 7, 64])
def test_every_code_is_in_the_bin_that_exact_arithmetic_gives(n_bins: int, signed: bool):
    codes = sparse_codes(signed=signed)
    ranges, active = ranges_of(codes)
    found = bin_of(ranges, active.latent_A, active.value_A, n_bins).tolist()
    for latent, value, place in zip(active.latent_A.tolist(), active.value_A.tolist(), found, strict=True):
        column = codes[:, latent][codes[:, latent] != 0]
        assert place == plain_bin(value, float(column.min()), float(column.max()), n_bins)


@pytest.mark.parametrize("n_bins", [2, 3, 4, 10, 16, 48])
def test_values_on_an_edge_belong_to_the_bin_above_it(n_bins: int):
    """Edges of a range [0.1, 0.7] are no float32 numbers in general; the neighbours of each are on the right sides."""
    low, high = torch.tensor(0.1), torch.tensor(0.7)
    edges = (low.double() + (high - low).double() * torch.arange(n_bins + 1) / n_bins).float()
    near = torch.cat([edges, torch.nextafter(edges, low), torch.nextafter(edges, high)]).clamp(low, high)
    ranges = Ranges(1, near.device)
    latents = torch.zeros(len(near), dtype=torch.int32)
    ranges.update(latents, near)
    found = bin_of(ranges, latents, near, n_bins).tolist()
    assert found == [plain_bin(v, float(low), float(high), n_bins) for v in near.tolist()]
    assert found[0] == 0
    assert found[n_bins] == n_bins - 1


def test_bins_are_those_of_numpy():
    codes = sparse_codes(seed=1)
    ranges, active = ranges_of(codes)
    counts = histograms(active.latent_A, bin_of(ranges, active.latent_A, active.value_A, 5), 12, 5)
    for latent in range(1, 12):
        if latent != 3:  # numpy widens a range of one value
            column = codes[:, latent][codes[:, latent] != 0].double().numpy()
            assert counts[latent].tolist() == np.histogram(column, bins=5)[0].tolist()
    assert counts[0].tolist() == [0] * 5
    assert counts[3].tolist() == [int((codes[:, 3] != 0).sum()), 0, 0, 0, 0]


def test_middles_lie_within_half_a_bin():
    codes = sparse_codes(signed=True)
    ranges, active = ranges_of(codes)
    for n_bins in (1, 5, 64):
        middle = middle_of(ranges, active.latent_A, bin_of(ranges, active.latent_A, active.value_A, n_bins), n_bins)
        half = ((ranges.high_F - ranges.low_F) / n_bins / 2)[active.latent_A.long()]
        assert bool(((middle - active.value_A).abs() <= half + 1e-6).all())  # 1e-6: float32 values of size 1
    only = active.latent_A == 3
    assert middle[only].tolist() == active.value_A[only].tolist(), "a latent with one value is decoded exactly"


def test_planted_entropies():
    """Latent 0 fires on half of the tokens in 4 equally frequent bins: 1 + 0.5 * 2 bits. Latent 1 always fires, in 2
    bins: 0 + 1 bit. Latent 2 never fires, latent 3 always in one bin: nothing to say."""
    counts = torch.tensor([[16, 16, 16, 16], [64, 64, 0, 0], [0, 0, 0, 0], [0, 128, 0, 0]])
    found = bits(counts, 128)
    assert found.active_F.tolist() == [1.0, 0.0, 0.0, 0.0]
    assert found.bin_F.tolist() == pytest.approx([1.0, 1.0, 0.0, 0.0], abs=1e-12)
    assert found.description_length == pytest.approx(3.0, abs=1e-12)


def test_bits_are_the_entropy_of_the_symbols():
    """Activity and bin together are one symbol: the chain rule of the entropy, latent by latent."""
    counts = torch.randint(0, 9, (20, 6), generator=generator(3))
    n_tokens = 6 * 9
    found = bits(counts, n_tokens)
    expected = [entropy([n_tokens - sum(row), *row]) for row in counts.tolist()]
    assert (found.active_F + found.bin_F).tolist() == pytest.approx(expected, abs=1e-12)
    lengths = code_lengths(counts, n_tokens)
    n_inactive = n_tokens - counts.sum(1)
    mean = (lengths.inactive_F * n_inactive + (lengths.active_FJ * counts).sum(1)) / n_tokens
    assert mean.tolist() == pytest.approx(expected, abs=1e-12)
    assert all(math.isfinite(v) for v in lengths.active_FJ.flatten().tolist())


def test_more_bins_never_take_fewer_bits_when_they_refine():
    codes = sparse_codes(n=500)
    ranges, active = ranges_of(codes)
    lengths = [
        bits(histograms(active.latent_A, bin_of(ranges, active.latent_A, active.value_A, n), 12, n), 500)
        for n in (1, 2, 4, 8, 16)
    ]
    assert lengths[0].bin_F.sum() == 0
    totals = [one.description_length for one in lengths]
    assert totals == sorted(totals)
    assert len({float(one.active_F.sum()) for one in lengths}) == 1


def test_dense_and_sparse_codes_give_the_same_lists():
    codes = sparse_codes(n=30)
    values, indices = codes.topk(12, dim=1, sorted=False)
    shuffled = torch.stack([torch.randperm(12, generator=generator(i)) for i in range(30)])
    same = SparseCodes(values.gather(1, shuffled), indices.gather(1, shuffled), 12)
    for ranked in (False, True):
        a, b = ActiveCodes.of(codes, ranked=ranked), ActiveCodes.of(same, ranked=ranked)
        assert (a.token_A.diff() >= 0).all()
        assert sorted(zip(*(x.tolist() for x in (a.token_A, a.latent_A, a.value_A)), strict=True)) == sorted(
            zip(*(x.tolist() for x in (b.token_A, b.latent_A, b.value_A)), strict=True)
        )
    assert a.latent_A.tolist() == b.latent_A.tolist(), "ranked: the same order, whatever the slots"


@pytest.mark.parametrize("k", [1, 3, 50])
def test_the_largest_codes_of_a_token_are_kept(k: int):
    codes = sparse_codes(n=40, signed=True)
    kept = ActiveCodes.of(codes, ranked=True).largest(k)
    for token in range(40):
        mine = kept.token_A == token
        expected = sorted(codes[token][codes[token] != 0].tolist(), key=abs, reverse=True)[:k]
        assert kept.value_A[mine].tolist() == expected
    everything = ActiveCodes.of(codes, ranked=False)
    assert everything.largest(None) is everything


@pytest.mark.parametrize("d_sae", [64, 1024], ids=["dense product", "gathered rows"])
def test_decoding_flat_codes_equals_decoding_dense_ones(d_sae: int):
    sae = tiny_sae("topk", d_sae=d_sae)
    codes = sae.encode(torch.randn(50, 32, generator=generator()))
    codes[7] = 0  # a token without any
    active = ActiveCodes.of(codes, ranked=False)
    found = Decoder(sae)(active, active.value_A)
    assert torch.allclose(found, decode_tokens(sae, codes), atol=1e-5)
    # 1e-5: sums of 8 float32 products of size 1, in another order


def test_a_decoder_that_is_not_linear_decodes_dense_codes():
    sae = tiny_sae("topk", d_sae=1024)
    sae.decoder_is_linear = False
    plain = sae.decode
    sae.decode = lambda f: plain(f) * f.sum(-1, keepdim=True)
    codes = sae.encode(torch.randn(20, 32, generator=generator()))
    active = ActiveCodes.of(codes, ranked=False)
    assert torch.equal(Decoder(sae)(active, active.value_A), sae.decode(codes))
