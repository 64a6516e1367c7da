"""Latents and true features laid side by side by their directions.

Shapes: F latents, G true features, D d_model.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor

_LEAST_NORM = 1e-8


def cosines(a_FD: Float[Tensor, "F D"], b_GD: Float[Tensor, "G D"]) -> Float[Tensor, "F G"]:
    """|cosine| of every row of one matrix with every row of the other, float32; 0 for a row of zeros."""
    unit_FD, unit_GD = (x.float() / x.float().norm(dim=1, keepdim=True).clamp(min=_LEAST_NORM) for x in (a_FD, b_GD))
    return (unit_FD @ unit_GD.T).abs()


def mean_of_matching(cosine_FG: Float[Tensor, "F G"]) -> float:
    """MCC: the mean over the one-to-one matching that makes it largest; of min(F, G) pairs.

    Args:
        cosine_FG: |cosine| of all pairs.
    """
    row, column = linear_sum_assignment(cosine_FG.cpu().numpy(), maximize=True)
    return float(cosine_FG[torch.from_numpy(row), torch.from_numpy(column)].double().mean())


def nearest(cosine_FG: Float[Tensor, "F G"]) -> Int[Tensor, " F"]:
    """The feature that each latent stands for: the one of the largest |cosine|."""
    return cosine_FG.argmax(dim=1)


def uniqueness(feature_F: Int[Tensor, " F"]) -> float:
    """How many different features the latents stand for, per latent."""
    return len(feature_F.unique()) / len(feature_F)


def ratio(part: Tensor, whole: Tensor) -> Tensor:
    """part / whole in float64, 0 where the whole is 0."""
    return torch.where(whole > 0, part.double() / whole.double().clamp(min=1e-300), 0.0)
