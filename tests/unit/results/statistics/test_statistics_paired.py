"""Pairing by what two results share, permutation, many comparisons and ranks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from sae_bench.results.samples import Samples
from sae_bench.results.statistics import intervals, multiple, paired
from sae_bench.results.statistics.paired import Evidence, difference
from sae_bench.results.statistics.pairwise import pairwise
from sae_bench.testing.simulated_samples import Design, evidence, simulate

DESIGN = Design()


def two(design: Design = DESIGN, **kwargs: float) -> tuple[Evidence, Evidence]:
    rng = np.random.default_rng(0)
    text_U = rng.standard_normal(design.n_units)
    return (
        evidence(simulate(design, rng, text_U, mean=0.8 + kwargs.get("by", 0.0))),
        evidence(simulate(design, rng, text_U, mean=0.8)),
    )


def test_pairing_by_text_is_worth_it():
    a, b = two(Design(text=0.5, cell=0.02, seed=0.001))
    same = difference(a, b)
    assert b.samples is not None
    other = difference(a, replace(b, samples=replace(b.samples, key="other texts")))
    assert same.paired_units
    assert same.paired_seeds
    assert not other.paired_units
    assert paired.OTHER_UNITS in other.notes
    assert (same.high - same.low) < 0.3 * (other.high - other.low)
    assert same.effect == pytest.approx(other.effect)


def test_a_minus_b_is_b_minus_a_turned_round():
    a, b = two(by=0.05)
    one, other = difference(a, b), difference(b, a)
    assert (one.effect, one.low, one.high) == pytest.approx((-other.effect, -other.high, -other.low))
    assert one.p_value == pytest.approx(other.p_value)


def test_seeds_that_both_have_are_paired():
    a, b = two(Design(n_seeds=4))
    moved = replace(b, seeds=(44, 45, 46, 47))
    found = difference(a, moved)
    assert found.paired_seeds
    assert found.n_seeds == 2
    assert paired.SHARED_SEEDS in found.notes
    assert a.samples is not None
    assert b.samples is not None
    expected = np.mean(a.samples.seed_values()[2:]) - np.mean(b.samples.seed_values()[:2])
    assert found.effect == pytest.approx(expected)


def test_other_seeds_are_not_paired():
    a, b = two()
    found = difference(a, replace(b, seeds=(1, 2, 3)))
    assert not found.paired_seeds
    assert found.paired_units
    assert paired.OTHER_SEEDS in found.notes


def test_one_seed_has_no_error_bar():
    a, b = two(Design(n_seeds=1))
    found = difference(a, b)
    assert found.p_value is None
    assert found.low is None
    assert found.reason == intervals.ONE_SEED
    assert found.effect == pytest.approx(a.value - b.value)


def test_what_no_seed_changes_needs_no_seeds():
    rng = np.random.default_rng(0)
    values = rng.standard_normal((1, 40)).astype(np.float32)
    a, b = (
        Evidence(0.0, samples=Samples.of_equal_units(torch.from_numpy(v), unit="row", key="k", random=False))
        for v in (values + 1 + 0.01 * values**2, values)
    )
    assert difference(a, b).p_value < 1e-6
    assert not difference(a, b).random


def test_scores_without_texts_are_compared_over_seeds():
    a = Evidence(0.8, (1, 2, 3), (0.80, 0.81, 0.79))
    b = Evidence(0.7, (1, 2, 3), (0.70, 0.715, 0.69))
    found = difference(a, b)
    assert found.paired_seeds
    assert found.n_units == 0
    assert paired.FIXED_UNITS in found.notes
    assert found.p_value < 0.01
    assert difference(a, Evidence(0.7)).reason == intervals.NO_VALUES
    assert difference(a, replace(b, seed_values=(0.7, float("nan"), 0.7))).reason == intervals.UNDEFINED_SEED


def test_one_side_with_texts_and_one_without_are_compared_over_seeds():
    a, b = two(by=0.01)
    found = difference(a, replace(b, samples=None))
    both = difference(replace(a, samples=None), replace(b, samples=None))
    assert found == both


def test_an_equal_number_is_no_comparison():
    a, _ = two()
    assert difference(a, a).reason == paired.SAME
    assert difference(a, a).p_value is None


def test_swapping_units():
    rng = np.random.default_rng(0)
    noise_PU = rng.standard_normal((200, 40)) / 40
    p_P = paired.permutation_p(noise_PU, draws=999)
    assert 0.01 <= (p_P <= 0.05).mean() <= 0.10
    assert paired.permutation_p(noise_PU[:1] + 0.05, draws=999)[0] == pytest.approx(0.001)
    assert paired.permutation_p(np.zeros((1, 10)))[0] == 1.0


def test_what_units_add_sums_to_the_difference():
    a, b = two(by=0.02)
    assert a.samples is not None
    assert b.samples is not None
    assert paired.unit_differences(a.samples, b.samples).sum() == pytest.approx(a.value - b.value, abs=1e-6)


def test_intervals_that_hold_at_once():
    assert multiple.common_level(0.05, 10) == pytest.approx(0.995)
    assert multiple.common_level(0.05, 0) == pytest.approx(0.95)
    assert multiple.corrected(0.001, 10) == pytest.approx(0.01)
    assert multiple.corrected(0.2, 10) == 1.0


def test_how_far_each_is_behind_the_best():
    nan = float("nan")
    behind = multiple.behind_the_best(
        np.array([0.9, 0.8, 0.5]), np.array([[nan, 0.2, 0.1], [0.2, nan, nan], [0.1, nan, nan]])
    )
    assert behind.low_P == pytest.approx([-0.3, -0.1, 0.3])
    assert behind.high_P == pytest.approx([0.1, np.inf, np.inf])
    assert behind.could_be_best_P.tolist() == [True, True, False]
    unknown = multiple.behind_the_best(np.array([0.9, 0.8]), np.full((2, 2), nan))
    assert unknown.could_be_best_P.all()
    assert np.isneginf(unknown.low_P).all()


def test_ranks():
    assert multiple.ranks(np.array([0.9, 0.5, 0.88, 0.5])).tolist() == [1, 3, 2, 3]


# ---- equal up to the rounding of single precision


def around(mean: float, apart: float, *, seed: int = 0) -> Evidence:
    """Ten texts and two seeds at a mean, each off by at most `apart`."""
    values_SU = torch.tensor(mean + apart * np.random.default_rng(seed).uniform(-1, 1, (2, 10)), dtype=torch.float32)
    samples = Samples(values_SU, torch.full((10,), 0.1), (0,) * 10, "test text", "ten texts")
    return Evidence(mean, (0, 1), tuple(samples.seed_values()), samples)


@pytest.mark.parametrize(("mean", "apart", "bounds"), [(1.0, 2e-7, (None, None)), (0.0, 2e-9, (0.0, 1.0))])
def test_what_rounding_makes_different_is_equal(mean: float, apart: float, bounds: tuple[float | None, float | None]):
    """Relative to the values, or to the range of the metric where they are near 0."""
    exact, other = around(mean, apart), around(mean + 2 * apart, apart, seed=1)
    assert difference(exact, other, bounds=bounds).reason == paired.EQUAL
    together = pairwise([exact, other, around(mean + 0.01, apart, seed=2)], bounds=bounds)
    assert np.isnan(together.p_C).tolist() == [True, False, False]
    assert (together.half_C == 0).tolist() == [True, False, False]
    apart_for_sure = difference(exact, around(mean + 5e-5, apart, seed=1), bounds=bounds)
    assert apart_for_sure.p_value is not None
    assert apart_for_sure.p_value < 0.01


def test_small_values_without_a_range_are_not_called_equal():
    assert difference(around(2e-9, 1e-10), around(5e-9, 1e-10, seed=1)).reason is None


def test_a_lead_by_rounding_is_none():
    half_PP = np.array([[np.nan, 0.0, 0.1], [0.0, np.nan, 0.1], [0.1, 0.1, np.nan]])
    scores_P = np.array([1.0, 1.0 - 5e-9, 0.5])
    assert multiple.behind_the_best(scores_P, half_PP).could_be_best_P.tolist() == [True, True, False]
    assert multiple.ranks(scores_P, half_PP == 0).tolist() == [1, 1, 3]


# ---- no variance is not certainty


def right_or_wrong(*rows: str, random: bool = True) -> Evidence:
    """One digit per text, one string per seed."""
    values = torch.tensor([[float(c) for c in row] for row in rows])
    samples = Samples.of_equal_units(values, unit="text", key="case", random=random)
    seeds = tuple(range(42, 42 + len(rows))) if random else ()
    return Evidence(float(values.mean()), seeds, tuple(samples.seed_values()) if random else (), samples)


def test_seeds_that_agree_in_the_mean_and_differ_by_text_are_not_certain():
    all_right = right_or_wrong("1" * 20, "1" * 20)
    one_wrong_each = right_or_wrong("0" + "1" * 19, "1" * 11 + "0" + "1" * 8)
    found = difference(all_right, one_wrong_each, bounds=(0.0, 1.0))
    assert found.effect == pytest.approx(0.05)
    assert found.noise.seeds > 0
    assert found.p_value == pytest.approx(0.5)  # two texts differ: swapping them gives four differences, two as large
    assert found.low < 0.0 < found.high


def test_no_p_value_is_smaller_than_the_texts_that_differ_can_carry():
    a, b = right_or_wrong("1" * 200, random=False), right_or_wrong("0" * 6 + "1" * 194, random=False)
    found = difference(a, b)
    assert found.p_value == pytest.approx(2.0**-5)
    (p,) = pairwise([a, b]).p_C
    assert p == pytest.approx(found.p_value)


def graded(rng: np.random.Generator, shift: float, n: int = 9) -> Evidence:
    """One value per document, on no grid."""
    values = torch.from_numpy(shift + rng.standard_normal((1, n))).float()
    return Evidence(float(values.mean()), (), (), Samples.of_equal_units(values, unit="row", key="k", random=False))


def test_graded_differences_are_held_to_students_t():
    """Nine documents of losses that all speak for one SAE: how much they vary says more than nine signs (0.0039)."""
    rng = np.random.default_rng(0)
    a, b = graded(rng, 40.0), graded(rng, 0.0)
    found = difference(a, b)
    assert a.samples is not None
    assert b.samples is not None
    differences = (a.samples.values_SU - b.samples.values_SU)[0].double().numpy()
    expected = stats.ttest_1samp(differences, 0.0).pvalue
    assert found.p_value == pytest.approx(max(1.1 * expected, 1e-12), rel=1e-3)
    assert pairwise([a, b]).p_C == pytest.approx([found.p_value])


@pytest.mark.parametrize("case", ["ties", "zeros"])
def test_differences_on_a_grid_are_held_to_their_signs(case: str):
    """As large, but four of nine alike, or 0."""
    rng = np.random.default_rng(0)
    a, b = graded(rng, 40.0), graded(rng, 0.0)
    assert a.samples is not None
    assert b.samples is not None
    values_SU = a.samples.values_SU.clone()
    values_SU[0, :4] = b.samples.values_SU[0, :4] + (40.0 if case == "ties" else 0.0)
    found = difference(replace(a, samples=replace(a.samples, values_SU=values_SU)), b)
    assert found.p_value >= 2.0 ** (-8 if case == "ties" else -4)


def test_all_right_against_all_wrong_is_a_share_with_an_exact_bound():
    a, b = right_or_wrong("1" * 20, random=False), right_or_wrong("0" * 20, random=False)
    found = difference(a, b, bounds=(0.0, 1.0))
    assert found.p_value == pytest.approx(2.0**-19)
    low, high = proportion_bounds(20, 20)
    assert (found.low, found.high) == (pytest.approx(2 * low - 1), pytest.approx(2 * high - 1))
    unbounded = difference(a, b)
    assert (unbounded.p_value, unbounded.low, unbounded.reason) == (None, None, paired.ALIKE)


def proportion_bounds(hits: int, n: int) -> tuple[float, float]:
    interval = stats.binomtest(hits, n).proportion_ci(0.95, method="exact")
    return float(interval.low), float(interval.high)


@pytest.mark.parametrize("n", [1, 2, 4])
def test_fewer_than_five_units_decide_nothing(n: int):
    a, b = right_or_wrong("1" * n, "1" * n), right_or_wrong("0" * n, "0" * n)
    found = difference(a, b, bounds=(0.0, 1.0))
    assert found.p_value is None
    assert found.reason == paired.TOO_FEW
    assert found.low < found.high
    assert np.isnan(pairwise([a, b], bounds=(0.0, 1.0)).p_C[0])


def test_units_of_one_document_count_once_when_two_saes_are_compared():
    rng = np.random.default_rng(0)
    documents = rng.standard_normal((2, 4))
    samples = [
        Samples(
            torch.from_numpy(np.repeat(row, 50)[None]).float() + shift,
            torch.ones(200),
            (0,) * 200,
            "row",
            "k",
            random=False,
            clusters_U=torch.arange(200) // 50,
        )
        for row, shift in zip(documents, (5.0, 0.0), strict=True)
    ]
    a, b = (Evidence(0.0, samples=one) for one in samples)
    assert difference(a, b).reason == paired.TOO_FEW
    assert difference(a, b).n_units == 200


def test_the_interval_of_a_difference_stays_within_what_its_bounds_allow():
    a, b = right_or_wrong("1110101", "1110111"), right_or_wrong("0000000", "0101000")
    assert difference(a, b).high > 1.0
    found = difference(a, b, bounds=(0.0, 1.0))
    assert found.high == 1.0
