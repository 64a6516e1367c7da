"""What a run could have found: the smallest detectable difference, and what it takes to detect a smaller one."""

from __future__ import annotations

from functools import lru_cache
from math import ceil, exp, lgamma, log

import numpy as np
from scipy.special import ndtr
from scipy.stats import chi2

from sae_bench.results.statistics import pivot
from sae_bench.results.statistics.noise import Noise

POWER = 0.8
"""Share of runs in which a detectable difference is found."""

MARGIN = 0.02
"""What is aimed at beyond that, since a run's own estimate of its noise is off now and then."""

_TAIL = 0.1
"""Share of runs on either side of the range of what is detectable."""

MAX_SEEDS = 1000
_SHARES = 20


def detectable(noise: Noise, *, alpha: float = 0.05, power: float = POWER) -> float:
    """The true difference that a two-sided test at `alpha` finds in the share `power` of runs like this one.

    The variances are estimates, small by accident as often as not; they are scaled up so that the standard error is
    right on average (the c4 of quality control).
    """
    return _detectable(_unbiased(noise), alpha=alpha, power=power)


def _detectable(noise: Noise, *, alpha: float, power: float) -> float:
    if noise.standard_error == 0:
        return 0.0
    step = min(_SHARES * noise.seeds / (noise.seeds + noise.units), float(_SHARES))
    below = int(step)
    low = _in_standard_errors(below, noise.seeds_df, round(noise.units_df, 1), alpha, power)
    if step == below:
        return low * noise.standard_error
    high = _in_standard_errors(below + 1, noise.seeds_df, round(noise.units_df, 1), alpha, power)
    return (low + (step - below) * (high - low)) * noise.standard_error


def range_of_detectable(noise: Noise, *, alpha: float = 0.05, power: float = POWER) -> tuple[float, float]:
    """Between which `detectable` lies in truth, with 80 % confidence: a run's estimate of its own noise is uncertain.

    Both variances at the end of what their chi-squared distributions allow at once, so it errs on the safe side.
    """
    low, high = (
        _detectable(
            Noise(
                _scaled(noise.seeds, noise.seeds_df, share),
                noise.seeds_df,
                _scaled(noise.units, noise.units_df, share),
                noise.units_df,
            ),
            alpha=alpha,
            power=power,
        )
        for share in (1.0 - _TAIL, _TAIL)
    )
    return low, high


def _scaled(variance: float, df: float, share: float) -> float:
    """The variance of which an estimate is as large as this one or smaller in the given share of runs."""
    return variance * df / float(chi2.ppf(share, df)) if df > 0 else 0.0


def further_seeds(noise: Noise, n_seeds: int, target: float, *, alpha: float = 0.05) -> int | None:
    """How many more seeds would make a difference of `target` detectable; None if no number up to 1000 would.

    Args:
        n_seeds: seeds behind `noise`, at least two.
    """

    def is_enough(total: int) -> bool:
        return detectable(noise.with_seeds(total, n_seeds), alpha=alpha) <= target

    if is_enough(n_seeds):
        return 0
    if not is_enough(MAX_SEEDS):
        return None
    low, high = n_seeds, n_seeds + 1
    while not is_enough(high):
        low, high = high, min(2 * high, MAX_SEEDS)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high - n_seeds


def further_units(noise: Noise, target: float, *, alpha: float = 0.05) -> int:
    """How many times as many units would make `target` detectable where the units are all the noise there is."""
    return max(1, ceil((detectable(noise, alpha=alpha) / target) ** 2))


def _unbiased(noise: Noise) -> Noise:
    return Noise(
        noise.seeds / _c4(noise.seeds_df) ** 2, noise.seeds_df, noise.units / _c4(noise.units_df) ** 2, noise.units_df
    )


def _c4(df: float) -> float:
    """Mean of an estimated standard deviation over the true one."""
    return exp(lgamma((df + 1) / 2) - lgamma(df / 2) + (log(2) - log(df)) / 2) if df > 0 else 1.0


@lru_cache(maxsize=4096)
def _in_standard_errors(step: int, seeds_df: float, units_df: float, alpha: float, power: float) -> float:
    """The detectable difference where the seeds have `step` twentieths of a total variance of 1."""
    noise = Noise(step / _SHARES, seeds_df, 1.0 - step / _SHARES, units_df)
    varying_df = seeds_df if step else units_df
    w_R, share_R = pivot.mixing_grid(varying_df)
    if step:
        critical_R = pivot.quantiles_over_runs(1.0 - alpha / 2.0 / pivot.SAFETY, noise, w_R)
    else:
        critical_R = pivot.quantile(1.0 - alpha / 2.0 / pivot.SAFETY, noise) * np.sqrt(w_R)
    low, high = 0.0, float(critical_R.max()) + 10.0
    for _ in range(60):
        middle = (low + high) / 2.0
        if float(share_R @ ndtr(middle - critical_R)) < power + MARGIN:
            low = middle
        else:
            high = middle
    return high
