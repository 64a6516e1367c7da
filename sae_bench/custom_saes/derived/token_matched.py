"""Random latents of which every token has as many as another SAE has on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sae_bench.custom_saes.base_sae import BaseSAE, affine, frozen_zeros
from sae_bench.custom_saes.derived.derived_sae import DerivedSAEConfig
from sae_bench.custom_saes.interface import SparseCodes, sparse_encoder
from sae_bench.errors import UsageError


class TokenMatchedSAE(BaseSAE):
    """The largest of `relu(x @ W_enc + b_enc)`, on each token as many as its parent has active latents there.

    One threshold would give the L0 of the text that it was chosen on, and another one on other text. This way L0 is the
    parent's on every token; how many latents are active is all that is taken from the parent.
    """

    def __init__(self, parent: Any, cfg: DerivedSAEConfig, *, d_out: int) -> None:
        """
        Args:
            parent: the SAE whose active latents are counted; it has to be nobody else's, and is moved with this one.
            cfg: of what is made, with the parent's `d_in` and `d_sae`.
            d_out: width of what is decoded to.
        """
        device, dtype = parent.W_dec.device, parent.W_dec.dtype
        super().__init__(cfg.d_in, cfg.d_sae, cfg.model_name, cfg.hook_layer, device, dtype, cfg.hook_name)
        self.W_dec = frozen_zeros(cfg.d_sae, d_out, device=device, dtype=dtype)
        self.b_dec = frozen_zeros(d_out, device=device, dtype=dtype)
        self.cfg = cfg
        self.parent = parent

    @property
    def supports_sparse(self) -> bool:
        """Whether the parent has a bounded number of active latents on every token."""
        return sparse_encoder(self.parent) is not None

    def encode(self, x: Float[Tensor, "*N D"]) -> Float[Tensor, "*N F"]:
        count = (self.parent.encode(x) != 0).sum(-1)
        codes = self._largest(x.reshape(-1, x.shape[-1]), count.flatten(), int(count.max()) if count.numel() else 0)
        return codes.to_dense().view(*x.shape[:-1], codes.d_sae)

    def encode_sparse(self, x_ND: Float[Tensor, "N D"]) -> SparseCodes:
        """The same codes, with a slot for each of the parent's.

        Raises:
            UsageError: the parent has no sparse codes.
        """
        encode_sparse = sparse_encoder(self.parent)
        if encode_sparse is None:
            raise UsageError(f"a {self.cfg.architecture} SAE of this parent has no sparse codes; use encode().")
        values_NK = encode_sparse(x_ND).values_NK
        return self._largest(x_ND, (values_NK != 0).sum(1), values_NK.shape[1])

    def _largest(self, x_ND: Float[Tensor, "N D"], count_N: Int[Tensor, " N"], n_slots: int) -> SparseCodes:
        pre_NF = affine(x_ND, self.W_enc, self.b_enc)
        top = pre_NF.topk(n_slots, dim=-1)  # in falling order
        is_on_NK = torch.arange(n_slots, device=x_ND.device) < count_N[:, None]
        return SparseCodes(torch.relu(top.values) * is_on_NK, top.indices, pre_NF.shape[-1])

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> BaseSAE:
        """A parent that is no module is moved too."""
        super()._apply(fn, recurse)
        if not isinstance(self.parent, torch.nn.Module):
            self.parent = self.parent.to(device=self.device, dtype=self.dtype) or self.parent
        return self
