"""Folding decoder norms: same reconstructions, unit decoder; a warning where that is impossible."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from sae_bench.custom_saes.folding import fold_decoder_norm
from sae_bench.errors import SAELoadError
from sae_bench.testing import tiny_sae


def _stretched(architecture: str) -> tuple[object, torch.Tensor]:
    """An SAE whose decoder rows have lengths 0.25 to 4, and those lengths."""
    sae = tiny_sae(architecture, seed=2)
    norm_F = torch.linspace(0.25, 4.0, sae.W_dec.shape[0])
    with torch.no_grad():
        sae.W_dec.mul_(norm_F[:, None])
    return sae, norm_F


@pytest.mark.parametrize("architecture", ["relu", "jumprelu", "gated", "pca"])
def test_folding_keeps_every_reconstruction(architecture: str, x_ND: torch.Tensor) -> None:
    sae, norm_F = _stretched(architecture)
    codes, reconstruction = sae.encode(x_ND), sae(x_ND)
    assert not sae.check_decoder_norms()
    assert fold_decoder_norm(sae) == []
    assert sae.check_decoder_norms()
    torch.testing.assert_close(sae.encode(x_ND), codes * norm_F, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(sae(x_ND), reconstruction, rtol=1e-4, atol=1e-5)
    folded = {name: value.clone() for name, value in sae.state_dict().items()}
    assert fold_decoder_norm(sae) == []
    assert all(torch.equal(value, folded[name]) for name, value in sae.state_dict().items())


@pytest.mark.parametrize("architecture", ["topk", "topk_threshold", "batch_topk"])
def test_ranking_architectures_are_left_alone_with_a_warning(architecture: str) -> None:
    sae, _ = _stretched(architecture)
    before = {name: value.clone() for name, value in sae.state_dict().items()}
    (warning,) = sae.normalize_decoder()
    assert "cannot be folded" in warning
    assert "0.25 to 4" in warning
    assert all(torch.equal(value, before[name]) for name, value in sae.state_dict().items())


def test_a_decoder_off_by_rounding_is_not_worth_a_warning() -> None:
    sae = tiny_sae("topk")
    with torch.no_grad():
        sae.W_dec.mul_(1.003)
    assert fold_decoder_norm(sae) == []


def test_rows_of_zeros_stay_and_are_reported(x_ND: torch.Tensor) -> None:
    sae, _ = _stretched("relu")
    with torch.no_grad():
        sae.W_dec[3:5] = 0
    reconstruction = sae(x_ND)
    (warning,) = fold_decoder_norm(sae)
    assert warning.startswith("2 of 64 decoder rows are zero")
    assert torch.isfinite(sae.W_enc).all()
    torch.testing.assert_close(sae(x_ND), reconstruction, rtol=1e-4, atol=1e-5)


def test_half_precision_is_folded_in_float32(x_ND: torch.Tensor) -> None:
    sae, _ = _stretched("relu")
    sae.to(dtype=torch.bfloat16)
    expected_W_dec = sae.W_dec.float() / sae.W_dec.float().norm(dim=1, keepdim=True)
    fold_decoder_norm(sae)
    assert sae.dtype == torch.bfloat16
    torch.testing.assert_close(sae.W_dec, expected_W_dec.bfloat16(), rtol=0, atol=0)


def test_a_subclass_with_its_own_encode_is_not_folded() -> None:
    from sae_bench.custom_saes.relu_sae import ReluSAE

    class Squared(ReluSAE):
        def encode(self, x: torch.Tensor) -> torch.Tensor:
            return super().encode(x) ** 2

    sae = Squared(8, 16, "m", 0, "cpu", torch.float32)
    with torch.no_grad():
        sae.W_dec.fill_(1.0)
    (warning,) = fold_decoder_norm(sae)
    assert "cannot be folded" in warning


@pytest.mark.parametrize(
    ("name", "value"), [("b_enc", float("nan")), ("W_dec", float("inf")), ("threshold", float("nan"))]
)
def test_broken_weights_are_named(name: str, value: float) -> None:
    sae = tiny_sae("jumprelu")
    with torch.no_grad():
        getattr(sae, name).view(-1)[0] = value
    with pytest.raises(SAELoadError, match=f"^{name} of this SAE holds 1 NaN or infinite"):
        fold_decoder_norm(sae)


def test_an_encoder_that_is_a_view_of_the_decoder_is_folded_rightly(x_ND: torch.Tensor) -> None:
    """Written one after the other, the second matrix undid what was done to the first."""
    sae, norm_F = _stretched("relu")
    sae.W_enc = torch.nn.Parameter(sae.W_dec.data.T, requires_grad=False)
    codes, reconstruction = sae.encode(x_ND), sae(x_ND)
    assert fold_decoder_norm(sae) == []
    assert sae.check_decoder_norms()
    torch.testing.assert_close(sae.encode(x_ND), codes * norm_F, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(sae(x_ND), reconstruction, rtol=1e-4, atol=1e-5)


def test_an_encoder_that_is_computed_from_the_decoder_is_left_alone(x_ND: torch.Tensor) -> None:
    class Tied:
        scaled_with_norm = ()
        cfg = SimpleNamespace(architecture="tied")

        def __init__(self) -> None:
            self.W_dec = 3 * torch.eye(32)

        @property
        def W_enc(self) -> torch.Tensor:
            return self.W_dec.T

        def encode(self, x: torch.Tensor) -> torch.Tensor:
            return torch.relu(x @ self.W_enc)

        def decode(self, f: torch.Tensor) -> torch.Tensor:
            return f @ self.W_dec

    sae = Tied()
    codes = sae.encode(x_ND)
    (warning,) = fold_decoder_norm(sae)
    assert "cannot be folded" in warning
    assert torch.equal(sae.encode(x_ND), codes)
