"""The probe without training: the direction between two class means, and the threshold that splits best."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class MeanDirection:
    """Calls a sample positive where its projection on the direction is above the threshold."""

    direction_D: Float[Tensor, " D"]
    threshold: float

    def decision(self, x_ND: Float[Tensor, "N D"]) -> Float[Tensor, " N"]:
        """Distance of each sample's projection from the threshold, float64; positive for the class of label 1."""
        return _project(x_ND, self.direction_D) - self.threshold


def fit_mean_direction(x_ND: Float[Tensor, "N D"], labels_N: Int[Tensor, " N"]) -> MeanDirection:
    """The difference of class means ("DiffMean") with the threshold that gets most of these samples right.

    Of thresholds that do equally well, the one closest to half way between the projected means.

    Args:
        x_ND: inputs.
        labels_N: 1 and 0, some of each.
    """
    positive_N = labels_N.to(x_ND.device) == 1
    means = [_wide(x_ND[chosen_N]).mean(dim=0) for chosen_N in (positive_N, ~positive_N)]
    direction_D = means[0] - means[1]
    middle = float((means[0] + means[1]) @ direction_D) / 2
    sorted_N, order_N = _project(x_ND, direction_D).sort()
    is_positive_N = positive_N.to(order_N.device)[order_N].double()
    below_M = torch.cat([is_positive_N.new_zeros(1), (1 - is_positive_N).cumsum(0)])  # negatives below each cut
    above_M = is_positive_N.sum() - torch.cat([is_positive_N.new_zeros(1), is_positive_N.cumsum(0)])
    cut_M = torch.cat([sorted_N[:1] - 1, (sorted_N[:-1] + sorted_N[1:]) / 2, sorted_N[-1:]])
    is_cut_M = torch.cat([sorted_N.new_ones(1), (sorted_N[:-1] < sorted_N[1:]).double(), sorted_N.new_ones(1)]) > 0
    right_M = (below_M + above_M).masked_fill(~is_cut_M, -1.0)
    best_M = cut_M[right_M == right_M.max()]
    return MeanDirection(direction_D, float(best_M[(best_M - middle).abs().argmin()]))


def _project(x_ND: Tensor, direction_D: Tensor) -> Tensor:
    return _wide(x_ND) @ direction_D


def _wide(x: Tensor) -> Tensor:
    """float64, on the CPU where the device has none."""
    return (x.cpu() if x.device.type == "mps" else x).double()
