"""Pairing by what two results share, permutation, many comparisons and ranks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from sae_bench.results.samples import Samples
from sae_bench.results.statistics import intervals, multiple, paired
from sae_bench.results.statistics.paired import Evidence, difference
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
        for v in (values + 1, values)
    )
    assert difference(a, b).p_value == 0.0
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


def test_holm():
    assert multiple.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert multiple.holm([]) == []
    assert multiple.holm([0.9, 0.8]) == [1.0, 1.0]


def test_ranks_and_what_the_noise_allows():
    scores = np.array([0.9, 0.5, 0.88, 0.5])
    differ = np.zeros((4, 4), dtype=bool)
    for i, j in [(0, 1), (0, 3), (2, 1)]:
        differ[i, j] = differ[j, i] = True
    assert multiple.ranks(scores).tolist() == [1, 3, 2, 3]
    low, high = multiple.rank_intervals(scores, differ)
    assert low.tolist() == [1, 3, 1, 2]
    assert high.tolist() == [2, 4, 3, 4]
