"""Baselines whose result is known: the identity reconstructs everything, zero nothing."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from sae_bench.custom_saes.base_sae import SquareSAE


class _StandardBasis(SquareSAE):
    """The latents are the coordinates."""

    def add_parameters(self, *_: object) -> None:
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
