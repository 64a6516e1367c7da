"""Which latents are clamped under each setting, and the sparsities that chose them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Setting:
    """One point of the grid; `latents` in the order of their activity on forget tokens."""

    retain_threshold: float
    n_features: int
    multiplier: int
    latents: tuple[int, ...]


@dataclass(frozen=True)
class Selection:
    """What was clamped, and the sparsities that chose it."""

    forget_F: Float[Tensor, " F"]
    retain_F: Float[Tensor, " F"]
    settings: Sequence[Setting]
