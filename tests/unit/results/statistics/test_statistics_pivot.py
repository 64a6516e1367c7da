"""The two-part error distribution and what follows from it: intervals, detectable differences, further seeds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from sae_bench.results.statistics import pivot, power
from sae_bench.results.statistics.noise import Noise


@pytest.mark.parametrize("df", [1.0, 2.0, 4.0, 15.0, 120.0])
@pytest.mark.parametrize("part", ["seeds", "units"])
def test_one_part_alone_is_students_t(df: float, part: str):
    noise = Noise(4.0, df, 0.0, 0.0) if part == "seeds" else Noise(0.0, 0.0, 4.0, df)
    for t in (0.3, 2.0, 6.0):
        assert pivot.two_sided_p(2.0 * t, noise) == pytest.approx(
            min(1.0, pivot.SAFETY * 2 * stats.t.sf(t, df)), rel=1e-3
        )
    assert pivot.margin(noise, 0.95) == pytest.approx(2.0 * stats.t.ppf(1 - 0.025 / pivot.SAFETY, df), rel=1e-4)


def test_two_parts_agree_with_random_draws():
    noise = Noise(1.0, 2.0, 0.5, 15.0)
    rng = np.random.default_rng(0)
    error = np.abs(rng.standard_t(2, 400_000) + np.sqrt(0.5) * rng.standard_t(15, 400_000))
    assert pivot.two_sided_p(3.0, noise) == pytest.approx(pivot.SAFETY * (error >= 3.0).mean(), rel=0.02)
    assert pivot.margin(noise, 0.9) == pytest.approx(np.quantile(error, 1 - 0.1 / pivot.SAFETY), rel=0.02)


def test_interval_and_p_value_agree():
    noise = Noise(0.01, 2.0, 0.02, 200.0)
    half = pivot.margin(noise, 0.95)
    assert pivot.two_sided_p(half, noise) == pytest.approx(0.05, abs=1e-6)


def test_no_noise_at_all():
    nothing = Noise(0.0, 2.0, 0.0, 10.0)
    assert pivot.two_sided_p(0.0, nothing) == 1.0
    assert pivot.two_sided_p(0.1, nothing) == pivot.TAIL
    assert pivot.margin(nothing, 0.95) == power.detectable(nothing) == 0.0


def test_the_detectable_difference_of_many_units_is_the_textbook_one():
    wanted = stats.norm.ppf(1 - 0.025 / pivot.SAFETY) + stats.norm.ppf(power.POWER + power.MARGIN)
    assert power.detectable(Noise(0.0, 0.0, 4.0, 1e6)) == pytest.approx(2.0 * wanted, rel=1e-3)


def test_a_stricter_level_needs_a_larger_difference():
    noise = Noise(1.0, 4.0, 1.0, 100.0)
    assert power.detectable(noise, alpha=0.05 / 20) > 1.5 * power.detectable(noise)


def test_further_seeds_reach_the_target_and_no_fewer_do():
    noise = Noise(1e-4, 2.0, 1e-5, 500.0)
    more = power.further_seeds(noise, 3, 0.03)
    assert more is not None
    assert power.detectable(noise.with_seeds(3 + more, 3)) <= 0.03
    assert power.detectable(noise.with_seeds(2 + more, 3)) > 0.03


def test_further_seeds_that_do_not_help_or_are_not_needed():
    assert power.further_seeds(Noise(1e-4, 2.0, 1e-3, 500.0), 3, 0.03) is None
    assert power.further_seeds(Noise(1e-8, 2.0, 1e-8, 500.0), 3, 0.03) == 0


def test_four_times_the_units_halve_the_detectable_difference():
    noise = Noise(0.0, 0.0, 1.0, 1e6)
    assert power.further_units(noise, power.detectable(noise) / 2.0) == 4
    assert power.further_units(noise, power.detectable(noise) * 2.0) == 1
