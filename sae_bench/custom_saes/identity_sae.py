"""Baselines whose result is known: the identity reconstructs everything, zero nothing."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from sae_bench.custom_saes.base_sae import BaseSAE


class _StandardBasis(BaseSAE):
    """One latent per dimension."""

    def __init__(
        self,
        d_in: int,
        model_name: str,
        hook_layer: int,
        device: torch.device | str,
        dtype: torch.dtype,
        hook_name: str | None = None,
    ) -> None:
        super().__init__(d_in, d_in, model_name, hook_layer, device, dtype, hook_name)
        with torch.no_grad():
            self.W_enc.fill_diagonal_(1.0)
            self.W_dec.fill_diagonal_(1.0)


class IdentitySAE(_StandardBasis):
    """Latents are the activation itself (of any sign); the reconstruction is exact."""

    architecture = "identity"

    def encode(self, x: Float[Tensor, "*N D"]) -> Float[Tensor, "*N D"]:
        return x.clone()

    def decode(self, feature_acts: Float[Tensor, "*N D"]) -> Float[Tensor, "*N D"]:
        return feature_acts.clone()


class ZeroSAE(_StandardBasis):
    """No latent ever fires and the reconstruction is 0: the same as ablating the hook."""

    architecture = "zero"

    def encode(self, x: Float[Tensor, "*N D"]) -> Float[Tensor, "*N D"]:
        return torch.zeros_like(x)
