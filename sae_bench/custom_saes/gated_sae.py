"""Gated SAE: one linear map decides which latents are on, its rescaled copy how strong (Rajamanoharan et al. 2024)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from sae_bench.custom_saes.base_sae import ALL, BaseSAE, frozen_zeros
from sae_bench.forwarding import forwarded


class GatedSAE(BaseSAE):
    """Gated SAE: gate `x_enc + gate_bias > 0`, magnitude `relu(exp(r_mag) * x_enc + b_mag)`; there is no `b_enc`."""

    architecture = "gated"
    casts_blocks = True

    def add_parameters(self, d_sae: int, device: torch.device | str, dtype: torch.dtype) -> None:
        del self.b_enc
        self.gate_bias = frozen_zeros(d_sae, device=device, dtype=dtype)
        self.r_mag = frozen_zeros(d_sae, device=device, dtype=dtype)
        self.b_mag = frozen_zeros(d_sae, device=device, dtype=dtype)

    def encode(self, x: Float[Tensor, "*N D"]) -> Float[Tensor, "*N F"]:
        return self.encode_latents(x, ALL)

    def encode_latents(self, x: Float[Tensor, "*N D"], latents: slice) -> Float[Tensor, "*N B"]:
        """Codes of some latents."""
        x_enc = (x - self.b_dec) @ self.encoder_columns(latents, x)
        magnitude = torch.relu(torch.exp(self.r_mag[latents]) * x_enc + self.b_mag[latents])
        return torch.where(x_enc + self.gate_bias[latents] > 0, magnitude, 0)


__getattr__ = forwarded(__name__, "sae_bench.published.sae_loaders", "load_dictionary_learning_gated_sae")
