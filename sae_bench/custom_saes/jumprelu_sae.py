"""JumpReLU SAE: `relu(x @ W_enc + b_enc)` where it exceeds a threshold per latent (Rajamanoharan et al. 2024)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from sae_bench.custom_saes.base_sae import BaseSAE, affine, frozen_zeros


class JumpReluSAE(BaseSAE):
    """JumpReLU SAE, Gemma Scope included; unlike the other architectures it does not subtract `b_dec` first."""

    architecture = "jumprelu"

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
        super().__init__(d_in, d_sae, model_name, hook_layer, device, dtype, hook_name)
        self.threshold = frozen_zeros(d_sae, device=device, dtype=dtype)

    def encode(self, x: Float[Tensor, "*N D"]) -> Float[Tensor, "*N F"]:
        pre = affine(x, self.W_enc, self.b_enc)
        return torch.where(pre > self.threshold, torch.relu(pre), 0)


def load_dictionary_learning_jump_relu_sae(
    repo_id: str,
    filename: str,
    model_name: str,
    device: torch.device | str,
    dtype: torch.dtype,
    layer: int | None = None,
    local_dir: str = "downloaded_saes",
) -> JumpReluSAE:
    """A JumpReLU SAE trained with the dictionary_learning library, from a hub repository or a local directory."""
    from sae_bench.custom_saes.loaders.dictionary_learning import CompatRequest, load_one

    request = CompatRequest(repo_id, filename, model_name, layer, local_dir)
    return load_one(request, JumpReluSAE, device=device, dtype=dtype)


def load_gemma_scope_jumprelu_sae(
    repo_id: str,
    filename: str,
    layer: int,
    model_name: str,
    device: torch.device | str,
    dtype: torch.dtype,
    local_dir: str = "downloaded_saes",
) -> JumpReluSAE:
    """A Gemma Scope SAE (`.../params.npz`), from a hub repository or a local directory."""
    from sae_bench.custom_saes.loaders.gemma_scope import fetch, read_params

    path = fetch(repo_id, filename, local_dir=local_dir)
    return read_params(path, model_name=model_name, hook_layer=layer, device=device, dtype=dtype)
