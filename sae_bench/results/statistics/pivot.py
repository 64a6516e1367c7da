"""The distribution of an error with two parts, each of which has a variance that is only estimated.

error = sqrt(seeds) t + sqrt(units) t', with t and t' independent and Student-distributed with the degrees of freedom
of each part: the solution of Behrens and Fisher. It is exact where one part dominates and errs on the safe side in
between (Robinson 1976), where Satterthwaite's single t with few seeds claims too much.

Given the mixing variables w = chi2 / df the error is normal, so every probability is an average of normal ones over
a grid of w (trapezoids in log w).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from jaxtyping import Float
from scipy import stats
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

from sae_bench.results.statistics.noise import Noise, Skewness

FEW = 200.0
"""Degrees of freedom above which a variance counts as known."""

SAFETY = 1.1
"""How much larger the tails are taken than for normal errors: skewed and heavy-tailed values give some 5.3 % instead of
5 % in simulations."""

TAIL = 1e-12
"""Tails are not known beyond this: no p-value is smaller."""

_BISECTIONS = 50


def two_sided_p(difference: float, noise: Noise) -> float:
    """Probability of an error at least as large as `difference`."""
    if noise.standard_error == 0:
        return 1.0 if difference == 0 else TAIL
    variance_N, share_N = _mixture(noise)
    return float(np.clip(SAFETY * 2.0 * (share_N * ndtr(-abs(difference) / np.sqrt(variance_N))).sum(), TAIL, 1.0))


def quantile(probability: float, noise: Noise) -> float:
    """The error that is not exceeded with this probability, which is 0.5 or more."""
    if noise.standard_error == 0:
        return 0.0
    if noise.seeds == 0 or noise.units == 0:
        df = noise.units_df if noise.seeds == 0 else noise.seeds_df
        return noise.standard_error * float(stats.t.ppf(probability, df) if 0 < df <= FEW else ndtri(probability))
    variance_N, share_N = _mixture(noise)
    scale_N, high = np.sqrt(variance_N), float(np.sqrt(variance_N @ share_N))
    while ndtr(high / scale_N) @ share_N < probability:
        high *= 2.0
    return float(brentq(lambda x: ndtr(x / scale_N) @ share_N - probability, 0.0, high, xtol=1e-9 * high, rtol=1e-9))


def margin(noise: Noise, level: float) -> float:
    """Half the width of the interval of this level."""
    return quantile(1.0 - (1.0 - level) / 2.0 / SAFETY, noise)


def margins(noise: Noise, skewness: Skewness, level: float) -> tuple[float, float]:
    """How far the interval of this level reaches below and above the estimate.

    Wilson's interval, for any distribution: the true mean m may be where (estimate - m)^2 = q^2 variance(m), and the
    variance is that of the two-valued distribution that fits mean, variance and skewness, moved to m. Where all
    values are 0 or 1 and nothing else varies it is Wilson's own. Skewness is estimated poorly, so that it may lengthen
    either side, but shorten none.
    """
    half, units_share = margin(noise, level), noise.units / (noise.seeds + noise.units)
    if noise.units_df <= 0:
        return half, half
    squared = float(stats.t.ppf((1.0 + level) / 2.0, noise.units_df)) ** 2
    shrink = 1.0 + squared * units_share / skewness.n_effective
    centre = squared * skewness.slope * units_share / 2.0
    root = np.sqrt(centre**2 + half**2 * shrink)
    return max(half, float(root - centre) / shrink), max(half, float(root + centre) / shrink)


def quantiles_over_runs(probability: float, noise: Noise, estimated_R: Float[np.ndarray, " R"]) -> np.ndarray:
    """The quantile in runs that estimate the seeds' variance as `estimated_R` times what it is."""
    seeds_w, seeds_share = mixing_grid(noise.seeds_df)
    units_w, units_share = mixing_grid(noise.units_df)
    variance = noise.seeds * estimated_R[:, None, None] / seeds_w[:, None] + noise.units / units_w[None, :]
    share = seeds_share[:, None] * units_share[None, :]
    return _quantiles(probability, variance.reshape(len(estimated_R), -1), share.ravel())


def _mixture(noise: Noise) -> tuple[Float[np.ndarray, " N"], Float[np.ndarray, " N"]]:
    """Variances of the normal errors that are mixed, and their shares."""
    seeds_w, seeds_share = mixing_grid(noise.seeds_df)
    units_w, units_share = mixing_grid(noise.units_df)
    variance = noise.seeds / seeds_w[:, None] + noise.units / units_w[None, :]
    return variance.ravel(), (seeds_share[:, None] * units_share[None, :]).ravel()


def _quantiles(
    probability: float, variance_RN: Float[np.ndarray, "R N"], share_N: Float[np.ndarray, " N"]
) -> Float[np.ndarray, " R"]:
    """By bisection between 0 and a bound that is doubled until it holds."""
    scale_RN = np.sqrt(variance_RN)
    low_R, high_R = np.zeros(len(scale_RN)), np.sqrt(variance_RN @ share_N)
    while (short_R := ndtr(high_R[:, None] / scale_RN) @ share_N < probability).any():
        low_R, high_R = np.where(short_R, high_R, low_R), np.where(short_R, 2.0 * high_R, high_R)
    for _ in range(_BISECTIONS):
        middle_R = (low_R + high_R) / 2.0
        short_R = ndtr(middle_R[:, None] / scale_RN) @ share_N < probability
        low_R, high_R = np.where(short_R, middle_R, low_R), np.where(short_R, high_R, middle_R)
    return (low_R + high_R) / 2.0


@lru_cache(maxsize=4096)
def mixing_grid(df: float) -> tuple[Float[np.ndarray, " N"], Float[np.ndarray, " N"]]:
    """Values of chi2 / df and their shares; 1 alone where the variance is known or there is none."""
    if df <= 0 or df > FEW:
        return np.ones(1), np.ones(1)
    edges = stats.chi2.ppf([TAIL, 1.0 - TAIL], df) / df
    w = np.exp(np.linspace(np.log(edges[0]), np.log(edges[1]), 72 if df < 5 else 32))
    share = stats.chi2.pdf(w * df, df) * w
    return w, share / share.sum()
