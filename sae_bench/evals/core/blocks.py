"""Blocks of consecutive rows: what the error bars of the core metrics are over.

Neighbouring rows may come from one document, so single rows are not independent; blocks of a few are nearly so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sae_bench.evals.core.loss import BranchSums, LossSums

ROWS_PER_BLOCK = 4

STATISTICS_COLUMNS = ("tokens", "l0", "squared_error", "distance_to_mean", "norm_ratio", "cosine")


@dataclass
class LossBlock:
    """Sums of one block for the original model and every branch."""

    original: LossSums
    branches: dict[str, BranchSums]

    def add_to(self, total: LossSums, sums: Mapping[str, BranchSums]) -> None:
        """Add this block to the sums of all."""
        total.n_tokens += self.original.n_tokens
        total.n_targets += self.original.n_targets
        total.loss += self.original.loss
        for name, branch in self.branches.items():
            sums[name].kl += branch.kl
            sums[name].loss += branch.loss


def slices(n_rows: int) -> Iterator[slice]:
    """The blocks of a batch."""
    for start in range(0, n_rows, ROWS_PER_BLOCK):
        yield slice(start, min(start + ROWS_PER_BLOCK, n_rows))


def sums_by_block(columns: Sequence[Tensor], row_N: Int[Tensor, "N"], n_rows: int) -> Float[Tensor, "_ W"]:
    """Number of tokens, then the sums of the columns (one value per token), of each block of a batch, on the device."""
    n_blocks = -(-n_rows // ROWS_PER_BLOCK)
    dtype = torch.float32 if row_N.device.type == "mps" else torch.float64
    x_NW = torch.stack([torch.ones_like(row_N, dtype=dtype), *(column.to(dtype) for column in columns)], dim=1)
    sums = torch.zeros(n_blocks, x_NW.shape[1], dtype=dtype, device=x_NW.device)
    return sums.index_add_(0, row_N // ROWS_PER_BLOCK, x_NW)
