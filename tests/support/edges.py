"""When two implementations of one SAE may disagree on which latents are on."""

from __future__ import annotations

import torch
from torch import Tensor

ALLOWED = 1e-5
"""Between two implementations in float32, as a share of the largest value."""


def at_an_edge(theirs_NF: Tensor, ours_NF: Tensor, threshold: Tensor | None, *, allowed: float = ALLOWED) -> Tensor:
    """Which codes are 0 on one side alone because rounding in float32 decides whether the latent is on.

    Sums of products are rounded in another order on each side, so that a pre-activation at the threshold, or two that
    are equal but for rounding at the k-th place, may fall on either side of the edge; the code then jumps from 0 to it.

    Args:
        threshold: below which a latent is off, one for all or one each; None where the largest codes of a token are on.
        allowed: how far from the edge a code may be, as a share of the largest code.
    """
    slack = allowed * float(theirs_NF.abs().max())
    on_one_side_NF = (theirs_NF != 0) != (ours_NF != 0)
    size_NF = torch.maximum(theirs_NF.abs(), ours_NF.abs())
    if threshold is not None:
        edge = threshold.expand_as(size_NF)
    else:
        smallest = [codes.abs().masked_fill(codes == 0, torch.inf).amin(1, True) for codes in (theirs_NF, ours_NF)]
        edge = torch.where(ours_NF != 0, smallest[0], smallest[1])
    return on_one_side_NF & ((size_NF - edge).abs() <= slack)
