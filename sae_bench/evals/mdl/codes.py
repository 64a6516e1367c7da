"""Active codes as flat lists: what is kept of an SAE between the pass and the sweep over bins.

A active codes of the N tokens of a batch, F latents, D coordinates.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sae_bench.custom_saes.interface import GATHER_COST, SAE, SparseCodes, decoder_is_linear
from sae_bench.custom_saes.sparse_products import weighted_sums


@dataclass(frozen=True)
class ActiveCodes:
    """The codes of a batch that are not 0, token after token; within a token the largest magnitude first if ranked.

    Attributes:
        rank_A: place of a code among those of its token by magnitude, 0 the largest; None where nobody asked.
    """

    token_A: Int[Tensor, " A"]
    latent_A: Int[Tensor, " A"]
    value_A: Float[Tensor, " A"]
    rank_A: Int[Tensor, " A"] | None
    n_tokens: int

    @classmethod
    def of(cls, codes: SparseCodes | Tensor, *, ranked: bool) -> ActiveCodes:
        """The active codes of a batch, values in float32."""
        if isinstance(codes, SparseCodes):
            token_A, slot_A = codes.values_NK.nonzero().unbind(dim=1)
            latent_A, value_A = codes.indices_NK[token_A, slot_A], codes.values_NK[token_A, slot_A]
            n_tokens = len(codes.values_NK)
        else:
            token_A, latent_A = codes.nonzero().unbind(dim=1)
            value_A, n_tokens = codes[token_A, latent_A], len(codes)
        if not ranked:
            return cls(token_A.int(), latent_A.int(), value_A.float(), None, n_tokens)
        order = latent_A.argsort(stable=True)
        order = order[value_A[order].abs().argsort(descending=True, stable=True)]
        order = order[token_A[order].argsort(stable=True)]
        token_A = token_A[order]
        first_N = token_A.bincount(minlength=n_tokens).cumsum(0) - token_A.bincount(minlength=n_tokens)
        rank_A = torch.arange(len(token_A), device=token_A.device) - first_N[token_A]
        return cls(token_A.int(), latent_A[order].int(), value_A[order].float(), rank_A.int(), n_tokens)

    def largest(self, k: int | None) -> ActiveCodes:
        """At most `k` codes of each token, those of the largest magnitude; None keeps all."""
        if k is None:
            return self
        assert self.rank_A is not None
        keep_A = self.rank_A < k
        token_A, latent_A, value_A = (x[keep_A] for x in (self.token_A, self.latent_A, self.value_A))
        return ActiveCodes(token_A, latent_A, value_A, self.rank_A[keep_A], self.n_tokens)

    def to(self, device: torch.device) -> ActiveCodes:
        """The same codes on a device."""
        rank_A = None if self.rank_A is None else self.rank_A.to(device)
        return ActiveCodes(
            self.token_A.to(device), self.latent_A.to(device), self.value_A.to(device), rank_A, self.n_tokens
        )

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        rank = 0 if self.rank_A is None else self.rank_A.nbytes
        return self.token_A.nbytes + self.latent_A.nbytes + self.value_A.nbytes + rank


class Decoder:
    """Decodes active codes: by fetching decoder rows where that is cheaper than the product with all of them."""

    def __init__(self, sae: SAE) -> None:
        self.sae = sae
        self.d_sae = int(sae.cfg.d_sae)
        zero_1F = sae.W_dec.new_zeros(1, self.d_sae)
        self._constant_1D = sae.decode(zero_1F) if decoder_is_linear(sae) else None

    def __call__(self, active: ActiveCodes, value_A: Float[Tensor, " A"]) -> Float[Tensor, "N D"]:
        """Reconstructions (float32) of the batch's tokens when `value_A` stands in the place of the codes' values."""
        W_dec_FD = self.sae.W_dec
        value_A = value_A.to(W_dec_FD.dtype)
        latent_A, token_A = active.latent_A.long(), active.token_A.long()
        if self._constant_1D is None or len(value_A) * GATHER_COST >= active.n_tokens * self.d_sae:
            codes_NF = W_dec_FD.new_zeros(active.n_tokens, self.d_sae)
            codes_NF[token_A, latent_A] = value_A
            return self.sae.decode(codes_NF).float()
        summed_ND = weighted_sums(token_A, latent_A, value_A, W_dec_FD, active.n_tokens)
        return (summed_ND + self._constant_1D).float()
