"""What the SAEs of a panel say about one metric: noise, nulls, ladders, floors, cost."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations, pairwise
from statistics import fmean, median
from typing import Any

import numpy as np

from sae_bench.analysis.bars import bounds_of
from sae_bench.analysis.comparison import evidence_of
from sae_bench.analysis.panel import Role, role_of
from sae_bench.analysis.table import Record
from sae_bench.analysis.validity_model import (
    FURTHEST,
    AgainstNull,
    FloorEvidence,
    LadderEvidence,
    NoiseEvidence,
    NullEvidence,
)
from sae_bench.results.model import Metric
from sae_bench.results.statistics import multiple, power
from sae_bench.results.statistics.intervals import Bounds
from sae_bench.results.statistics.noise import noise_of
from sae_bench.results.statistics.paired import Difference, Evidence, difference

ALPHA = 0.05
_PAIRS = 30
"""Pairs of trained SAEs of which the detectable difference is the median."""

_EQUAL = 1e-9
NO_NULL = "no null baseline was evaluated"
NO_TRAINED = "no trained SAE was evaluated"


@dataclass(frozen=True)
class Entry:
    """One SAE on one metric.

    Attributes:
        quality: its score, signed so that higher is better.
    """

    record: Record
    role: Role
    evidence: Evidence
    quality: float

    @property
    def sae(self) -> str:
        """`release:id`."""
        return self.record.sae


@dataclass(frozen=True)
class MetricPanel:
    """The SAEs that compare on one metric, by what they are there for."""

    metric: Metric
    bounds: Bounds
    entries: Sequence[Entry]
    seeds: tuple[int, ...] = ()
    trained: Sequence[Entry] = field(default=())
    ladders: Mapping[str, Sequence[Entry]] = field(default_factory=dict)

    @property
    def sign(self) -> float:
        """1 if higher is better, else -1."""
        return 1.0 if self.metric.higher_is_better else -1.0

    @property
    def is_constant(self) -> bool:
        """Whether all of several SAEs have the same score."""
        return len(self.entries) > 2 and all(_equal(self.entries[0], entry) for entry in self.entries)

    def nulls_of(self, trained: Entry) -> list[Entry]:
        """The null baselines that a trained SAE is held against: its own, and those that are made from none."""
        nulls = (entry for entry in self.entries if entry.role.kind == "null")
        return [null for null in nulls if null.role.parent in (None, trained.sae)]


def panel_of(records: Sequence[Record], metric: Metric, seeds: Sequence[int] = ()) -> MetricPanel:
    """The SAEs that have the metric.

    Args:
        seeds: those that count; empty: all.
    """
    sign = 1.0 if metric.higher_is_better else -1.0
    entries = []
    for record in records:
        if metric.path in record.values:
            evidence = restricted(evidence_of(record, metric.path), seeds)
            entries.append(Entry(record, role_of(record), evidence, sign * evidence.value))
    trained = [entry for entry in entries if entry.role.kind == "trained"]
    ladders = _ladders(entries)
    snapshots = [rungs[-1] for rungs in ladders.values() if rungs[-1].role.ladder and rungs[-1].role.ladder.is_training]
    common = [set(e.evidence.seeds) for e in entries if e.evidence.seeds]
    shared = tuple(sorted(set.intersection(*common))) if common else ()
    bounds = bounds_of(records[0], metric.path)
    return MetricPanel(metric, bounds, entries, shared, trained or snapshots, ladders)


def restricted(evidence: Evidence, seeds: Sequence[int]) -> Evidence:
    """What some of the seeds alone say."""
    rows = [n for n, seed in enumerate(evidence.seeds) if seed in seeds]
    if not seeds or not rows or len(rows) == len(evidence.seeds):
        return evidence
    values = tuple(evidence.seed_values[row] for row in rows)
    samples = evidence.samples
    if samples is not None and samples.random:
        samples = samples.rows(rows)
    known = [value for value in values if np.isfinite(value)]
    value = fmean(known) if known else evidence.value
    return replace(
        evidence, value=value, seeds=tuple(evidence.seeds[row] for row in rows), seed_values=values, samples=samples
    )


def _ladders(entries: Sequence[Entry]) -> dict[str, list[Entry]]:
    """Ladder -> its rungs from worst to best; the SAE that one was made from is its top if level 0 is not there."""
    by_name: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.role.ladder is not None:
            by_name.setdefault(entry.role.ladder.name, []).append(entry)
    trained = {entry.sae: entry for entry in entries if entry.role.kind == "trained"}
    ladders = {}
    for name, rungs in by_name.items():
        ordered = sorted(rungs, key=_place)
        parent = trained.get(ordered[0].role.parent or "")
        if parent is not None and _place(ordered[-1]) < 0:
            ordered.append(parent)
        if len(ordered) > 1:
            ladders[name] = ordered
    return ladders


def _place(rung: Entry) -> float:
    return rung.role.ladder.quality if rung.role.ladder is not None else 0.0


# ---- noise


def noise_evidence(panel: MetricPanel) -> NoiseEvidence:
    """Medians over the trained SAEs."""
    parts = [one for entry in panel.trained if (one := entry.evidence.parts()) is not None]
    if not parts:
        return NoiseEvidence()
    noises = [noise_of(one) for one in parts if np.isfinite(one.seed_values_S).all()]
    random = [one for one in parts if one.random and one.n_seeds > 1]
    cvs = [float(one.seed_values_S.std(ddof=1)) / abs(one.mean) for one in random if abs(one.mean) > _EQUAL]
    samples = panel.trained[0].evidence.samples
    return NoiseEvidence(
        se_seeds=median([n.seeds**0.5 for n in noises]) if noises and random else None,
        se_units=median([n.units**0.5 for n in noises]) if noises and samples is not None else None,
        cv=(median(cvs) or None) if cvs else None,  # no seed changes most of them: that is no precision
        n_seeds=max((one.n_seeds for one in random), default=1),
        n_units=0 if samples is None else samples.n_units,
        unit=None if samples is None else samples.unit,
    )


def smallest_difference(panel: MetricPanel) -> float | None:
    """The true difference of two trained SAEs that 80 % of runs like this one find, the median over pairs."""
    pairs = list(combinations(panel.trained, 2))
    chosen = pairs[:: max(1, len(pairs) // _PAIRS)]
    return _detectable([_difference(panel, a, b) for a, b in chosen])


def _detectable(compared: Sequence[Difference]) -> float | None:
    """The median true difference that 80 % of runs find; None where no difference has an error bar."""
    found = [
        power.detectable(one.noise, alpha=ALPHA)
        for one in compared
        if one.noise is not None and one.p_value is not None
    ]
    return median(found) if found else None


# ---- nulls


def null_evidence(panel: MetricPanel) -> NullEvidence:
    """Every trained SAE against its null baselines; one that the metric cannot see is named and left out."""
    if not panel.trained:
        return NullEvidence(reason=NO_TRAINED)
    pairs = [(trained, null) for trained in panel.trained for null in panel.nulls_of(trained)]
    blind = sorted({null.role.name for trained, null in pairs if _is_the_same(trained, null)})
    pairs = [(trained, null) for trained, null in pairs if null.role.name not in blind]
    if not pairs:
        return NullEvidence(blind=blind, reason=f"{NO_NULL} that it could see" if blind else NO_NULL)
    compared = [_difference(panel, trained, null) for trained, null in pairs]
    zs = [_z(one, panel.sign) for one in compared]
    known = [z for z in zs if z is not None]
    significant = _significant(compared)
    gains = [panel.sign * one.effect for one in compared]
    badness = [gain if z is None else z for z, gain in zip(zs, gains, strict=True)]
    worst = badness.index(min(badness))
    return NullEvidence(
        n_pairs=len(pairs),
        n_better=sum(gain > _EQUAL for gain in gains),
        n_significant=sum(is_sure and gain > 0 for is_sure, gain in zip(significant, gains, strict=True)),
        n_worse=sum(is_sure and gain < 0 for is_sure, gain in zip(significant, gains, strict=True)),
        median_z=median(known) if known else None,
        lowest_z=min(known) if known else None,
        worst=f"{pairs[worst][0].sae} against {pairs[worst][1].sae}",
        detectable=_detectable(compared),
        blind=blind,
        by_null=_by_null([null.role.name for _, null in pairs], gains, zs, significant),
        reason=None if known else compared[0].reason,
    )


def _by_null(
    names: Sequence[str], gains: Sequence[float], zs: Sequence[float | None], significant: Sequence[bool]
) -> dict[str, AgainstNull]:
    """The comparisons of each kind of null baseline."""
    by_null: dict[str, AgainstNull] = {}
    for name in sorted(set(names)):
        of_kind = [i for i, one in enumerate(names) if one == name]
        known = [z for i in of_kind if (z := zs[i]) is not None]
        by_null[name] = AgainstNull(
            n_pairs=len(of_kind),
            n_better=sum(gains[i] > _EQUAL for i in of_kind),
            n_worse=sum(significant[i] and gains[i] < 0 for i in of_kind),
            median_z=median(known) if known else None,
        )
    return by_null


def _is_the_same(trained: Entry, null: Entry) -> bool:
    """Whether a null with the SAE's own encoder gets what the SAE gets, in every seed: the metric reads no decoder."""
    return null.role.decoder_only and null.role.parent == trained.sae and _equal(trained, null)


def _equal(a: Entry, b: Entry) -> bool:
    if abs(a.quality - b.quality) > _EQUAL:
        return False
    return np.allclose(a.evidence.seed_values, b.evidence.seed_values, rtol=0, atol=_EQUAL, equal_nan=True)


# ---- ladders


def ladder_evidence(panel: MetricPanel) -> LadderEvidence:
    """Neighbouring rungs, and all pairs of rungs, of the ladders that the metric sees."""
    seen = {name: rungs for name, rungs in panel.ladders.items() if not _is_unread(rungs)}
    n_blind = len(panel.ladders) - len(seen)
    if not seen:
        reason = (
            f"it reads nothing of what changes along the ladders ({n_blind})" if n_blind else "no ladder was evaluated"
        )
        return LadderEvidence(n_blind=n_blind, reason=reason)
    neighbours = [pair for rungs in seen.values() for pair in pairwise(rungs)]
    compared = [_difference(panel, better, worse) for worse, better in neighbours]
    significant = _significant(compared)
    gains = [panel.sign * one.effect for one in compared]
    by_ladder = {name: fmean(_concordant(rungs)) for name, rungs in seen.items()}
    pairs = [value for rungs in seen.values() for value in _concordant(rungs)]
    lengths = [len(rungs) for rungs in seen.values()]
    return LadderEvidence(
        n_ladders=len(seen),
        n_blind=n_blind,
        n_neighbours=len(neighbours),
        n_right=sum(gain > _EQUAL for gain in gains),
        n_significant=sum(is_sure and gain > 0 for is_sure, gain in zip(significant, gains, strict=True)),
        n_wrong=sum(is_sure and gain < 0 for is_sure, gain in zip(significant, gains, strict=True)),
        n_pairs=len(pairs),
        concordance=fmean(pairs),
        p_right=chance_of_order(lengths, sum(pairs)),
        p_wrong=chance_of_order(lengths, len(pairs) - sum(pairs)),
        by_ladder=by_ladder,
    )


def _is_unread(rungs: Sequence[Entry]) -> bool:
    """Whether only the decoder, or only the encoder, changes along a ladder, and the metric does not."""
    of_one_part = any(rung.role.decoder_only or rung.role.encoder_only for rung in rungs)
    return of_one_part and all(_equal(rungs[0], rung) for rung in rungs)


def _concordant(rungs: Sequence[Entry]) -> Iterator[float]:
    """Of every pair of a ladder: 1 in the right order, 0 in the wrong one, 0.5 for equal scores."""
    for worse, better in combinations(rungs, 2):
        gain = better.quality - worse.quality
        yield 0.5 if abs(gain) <= _EQUAL else float(gain > 0)


def chance_of_order(lengths: Sequence[int], n_right: float) -> float:
    """The chance that at least so many pairs of ladders stand in one order, if every order were as likely (Mann 1945).

    Args:
        lengths: rungs of each ladder.
        n_right: pairs in that order; a half for equal scores.
    """
    ways = np.ones(1)
    for length in lengths:
        for n in range(2, length + 1):
            ways = np.convolve(ways, np.full(n, 1.0 / n))  # the n-th rung has 0 to n - 1 of the others below it
    return float(ways[math.floor(n_right) :].sum())


# ---- floors and cost


def floor_evidence(panel: MetricPanel) -> FloorEvidence:
    """What the results themselves say of floor and ceiling."""
    values, n_interval, n_above = [], 0, 0
    for entry in panel.trained:
        of_metric = (entry.record.content.get("validity") or {}).get(panel.metric.path) or {}
        above = of_metric.get("above_floor") or {}
        if isinstance(above.get("value"), int | float):
            values.append(float(above["value"]))
            if isinstance(above.get("ci_low"), int | float):
                n_interval += 1
                n_above += above["ci_low"] > 0
    return FloorEvidence(median=median(values) if values else None, n_with_interval=n_interval, n_above=n_above)


def costs(records: Sequence[Record]) -> tuple[float | None, float | None]:
    """Seconds for one SAE, the mean, and seconds paid once for all, the most that any result names.

    No median: what the SAEs of a group share may stand with one of them.
    """
    timed: list[Mapping[str, Any]] = [seconds for r in records if (seconds := r.provenance.get("seconds"))]
    if not timed:
        return None, None
    own = [sum(v for name, v in seconds.items() if "shared" not in name) for seconds in timed]
    shared = [sum(v for name, v in seconds.items() if "shared" in name) for seconds in timed]
    return fmean(own), max(shared)


# ---- differences


def _difference(panel: MetricPanel, a: Entry, b: Entry) -> Difference:
    return difference(a.evidence, b.evidence, bounds=panel.bounds)


def _z(of_pair: Difference, sign: float) -> float | None:
    """Effect in standard errors, oriented; None without an error bar."""
    effect = sign * of_pair.effect
    if abs(effect) <= _EQUAL:
        return 0.0
    if of_pair.noise is None:
        return None
    error = of_pair.noise.standard_error
    return float(np.clip(effect / error if error > 0 else np.sign(effect) * FURTHEST, -FURTHEST, FURTHEST))


def _significant(compared: Sequence[Difference]) -> list[bool]:
    """Which differences are significant, corrected for all of them."""
    n = sum(one.p_value is not None for one in compared)
    return [one.p_value is not None and multiple.corrected(one.p_value, n) <= ALPHA for one in compared]
