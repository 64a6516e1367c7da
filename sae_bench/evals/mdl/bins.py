"""Bins, histograms and code lengths of all latents at once.

A latent that is active on a share p of the tokens and whose active codes fall into bins with shares q_1 .. q_b takes
H(p) + p H(q) bits per token (H: entropy in bits): one symbol that says whether it is active, one that says in which
bin. That is the entropy of the symbol "inactive, or bin i", so it is also the mean over tokens of -log2 of the share of
the symbol that occurs. The description length of a code is the sum over latents.

Bins are equal, between the smallest and the largest active code of the latent; like numpy's they hold their lower edge,
the last one both. A code is decoded as the middle of its bin, an inactive one as 0.

F latents, J bins, A active codes.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor


class Ranges:
    """Smallest and largest active code of every latent so far."""

    def __init__(self, d_sae: int, device: torch.device) -> None:
        self.low_F = torch.full((d_sae,), float("inf"), device=device)
        self.high_F = torch.full((d_sae,), float("-inf"), device=device)

    @property
    def is_empty(self) -> bool:
        """Whether no latent was active on any token."""
        return not bool(self.low_F.isfinite().any())

    def update(self, latent_A: Int[Tensor, " A"], value_A: Float[Tensor, " A"]) -> None:
        """Add active codes."""
        self.low_F.scatter_reduce_(0, latent_A.long(), value_A.float(), "amin")
        self.high_F.scatter_reduce_(0, latent_A.long(), value_A.float(), "amax")


def bin_of(ranges: Ranges, latent_A: Int[Tensor, " A"], value_A: Float[Tensor, " A"], n_bins: int) -> Int[Tensor, " A"]:
    """The bin (0 .. n_bins - 1) of each code; a latent whose active codes are all equal uses the first."""
    wide = _wide(value_A)
    low_A = ranges.low_F[latent_A.long()].to(wide)
    width_A = ranges.high_F[latent_A.long()].to(wide) - low_A
    bins_above_low_A = (value_A.to(wide) - low_A) * n_bins / width_A
    return torch.where(width_A > 0, bins_above_low_A.floor(), 0).long().clamp(max=n_bins - 1)


def middle_of(
    ranges: Ranges, latent_A: Int[Tensor, " A"], bin_A: Int[Tensor, " A"], n_bins: int
) -> Float[Tensor, " A"]:
    """The value (float32) in the middle of each code's bin."""
    wide = _wide(ranges.low_F)
    low_A = ranges.low_F[latent_A.long()].to(wide)
    width_A = ranges.high_F[latent_A.long()].to(wide) - low_A
    return (low_A + (bin_A.to(wide) + 0.5) * width_A / n_bins).float()


def histograms(latent_A: Int[Tensor, " A"], bin_A: Int[Tensor, " A"], d_sae: int, n_bins: int) -> Int[Tensor, "F J"]:
    """How many active codes of every latent fall into each of its bins."""
    counts = torch.zeros(d_sae * n_bins, dtype=torch.int64, device=bin_A.device)
    counts.scatter_add_(0, latent_A.long() * n_bins + bin_A, torch.ones_like(bin_A))
    return counts.view(d_sae, n_bins)


class Bits(NamedTuple):
    """Bits per token of every latent, float64."""

    active_F: Float[Tensor, " F"]
    """To say whether it is active: H(p)."""
    bin_F: Float[Tensor, " F"]
    """To say in which bin, if it is: p H(q)."""

    @property
    def description_length(self) -> float:
        """Bits per token of the whole code."""
        return float(self.active_F.sum() + self.bin_F.sum())


def bits(counts_FJ: Int[Tensor, "F J"], n_tokens: int) -> Bits:
    """Bits per token of every latent, from the histograms of its active codes."""
    counts = counts_FJ.cpu().double()
    active_F = counts.sum(dim=1)
    p_F = active_F / n_tokens
    q_FJ = counts / active_F.clamp(min=1)[:, None]
    return Bits(_information(p_F) + _information(1 - p_F), p_F * _information(q_FJ).sum(dim=1))


class CodeLengths(NamedTuple):
    """Bits of every symbol under the code that fits the histograms, float64; 0 for symbols that never occur."""

    inactive_F: Float[Tensor, " F"]
    active_FJ: Float[Tensor, "F J"]


def code_lengths(counts_FJ: Int[Tensor, "F J"], n_tokens: int) -> CodeLengths:
    """-log2 of the share of tokens on which a symbol of a latent occurs."""
    counts = counts_FJ.cpu().double()
    inactive_F = n_tokens - counts.sum(dim=1)
    lengths = (torch.where(n > 0, -torch.log2(n / n_tokens), 0.0) for n in (inactive_F, counts))
    return CodeLengths(*lengths)


def _information(p: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Expected bits of a symbol of probability p: -p log2 p, and 0 at p = 0."""
    return torch.special.entr(p) / torch.log(torch.tensor(2.0, dtype=p.dtype))


def _wide(x: Tensor) -> torch.dtype:
    """float64 where the device has it: there the bins of float32 codes are free of rounding."""
    return torch.float32 if x.device.type == "mps" else torch.float64
