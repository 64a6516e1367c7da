"""Positions of large activations in a batch of rows, and their surroundings, under their published names."""

from __future__ import annotations

import torch
from jaxtyping import Int, Num
from torch import Tensor

from sae_bench.errors import UsageError
from sae_bench.seeding import named_generator


def get_k_largest_indices(
    x: Num[Tensor, "B L"], k: int, buffer: int = 0, no_overlap: bool = False
) -> Int[Tensor, "K 2"]:
    """(row, column) of the `k` largest values at least `buffer` columns from both ends of their row, largest first.

    Args:
        no_overlap: leave out positions within `buffer` columns of a larger one in the same row. There may be fewer
            than `k` then.
    """
    inner = _inner(x, buffer)
    order = inner.flatten().argsort(descending=True)
    rows, columns = order // inner.shape[1], order % inner.shape[1] + buffer
    if not no_overlap:
        return torch.stack((rows, columns), dim=1)[:k]
    taken = torch.zeros(x.shape, dtype=torch.bool)
    chosen: list[tuple[int, int]] = []
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        if len(chosen) == k:
            break
        if not taken[row, column]:
            chosen.append((row, column))
            taken[row, max(column - buffer, 0) : column + buffer + 1] = True
    return torch.tensor(chosen, dtype=torch.long, device=x.device).reshape(-1, 2)


def get_iw_sample_indices(
    x: Num[Tensor, "B L"],
    k: int,
    buffer: int = 0,
    use_squared_values: bool = True,
    generator: torch.Generator | None = None,
) -> Int[Tensor, "K 2"]:
    """(row, column) of `k` different positions, drawn in proportion to their values (squared by default).

    Args:
        generator: a CPU generator; by default one that draws the same for the same `k` and shape.
    Raises:
        UsageError: fewer than `k` positions have a weight.
    """
    inner = _inner(x, buffer)
    weights = inner.double().cpu().flatten()
    weights = weights.square() if use_squared_values else weights
    if int((weights > 0).sum()) < k:
        raise UsageError(f"{k} positions were asked for, {int((weights > 0).sum())} have a value above 0.")
    generator = generator or named_generator("importance-weighted positions", k, tuple(x.shape))
    drawn = torch.multinomial(weights, k, replacement=False, generator=generator).to(x.device)
    return torch.stack((drawn // inner.shape[1], drawn % inner.shape[1] + buffer), dim=1)


def index_with_buffer(x: Num[Tensor, "B L"], indices: Int[Tensor, "K 2"], buffer: int = 0) -> Num[Tensor, "K W"]:
    """Values of `x` at the given positions with `buffer` columns on either side; W is 2 * buffer + 1."""
    columns = indices[:, 1, None] + torch.arange(-buffer, buffer + 1, device=indices.device)
    return x[indices[:, 0, None], columns]


def _inner(x: Num[Tensor, "B L"], buffer: int) -> Num[Tensor, "B I"]:
    """The columns that are `buffer` away from both ends."""
    if x.shape[1] <= 2 * buffer:
        raise UsageError(f"rows of {x.shape[1]} columns have none that is {buffer} columns from both ends.")
    return x[:, buffer : x.shape[1] - buffer]
