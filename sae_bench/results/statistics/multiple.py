"""Many comparisons at once: their common level, and ranks with the positions that the noise allows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int


def common_level(alpha: float, n_comparisons: int) -> float:
    """The level at which with probability 1 - alpha all intervals hold at once (Bonferroni)."""
    return 1.0 - alpha / max(1, n_comparisons)


def corrected(p_value: float, n_comparisons: int) -> float:
    """The p-value that goes with `common_level`."""
    return min(1.0, p_value * max(1, n_comparisons))


def n_pairs(n: int) -> int:
    """How many pairs n SAEs make."""
    return n * (n - 1) // 2


def ranks(scores_P: Float[np.ndarray, " P"], same_PP: Bool[np.ndarray, "P P"] | None = None) -> Int[np.ndarray, " P"]:
    """Rank of each score, 1 the highest; equal scores, and those said to be the same, share the better rank."""
    ahead_PP = scores_P[None, :] > scores_P[:, None]
    return 1 + (ahead_PP if same_PP is None else ahead_PP & ~same_PP).sum(axis=1)


@dataclass(frozen=True)
class Behind:
    """How far each SAE is behind the best of the others; negative where it is ahead.

    Attributes:
        low_P: at least; -inf where nothing is known.
        high_P: at most; inf where something is not known.
    """

    low_P: Float[np.ndarray, " P"]
    high_P: Float[np.ndarray, " P"]

    @property
    def could_be_best_P(self) -> Bool[np.ndarray, " P"]:
        """Those that are not behind for sure."""
        return ~(self.low_P > 0)


def behind_the_best(scores_P: Float[np.ndarray, " P"], half_PP: Float[np.ndarray, "P P"]) -> Behind:
    """Comparison with the best (Hsu 1981), from intervals of all pairs that hold at once.

    Whoever is behind some other for sure is behind the best by as much at least; and the best is ahead by no more than
    the one that may be ahead the most. If the intervals of all pairs hold at once, so do these.

    Args:
        scores_P: higher is better.
        half_PP: half the width of the interval of every pair; NaN where nothing is known, 0 where both are the same
            (their scores then differ by rounding, which is no lead).
    """
    other_PP = ~np.eye(len(scores_P), dtype=bool)
    ahead_PP = np.where(half_PP == 0, 0.0, scores_P[None, :] - scores_P[:, None])
    known_PP = other_PP & ~np.isnan(half_PP)
    low_P = np.where(known_PP, ahead_PP - half_PP, -np.inf).max(axis=1, initial=-np.inf)
    most_PP = np.where(known_PP, ahead_PP + half_PP, np.inf)
    return Behind(low_P, np.where(other_PP, most_PP, -np.inf).max(axis=1, initial=-np.inf))
