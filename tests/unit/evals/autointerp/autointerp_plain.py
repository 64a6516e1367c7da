"""The definitions of the examples again, on dense activations and in plain loops."""

from __future__ import annotations

import torch
from torch import Tensor


def dense_codes(n_rows: int, length: int, n_latents: int, *, density: float, seed: int) -> Tensor:
    """Random activations (R, L, F), zero at position 0; with few distinct values, so that there are ties."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(1, 60, (n_rows, length, n_latents), generator=generator).float() / 8
    x = x * (torch.rand(n_rows, length, n_latents, generator=generator) < density)
    x[:, 0] = 0.0
    return x


def top_positions(x_RL: Tensor, k: int, buffer: int, *, no_overlap: bool) -> list[tuple[int, int]]:
    """Highest positive activations at least `buffer` from the ends, first come first served among equals."""
    n_rows, length = x_RL.shape
    entries = [
        (-float(x_RL[row, column]), row, column)
        for row in range(n_rows)
        for column in range(buffer, length - buffer)
        if x_RL[row, column] > 0
    ]
    chosen: list[tuple[int, int]] = []
    for _, row, column in sorted(entries):
        near = any(other == row and abs(column - place) <= buffer for other, place in chosen)
        if len(chosen) < k and not (no_overlap and near):
            chosen.append((row, column))
    return chosen
