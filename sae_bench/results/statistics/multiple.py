"""Many comparisons at once: p-values adjusted for their number, and ranks with the positions that the noise allows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted so that a threshold bounds the chance of any false finding (Holm 1979)."""
    m = len(p_values)
    adjusted = [0.0] * m
    so_far = 0.0
    for step, index in enumerate(sorted(range(m), key=lambda i: p_values[i])):
        so_far = max(so_far, min(1.0, (m - step) * p_values[index]))
        adjusted[index] = so_far
    return adjusted


def ranks(scores_P: Float[np.ndarray, " P"]) -> Int[np.ndarray, " P"]:
    """Rank of each score, 1 the highest; equal scores share the better rank."""
    return 1 + (scores_P[None, :] > scores_P[:, None]).sum(axis=1)


def could_be_best(
    scores_P: Float[np.ndarray, " P"], p_PP: Float[np.ndarray, "P P"], alpha: float
) -> Bool[np.ndarray, " P"]:
    """Which could be the best: with probability 1 - alpha none that is as good as the best is left out.

    Comparison with the best (Hsu 1981), stepwise: as long as R are left, one goes if another is better with a p-value
    that holds for R (P - 1) one-sided comparisons. Those that tie for the best are at most R, so that the bound holds
    for all of them together, whatever their scores have in common (Bonferroni; Goeman and Solari 2010 for the steps).

    Args:
        scores_P: higher is better.
        p_PP: two-sided p-values; NaN where nothing is known.
    """
    better_PP = scores_P[None, :] > scores_P[:, None]
    least_P = np.where(better_PP & ~np.isnan(p_PP), p_PP / 2.0, 1.0).min(axis=1, initial=1.0)
    left_P = np.ones(len(scores_P), dtype=bool)
    while True:
        staying_P = left_P & (least_P * left_P.sum() * max(1, len(scores_P) - 1) > alpha)
        if staying_P.sum() == left_P.sum():
            return left_P
        left_P = staying_P
