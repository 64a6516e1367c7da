"""SAEs that are encoded some latents at a time: the same codes, and nothing as large as tokens x latents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sae_bench.custom_saes import codes, interface
from sae_bench.custom_saes.codes import SparseCodes, sums_of_rows
from sae_bench.custom_saes.files import read_json
from sae_bench.custom_saes.interface import check_finite, decode_tokens, encode_tokens
from sae_bench.custom_saes.loaders.native import load_native, save_sae
from sae_bench.custom_saes.relu_sae import ReluSAE
from sae_bench.custom_saes.topk_sae import TopKSAE
from sae_bench.errors import SAELoadError
from sae_bench.testing import tiny_sae
from sae_bench.testing.tiny_models import tiny_transcoder

ARCHITECTURES = ["relu", "jumprelu", "gated", "batch_topk", "topk"]
N_TOKENS, D_SAE = 300, 512


class Largest(TorchDispatchMode):
    """Number of elements of the largest tensor that any operation made; a view of another is none."""

    n = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if any(returned.alias_info is not None for returned in func._schema.returns):
            return out
        self.n = max([self.n, *(leaf.numel() for leaf in tree_leaves(out) if isinstance(leaf, Tensor))])
        return out


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(codes, "WIDE", D_SAE)
    monkeypatch.setattr(codes, "VALUES_AT_ONCE", N_TOKENS * 100)


def tokens(d: int = 32) -> Tensor:
    return torch.randn(N_TOKENS, d, generator=torch.Generator().manual_seed(1))


def saes() -> dict[str, Any]:
    trained = TopKSAE(32, D_SAE, 8, "tiny", 1, "cpu", torch.float32, use_threshold=True)
    source = tiny_sae("batch_topk", d_sae=D_SAE)
    trained.load_state_dict(source.state_dict())
    return {
        **{name: tiny_sae(name, d_sae=D_SAE) for name in ARCHITECTURES},
        "topk with a threshold": trained,
        "transcoder": tiny_transcoder("transcoder", d_sae=D_SAE),
        "jumprelu_transcoder": tiny_transcoder("jumprelu_transcoder", d_sae=D_SAE),
        "topk_transcoder": tiny_transcoder("topk_transcoder", d_sae=D_SAE),
    }


@pytest.mark.parametrize("name", saes())
def test_codes_and_reconstructions_are_those_of_the_dense_product(name: str, monkeypatch: pytest.MonkeyPatch):
    sae, x = saes()[name], tokens()
    with Largest() as largest:
        sparse = encode_tokens(sae, x)
        decoded = decode_tokens(sae, sparse)
    assert isinstance(sparse, SparseCodes)
    assert bool((sparse.values_NK != 0).any())
    n_active = int((sparse.values_NK != 0).sum())
    weights = max(value.numel() for value in sae.state_dict().values())
    assert largest.n <= max(N_TOKENS * 256, 2 * n_active, sparse.values_NK.numel(), weights)  # 256: the smallest block
    monkeypatch.setattr(codes, "WIDE", D_SAE + 1)
    dense = sae.encode(x)
    torch.testing.assert_close(sparse.to_dense(), dense, atol=2e-6, rtol=0)
    assert torch.equal(sparse.to_dense() != 0, dense != 0)
    torch.testing.assert_close(decoded, sae.decode(dense), atol=1e-5, rtol=1e-5)


def test_tokens_without_any_active_latent():
    sae = tiny_sae("jumprelu", d_sae=D_SAE)
    with torch.no_grad():
        sae.threshold.fill_(1e9)
    sparse = encode_tokens(sae, tokens())
    assert isinstance(sparse, SparseCodes)
    assert not bool(sparse.values_NK.any())
    assert torch.equal(decode_tokens(sae, sparse), sae.b_dec.expand(N_TOKENS, -1))


def test_an_encoder_of_its_own_is_asked_for_all_latents():
    class Doubled(ReluSAE):
        def encode(self, x: Tensor) -> Tensor:
            return 2 * super().encode(x)

    sae = Doubled(32, D_SAE, "tiny", 1, "cpu", torch.float32)
    sae.load_state_dict(tiny_sae("relu", d_sae=D_SAE).state_dict())
    found = encode_tokens(sae, tokens())
    assert isinstance(found, Tensor)
    assert torch.equal(found, sae.encode(tokens()))


def test_rows_of_another_dtype_are_summed_in_that_of_the_codes():
    W = torch.randn(D_SAE, 24, generator=torch.Generator().manual_seed(2)).bfloat16()
    sparse = encode_tokens(tiny_sae("relu", d_sae=D_SAE), tokens())
    assert isinstance(sparse, SparseCodes)
    found = sums_of_rows(sparse, W, entries_at_once=1000)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, sparse.to_dense() @ W.float(), atol=1e-4, rtol=1e-5)


def test_codes_of_parts_are_joined_whatever_their_number_of_slots():
    sae, x = tiny_sae("relu", d_sae=D_SAE), tokens()
    whole, one, other = (encode_tokens(sae, part) for part in (x, 0.01 * x[:100], x[100:]))
    both = codes.joined([one, other])
    assert torch.equal(both.to_dense()[100:], whole.to_dense()[100:])
    assert torch.equal(both.to_dense()[:100], one.to_dense())


@pytest.mark.parametrize("name", ["relu", "jumprelu", "gated", "batch_topk", "topk", "jumprelu_transcoder"])
@pytest.mark.parametrize("in_file", [torch.float32, torch.bfloat16])
def test_matrices_stay_as_they_are_in_the_file_and_are_computed_with_in_the_dtype_of_the_run(
    name: str, in_file: torch.dtype, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    sae = saes()[name]
    weights, config = save_sae(sae, tmp_path / "wide.safetensors", dtype=in_file)
    wide = load_native(weights, read_json(config), device="cpu", dtype=torch.float32)
    assert wide.W_enc.dtype == wide.W_dec.dtype == in_file
    assert (wide.dtype, wide.cfg.dtype) == (torch.float32, "float32")
    monkeypatch.setattr(codes, "WIDE", D_SAE + 1)
    narrow = load_native(weights, read_json(config), device="cpu", dtype=torch.float32)
    assert narrow.W_enc.dtype == torch.float32
    expected = narrow.encode(tokens())
    decoded = narrow.decode(expected)
    monkeypatch.setattr(codes, "WIDE", D_SAE)
    sparse = encode_tokens(wide, tokens())
    # rows rounded to bfloat16 are within 1 % of length 1 and stay as they are; in float32 they are made length 1
    tolerance = 2e-6 if in_file == torch.float32 else 1e-2
    torch.testing.assert_close(sparse.to_dense(), expected, atol=tolerance, rtol=tolerance)
    torch.testing.assert_close(decode_tokens(wide, sparse), decoded, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["jumprelu", "topk"])
def test_few_tokens_do_not_cast_the_whole_encoder_at_once(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    weights, config = save_sae(tiny_sae(name, d_sae=4 * D_SAE), tmp_path / "wide.safetensors", dtype=torch.bfloat16)
    sae = load_native(weights, read_json(config), device="cpu", dtype=torch.float32)
    x_ND, half = tokens()[:2], sae.W_enc.numel() // 2
    monkeypatch.setattr(codes, "VALUES_AT_ONCE", half)
    with Largest() as largest:
        in_halves = encode_tokens(sae, x_ND)
    assert largest.n <= half
    monkeypatch.setattr(codes, "VALUES_AT_ONCE", 2 * half)
    torch.testing.assert_close(in_halves.to_dense(), encode_tokens(sae, x_ND).to_dense(), atol=1e-6, rtol=1e-6)


def test_casting_an_sae_leaves_the_matrices_of_its_file(tmp_path: Path):
    weights, config = save_sae(tiny_sae("jumprelu", d_sae=D_SAE), tmp_path / "wide.safetensors")
    sae = load_native(weights, read_json(config), device="cpu", dtype=torch.bfloat16)
    assert sae.W_enc.dtype == sae.W_dec.dtype == sae.threshold.dtype == torch.float32
    assert sae.dtype == sae.b_enc.dtype == torch.bfloat16
    assert encode_tokens(sae, tokens()).values_NK.dtype == torch.bfloat16


def test_weights_are_checked_some_numbers_at_a_time(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(interface, "NUMBERS_AT_ONCE", 1000)
    sae = tiny_sae("jumprelu", d_sae=D_SAE)
    with Largest() as largest:
        check_finite(sae)
    assert 0 < largest.n <= 1000
    sae.W_enc.data[3, 500] = float("nan")
    with pytest.raises(SAELoadError, match=r"W_enc of this SAE holds 1 NaN or infinite values of 16384"):
        check_finite(sae)


def test_weights_take_no_memory_before_there_are_any():
    process = psutil.Process()
    before = process.memory_info().rss
    sae = ReluSAE(512, 1 << 17, "tiny", 0, "cpu", torch.bfloat16)
    assert process.memory_info().rss - before < 64 << 20
    assert (sae.W_dec.nbytes, sae.W_dec.dtype, sae.W_dec.requires_grad) == (128 << 20, torch.bfloat16, False)
    assert not bool(sae.W_dec[:100].any())
    sae.W_enc[5, 7] = 2.0
    assert float(sae.W_enc.sum(dtype=torch.float32)) == 2.0


@pytest.mark.parametrize("in_file", [torch.float32, torch.bfloat16])
def test_decoder_norms_of_matrices_in_a_file_are_folded_and_the_file_is_left_alone(
    in_file: torch.dtype, tmp_path: Path
):
    long = tiny_sae("jumprelu", d_sae=D_SAE)
    with torch.no_grad():
        long.W_dec *= torch.linspace(0.5, 3, D_SAE)[:, None]
    before = long.decode(long.encode(tokens()))
    weights, config = save_sae(long, tmp_path / "wide.safetensors", dtype=in_file)
    content = weights.read_bytes()
    sae = load_native(weights, read_json(config), device="cpu", dtype=torch.float32)
    assert sae.check_decoder_norms()
    assert sae.W_dec.dtype == torch.float32
    error = (decode_tokens(sae, encode_tokens(sae, tokens())) - before).norm() / before.norm()
    assert error < (1e-5 if in_file == torch.float32 else 2e-2)
    assert weights.read_bytes() == content
