"""The standard SAE: `relu((x - b_dec) @ W_enc + b_enc)`."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from sae_bench.custom_saes.base_sae import ALL, BaseSAE
from sae_bench.forwarding import forwarded


class ReluSAE(BaseSAE):
    """Standard, p-annealed and Anthropic-April-update SAEs."""

    architecture = "standard"
    casts_blocks = True

    def encode(self, x: Float[Tensor, "*N D"]) -> Float[Tensor, "*N F"]:
        return self.encode_latents(x, ALL)

    def encode_latents(self, x: Float[Tensor, "*N D"], latents: slice) -> Float[Tensor, "*N B"]:
        """Codes of some latents."""
        return torch.relu(self._centred_pre_activations(x, latents))


__getattr__ = forwarded(__name__, "sae_bench.published.sae_loaders", "load_dictionary_learning_relu_sae")
