"""Blocks of consecutive rows: what the error bars of the core metrics are over.

Neighbouring rows may come from one document, so single rows are not independent; blocks of a few are nearly so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

ROWS_PER_BLOCK = 4

STATISTICS_COLUMNS = ("tokens", "l0", "squared_error", "distance_to_mean", "norm_ratio", "cosine")


def slices(n_rows: int) -> Iterator[slice]:
    """The blocks of a batch."""
    for start in range(0, n_rows, ROWS_PER_BLOCK):
        yield slice(start, min(start + ROWS_PER_BLOCK, n_rows))


def sums_by_block(columns: Sequence[Tensor], row_N: Int[Tensor, "N"], n_rows: int) -> Float[Tensor, "_ W"]:
    """Number of tokens, then the sums of the columns (one value per token), of each block of a batch, on the device."""
    n_blocks = -(-n_rows // ROWS_PER_BLOCK)
    dtype = widest_float(row_N.device)
    x_NW = torch.stack([torch.ones_like(row_N, dtype=dtype), *(column.to(dtype) for column in columns)], dim=1)
    sums = torch.zeros(n_blocks, x_NW.shape[1], dtype=dtype, device=x_NW.device)
    return sums.index_add_(0, row_N // ROWS_PER_BLOCK, x_NW)


def widest_float(device: torch.device) -> torch.dtype:
    """The widest float type that the device supports: float64, or float32 on MPS."""
    return torch.float32 if device.type == "mps" else torch.float64
