"""The standard SAE: `relu((x - b_dec) @ W_enc + b_enc)`."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from sae_bench.custom_saes.base_sae import BaseSAE


class ReluSAE(BaseSAE):
    """Standard, p-annealed and Anthropic-April-update SAEs."""

    architecture = "standard"

    def encode(self, x: Float[Tensor, "*N D"]) -> Float[Tensor, "*N F"]:
        return torch.relu(self._centred_pre_activations(x))


def load_dictionary_learning_relu_sae(
    repo_id: str,
    filename: str,
    model_name: str,
    device: torch.device | str,
    dtype: torch.dtype,
    layer: int | None = None,
    local_dir: str = "downloaded_saes",
) -> ReluSAE:
    """A ReLU SAE trained with the dictionary_learning library, from a hub repository or a local directory."""
    from sae_bench.custom_saes.loaders.dictionary_learning import CompatRequest, load_one

    request = CompatRequest(repo_id, filename, model_name, layer, local_dir)
    return load_one(request, ReluSAE, device=device, dtype=dtype)
