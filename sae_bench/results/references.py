"""What a metric would be with something else in the SAE's place, and where the SAE stands between those values.

A floor is what an SAE of no merit gets, a ceiling what nothing can beat, a control what the eval's own procedure gets
with latents picked at random. All are measured on the units of the metric itself, so that they can be paired with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from sae_bench.results.model import MetricValidity, ReferenceValue, RelativeValue
from sae_bench.results.samples import Samples
from sae_bench.results.statistics.intervals import UNBOUNDED, Bounds, Interval, interval_of_samples
from sae_bench.results.statistics.paired import ROUNDING

NO_UNITS = "the metric's values per unit were not kept"
NO_INTERVAL = "it is no mean over units, so there is no interval"
OTHER_UNITS = "it was measured on other units than the metric"
NO_VALUE = "the metric has no value"
NO_FLOOR = "there is no floor"
NO_CEILING = "there is no ceiling"
NO_ROOM = "floor and ceiling cannot be told apart here, so there is no room to stand in"


@dataclass(frozen=True)
class Reference:
    """A value beside a metric.

    Attributes:
        name: what stood in the SAE's place, in words ("majority class", "mean activation").
        measured: its samples, on the metric's units and with its seeds, or one row where no seed changes it; a number
            where the definition gives it without an error; None where there is none.
        reason: why there is none.
    """

    name: str
    measured: Samples | float | None
    reason: str = ""

    @property
    def value(self) -> float:
        """Its value, the mean over seeds; NaN if there is none."""
        if isinstance(self.measured, Samples):
            of_seeds = self.measured.seed_values()
            return sum(of_seeds) / len(of_seeds)
        return float("nan") if self.measured is None else float(self.measured)

    def samples_beside(self, samples: Samples) -> Samples | None:
        """Its values in the places of the metric's; None if there are none, or they are of other units."""
        if isinstance(self.measured, Samples):
            return self.measured if self.measured.key == samples.key else None
        if self.measured is None:
            return None
        constant_SU = torch.full_like(samples.values_SU, float(self.measured))
        return replace(samples, values_SU=constant_SU.masked_fill(~samples.values_SU.isfinite(), float("nan")))


@dataclass(frozen=True)
class References:
    """What stands beside one metric.

    Attributes:
        others: further values worth knowing (a supervised direction, zero ablation).
    """

    floor: Reference | None = None
    ceiling: Reference | None = None
    control: Reference | None = None
    others: tuple[Reference, ...] = ()

    def all(self) -> tuple[Reference, ...]:
        """Those that there are."""
        named = tuple(one for one in (self.floor, self.ceiling, self.control) if one is not None)
        return named + self.others


def describe_references(
    references: Mapping[str, References],
    samples: Mapping[str, Samples],
    bounds: Mapping[str, Bounds],
    scores: Mapping[str, float | None] | None = None,
) -> dict[str, MetricValidity]:
    """Metric path -> its reference values, its place between floor and ceiling, and its distance from the control.

    Args:
        samples: the metric's own values per unit, by path.
        bounds: least and greatest value of each metric.
        scores: the metric's values, for those without samples.
    """
    known = scores or {}
    return {
        path: _describe(of_metric, samples.get(path), known.get(path), bounds.get(path, UNBOUNDED))
        for path, of_metric in references.items()
    }


def _describe(references: References, samples: Samples | None, score: float | None, bounds: Bounds) -> MetricValidity:
    control = references.control
    return MetricValidity(
        floor=_value(references.floor, bounds),
        ceiling=_value(references.ceiling, bounds),
        control=_value(control, bounds),
        others=[value for value in (_value(other, bounds) for other in references.others) if value is not None],
        above_floor=_above_floor(samples, score, references),
        score_minus_control=None if control is None else _minus(samples, control),
    )


def _value(reference: Reference | None, bounds: Bounds) -> ReferenceValue | None:
    if reference is None:
        return None
    if isinstance(reference.measured, Samples):
        interval = interval_of_samples(reference.measured, draws=0, bounds=bounds)
        if interval.mean == interval.mean:
            return ReferenceValue(name=reference.name, **_numbers(interval))
        return ReferenceValue(name=reference.name, reason=reference.reason or "undefined on every unit")
    if reference.measured is None:
        return ReferenceValue(name=reference.name, reason=reference.reason or "not measured")
    return ReferenceValue(name=reference.name, value=float(reference.measured))


def _above_floor(samples: Samples | None, score: float | None, references: References) -> RelativeValue:
    """(score - floor) / (ceiling - floor), to first order a mean over the metric's own units.

    A metric that is no mean over units (a match of weights, a share of latents) has a place without an interval, where
    its floor and ceiling are numbers too.
    """
    lowest = references.floor or Reference("", None, NO_FLOOR)
    highest = references.ceiling or Reference("", None, NO_CEILING)
    for reference in (lowest, highest):
        if reference.measured is None:
            return RelativeValue(reason=reference.reason or "not measured")
    if samples is None:
        return _place_of_number(score, lowest.measured, highest.measured)
    floor, ceiling = lowest.samples_beside(samples), highest.samples_beside(samples)
    if floor is None or ceiling is None:
        return RelativeValue(reason=OTHER_UNITS)
    ratio = place_between(samples, floor, ceiling)
    return RelativeValue(reason=NO_ROOM) if ratio is None else _relative(ratio)


def _place_of_number(
    score: float | None, floor: Samples | float | None, ceiling: Samples | float | None
) -> RelativeValue:
    if score is None or not isinstance(floor, int | float) or not isinstance(ceiling, int | float):
        return RelativeValue(reason=NO_UNITS)
    if not abs(ceiling - floor) > ROUNDING * max(abs(ceiling), abs(floor)):
        return RelativeValue(reason=NO_ROOM)
    return RelativeValue(value=(score - floor) / (ceiling - floor), reason=NO_INTERVAL)


def place_between(score: Samples, floor: Samples, ceiling: Samples) -> Samples | None:
    """Samples whose mean is (score - floor) / (ceiling - floor), linearised; None where the two cannot be told apart.

    Args:
        score, floor, ceiling: values of the same units; those that no seed changes may have one row.
    """
    room, gain = _difference(ceiling, floor), _difference(score, floor)
    size = _mean(room)
    if not abs(size) > ROUNDING * max(_largest(ceiling), _largest(floor)) or not _is_apart_from_zero(room):
        return None
    ratio = _mean(gain) / size
    return replace(gain, values_SU=(ratio + (gain.values_SU - ratio * room.values_SU) / size).float())


def _is_apart_from_zero(room: Samples) -> bool:
    """Whether the interval over units of the mean over seeds leaves zero out; values that do not vary are."""
    mean_U = room.values_SU.nanmean(dim=0)
    defined_U = mean_U[mean_U.isfinite()]
    if len(defined_U) and float(defined_U.max() - defined_U.min()) <= ROUNDING * _largest(room):
        return True  # by definition, not by chance: the caller has seen that it is not 0
    interval = interval_of_samples(replace(room, values_SU=mean_U[None], random=False), draws=0)
    return interval.low is not None and interval.high is not None and not interval.low <= 0 <= interval.high


def _largest(samples: Samples) -> float:
    """The largest absolute value; 0 where there is none."""
    return float(samples.values_SU.nan_to_num(0.0).abs().max()) if samples.values_SU.numel() else 0.0


def _minus(samples: Samples | None, control: Reference) -> RelativeValue:
    if control.measured is None:
        return RelativeValue(reason=control.reason or "not measured")
    if samples is None:
        return RelativeValue(reason=NO_UNITS)
    beside = control.samples_beside(samples)
    return RelativeValue(reason=OTHER_UNITS) if beside is None else _relative(_difference(samples, beside))


def _difference(one: Samples, other: Samples) -> Samples:
    """Unit by unit, in double precision where it matters; NaN where either is undefined."""
    values_SU = one.values_SU.double() - other.values_SU.double()
    return replace(one, values_SU=values_SU, random=one.random or other.random)


def _mean(samples: Samples) -> float:
    values = samples.seed_values()
    return sum(values) / len(values)


def _relative(samples: Samples) -> RelativeValue:
    interval = interval_of_samples(samples, draws=0)
    if interval.mean != interval.mean:
        return RelativeValue(reason=NO_VALUE)
    return RelativeValue(**_numbers(interval))


def _numbers(interval: Interval) -> dict[str, Any]:
    return {"value": interval.mean, "ci_low": interval.low, "ci_high": interval.high, "reason": interval.reason}
