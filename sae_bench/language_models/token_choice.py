"""Which tokens of a text SAEs read: those of some positions, without some ids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from sae_bench.errors import UsageError


@dataclass(frozen=True)
class TokenChoice:
    """The tokens that SAEs read and change; the model reads all. BOS, EOS and PAD stand aside whatever the choice.

    A token's position is its place in its text, or in its row where texts are packed into rows; BOS has position 0.

    Attributes:
        excluded: token ids that are left out.
        start: first position that is read.
        stop: first position that is not read any more; None for no end.
        step: every how many positions one is read.
    Raises:
        UsageError: the positions are none, or count from the end.
    """

    excluded: frozenset[int] = frozenset()
    start: int = 0
    stop: int | None = None
    step: int = 1

    def __post_init__(self) -> None:
        if self.start < 0 or self.step < 1 or (self.stop is not None and self.stop <= self.start):
            raise UsageError(
                f"seqpos_slice {self.slice_text}: positions count from the start of a text, and at least one has to be "
                "read. Next: give START:STOP or START:STOP:STEP, such as 1: for all but the first."
            )

    @classmethod
    def of(cls, excluded: tuple[int, ...] = (), seqpos_slice: tuple[int | None, ...] | None = None) -> TokenChoice:
        """A choice from the arguments of `slice` (as SAELens writes them) and the ids to leave out.

        Raises:
            UsageError: the positions are none, or count from the end.
        """
        start, stop, step = slice_arguments(seqpos_slice)
        return cls(frozenset(excluded), start, stop, step)

    @property
    def positions(self) -> tuple[int, int | None, int]:
        """Start, stop and step."""
        return self.start, self.stop, self.step

    @property
    def slice_text(self) -> str:
        """The positions as they are written: `START:STOP`, and `:STEP` where it is not 1."""
        step = "" if self.step == 1 else f":{self.step}"
        return f"{self.start or ''}:{'' if self.stop is None else self.stop}{step}"

    def at(self, positions: Any) -> Any:
        """Which of some positions are read; numbers, arrays or tensors of them."""
        read = (positions >= self.start) & ((positions - self.start) % self.step == 0)
        return read if self.stop is None else read & (positions < self.stop)

    def keeps(self, ids_BL: Int[Tensor, "B L"]) -> Bool[Tensor, "B L"]:
        """Which tokens are read, of texts (or rows) that start at the first place."""
        read_BL = self.at(torch.arange(ids_BL.shape[-1], device=ids_BL.device)).expand(ids_BL.shape)
        left_out = torch.tensor(sorted(self.excluded), dtype=ids_BL.dtype, device=ids_BL.device)
        return read_BL & ~torch.isin(ids_BL, left_out)


def slice_arguments(seqpos_slice: tuple[int | None, ...] | None) -> tuple[int, int | None, int]:
    """Start, stop and step of a slice that is written as its arguments are; all positions for none.

    Raises:
        UsageError: these are no arguments of a slice.
    """
    given = tuple(seqpos_slice) if seqpos_slice else (None,)
    if len(given) > 3:
        raise UsageError(f"seqpos_slice {given}: give up to three whole numbers, start, stop and step.")
    made = slice(*given)
    return made.start or 0, made.stop, 1 if made.step is None else made.step


ALL_TOKENS = TokenChoice()
