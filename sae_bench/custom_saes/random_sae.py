"""A random SAE: what any score is worth without training."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from sae_bench.custom_saes.base_sae import BaseSAE
from sae_bench.custom_saes.batch_topk_sae import register_k
from sae_bench.custom_saes.codes import largest
from sae_bench.custom_saes.interface import SparseCodes
from sae_bench.errors import UsageError


class RandomSAE(BaseSAE):
    """Gaussian unit decoder rows and the tied encoder; the k largest pre-activations, or all positive ones."""

    architecture = "random"

    def __init__(
        self,
        d_in: int,
        d_sae: int,
        model_name: str,
        hook_layer: int,
        device: torch.device | str,
        dtype: torch.dtype,
        hook_name: str | None = None,
        *,
        k: int | None = 32,
        seed: int = 0,
    ) -> None:
        """
        Args:
            k: active latents per token; None for a plain ReLU.
            seed: of the decoder, the same on every device.
        """
        super().__init__(d_in, d_sae, model_name, hook_layer, device, dtype, hook_name)
        self.n_active = None if k is None else register_k(self, k, d_sae)
        rows_FD = torch.randn(d_sae, d_in, generator=torch.Generator().manual_seed(seed))
        rows_FD /= rows_FD.norm(dim=1, keepdim=True)
        with torch.no_grad():
            self.W_dec.copy_(rows_FD)
            self.W_enc.copy_(rows_FD.T)

    @property
    def supports_sparse(self) -> bool:
        return self.n_active is not None

    def encode(self, x: Float[Tensor, "*N D"]) -> Float[Tensor, "*N F"]:
        if self.n_active is None:
            return torch.relu(x @ self.W_enc)
        dense_NF = self.encode_sparse(x.reshape(-1, x.shape[-1])).to_dense()
        return dense_NF.view(*x.shape[:-1], dense_NF.shape[-1])

    def encode_sparse(self, x_ND: Float[Tensor, "N D"]) -> SparseCodes:
        """The k largest pre-activations of each token.

        Raises:
            UsageError: the SAE was built without k.
        """
        if self.n_active is None:
            raise UsageError("a random ReLU SAE has no fixed number of active latents; use encode().")
        return largest(x_ND @ self.W_enc, self.n_active)
