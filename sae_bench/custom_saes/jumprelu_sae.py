"""JumpReLU SAE: `relu(x @ W_enc + b_enc)` where it exceeds a threshold per latent (Rajamanoharan et al. 2024)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from sae_bench.custom_saes.base_sae import ALL, BaseSAE, at_least_float32, frozen_zeros
from sae_bench.forwarding import forwarded


class JumpReluSAE(BaseSAE):
    """JumpReLU SAE, Gemma Scope included; unlike the other architectures it does not subtract `b_dec` first."""

    architecture = "jumprelu"
    casts_blocks = True
    keeps_float32 = ("threshold",)

    def add_parameters(self, d_sae: int, device: torch.device | str, dtype: torch.dtype) -> None:
        self.threshold = frozen_zeros(d_sae, device=device, dtype=at_least_float32(dtype))

    def encode(self, x: Float[Tensor, "*N D"]) -> Float[Tensor, "*N F"]:
        return self.encode_latents(x, ALL)

    def encode_latents(self, x: Float[Tensor, "*N D"], latents: slice) -> Float[Tensor, "*N B"]:
        """Codes of some latents."""
        pre = self._pre_activations(x, latents)
        return torch.where(pre > self.threshold[latents], torch.relu(pre), 0)


__getattr__ = forwarded(
    __name__,
    "sae_bench.published.sae_loaders",
    "load_dictionary_learning_jump_relu_sae",
    "load_gemma_scope_jumprelu_sae",
)
