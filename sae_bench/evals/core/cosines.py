"""The cosines of all pairs of directions: their extremes and sums, in time quadratic in the number of directions.

Many directions are screened in bfloat16 first where the device is fast at it. Rounding moves a cosine by at most a
known amount, so all that could be the largest of its row, or nearly opposite, is then computed in float32.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import lru_cache
from time import perf_counter
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sae_bench.custom_saes.codes import is_wide
from sae_bench.language_models.load import is_fast_at_bfloat16

logger = logging.getLogger(__name__)

OPPOSITE = -0.9
"""Two decoder directions with a smaller cosine are nearly opposite: two latents share one line (arXiv 2506.15679)."""

BLOCK, BLOCK_ON_ACCELERATOR = 1024, 8192
"""Rows and columns of the cosines that are computed together."""
STRIPE = 8
"""Where directions are many, so many blocks of rows meet a block of columns before the next one is read."""
SPANS = 128
"""The largest bfloat16 cosine of a row is kept for so many spans of columns."""
LINES_EVERY = 60.0
"""Seconds between two lines that say how far it is."""


class CosinesToOthers(NamedTuple):
    """How the directions of a matrix lie to one another.

    Attributes:
        max_F: largest cosine of each direction to any other; -inf for a lone one.
        has_opposite_F: whether any other is nearly opposite.
        mean_absolute: mean |cosine| of all pairs; NaN for a lone one.
        n_opposite: pairs whose cosine is below `OPPOSITE`.
    """

    max_F: Float[Tensor, "F"]
    has_opposite_F: Bool[Tensor, "F"]
    mean_absolute: float
    n_opposite: int


def cosines_to_others(
    directions_FD: Float[Tensor, "F D"], *, block: int | None = None, screen: bool | None = None
) -> CosinesToOthers:
    """Extremes and sums of the cosines of all pairs; blocks of the symmetric matrix are computed once.

    Args:
        directions_FD: in any dtype, which is not copied; cosines are those of the float32 values.
        block: rows and columns that are computed together; None chooses by device.
        screen: whether to look for the extremes in bfloat16 first; None does for many directions on a device that is
            fast at it. The mean is that of the bfloat16 cosines then (to 1e-5 of itself), the rest that of float32.
    """
    device = directions_FD.device
    if block is None:
        block = BLOCK if device.type == "cpu" else BLOCK_ON_ACCELERATOR
    if screen is None:
        screen = is_wide(len(directions_FD)) and is_fast_at_bfloat16(device)
    return _Screened(directions_FD, block).run() if screen else _AllPairs(directions_FD, block).run()


def max_cosine_to_another(directions_FD: Float[Tensor, "F D"], *, block: int | None = None) -> Float[Tensor, "F"]:
    """Largest cosine of each direction to any other one.

    Returns -inf for a lone direction.
    """
    return cosines_to_others(directions_FD, block=block).max_F


class _AllPairs:
    """One run over all pairs in float32, block by block; of the directions at length 1 some blocks exist at a time."""

    def __init__(self, directions_FD: Tensor, block: int) -> None:
        self.directions_FD = directions_FD
        self.block = block
        self.n = len(directions_FD)
        self.n_opposite = 0
        self.opposite_F = torch.zeros(self.n, dtype=torch.bool, device=directions_FD.device)
        self.span = self.n or 1
        self.top_FS = torch.full((self.n, 1), float("-inf"), device=directions_FD.device)
        self._factor = lru_cache(STRIPE + 2)(self.factor)

    def factor(self, start: int) -> Tensor:
        """A block of directions, as it is multiplied."""
        return self.unit(start, self.block)

    def unit(self, start: int, count: int) -> Float[Tensor, "B D"]:
        """Some directions at length 1, in float32."""
        return torch.nn.functional.normalize(self.directions_FD[start : start + count].float(), dim=-1)

    def run(self) -> CosinesToOthers:
        """Everything of all pairs."""
        total = 0.0
        for i, j in _with_progress(self.n, self.block):
            cosine = (self._factor(i) @ self._factor(j).T).float()
            pairs = 0.5 if i == j else 1.0  # a block on the diagonal holds every pair twice
            if i == j:
                cosine.fill_diagonal_(0.0)
            total += pairs * float(cosine.abs().sum())
            self.n_opposite += int(pairs * self.count_opposite(cosine, i, j))
            if i == j:
                cosine.fill_diagonal_(float("-inf"))
            self.keep_largest(cosine.amax(dim=1), i, j)
            self.keep_largest(cosine.amax(dim=0), j, i)
        mean = total / (self.n * (self.n - 1) / 2) if self.n > 1 else float("nan")
        return CosinesToOthers(self.largest(), self.opposite_F, mean, self.n_opposite)

    def count_opposite(self, cosine: Float[Tensor, "B C"], row: int, column: int) -> int:
        """Number of nearly opposite entries of a block; marks their rows and columns."""
        below = cosine < OPPOSITE
        count = int(below.sum())
        if count:
            self.opposite_F[row : row + len(below)] |= below.any(dim=1)
            self.opposite_F[column : column + below.shape[1]] |= below.any(dim=0)
        return count

    def keep_largest(self, largest_B: Tensor, row: int, column: int) -> None:
        """Take in the largest cosines of a block of rows to a block of columns."""
        so_far_B = self.top_FS[row : row + self.block, column // self.span]
        so_far_B.copy_(torch.maximum(so_far_B, largest_B.to(so_far_B.dtype)))

    def largest(self) -> Float[Tensor, "F"]:
        """Largest cosine of each direction."""
        return self.top_FS[:, 0]


class _Screened(_AllPairs):
    """The same in bfloat16, and what could matter of it in float32.

    With u = u' + r of a unit vector and its bfloat16 value, |u.v - u'.v'| <= |r_u| + |r_v| |u'|; the product itself is
    rounded to bfloat16, by at most 2^-9 of it.
    """

    def __init__(self, directions_FD: Tensor, block: int) -> None:
        super().__init__(directions_FD, block)
        n, device = self.n, directions_FD.device
        units = (self.unit(start, block) for start in range(0, n, block))
        rest_F = torch.cat([(unit - unit.bfloat16().float()).norm(dim=-1) for unit in units])
        self.slack_F = 1.01 * (rest_F + rest_F.max()) + 1e-6
        self.not_opposite = OPPOSITE + float(self.slack_F.max()) + 2**-8
        self.span = block * max(1, -(-n // (block * SPANS)))
        self.top_FS = torch.full((n, -(-n // self.span)), float("-inf"), dtype=torch.bfloat16, device=device)

    def factor(self, start: int) -> Tensor:
        return self.unit(start, self.block).bfloat16()

    def count_opposite(self, cosine: Float[Tensor, "B C"], row: int, column: int) -> int:
        if float(cosine.amin()) >= self.not_opposite:
            return 0
        exact = self.unit(row, self.block) @ self.unit(column, self.block).T
        return super().count_opposite(exact.fill_diagonal_(0.0) if row == column else exact, row, column)

    def largest(self) -> Float[Tensor, "F"]:
        """Of each row, the spans that may hold the largest cosine are computed again."""
        best_F = self.top_FS.amax(dim=1).float()
        enough_F = best_F - 2 * (self.slack_F + 2**-8 * best_F.abs())
        max_F = torch.full_like(best_F, float("-inf"))
        for s in range(self.top_FS.shape[1]):
            rows = (self.top_FS[:, s].float() >= enough_F).nonzero()[:, 0]
            span_BD = self.unit(s * self.span, self.span) if len(rows) else self.top_FS
            for some in rows.split(self.block):
                part_BD = torch.nn.functional.normalize(self.directions_FD[some].float(), dim=-1)
                cosine = part_BD @ span_BD.T
                own = some - s * self.span
                inside = ((own >= 0) & (own < cosine.shape[1])).nonzero()[:, 0]
                cosine[inside, own[inside]] = float("-inf")
                max_F[some] = torch.maximum(max_F[some], cosine.amax(dim=1))
        return max_F


def _with_progress(n: int, block: int) -> Iterator[tuple[int, int]]:
    """Starts of the blocks on and above the diagonal; says every minute how far it is."""
    begun = said = perf_counter()
    n_rows = -(-n // block)
    n_blocks, done = n_rows * (n_rows + 1) // 2, 0
    stripe = block * (STRIPE if is_wide(n) else 1)
    for first in range(0, n, stripe):
        for j in range(first, n, block):
            for i in range(first, min(j + 1, first + stripe), block):
                yield i, j
                done += 1
                if (now := perf_counter()) - said > LINES_EVERY:
                    left = (now - begun) * (n_blocks / done - 1)
                    logger.info("cosines of all pairs of %s directions: about %.0f s left", f"{n:,}", left)
                    said = now
