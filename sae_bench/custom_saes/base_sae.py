"""Base class of the SAE architectures: parameters, configuration, the linear decoder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sae_bench.custom_saes.custom_sae_config import CustomSAEConfig
from sae_bench.custom_saes.folding import fold_decoder_norm
from sae_bench.custom_saes.interface import HALF_PRECISION


class BaseSAE(nn.Module, ABC):
    """An SAE with encoder (D, F), decoder (F, D), biases, and `decode(f) = f @ W_dec + b_dec`.

    A subclass writes `encode`; one whose `decode` is not of that form sets `decoder_is_linear = False`. Parameters do
    not require gradients: an SAE under evaluation is not trained.
    """

    architecture: ClassVar[str] = ""
    decoder_is_linear: bool = True

    def __init__(
        self,
        d_in: int,
        d_sae: int,
        model_name: str,
        hook_layer: int,
        device: torch.device | str,
        dtype: torch.dtype,
        hook_name: str | None = None,
    ) -> None:
        super().__init__()
        self.W_enc = frozen_zeros(d_in, d_sae, device=device, dtype=dtype)
        self.b_enc = frozen_zeros(d_sae, device=device, dtype=dtype)
        self.W_dec = frozen_zeros(d_sae, d_in, device=device, dtype=dtype)
        self.b_dec = frozen_zeros(d_in, device=device, dtype=dtype)
        self.cfg = CustomSAEConfig(
            model_name,
            d_in,
            d_sae,
            hook_layer,
            hook_name or f"blocks.{hook_layer}.hook_resid_post",
            architecture=self.architecture,
            dtype=_name(dtype),
            device=str(device),
        )

    @abstractmethod
    def encode(self, x: Float[Tensor, "*N D"]) -> Float[Tensor, "*N F"]:
        """Latents of activations with any leading dimensions, in the SAE's dtype."""

    def decode(self, feature_acts: Float[Tensor, "*N F"]) -> Float[Tensor, "*N D"]:
        """Reconstructions from latents."""
        return feature_acts @ self.W_dec + self.b_dec

    def forward(self, x: Float[Tensor, "*N D"]) -> Float[Tensor, "*N D"]:
        """Reconstructions from activations."""
        return self.decode(self.encode(x))

    @property
    def device(self) -> torch.device:
        return self.W_dec.device

    @property
    def dtype(self) -> torch.dtype:
        return self.W_dec.dtype

    def check_decoder_norms(self) -> bool:
        """Whether every decoder row has length 1, to 1e-5 (1e-2 in half precision, whose steps are 1/256)."""
        tolerance = 1e-2 if self.dtype in HALF_PRECISION else 1e-5
        return bool((self.W_dec.detach().float().norm(dim=1) - 1).abs().max() <= tolerance)

    def normalize_decoder(self) -> list[str]:
        """Move the decoder norms into the encoder, in place, where that changes no output; returns warnings."""
        return fold_decoder_norm(self)

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> BaseSAE:
        """Under every move and cast of a module: the configuration that names dtype and device is replaced too."""
        super()._apply(fn, recurse)
        self.cfg = replace(self.cfg, dtype=_name(self.dtype), device=str(self.device))
        return self

    def _centred_pre_activations(self, x: Float[Tensor, "*N D"]) -> Float[Tensor, "*N F"]:
        """`(x - b_dec) @ W_enc + b_enc`, in one fused product."""
        return affine(x - self.b_dec, self.W_enc, self.b_enc)


def frozen_zeros(*shape: int, device: torch.device | str, dtype: torch.dtype) -> nn.Parameter:
    """A parameter of zeros that takes no gradient."""
    return nn.Parameter(torch.zeros(*shape, device=device, dtype=dtype), requires_grad=False)


def affine(x: Float[Tensor, "*N D"], W_DF: Float[Tensor, "D F"], b_F: Float[Tensor, " F"]) -> Float[Tensor, "*N F"]:
    """`x @ W + b` without a second pass over the (large) product."""
    return torch.addmm(b_F, x.reshape(-1, x.shape[-1]), W_DF).view(*x.shape[:-1], W_DF.shape[1])


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
