"""How often each latent is active on forget and retain tokens, and which latents that selects."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sae_bench.activations.batches import ActivationBatch
from sae_bench.custom_saes.interface import SparseCodes
from sae_bench.custom_saes.loading import Member


class ActiveCounter:
    """Consumer of packed rows that counts, for every SAE, the tokens on which each latent is active.

    BOS, EOS and PAD tokens are not among the tokens of a batch.
    """

    def __init__(self, members: Iterable[Member]) -> None:
        self.counts_F: dict[str, Int[Tensor, " F"]] = {
            member.key: torch.zeros(int(member.sae.cfg.d_sae), dtype=torch.int64) for member in members
        }
        self.n_tokens = 0

    def on_activations(self, batch: ActivationBatch) -> None:
        self.n_tokens += int(batch.valid_BL.sum())

    def on_codes(self, _batch: ActivationBatch, member: Member, codes: SparseCodes | Tensor) -> None:
        self.counts_F[member.key] += count_active(codes).cpu()

    def on_batch_end(self, batch: ActivationBatch) -> None:
        pass

    def drop(self, member: Member) -> None:
        self.counts_F.pop(member.key, None)

    def sparsity(self, member: Member) -> Float[Tensor, " F"]:
        """Share of the tokens on which each latent is active, float64."""
        return self.counts_F[member.key].double() / max(1, self.n_tokens)


def count_active(codes: SparseCodes | Float[Tensor, "N F"]) -> Int[Tensor, " F"]:
    """On how many of the N tokens each latent is active (not 0)."""
    if isinstance(codes, SparseCodes):
        return torch.bincount(codes.indices_NK[codes.values_NK != 0], minlength=codes.d_sae)
    return (codes != 0).sum(dim=0)


def select_latents(
    forget_F: Float[Tensor, " F"], retain_F: Float[Tensor, " F"], *, retain_threshold: float, n: int
) -> tuple[int, ...]:
    """The `n` latents active on most forget tokens among those below `retain_threshold` on retain tokens.

    Latents never active on forget tokens are not taken, so there may be fewer; ties go to the lower index.
    """
    share_F = torch.where(retain_F < retain_threshold, forget_F, torch.zeros_like(forget_F))
    ranked = share_F.sort(descending=True, stable=True)
    return tuple(ranked.indices[ranked.values > 0][:n].tolist())
