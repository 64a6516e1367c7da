"""What many SAEs say together about the variance between seeds, of which each alone knows little.

With three seeds a variance has two degrees of freedom, and no difference among hundreds of SAEs is beyond doubt. The
variances of many SAEs on one metric are alike; how much so is estimated from their spread, and each is moved towards
their common value by as much (Smyth 2004, `limma`). Their spread is known roughly itself, and one SAE that varies more
than the others must not pass for one of them, so it is taken at the upper end of what may be.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import digamma, polygamma
from scipy.stats import chi2

FEWEST = 5
"""SAEs below which nothing is borrowed."""

UNSURE = 0.1
"""Chance that the variances of the SAEs differ more than is assumed."""

_STEPS = 40


@dataclass(frozen=True)
class Common:
    """The variance that SAEs have in common, and the degrees of freedom that it is worth to each of them."""

    variance: float
    df: float

    def moved(self, variance_C: Float[np.ndarray, " C"], df: float, *, times: float) -> Float[np.ndarray, " C"]:
        """Variances of `df` degrees of freedom each, moved towards `times` the common one."""
        if self.df <= 0:
            return variance_C
        return (df * variance_C + self.df * times * self.variance) / (df + self.df)


NOTHING_COMMON = Common(0.0, 0.0)


def common_variance(values_PS: Float[np.ndarray, "P S"]) -> Common:
    """Of the seeds' values of P SAEs, after what each SAE and each seed adds to all of them is taken off."""
    n_saes, n_seeds = values_PS.shape
    if n_saes < FEWEST or n_seeds < 2:
        return NOTHING_COMMON
    rest_PS = values_PS - values_PS.mean(axis=1, keepdims=True) - values_PS.mean(axis=0) + values_PS.mean()
    df = (n_seeds - 1.0) * (n_saes - 1.0) / n_saes
    variance_P = np.square(rest_PS).sum(axis=1) / df
    if (variance_P <= 1e-6 * np.median(variance_P)).any() or not variance_P.any():
        return NOTHING_COMMON  # values on a grid: seeds agree by accident, and logarithms say nothing
    log_P = np.log(variance_P) - digamma(df / 2.0) + np.log(df / 2.0)
    seen, sampling, most = float(log_P.var(ddof=1)), float(polygamma(1, df / 2.0)), df * (n_saes - 1.0)
    at_most = seen * (n_saes - 1.0) / float(chi2.ppf(UNSURE, n_saes - 1.0))
    likely_df, common_df = (
        min(2.0 * _inverse_trigamma(spread - sampling), most) if spread > sampling else most
        for spread in (seen, at_most)
    )
    level = float(log_P.mean() + digamma(likely_df / 2.0) - np.log(likely_df / 2.0))
    return Common(float(np.exp(level)), common_df)


def _inverse_trigamma(value: float) -> float:
    """By bisection in the logarithm."""
    low, high = 1e-4, 1e6
    for _ in range(_STEPS):
        middle = np.sqrt(low * high)
        low, high = (middle, high) if polygamma(1, middle) > value else (low, middle)
    return float(np.sqrt(low * high))
