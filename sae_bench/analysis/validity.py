"""What a score is worth here: for each metric its noise, whether it knows good SAEs from bad, and a verdict.

A metric is held against SAEs whose order is known: null baselines that learned nothing, ladders of SAEs made worse step
by step or trained longer step by step, and true features where the model is synthetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from sae_bench.analysis.comparable import Group, groups_of
from sae_bench.analysis.panel_evidence import (
    ALPHA,
    NO_NULL,
    MetricPanel,
    costs,
    floor_evidence,
    ladder_evidence,
    noise_evidence,
    null_evidence,
    panel_of,
    smallest_difference,
)
from sae_bench.analysis.panel_truth import agreement_of, truth_of
from sae_bench.analysis.table import Record, ResultTable, choose_metrics, load_results
from sae_bench.analysis.validity_model import (
    AgainstNull,
    Agreement,
    FloorEvidence,
    LadderEvidence,
    NoiseEvidence,
    NullEvidence,
    TruthEvidence,
)
from sae_bench.results.model import Metric
from sae_bench.results.statistics.intervals import Bounds

FILE_NAME = "validity.json"

Verdict = Literal["ranks SAEs here", "separates good from bad only", "not valid here", "too little evidence"]
"""What a metric is good for, on this model and hook, with these settings and so many seeds."""

BEATEN = 0.75
"""Share of comparisons with null baselines that trained SAEs have to win, in all and against each kind."""

LOST = 0.1
"""Share of them that they may lose significantly; against each kind one at least, for one SAE may be broken."""

APART = 2.0
"""Standard errors by which they have to win them, in the median."""

ORDERED = 0.8
"""Share of pairs of a ladder that have to stand in the right order for a metric to rank SAEs."""

REVERSED = 0.25
"""Share at or below which it stands on its head; by chance it is about a half."""

POWERFUL = 0.05
"""Share of a metric's range: a run that sees such differences between SAE and null, and saw none, says something."""

LEAST_PAIRS = 3
"""Comparisons with null baselines, and pairs of rungs, below which nothing is said."""


@dataclass(frozen=True)
class Evidence:
    """What a verdict rests on.

    Attributes:
        is_constant: whether all SAEs have the same score.
        scale: distance between the least and the greatest value of the metric; None where it has no such ends.
    """

    nulls: NullEvidence
    ladders: LadderEvidence
    floor: FloorEvidence = field(default_factory=FloorEvidence)
    truth: TruthEvidence = field(default_factory=TruthEvidence)
    is_constant: bool = False
    scale: float | None = None

    @classmethod
    def of(cls, panel: MetricPanel, truth: TruthEvidence) -> Evidence:
        """Of the SAEs of a panel."""
        nulls, ladders, floor = null_evidence(panel), ladder_evidence(panel), floor_evidence(panel)
        return cls(nulls, ladders, floor, truth, panel.is_constant, _scale(panel.metric, panel.bounds))

    @property
    def unbeaten(self) -> tuple[str, AgainstNull] | None:
        """The kind of null that trained SAEs do not beat, the worst of them: easy kinds hide a hard one in the sum."""
        failed = {
            name: one
            for name, one in self.nulls.by_null.items()
            if _wins_against(one) or (one.n_pairs >= LEAST_PAIRS and one.n_better < BEATEN * one.n_pairs)
        }
        return min(
            failed.items(), key=lambda item: (item[1].n_better / item[1].n_pairs, -item[1].n_worse), default=None
        )

    @property
    def shows_failure(self) -> bool:
        """Whether nulls really do as well: they win significantly, or the run would have seen a 20th of the range."""
        nulls = self.nulls
        if nulls.n_pairs == 0:
            return True  # it rests on floors, whose intervals say so
        if (
            nulls.n_worse > LOST * nulls.n_pairs
            or any(map(_wins_against, nulls.by_null.values()))
            or (nulls.median_z is not None and nulls.median_z <= -APART)
        ):
            return True
        if self.scale is None or nulls.detectable is None:
            return False
        return nulls.detectable <= POWERFUL * self.scale


def _wins_against(null: AgainstNull) -> bool:
    """Whether a kind of null wins significantly, and against more than one SAE that may be broken."""
    return null.n_worse > max(1.0, LOST * null.n_pairs)


def _scale(metric: Metric, bounds: Bounds) -> float | None:
    """Of a metric without two ends that says what chance gives, the way from there to 1: it is a share of something."""
    low, high = bounds
    if low is not None and high is not None:
        return high - low
    return None if metric.chance is None else 1.0 - metric.chance


INVALID: Verdict = "not valid here"

SHORT: dict[Verdict, str] = {
    "ranks SAEs here": "ranks",
    "separates good from bad only": "separates",
    "not valid here": "not valid",
    "too little evidence": "too little",
}
"""Verdicts for narrow columns."""


class MetricVerdict(BaseModel):
    """One metric on one model and hook."""

    model_config = ConfigDict(frozen=True)

    eval: str = Field(description="Name of the eval.")
    metric: str = Field(description="Path of the metric in eval_result_metrics.")
    title: str = Field(description="Title of the metric.")
    higher_is_better: bool = Field(description="Which direction is better.")
    group: str = Field(description="Definition, model and hook.")
    n_trained: int = Field(description="Trained SAEs.")
    verdict: Verdict = Field(description="What the metric is good for here.")
    sentence: str = Field(description="Why, in words.")
    noise: NoiseEvidence = Field(description="How much of a score is noise.")
    detectable: float | None = Field(description="Smallest true difference that 80 % of such runs tell apart.")
    scale: float | None = Field(
        default=None, description="Distance between the least and the greatest value; null where there is no such."
    )
    nulls: NullEvidence = Field(description="Trained SAEs against null baselines.")
    ladders: LadderEvidence = Field(description="SAEs whose order is known.")
    floor: FloorEvidence = Field(description="Trained SAEs between measured floor and ceiling.")
    truth: TruthEvidence = Field(description="Agreement with the true features of a synthetic model.")
    agreement: Agreement = Field(description="Agreement of its ranking with those of other metrics.")
    seconds_per_sae: float | None = Field(description="Seconds that the eval took for one SAE, mean.")
    seconds_shared: float | None = Field(
        description="Seconds that were paid once for all SAEs of the run, the pass too."
    )
    same_in_halves: bool | None = Field(
        default=None, description="Whether two disjoint halves of the seeds give the same verdict; null under 4 seeds."
    )


class Validation(BaseModel):
    """What `validate` found for a folder of results."""

    model_config = ConfigDict(frozen=True)

    metrics: list[MetricVerdict] = Field(description="One entry per metric, model and hook.")
    notes: list[str] = Field(default_factory=list, description="What was left out, and why.")
    seconds: float | None = Field(default=None, description="Seconds that it took.")

    def of(self, eval_name: str, path: str) -> list[MetricVerdict]:
        """The verdicts on one metric, one per model and hook."""
        return [one for one in self.metrics if (one.eval, one.metric) == (eval_name, path)]


def read_validity(folder: Path) -> Validation | None:
    """What `validate` wrote into a folder of results; None if nothing.

    Raises:
        ValueError: the file is broken.
    """
    path = folder / FILE_NAME
    return Validation.model_validate_json(path.read_text(encoding="utf-8")) if path.is_file() else None


def validate(
    results: ResultTable | str | Path,
    *,
    truth: ResultTable | str | Path | None = None,
    metrics: Sequence[str] = (),
    halves: bool = True,
    seeds: Sequence[int] = (),
) -> Validation:
    """A verdict on every headline metric with a better direction.

    Args:
        results: an output folder, or what `load_results` made of it.
        truth: the same of a run on a synthetic model, `ground_truth` among its evals; by default `results` are looked
            through for one.
        metrics: regular expressions for `eval.category.metric` or titles.
        halves: whether each verdict is made again from two halves of the seeds.
        seeds: those that count; all by default.
    Raises:
        ResultError: there are no results.
        UsageError: a pattern is no regular expression, or there is nothing to say anything about.
    """
    table, known = _loaded(results), _loaded(results if truth is None else truth)
    found: list[MetricVerdict] = []
    for name in table.eval_names():
        for group in groups_of(table.of_eval(name)):
            for metric in choose_metrics(group.first, metrics):
                if metric.higher_is_better is not None:
                    panel = panel_of(group.records, metric, seeds)
                    if panel.trained or panel.ladders:
                        found.append(_verdict(panel, group, known, halves=halves))
    agreeing = agreement_of(table, [(v.eval, v.metric, v.group, v.higher_is_better) for v in found])
    found = [v.model_copy(update={"agreement": a}) for v, a in zip(found, agreeing, strict=True)]
    return Validation(metrics=found, notes=[*table.mixed_names(), *(f"{s.path}: {s.reason}" for s in table.skipped)])


def _loaded(results: ResultTable | str | Path) -> ResultTable:
    return results if isinstance(results, ResultTable) else load_results(results)


def _verdict(panel: MetricPanel, group: Group, known: ResultTable, *, halves: bool) -> MetricVerdict:
    metric, records = panel.metric, group.records
    evidence = Evidence.of(panel, truth_of(known, records[0].eval_name, metric))
    verdict, why = decide(evidence)
    same = _same_in_halves(records, panel, evidence.truth) if halves else None
    if same is False:
        why += "; two halves of the seeds lead to two verdicts"
    per_sae, shared = costs(records)
    return MetricVerdict(
        eval=records[0].eval_name, metric=metric.path, title=metric.title,
        higher_is_better=bool(metric.higher_is_better), group=group.title, n_trained=len(panel.trained),
        verdict=verdict, sentence=why, noise=noise_evidence(panel), detectable=smallest_difference(panel),
        scale=evidence.scale,
        nulls=evidence.nulls, ladders=evidence.ladders, floor=evidence.floor, truth=evidence.truth,
        agreement=Agreement(), seconds_per_sae=per_sae, seconds_shared=shared,
        same_in_halves=same,
    )  # fmt: skip


def decide(evidence: Evidence) -> tuple[Verdict, str]:
    """The verdict and why: what is known to be true first, then nulls, then order.

    A metric that falls as true features are found, or on which trained SAEs do not beat SAEs that learned nothing, is
    not valid here. One that passes and puts ladders in order ranks SAEs; one that passes and does not, or was not tried
    on any ladder, knows good from bad. A run in which trained SAEs do not win, and nulls neither win significantly nor
    tie in sight of a 20th of the metric's range, says nothing; nor does one with nothing to hold the metric against.
    """
    nulls, ladders = evidence.nulls, evidence.ladders
    if evidence.is_constant:
        return "not valid here", "it is the same for every SAE: it says nothing of them"
    if evidence.truth.is_against:
        return "not valid here", f"it falls as more true features are found ({evidence.truth.said})"
    beats, good = _beats(evidence)
    if beats is None and ladders.n_pairs < LEAST_PAIRS:
        return "too little evidence", good
    if beats is False:
        if evidence.shows_failure:
            return "not valid here", good
        return "too little evidence", f"{good}{_would_show(nulls.detectable, evidence.scale)}"
    if ladders.n_pairs < LEAST_PAIRS:
        return "separates good from bad only", f"{good}; {ladders.reason or 'no ladder shows whether it orders SAEs'}"
    concordance = ladders.concordance or 0.0
    if concordance <= REVERSED and not _is_chance(ladders.p_wrong):
        return "not valid here", f"it stands on its head: {ladders.said}"
    if beats is None:
        return "too little evidence", f"{ladders.said}, but {good}"
    if concordance < ORDERED:
        return "separates good from bad only", f"{good}, but {ladders.said}"
    if _is_chance(ladders.p_right):
        return "separates good from bad only", f"{good}; {ladders.said}, which so few rungs do by chance"
    return "ranks SAEs here", f"{good}; {ladders.said}"


def _would_show(detectable: float | None, scale: float | None) -> str:
    """Which differences a run like this one finds."""
    if detectable is None:
        return ""
    if scale is not None and detectable >= scale:
        return ", and no difference within the metric's range would show"
    return f", and only differences above {detectable:.2g} would show"


def _is_chance(p_value: float | None) -> bool:
    """Whether rungs without any order would stand so in more than one case of twenty."""
    return p_value is not None and p_value > ALPHA


def _beats(evidence: Evidence) -> tuple[bool | None, str]:
    """Whether trained SAEs are better than what learned nothing (None where that cannot be told), and why."""
    nulls, floor = evidence.nulls, evidence.floor
    if nulls.n_pairs >= LEAST_PAIRS and nulls.median_z is not None:
        wins = nulls.n_better >= BEATEN * nulls.n_pairs and nulls.n_worse <= LOST * nulls.n_pairs
        needed = f" ({APART:.0f} are asked for)" if wins and nulls.median_z < APART else ""
        alone = ""
        if wins and evidence.unbeaten is not None:
            name, one = evidence.unbeaten
            lost = f"{one.n_worse or 'none'} significantly lost"
            alone = f"; against baseline:{name} alone {one.n_better} of {one.n_pairs} ({lost})"
        return wins and not alone and nulls.median_z >= APART, f"{nulls.said}{needed}{alone}"
    if nulls.n_pairs == 0 and floor.n_with_interval >= LEAST_PAIRS:
        return floor.n_above >= (1.0 - LOST) * floor.n_with_interval, floor.said
    few = f"{nulls.n_pairs} comparisons with null baselines are too few" if nulls.n_pairs else NO_NULL
    return None, nulls.reason or few


def _same_in_halves(records: Sequence[Record], panel: MetricPanel, truth: TruthEvidence) -> bool | None:
    """Whether every second seed and the others lead to the same verdict."""
    if len(panel.seeds) < 4:
        return None
    halves = (panel.seeds[::2], panel.seeds[1::2])
    panels = [panel_of(records, panel.metric, half) for half in halves]
    return len({decide(Evidence.of(of_half, truth))[0] for of_half in panels}) == 1
