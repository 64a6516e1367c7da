"""Codes of all words under one SAE: encoded once, read by probes and scores; sparse where few latents are active.

W words, F latents, N or B chosen words, K active latents, M chosen latents, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sae_bench.activations.device_limits import encode_with_halving
from sae_bench.custom_saes.interface import SparseCodes
from sae_bench.errors import UsageError

WORDS_AT_ONCE = 1024
SPARSE_BELOW = 0.25
"""Codes with a smaller share of active latents are kept sparse (8 bytes per active latent instead of 4 per latent)."""


@dataclass(frozen=True)
class Batch:
    """Rows of a matrix that a linear probe is trained on: X (B, F), dense or COO, and its transpose."""

    x_BF: Tensor
    x_FB: Tensor

    def times(self, weights_FC: Float[Tensor, "F C"]) -> Float[Tensor, "B C"]:
        """The matrix product X W."""
        return torch.mm(self.x_BF, weights_FC)

    def transposed_times(self, slope_BC: Float[Tensor, "B C"]) -> Float[Tensor, "F C"]:
        """The matrix product of X transposed and G."""
        return torch.mm(self.x_FB, slope_BC)


class DenseRows:
    """Words as rows of a dense matrix."""

    def __init__(self, x_WF: Float[Tensor, "W F"]) -> None:
        self.x_WF = x_WF
        self.shape = (x_WF.shape[0], x_WF.shape[1])
        self.device = x_WF.device

    def take(self, rows_B: Int[Tensor, " B"]) -> Batch:
        """Rows to train on."""
        x_BF = self.x_WF[rows_B.to(self.device)]
        return Batch(x_BF, x_BF.T)

    def columns(self, latents_M: Int[Tensor, " M"]) -> Float[Tensor, "W M"]:
        """The given latents on all words."""
        return self.x_WF[:, latents_M.to(self.device)]

    def active(self, rows_N: Int[Tensor, " N"]) -> tuple[Float[Tensor, "N K"], Int[Tensor, "N K"]]:
        """Values and ids of the latents of each word; ids are those of all latents."""
        values_NF = self.x_WF[rows_N.to(self.device)]
        return values_NF, torch.arange(self.shape[1], device=self.device).expand_as(values_NF)


class SparseRows:
    """Words as lists of (latent, value): `starts_W` says where each begins.

    Args:
        counts_W: active latents of each word.
        latents_A, values_A: those of all words, one after the other.
    """

    def __init__(
        self, counts_W: Int[Tensor, " W"], latents_A: Int[Tensor, " A"], values_A: Float[Tensor, " A"], d_sae: int
    ) -> None:
        self.counts_W = counts_W
        self.starts_W = counts_W.cumsum(0) - counts_W
        self.latents_A = latents_A
        self.values_A = values_A
        self.shape = (len(counts_W), d_sae)
        self.device = values_A.device

    def take(self, rows_B: Int[Tensor, " B"]) -> Batch:
        """Rows to train on, as COO."""
        row_A, at_A = self._entries(rows_B.to(self.device))
        latent_A, value_A = self.latents_A[at_A].long(), self.values_A[at_A]
        n_rows, d_sae = len(rows_B), self.shape[1]
        return Batch(
            _coo(torch.stack([row_A, latent_A]), value_A, (n_rows, d_sae)),
            _coo(torch.stack([latent_A, row_A]), value_A, (d_sae, n_rows)),
        )

    def columns(self, latents_M: Int[Tensor, " M"]) -> Float[Tensor, "W M"]:
        """The given latents on all words, dense."""
        distinct_U, column_of_M = torch.unique(latents_M.to(self.device), return_inverse=True)
        column_of_F = torch.full((self.shape[1],), -1, dtype=torch.long, device=self.device)
        column_of_F[distinct_U] = torch.arange(len(distinct_U), device=self.device)
        column_A = column_of_F[self.latents_A.long()]
        wanted = (column_A >= 0).nonzero()[:, 0]
        word_A = torch.repeat_interleave(torch.arange(self.shape[0], device=self.device), self.counts_W)
        dense_WU = torch.zeros(self.shape[0], len(distinct_U), device=self.device)
        dense_WU[word_A[wanted], column_A[wanted]] = self.values_A[wanted]
        return dense_WU[:, column_of_M]

    def active(self, rows_N: Int[Tensor, " N"]) -> tuple[Float[Tensor, "N K"], Int[Tensor, "N K"]]:
        """Values and ids of the active latents of each word, K the largest number of these words; the rest is 0."""
        rows_N = rows_N.to(self.device)
        row_A, at_A = self._entries(rows_N)
        counts_N = self.counts_W[rows_N]
        n_slots = max(1, int(counts_N.max())) if len(rows_N) else 1
        slot_A = torch.arange(len(at_A), device=self.device) - (counts_N.cumsum(0) - counts_N)[row_A]
        values_NK = torch.zeros(len(rows_N), n_slots, device=self.device)
        latents_NK = torch.zeros(len(rows_N), n_slots, dtype=torch.long, device=self.device)
        values_NK[row_A, slot_A] = self.values_A[at_A]
        latents_NK[row_A, slot_A] = self.latents_A[at_A].long()
        return values_NK, latents_NK

    def _entries(self, rows_N: Tensor) -> tuple[Int[Tensor, " A"], Int[Tensor, " A"]]:
        """Find every active latent of the rows: the row it is in, and its index in the flat lists."""
        counts_N = self.counts_W[rows_N]
        row_A = torch.repeat_interleave(torch.arange(len(rows_N), device=self.device), counts_N)
        first_N = counts_N.cumsum(0) - counts_N
        at_A = torch.arange(len(row_A), device=self.device) - first_N[row_A] + self.starts_W[rows_N][row_A]
        return row_A, at_A


WordCodes = DenseRows | SparseRows


@torch.no_grad()
def encode_words(sae: Any, x_WD: Float[Tensor, "W D"]) -> WordCodes:
    """Encode every word once, in float32.

    Raises:
        UsageError: codes that are not finite.
    """
    chunks = x_WD.split(WORDS_AT_ONCE)
    first = encode_with_halving(sae, chunks[0])
    sparse = _is_sparse(first)
    parts = [_compact(first, sparse=sparse)]
    parts += [_compact(encode_with_halving(sae, x_ND), sparse=sparse) for x_ND in chunks[1:]]
    return _joined(parts, int(sae.cfg.d_sae))


_Compact = Tensor | tuple[Tensor, Tensor, Tensor]


def _is_sparse(codes: SparseCodes | Tensor) -> bool:
    if isinstance(codes, SparseCodes):
        return bool((codes.values_NK != 0).sum() < SPARSE_BELOW * len(codes.values_NK) * codes.d_sae)
    return bool((codes != 0).sum() < SPARSE_BELOW * codes.numel())


def _compact(codes: SparseCodes | Tensor, *, sparse: bool) -> _Compact:
    values = codes.values_NK if isinstance(codes, SparseCodes) else codes
    if not bool(values.isfinite().all()):
        raise UsageError("this SAE gives codes that are NaN or infinite; check its weights and dtype.")
    if not sparse:
        return (codes.to_dense() if isinstance(codes, SparseCodes) else codes).float()
    row_A, slot_A = values.nonzero(as_tuple=True)
    latents_A = codes.indices_NK[row_A, slot_A] if isinstance(codes, SparseCodes) else slot_A
    counts_N = torch.bincount(row_A, minlength=len(values))
    return counts_N, latents_A.to(torch.int32), values[row_A, slot_A].float()


def _joined(parts: Sequence[_Compact], d_sae: int) -> WordCodes:
    dense = [part for part in parts if isinstance(part, Tensor)]
    if dense:
        return DenseRows(torch.cat(dense))
    columns = zip(*(part for part in parts if not isinstance(part, Tensor)), strict=True)
    counts_W, latents_A, values_A = (torch.cat(column) for column in columns)
    return SparseRows(counts_W, latents_A, values_A, d_sae)


def _coo(indices_2A: Tensor, values_A: Tensor, shape: tuple[int, int]) -> Tensor:
    return torch.sparse_coo_tensor(indices_2A, values_A, shape, check_invariants=False)
