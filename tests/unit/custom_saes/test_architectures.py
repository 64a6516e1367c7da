"""Each architecture against its formula, written out in float64."""

from __future__ import annotations

import pytest
import torch

from sae_bench.custom_saes.gated_sae import GatedSAE
from sae_bench.custom_saes.identity_sae import IdentitySAE
from sae_bench.custom_saes.interface import (
    SAE,
    SparseCodes,
    decode_tokens,
    decoder_is_linear,
    encode_tokens,
    encoder_bias,
)
from sae_bench.custom_saes.jumprelu_sae import JumpReluSAE
from sae_bench.custom_saes.random_sae import RandomSAE
from sae_bench.custom_saes.relu_sae import ReluSAE
from sae_bench.custom_saes.topk_sae import TopKSAE
from sae_bench.errors import SAELoadError, UsageError
from sae_bench.testing import ARCHITECTURES, tiny_sae


def _formula(architecture: str, w: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """Codes by the definition of each architecture."""
    if architecture == "identity":
        return x
    if architecture == "zero":
        return torch.zeros_like(x)
    if architecture == "pca":
        return (x - w["mean"]) @ w["W_enc"]
    if architecture == "jumprelu":
        pre = x @ w["W_enc"] + w["b_enc"]
        return pre.relu() * (pre > w["threshold"])
    if architecture == "abs_topk":
        pre = (x - w["b_dec"]) @ w["W_enc"] + w["b_enc"]
        return pre * (pre.abs() >= pre.abs().sort(dim=-1, descending=True).values[..., 7:8])
    if architecture == "matching_pursuit":
        return torch.stack([_pursuit(x_D - w["b_dec"], w["W_dec"], steps=8) for x_D in x])
    if architecture == "gated":
        shared = (x - w["b_dec"]) @ w["W_enc"]
        return (shared + w["gate_bias"] > 0) * (w["r_mag"].exp() * shared + w["b_mag"]).relu()
    post = ((x - w["b_dec"]) @ w["W_enc"] + w["b_enc"]).relu()
    if architecture in ("batch_topk", "topk_threshold"):
        return post * (post > w["threshold"])
    if architecture in ("topk", "random"):
        kth = post.sort(dim=-1, descending=True).values[..., 7:8]
        return post * (post >= kth)
    return post


def _pursuit(left_D: torch.Tensor, rows_FD: torch.Tensor, *, steps: int) -> torch.Tensor:
    """Codes of one token: the row that fits best takes its share, until a row comes up again or little is left."""
    code_F = torch.zeros(len(rows_FD), dtype=left_D.dtype)
    for _ in range(steps):
        i = int((rows_FD @ left_D).argmax())
        value, again = max(float(rows_FD[i] @ left_D), 0.0), bool(code_F[i] != 0)
        code_F[i] += value
        left_D = left_D - value * rows_FD[i]
        if again or value == 0 or left_D.norm() < 1e-2:
            break
    return code_F


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_encode_and_decode_follow_the_definition(architecture: str, x_ND: torch.Tensor) -> None:
    sae = tiny_sae(architecture, seed=3)
    weights = {name: value.double() for name, value in sae.state_dict().items()}
    expected = _formula(architecture, weights, x_ND.double())
    codes = sae.encode(x_ND)
    torch.testing.assert_close(codes.double(), expected, rtol=1e-4, atol=1e-5)
    if architecture != "zero":
        assert 0 < (codes != 0).float().mean() <= 1
    decoded = expected @ weights["W_dec"] + weights.get("mean", weights["b_dec"])
    torch.testing.assert_close(sae.decode(codes).double(), decoded, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(sae(x_ND), sae.decode(codes))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_is_an_sae_with_a_linear_decoder(architecture: str) -> None:
    sae = tiny_sae(architecture)
    assert isinstance(sae, SAE)
    assert decoder_is_linear(sae)
    assert sae.cfg.hook_name == "blocks.1.hook_resid_post"
    assert sae.cfg.hook_layer == 1
    assert (sae.cfg.dtype, sae.cfg.device) == ("float32", "cpu")
    assert not any(p.requires_grad for p in sae.parameters())


@pytest.mark.parametrize("d_sae", [64, 1024])
def test_sparse_codes_decode_as_dense_ones(d_sae: int, x_ND: torch.Tensor) -> None:
    """d_sae 64 goes through the dense product, 1024 through the gather."""
    sae = tiny_sae("topk", d_sae=d_sae)
    codes = encode_tokens(sae, x_ND)
    assert isinstance(codes, SparseCodes)
    assert codes.indices_NK.dtype == torch.int64
    assert (codes.values_NK >= 0).all()
    torch.testing.assert_close(codes.to_dense(), sae.encode(x_ND))
    torch.testing.assert_close(decode_tokens(sae, codes), sae.decode(sae.encode(x_ND)), rtol=1e-5, atol=1e-6)


def test_the_gathered_decode_passes_gradients_to_the_values(x_ND: torch.Tensor) -> None:
    sae = tiny_sae("topk", d_sae=1024)
    codes = sae.encode_sparse(x_ND)
    values = codes.values_NK.clone().requires_grad_()
    decode_tokens(sae, codes._replace(values_NK=values)).sum().backward()
    expected = sae.W_dec.sum(1)[codes.indices_NK]
    torch.testing.assert_close(values.grad, expected, rtol=1e-4, atol=1e-5)


def test_folding_b_dec_into_the_bias_changes_topk_by_rounding_only(x_ND: torch.Tensor) -> None:
    sae = tiny_sae("topk", d_sae=256)
    with torch.no_grad():
        sae.b_dec.mul_(100.0)  # about ten times the size of the activations
    pre_double = (x_ND.double() - sae.b_dec.double()) @ sae.W_enc.double() + sae.b_enc.double()
    codes = sae.encode_sparse(x_ND)
    exact = pre_double.gather(1, codes.indices_NK).relu()
    error = (codes.values_NK.double() - exact).abs().max() / pre_double.abs().max()
    assert error < 1e-6
    assert torch.equal(codes.indices_NK.sort().values, pre_double.topk(8).indices.sort().values)


def test_topk_slots_without_a_positive_activation_hold_zero() -> None:
    sae = tiny_sae("topk")
    with torch.no_grad():
        sae.b_enc.fill_(-100.0)
    codes = sae.encode_sparse(torch.randn(5, 32))
    assert torch.equal(codes.values_NK, torch.zeros(5, 8))
    assert torch.equal(codes.to_dense(), torch.zeros(5, 64))


def test_half_precision_subtracts_b_dec_before_the_product(x_ND: torch.Tensor) -> None:
    sae = tiny_sae("topk").to(dtype=torch.bfloat16)
    x = x_ND.bfloat16()
    plain = torch.relu((x - sae.b_dec) @ sae.W_enc + sae.b_enc).topk(8).values
    torch.testing.assert_close(sae.encode_sparse(x).values_NK.sort().values, plain.sort().values, rtol=2e-2, atol=2e-2)


def test_encode_tokens_casts_to_the_saes_dtype(x_ND: torch.Tensor) -> None:
    sae = tiny_sae("relu").to(dtype=torch.bfloat16)
    codes = encode_tokens(sae, x_ND)
    assert isinstance(codes, torch.Tensor)
    assert codes.dtype == torch.bfloat16
    assert decode_tokens(sae, codes.float()).dtype == torch.bfloat16


def test_moving_replaces_the_configuration_and_does_not_change_it() -> None:
    sae = tiny_sae("batch_topk")
    before = sae.cfg
    for move in (lambda: sae.to(dtype=torch.bfloat16), lambda: sae.to(torch.bfloat16), sae.bfloat16):
        sae.float()
        move()
        assert sae.dtype == torch.bfloat16
        assert sae.threshold.dtype == torch.float32
        assert sae.k.dtype == torch.int32
        assert sae.cfg.dtype == "bfloat16"
    assert before.dtype == "float32"


def test_encoder_bias_is_the_one_of_the_magnitudes() -> None:
    gated, relu = tiny_sae("gated"), tiny_sae("relu")
    assert encoder_bias(gated) is gated.b_mag
    assert not hasattr(gated, "b_enc")
    assert encoder_bias(relu) is relu.b_enc

    class Bare:
        cfg = relu.cfg
        W_dec = relu.W_dec
        encode, decode = relu.encode, relu.decode

    assert encoder_bias(Bare()) is None
    assert decoder_is_linear(Bare())


def test_a_decoder_that_is_not_linear_is_found_out() -> None:
    relu = tiny_sae("relu")

    class Squashed:
        cfg = relu.cfg
        W_dec = relu.W_dec
        encode = relu.encode

        def decode(self, f: torch.Tensor) -> torch.Tensor:
            return torch.tanh(relu.decode(f))

    assert not decoder_is_linear(Squashed())
    codes = SparseCodes(torch.ones(3, 1), torch.zeros(3, 1, dtype=torch.int64), 64)
    expected = Squashed().decode(codes.to_dense())
    torch.testing.assert_close(decode_tokens(Squashed(), codes), expected)


def test_a_threshold_that_was_never_set_is_an_error() -> None:
    from sae_bench.custom_saes.batch_topk_sae import BatchTopKSAE

    sae = BatchTopKSAE(8, 16, 4, "m", 0, "cpu", torch.float32)
    with pytest.raises(SAELoadError, match="threshold that is not set"):
        sae.encode(torch.zeros(2, 8))


@pytest.mark.parametrize("k", [0, 17, True])
def test_an_impossible_k_is_an_error(k: int) -> None:
    with pytest.raises(UsageError, match="from 1 to d_sae"):
        TopKSAE(8, 16, k, "m", 0, "cpu", torch.float32)


def test_sparse_codes_of_an_unbounded_sae_are_refused(x_ND: torch.Tensor) -> None:
    sae = tiny_sae("topk_threshold")
    with pytest.raises(UsageError, match="no fixed number"):
        sae.encode_sparse(x_ND)
    assert isinstance(encode_tokens(sae, x_ND), torch.Tensor)
    relu = RandomSAE(32, 64, "m", 0, "cpu", torch.float32, k=None)
    with pytest.raises(UsageError, match="no fixed number"):
        relu.encode_sparse(x_ND)
    torch.testing.assert_close(relu.encode(x_ND), torch.relu(x_ND @ relu.W_enc))


def test_identity_is_exact_and_does_not_alias(x_ND: torch.Tensor) -> None:
    sae = IdentitySAE(32, "m", 0, "cpu", torch.float32)
    codes = sae.encode(x_ND)
    codes.zero_()
    assert torch.equal(sae(x_ND), x_ND)
    assert x_ND.abs().sum() > 0


def test_random_saes_depend_on_the_seed_only() -> None:
    state = torch.get_rng_state()
    one, same = tiny_sae("random"), tiny_sae("random")
    other = RandomSAE(32, 64, "m", 0, "cpu", torch.float32, seed=1)
    assert torch.equal(one.W_dec, same.W_dec)
    assert not torch.equal(one.W_dec, other.W_dec)
    assert torch.equal(state, torch.get_rng_state())
    assert one.check_decoder_norms()


def test_default_hooks_and_positional_construction() -> None:
    """The order of arguments is the published one: scripts call it by position."""
    device = torch.device("cpu")
    for sae in (
        ReluSAE(8, 16, "m", 5, device, torch.float32),
        TopKSAE(8, 16, 4, "m", 5, device, torch.float32, False),
        JumpReluSAE(8, 16, "m", 5, device, torch.float32),
        GatedSAE(8, 16, "m", 5, device, torch.float32, None),
    ):
        assert sae.cfg.hook_name == "blocks.5.hook_resid_post"
        assert (sae.device, sae.dtype, sae.cfg.d_in, sae.cfg.d_sae) == (device, torch.float32, 8, 16)
