"""How well a number tells activating windows from others."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


def area_under_curve(positive_P: Float[Tensor, " P"], negative_N: Float[Tensor, " N"]) -> float | None:
    """Chance that a positive one ranks above a negative one, equal ones by halves; None if either kind is missing."""
    difference_PN = positive_P[:, None] - negative_N[None, :]
    if not difference_PN.numel():
        return None
    return float(((difference_PN > 0).double() + 0.5 * (difference_PN == 0).double()).mean())
