"""Which SAE is better, and could this run have told? Comparison of two SAEs, of all with a baseline, and ranking.

Every metric is compared with what the results have kept: seed by seed and text by text where both were evaluated on
the same, over the rest of it where not; results without either are compared without an error bar, and said so.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from sae_bench.analysis.bars import bounds_of, error_bar, given_of
from sae_bench.analysis.comparable import groups_of, why_not_comparable
from sae_bench.analysis.table import Record, ResultTable, choose_metrics, load_results
from sae_bench.analysis.verdicts import PairVerdict, RankedSAE, Ranking, Standard, default_target, judge, number, say
from sae_bench.errors import UsageError
from sae_bench.results.model import Metric, ReferenceValue
from sae_bench.results.statistics import intervals, multiple, paired, power
from sae_bench.results.statistics.intervals import Bounds
from sae_bench.results.statistics.paired import Difference, Evidence
from sae_bench.results.statistics.pairwise import Pairwise, pairwise

_SHOWN_CANDIDATES = 12

Family = Literal["table", "metric"]
"""What the correction for many comparisons spans: everything that is compared, or the SAEs on one metric."""


class Comparison(BaseModel):
    """What `compare` and `rank` found, and what they could not use."""

    model_config = ConfigDict(frozen=True)

    alpha: float = Field(description="Chance of any false finding that is accepted.")
    family: Family = Field(default="table", description="What the correction spans.")
    pairs: list[PairVerdict] = Field(default_factory=list, description="One entry per pair and metric.")
    rankings: list[Ranking] = Field(default_factory=list, description="One entry per metric.")
    skipped: dict[str, str] = Field(default_factory=dict, description="File that was not used -> why.")
    notes: list[str] = Field(default_factory=list, description="What was left out, and why.")

    def to_frame(self) -> pd.DataFrame:
        """The pairs as one row each."""
        return pd.DataFrame([pair.model_dump() for pair in self.pairs], columns=list(PairVerdict.model_fields))


def compare(
    results: ResultTable | str | Path,
    *,
    a: str | None = None,
    b: str | None = None,
    baseline: str | None = None,
    metrics: Sequence[str] = (),
    alpha: float = 0.05,
    detect: float | None = None,
    family: Family = "table",
) -> Comparison:
    """Compare SAE `a` with `b`, or every SAE with `baseline`, on all headline metrics that both have.

    Args:
        results: an output folder, or what `load_results` made of it.
        a: `release:id`, `release_id`, or an id that one release has.
        b: the SAE that `a` is compared with.
        baseline: the SAE that all others are compared with, in place of `a` and `b`.
        metrics: regular expressions for `eval.category.metric` or titles; any metric, headline or not.
        alpha: chance of any false finding in the family.
        detect: the difference that "n more seeds" is about; by default 0.01, or 1 % of scores above 1.
        family: which comparisons share `alpha`: all of the table, or those of one metric.
    Raises:
        ResultError: there are no results.
        UsageError: neither a pair nor a baseline, unknown names, or nothing to compare.
    """
    table = results if isinstance(results, ResultTable) else load_results(results)
    _check(alpha, detect)
    pairs = _pairs(table, a, b, baseline)
    notes: list[str] = []
    comparisons = [
        comparison for one, other in pairs for comparison in _compare_pair(table, one, other, metrics, notes)
    ]
    if not comparisons:
        raise UsageError(f"there is nothing to compare: {'; '.join(notes) or 'no metric matches'}.")
    sizes = _family_sizes(comparisons, family)
    _add_permutations(comparisons)
    return Comparison(
        alpha=alpha,
        family=family,
        pairs=[
            comparison.verdict(alpha=alpha, detect=detect, n_comparisons=n)
            for comparison, n in zip(comparisons, sizes, strict=True)
        ],
        skipped=_skipped(table),
        notes=[*notes, *table.mixed_names(), *_broken_samples(table)],
    )


def rank(results: ResultTable | str | Path, *, metrics: Sequence[str] = (), alpha: float = 0.05) -> Comparison:
    """Rank all SAEs on every headline metric that has a better direction, those that compare with one another together.

    With probability 1 - alpha all that a ranking says holds: who could be the best, and how far each is behind it.

    Raises:
        ResultError: there are no results.
    """
    table = results if isinstance(results, ResultTable) else load_results(results)
    _check(alpha, None)
    notes: list[str] = []
    rankings = [
        ranking
        for name in table.eval_names()
        for ranking in _rank_eval(table.of_eval(name), metrics, alpha=alpha, notes=notes)
    ]
    return Comparison(
        alpha=alpha,
        rankings=rankings,
        skipped=_skipped(table),
        notes=[*notes, *table.mixed_names(), *_broken_samples(table)],
    )


# ---- pairs


class _Compared:
    """One metric of one pair on the way to its verdict."""

    def __init__(self, metric: Metric, a: Record, b: Record) -> None:
        self.metric, self.a, self.b = metric, a, b
        self.evidence = (evidence_of(a, metric.path), evidence_of(b, metric.path))
        self.difference = self.at(intervals.LEVEL)
        self.p_permutation: float | None = None

    def at(self, level: float) -> Difference:
        """With the interval of this level."""
        return paired.difference(*self.evidence, level=level, bounds=bounds_of(self.a, self.metric.path))

    def verdict(self, *, alpha: float, detect: float | None, n_comparisons: int) -> PairVerdict:
        """From the interval that holds together with those of all comparisons."""
        difference = self.at(multiple.common_level(alpha, n_comparisons))
        p = difference.p_value
        value_a, value_b = (e.value for e in self.evidence)
        standard = Standard(
            alpha=alpha,
            n_comparisons=n_comparisons,
            target=detect if detect is not None else default_target(value_a, value_b),
            detectable=_detectable(difference, alpha / n_comparisons, bounds_of(self.a, self.metric.path)),
            given=given_of(self.a) or given_of(self.b),
        )
        verdict = judge(difference, higher_is_better=self.metric.higher_is_better)
        sentence, more = say(difference, verdict, standard, a=self.a.sae, b=self.b.sae)
        return PairVerdict(
            eval=self.a.eval_name, metric=self.metric.path, title=self.metric.title,
            higher_is_better=self.metric.higher_is_better, a=self.a.sae, b=self.b.sae, value_a=value_a,
            value_b=value_b, difference=difference.effect, ci_low=None if p is None else difference.low,
            ci_high=None if p is None else difference.high,
            p_value=p, p_adjusted=None if p is None else multiple.corrected(p, n_comparisons),
            p_permutation=self.p_permutation, n_comparisons=n_comparisons,
            detectable_low=standard.detectable[0] if standard.detectable else None,
            detectable=standard.detectable[1] if standard.detectable else None,
            detectable_high=standard.detectable[2] if standard.detectable else None,
            target=standard.target, more_seeds=more, n_seeds=difference.n_seeds, n_units=difference.n_units,
            paired_seeds=difference.paired_seeds, paired_units=difference.paired_units, notes=list(difference.notes),
            given=standard.given, verdict=verdict, sentence=sentence,
        )  # fmt: skip


def _detectable(difference: Difference, alpha: float, bounds: Bounds) -> tuple[float, float, float] | None:
    """The difference such runs find in 80 % of cases: the least that it may be, its estimate, and the most.

    None is larger than the metric allows; all three at that size say that no difference would be found.
    """
    if difference.noise is None or difference.p_value is None or difference.noise.standard_error == 0:
        return None
    low, high = power.range_of_detectable(difference.noise, alpha=alpha)
    most = math.inf if bounds[0] is None or bounds[1] is None else bounds[1] - bounds[0]
    return min(low, most), min(power.detectable(difference.noise, alpha=alpha), most), min(high, most)


def evidence_of(record: Record, path: str) -> Evidence:
    """What a result has kept of one metric."""
    per_seed = record.seed_values(path)
    samples = record.samples.get(path)
    if samples is not None:
        seeds = record.seeds if samples.random else ()
        if len(seeds) != (samples.values_SU.shape[0] if samples.random else 0):
            seeds, samples = (), None
    if samples is not None:
        return Evidence(record.values[path], seeds, tuple(samples.seed_values()) if seeds else (), samples)
    complete = len(per_seed) == len(record.content["seed_results"])
    seeds = tuple(per_seed) if complete else ()
    return Evidence(record.values[path], seeds, tuple(per_seed[seed] for seed in seeds))


def _pairs(table: ResultTable, a: str | None, b: str | None, baseline: str | None) -> list[tuple[str, str]]:
    if baseline is not None and a is None and b is None:
        base = table.resolve_sae(baseline)
        return [(sae, base) for sae in table.saes() if sae != base]
    if a is not None and b is not None and baseline is None:
        one, other = table.resolve_sae(a), table.resolve_sae(b)
        if one == other:
            raise UsageError(f"'{a}' and '{b}' are the same SAE, {one}.")
        return [(one, other)]
    raise UsageError("name two SAEs to compare (a and b), or one to compare all others with (baseline).")


def _compare_pair(table: ResultTable, a: str, b: str, metrics: Sequence[str], notes: list[str]) -> Iterable[_Compared]:
    for name in table.eval_names():
        of_sae = {record.sae: record for record in table.of_eval(name)}
        one, other = of_sae.get(a), of_sae.get(b)
        if one is None or other is None:
            if one is not None or other is not None:
                notes.append(f"{name}: only {a if one is not None else b} has a result")
            continue
        if reason := why_not_comparable(one, other):
            notes.append(f"{name}: {a} and {b} were made with {reason}")
            continue
        for metric in choose_metrics(one, metrics):
            if metric.path in one.values and metric.path in other.values:
                yield _Compared(metric, one, other)


def _family_sizes(comparisons: Sequence[_Compared], family: Family) -> list[int]:
    """With how many others each comparison shares its chance of a false finding."""
    groups = [_family_of(comparison, family) for comparison in comparisons]
    tested = [
        group
        for group, comparison in zip(groups, comparisons, strict=True)
        if comparison.difference.p_value is not None
    ]
    return [max(1, tested.count(group)) for group in groups]


def _family_of(comparison: _Compared, family: Family) -> tuple[str, ...]:
    return () if family == "table" else (comparison.a.eval_name, comparison.metric.path)


def _add_permutations(comparisons: Sequence[_Compared]) -> None:
    """p-values by swapping, for all comparisons on the same units at once."""
    by_key: dict[str, list[tuple[_Compared, np.ndarray]]] = {}
    for comparison in comparisons:
        a, b = (e.samples for e in comparison.evidence)
        if comparison.difference.paired_units and a is not None and b is not None:
            by_key.setdefault(a.key, []).append((comparison, paired.unit_differences(a, b)))
    for group in by_key.values():
        p_P = paired.permutation_p(np.stack([difference_U for _, difference_U in group]))
        for (comparison, _), p in zip(group, p_P.tolist(), strict=True):
            comparison.p_permutation = p


# ---- ranks


def _rank_eval(records: Sequence[Record], metrics: Sequence[str], *, alpha: float, notes: list[str]) -> list[Ranking]:
    groups = groups_of(records)
    rankings = []
    for group in groups:
        if group.differs is not None:
            names = ", ".join(record.sae for record in group.records)
            apart = "ranked apart" if len(group.records) > 1 else "not ranked"
            notes.append(f"{group.first.eval_name}: {names}: {apart}, made with {group.differs}")
        title = group.title if len(groups) > 1 else ""
        for metric in choose_metrics(group.first, metrics):
            having = [record for record in group.records if metric.path in record.values]
            if metric.higher_is_better is not None and len(having) > 1:
                rankings.append(_rank(having, metric, metric.higher_is_better, alpha=alpha, title=title))
    return rankings


def _rank(records: Sequence[Record], metric: Metric, higher_is_better: bool, *, alpha: float, title: str) -> Ranking:
    sign, n = 1.0 if higher_is_better else -1.0, len(records)
    found = pairs_of(records, metric.path, alpha=alpha)
    scores_P = sign * np.asarray([record.values[metric.path] for record in records])
    half_PP = found.square(found.half_C, n)
    behind = multiple.behind_the_best(scores_P, half_PP)
    low, high = bounds_of(records[0], metric.path)
    span = (None, None) if low is None or high is None else (low - high, high - low)
    rows = []
    for p, (record, standing) in enumerate(zip(records, multiple.ranks(scores_P, half_PP == 0), strict=True)):
        bar = error_bar(record, metric.path)
        rows.append(
            RankedSAE(
                sae=record.sae,
                value=record.values[metric.path],
                ci_low=bar.ci_low if bar else None,
                ci_high=bar.ci_high if bar else None,
                rank=int(standing),
                could_be_best=bool(behind.could_be_best_P[p]),
                compared=bool(np.isfinite(np.delete(half_PP[p], p)).any()),
                behind_low=_finite(behind.low_P[p], span),
                behind_high=_finite(behind.high_P[p], span),
                **_above_floor(record, metric.path),
            )
        )
    rows.sort(key=lambda row: (row.rank, row.sae))
    return Ranking(
        eval=records[0].eval_name, metric=metric.path, title=metric.title, higher_is_better=higher_is_better,
        group=title, given=given_of(records[0]), beside=_floor_and_ceiling(records, metric.path), saes=rows,
        sentence=_say_rank(rows),
    )  # fmt: skip


def _above_floor(record: Record, path: str) -> dict[str, float | None]:
    validity = record.validity.get(path)
    if validity is None:
        return {}
    above = validity.above_floor
    return {"above_floor": above.value, "above_floor_low": above.ci_low, "above_floor_high": above.ci_high}


def _floor_and_ceiling(records: Sequence[Record], path: str) -> str:
    """In words, what all of these results have as floor and as ceiling."""
    of_records = [record.validity.get(path) for record in records]
    parts = []
    for name in ("floor", "ceiling"):
        ends: list[ReferenceValue | None] = [getattr(validity, name, None) for validity in of_records]
        first = ends[0]
        if first is None or any(end is None or end.name != first.name for end in ends):
            continue
        values = {number(end.value) for end in ends if end is not None and end.value is not None}
        if len(values) == 1:
            parts.append(f"{name} {values.pop()} ({first.name})")
        elif values:
            parts.append(f"{name} of its own for each SAE ({first.name})")
    return ", ".join(parts)


def pairs_of(records: Sequence[Record], path: str, *, alpha: float, most_one_by_one: int | None = None) -> Pairwise:
    """All pairs of results on one metric, with intervals that hold at once: what rankings and the report rest on."""
    level = multiple.common_level(alpha, multiple.n_pairs(len(records)))
    evidence, bounds = [evidence_of(record, path) for record in records], bounds_of(records[0], path)
    return pairwise(evidence, level=level, bounds=bounds, pooled=True, most_one_by_one=most_one_by_one)


def _finite(x: float, span: Bounds) -> float | None:
    return intervals.within(float(x), span) if np.isfinite(x) else None


def _say_rank(rows: Sequence[RankedSAE]) -> str:
    if not any(row.compared for row in rows):
        return "too few units, or no values per seed and unit, to compare any two: which is the best cannot be told"
    if all(row.behind_low == 0 and row.behind_high == 0 for row in rows):
        rounded = "" if len({row.value for row in rows}) == 1 else ", up to the rounding of single precision"
        return f"the same for all in every seed and unit{rounded}"
    possible = [row.sae for row in rows if row.could_be_best]
    if len(possible) == 1:
        return f"{possible[0]} is the best ({number(rows[0].value)})"
    if len(possible) == len(rows):
        return "no SAE can be told from the best"
    shown = ", ".join(possible[:_SHOWN_CANDIDATES])
    further = f" and {len(possible) - _SHOWN_CANDIDATES} more" if len(possible) > _SHOWN_CANDIDATES else ""
    return f"one of these {len(possible)} of {len(rows)} is the best: {shown}{further}"


# ---- what could not be used


def _skipped(table: ResultTable) -> dict[str, str]:
    return {str(entry.path): entry.reason for entry in table.skipped}


def _broken_samples(table: ResultTable) -> list[str]:
    return [f"{r.eval_name} of {r.sae}: {r.samples_problem}" for r in table.records if r.samples_problem is not None]


def _check(alpha: float, detect: float | None) -> None:
    if not 0 < alpha < 1:
        raise UsageError(f"alpha is a probability between 0 and 1, such as 0.05; got {alpha}.")
    if detect is not None and not 0 < detect < math.inf:
        raise UsageError(f"the difference to detect has to be above 0 and finite; got {detect}.")
