"""TopK SAE: the k largest of `relu((x - b_dec) @ W_enc + b_enc)` of each token (Gao et al. 2024, section 2.3)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from sae_bench.custom_saes.base_sae import ALL, BaseSAE, affine
from sae_bench.custom_saes.batch_topk_sae import above_threshold, register_k, register_threshold
from sae_bench.custom_saes.codes import SparseCodes, is_wide, largest, largest_by_blocks
from sae_bench.custom_saes.interface import HALF_PRECISION
from sae_bench.errors import UsageError
from sae_bench.forwarding import forwarded


class TopKSAE(BaseSAE):
    """TopK SAE; with `use_threshold`, latents above one learned threshold instead of the k largest.

    `k` and `threshold` are buffers, so they move and save with the weights.
    """

    architecture = "topk"
    casts_blocks = True
    keeps_float32 = ("threshold",)
    k: Tensor
    threshold: Tensor

    def __init__(
        self,
        d_in: int,
        d_sae: int,
        k: int,
        model_name: str,
        hook_layer: int,
        device: torch.device | str,
        dtype: torch.dtype,
        use_threshold: bool = False,
        hook_name: str | None = None,
    ) -> None:
        super().__init__(d_in, d_sae, model_name, hook_layer, device, dtype, hook_name)
        self.n_active = register_k(self, k, d_sae)
        self.use_threshold = use_threshold
        if use_threshold:
            register_threshold(self)

    @property
    def supports_sparse(self) -> bool:
        """Whether every token has at most k active latents."""
        return not self.use_threshold

    def encode(self, x: Float[Tensor, "*N D"]) -> Float[Tensor, "*N F"]:
        if self.use_threshold:
            return self.encode_latents(x, ALL)
        dense_NF = self.encode_sparse(x.reshape(-1, x.shape[-1])).to_dense()
        return dense_NF.view(*x.shape[:-1], dense_NF.shape[-1])

    def encode_latents(self, x: Float[Tensor, "*N D"], latents: slice) -> Float[Tensor, "*N B"]:
        """Codes of some latents, which depend on no others where there is a threshold.

        Raises:
            UsageError: there is none.
        """
        if not self.use_threshold:
            raise UsageError("which latents of a TopK SAE are active depends on all of them; use encode_sparse().")
        return above_threshold(self._centred_pre_activations(x, latents), self.threshold)

    def encode_sparse(self, x_ND: Float[Tensor, "N D"]) -> SparseCodes:
        """The k largest pre-activations of each token, negative ones as 0; no (N, F) tensor beside the product.

        In float32 and wider, `b_dec` is subtracted inside the bias (`b_enc - b_dec @ W_enc`), which differs from
        `x - b_dec` by rounding only. In half precision that rounding would matter, so the subtraction comes first.

        Raises:
            UsageError: the SAE was built with `use_threshold`; its number of active latents is not bounded.
        """
        if self.use_threshold:
            raise UsageError("a TopK SAE with a threshold has no fixed number of active latents; use encode().")
        if is_wide(self.W_enc.shape[1]):
            return largest_by_blocks(self._centred_pre_activations, x_ND, self.W_enc.shape[1], self.n_active)
        if self.dtype in HALF_PRECISION:
            pre_NF = self._centred_pre_activations(x_ND)
        else:
            pre_NF = affine(x_ND, self.W_enc, self.b_enc - self.b_dec @ self.W_enc)
        return largest(pre_NF, self.n_active)


class AbsTopKSAE(TopKSAE):
    """AbsTopK SAE: the k pre-activations of largest size, with their signs and no ReLU (2510.00404)."""

    architecture = "abs_topk"
    casts_blocks = False

    def encode_sparse(self, x_ND: Float[Tensor, "N D"]) -> SparseCodes:
        """The k pre-activations of largest size of each token; values may be negative."""
        pre_NF = self._centred_pre_activations(x_ND)
        indices_NK = pre_NF.abs().topk(self.n_active, dim=-1, sorted=False).indices
        return SparseCodes(pre_NF.gather(-1, indices_NK), indices_NK, pre_NF.shape[-1])


__getattr__ = forwarded(__name__, "sae_bench.published.sae_loaders", "load_dictionary_learning_topk_sae")
