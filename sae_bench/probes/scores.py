"""Scores of many binary probes at once: area under the ROC curve and weighted F1, as scikit-learn defines them."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def roc_auc(
    decision_PN: Float[Tensor, "P N"], labels_PN: Tensor, mask_PN: Bool[Tensor, "P N"] | None = None
) -> Float[Tensor, " P"]:
    """Share of the pairs (positive, negative) in which the positive has the larger decision; equal ones count half.

    Args:
        decision_PN: compared in float32, so that rounding errors of a wider type break no ties.
        labels_PN: 1 for positives, 0 for negatives.
        mask_PN: which samples count.
    Returns:
        float64; NaN where a class has no samples.
    """
    decision_PN = decision_PN.float()
    real_PN = torch.ones_like(decision_PN, dtype=torch.bool) if mask_PN is None else mask_PN.to(decision_PN.device)
    labels_PN = labels_PN.to(decision_PN.device)
    positive_PN = real_PN & (labels_PN == 1)
    negative_PN = real_PN & (labels_PN == 0)
    sorted_PN = decision_PN.masked_fill(~negative_PN, torch.inf).sort(dim=1).values
    below_PN = torch.searchsorted(sorted_PN, decision_PN, right=False)
    below_or_equal_PN = torch.searchsorted(sorted_PN, decision_PN, right=True)
    twice_P = ((below_PN + below_or_equal_PN) * positive_PN).sum(dim=1)
    return twice_P.double() / (2 * positive_PN.sum(dim=1) * negative_PN.sum(dim=1)).double()


def weighted_f1(
    predicted_PN: Bool[Tensor, "P N"], labels_PN: Tensor, mask_PN: Bool[Tensor, "P N"] | None = None
) -> Float[Tensor, " P"]:
    """F1 of either class, weighted by its number of samples; a class that is neither there nor predicted counts 0."""
    labels_PN = labels_PN.to(predicted_PN.device)
    real_PN = torch.ones_like(predicted_PN) if mask_PN is None else mask_PN.to(predicted_PN.device)
    total_P = torch.zeros(len(predicted_PN), dtype=torch.float64, device=predicted_PN.device)
    for label in (0, 1):
        is_label_PN = real_PN & (labels_PN == label)
        says_label_PN = real_PN & (predicted_PN == bool(label))
        n_label_P = is_label_PN.sum(dim=1).double()
        hits_P = (is_label_PN & says_label_PN).sum(dim=1).double()
        f1_P = 2 * hits_P / (n_label_P + says_label_PN.sum(dim=1)).clamp(min=1.0)
        total_P += n_label_P * f1_P
    return total_P / real_PN.sum(dim=1).double()
