"""Floors, ceilings and controls beside a metric."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from sae_bench.results.references import (
    NO_FLOOR,
    NO_INTERVAL,
    NO_ROOM,
    NO_UNITS,
    OTHER_UNITS,
    Reference,
    References,
    describe_references,
    place_between,
)
from sae_bench.results.samples import Samples
from sae_bench.run.resampled import merge_references

SHARE = {"m": (0.0, 1.0)}


def samples_of(values_SU: torch.Tensor, *, key: str = "texts", random: bool = True) -> Samples:
    return Samples.of_equal_units(values_SU, unit="test text", key=key, random=random)


def noisy(mean: float, generator: torch.Generator, *, n_seeds: int = 3, n_units: int = 200) -> torch.Tensor:
    return mean + 0.1 * torch.randn(n_seeds, n_units, generator=generator)


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_a_score_at_its_floor_is_0_and_at_its_ceiling_1(generator: torch.Generator):
    floor, ceiling = samples_of(noisy(0.5, generator)), samples_of(noisy(0.9, generator))
    for score, expected in ((floor, 0.0), (ceiling, 1.0)):
        between = place_between(score, floor, ceiling)
        assert between is not None
        assert between.values_SU.numpy() == pytest.approx(expected, abs=1e-6)  # unit by unit: no noise is left


def test_the_place_is_the_ratio_of_means(generator: torch.Generator):
    score, floor = samples_of(noisy(0.7, generator)), samples_of(noisy(0.5, generator)[:1], random=False)
    (one,) = describe_references(
        {"m": References(Reference("mean activation", floor), Reference("residual stream", 0.9))}, {"m": score}, SHARE
    ).values()
    means = [samples.values_SU.double().mean().item() for samples in (score, floor)]
    assert one.above_floor.value == pytest.approx((means[0] - means[1]) / (0.9 - means[1]), rel=1e-5)
    assert one.above_floor.ci_low is not None
    assert one.above_floor.ci_low < one.above_floor.value < one.above_floor.ci_high  # type: ignore[operator]
    assert one.floor is not None
    assert (one.floor.name, one.floor.value) == ("mean activation", pytest.approx(means[1]))
    assert one.floor.ci_low is not None
    assert one.ceiling is not None
    assert (one.ceiling.value, one.ceiling.ci_low) == (0.9, None)  # by definition: no error


@pytest.mark.slow
def test_the_interval_holds_the_true_place():
    """Score, floor and ceiling with noise of their own and noise that they share: 95 % intervals, 300 runs."""
    generator, hits = torch.Generator().manual_seed(1), 0
    for _ in range(300):
        shared_SU = 0.2 * torch.randn(1, 60, generator=generator)
        score, floor, ceiling = (
            samples_of(mean + shared_SU + 0.2 * torch.randn(3, 60, generator=generator)) for mean in (0.6, 0.4, 0.9)
        )
        (one,) = describe_references(
            {"m": References(Reference("floor", floor), Reference("ceiling", ceiling))}, {"m": score}, {}
        ).values()
        assert one.above_floor.ci_low is not None
        assert one.above_floor.ci_high is not None
        hits += one.above_floor.ci_low <= 0.4 <= one.above_floor.ci_high
        assert one.above_floor.ci_high < 1.0  # and says something
    assert hits / 300 >= 0.92  # with three seeds it is wider than it must be


def test_lower_is_better_has_its_ceiling_below(generator: torch.Generator):
    floor, ceiling = samples_of(noisy(0.8, generator)), samples_of(noisy(0.1, generator))
    between = place_between(samples_of(noisy(0.2, generator)), floor, ceiling)
    assert between is not None
    assert between.values_SU.mean().item() == pytest.approx(6 / 7, abs=0.03)


def test_no_place_without_room(generator: torch.Generator):
    floor, ceiling, score = (samples_of(noisy(0.5, generator)) for _ in range(3))
    (one,) = describe_references(
        {"m": References(Reference("a", floor), Reference("b", ceiling))}, {"m": score}, SHARE
    ).values()
    assert (one.above_floor.value, one.above_floor.reason) == (None, NO_ROOM)


ELSEWHERE = samples_of(torch.zeros(1, 200), key="others")


@pytest.mark.parametrize(
    ("references", "has_samples", "reason"),
    [
        (References(ceiling=Reference("c", 1.0)), True, NO_FLOOR),
        (References(Reference("f", None, "no text"), Reference("c", 1.0)), True, "no text"),
        (References(Reference("f", 0.0), Reference("c", 1.0)), False, NO_UNITS),
        (References(Reference("f", ELSEWHERE), Reference("c", 1.0)), True, OTHER_UNITS),
    ],
)  # fmt: skip
def test_what_is_missing_is_said(references: References, has_samples: bool, reason: str, generator: torch.Generator):
    samples = {"m": samples_of(noisy(0.5, generator))} if has_samples else {}
    (one,) = describe_references({"m": references}, samples, SHARE).values()
    assert (one.above_floor.value, one.above_floor.reason) == (None, reason)


def test_a_metric_that_is_no_mean_over_units_has_a_place_without_an_interval():
    references = {"m": References(Reference("random directions", 0.2), Reference("by definition", 1.0))}
    (one,) = describe_references(references, {}, SHARE, {"m": 0.6}).values()
    assert one.above_floor.value == pytest.approx(0.5)
    assert (one.above_floor.ci_low, one.above_floor.reason) == (None, NO_INTERVAL)


def test_the_control_is_subtracted_in_pairs(generator: torch.Generator):
    shared_SU = noisy(0.5, generator)
    score, control = samples_of(shared_SU + 0.01), samples_of(shared_SU)
    references = {"m": References(control=Reference("random latents", control))}
    (one,) = describe_references(references, {"m": score}, SHARE).values()
    difference = one.score_minus_control
    assert difference is not None
    assert difference.value == pytest.approx(0.01, abs=1e-6)
    assert one.control is not None
    assert one.control.ci_high - one.control.ci_low > 0.01  # type: ignore[operator]


def test_one_seed_has_a_place_and_no_interval(generator: torch.Generator):
    score, floor = (samples_of(noisy(mean, generator, n_seeds=1)) for mean in (0.7, 0.5))
    (one,) = describe_references(
        {"m": References(Reference("f", floor), Reference("c", 1.0))}, {"m": score}, SHARE
    ).values()
    assert one.above_floor.value == pytest.approx(0.4, abs=0.03)
    assert one.above_floor.ci_low is None
    assert "seed" in str(one.above_floor.reason)


def test_units_that_are_undefined_stay_so():
    values_SU = torch.tensor([[0.2, float("nan"), 0.6, 0.5], [0.4, float("nan"), 0.5, 0.6]])
    score = samples_of(values_SU)
    constant = Reference("c", 1.0).samples_beside(score)
    assert constant is not None
    assert constant.values_SU.isnan().equal(values_SU.isnan())
    between = place_between(score, replace(score, values_SU=0 * values_SU), constant)
    assert between is not None
    assert between.seed_values() == pytest.approx(score.seed_values(), abs=1e-6)


def test_draws_of_the_data_are_merged_seed_after_seed(generator: torch.Generator):
    draws = [
        {
            "m": References(
                Reference("mean activation", samples_of(torch.full((1, 4), 0.1 * n), key=f"draw {n}", random=False)),
                Reference("by definition", 1.0),
                others=(Reference("direction", None, "too few texts"),),
            )
        }
        for n in (1, 2)
    ]
    merged = merge_references(draws)["m"]
    assert merged.floor is not None
    assert isinstance(merged.floor.measured, Samples)
    assert merged.floor.measured.seed_values() == pytest.approx([0.1, 0.2])
    assert merged.ceiling == Reference("by definition", 1.0)
    assert merged.others == (Reference("direction", None, "too few texts"),)
    assert merge_references([draws[0], {}]) == {}


def test_a_reference_without_any_value_has_a_reason():
    nothing = samples_of(torch.full((3, 5), float("nan")))
    (one,) = describe_references({"m": References(floor=Reference("f", nothing))}, {}, SHARE).values()
    assert one.floor is not None
    assert (one.floor.value, one.floor.reason) == (None, "undefined on every unit")


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_the_place_does_not_depend_on_the_unit_of_measure(unit: float, generator: torch.Generator):
    score, floor = (samples_of(unit * noisy(mean, generator)) for mean in (0.7, 0.5))
    ends = References(Reference("f", floor), Reference("c", unit))
    (one,) = describe_references({"m": ends}, {"m": score}, {}).values()
    assert one.above_floor.value == pytest.approx(0.4, abs=0.03)
    equal = References(Reference("f", 0.3 * unit), Reference("c", 0.3 * unit * (1 + 1e-9)))
    (one,) = describe_references({"m": equal}, {"m": score}, {}).values()
    assert (one.above_floor.value, one.above_floor.reason) == (None, NO_ROOM)
