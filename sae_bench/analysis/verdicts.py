"""What a comparison says, as records and in one plain sentence each."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from sae_bench.results.statistics import power
from sae_bench.results.statistics.paired import EQUAL, SAME, Difference

Verdict = Literal["better", "worse", "higher", "lower", "inside the noise", "the same", "no error bar"]
"""Of A against B. `higher` and `lower` are for metrics without a better direction."""

SHARE_OF_SCALE = 0.01
MANY = 1000
"""Beyond so many times the texts of a run the exact factor helps nobody."""


class PairVerdict(BaseModel):
    """One metric of one pair of SAEs."""

    model_config = ConfigDict(frozen=True)

    eval: str = Field(description="Name of the eval.")
    metric: str = Field(description="Path of the metric in eval_result_metrics.")
    title: str = Field(description="Title of the metric.")
    higher_is_better: bool | None = Field(description="Which direction is better; null if neither is.")
    a: str = Field(description="SAE A, as release:id.")
    b: str = Field(description="SAE B, or the baseline.")
    value_a: float = Field(description="Score of A.")
    value_b: float = Field(description="Score of B.")
    difference: float | None = Field(description="A minus B, on the seeds that were compared.")
    ci_low: float | None = Field(
        default=None,
        description="Lower end of the interval of the difference, which holds together with those of all comparisons.",
    )
    ci_high: float | None = Field(default=None, description="Upper end of it.")
    p_value: float | None = Field(default=None, description="Two-sided p-value of this comparison alone.")
    p_adjusted: float | None = Field(default=None, description="The same, for the number of comparisons (Bonferroni).")
    n_comparisons: int = Field(default=1, description="Comparisons that interval, p_adjusted and verdict allow for.")
    p_permutation: float | None = Field(
        default=None, description="p-value of swapping A and B unit by unit, which takes the seeds as they are."
    )
    detectable: float | None = Field(
        default=None,
        description="True difference that runs like this find in 80 % of cases, after correction, as this run's own "
        "estimate of its noise has it.",
    )
    detectable_low: float | None = Field(default=None, description="The least it may be, with 90 % confidence.")
    detectable_high: float | None = Field(default=None, description="The most it may be, with 90 % confidence.")
    given: str = Field(default="", description="What intervals and verdict take as given; empty if nothing.")
    target: float | None = Field(default=None, description="The difference that more_seeds is about.")
    more_seeds: int | None = Field(default=None, description="Seeds to add until `target` is detectable.")
    n_seeds: int = Field(default=0, description="Seeds compared; 1 where nothing is random.")
    n_units: int = Field(default=0, description="Units (test texts, ...) compared.")
    paired_seeds: bool = Field(default=False, description="Whether both were compared seed by seed.")
    paired_units: bool = Field(default=False, description="Whether both were compared text by text.")
    notes: list[str] = Field(default_factory=list, description="What could not be paired.")
    verdict: Verdict = Field(description="Of A against B.")
    sentence: str = Field(description="The same in words.")


class RankedSAE(BaseModel):
    """One SAE among all."""

    model_config = ConfigDict(frozen=True)

    sae: str = Field(description="release:id.")
    value: float = Field(description="Its score.")
    ci_low: float | None = Field(description="Lower end of the score's interval.")
    ci_high: float | None = Field(description="Upper end of the score's interval.")
    rank: int = Field(description="Rank by score; 1 is the best.")
    could_be_best: bool = Field(description="Whether the noise allows it to be the best.")
    compared: bool = Field(default=True, description="Whether its error bars allow to compare it with any other.")
    behind_low: float | None = Field(
        default=None,
        description="How far behind the best of the others it is at least, all SAEs at once; above 0 if and only if it "
        "could not be the best, negative where it may be ahead.",
    )
    behind_high: float | None = Field(default=None, description="How far at most; null where not all have error bars.")
    above_floor: float | None = Field(default=None, description="(score - floor) / (ceiling - floor), if it is known.")
    above_floor_low: float | None = Field(default=None, description="Lower end of its interval.")
    above_floor_high: float | None = Field(default=None, description="Upper end of its interval.")


class Ranking(BaseModel):
    """All SAEs on one metric, best first."""

    model_config = ConfigDict(frozen=True)

    eval: str = Field(description="Name of the eval.")
    metric: str = Field(description="Path of the metric in eval_result_metrics.")
    title: str = Field(description="Title of the metric.")
    higher_is_better: bool = Field(description="Which direction is better.")
    group: str = Field(default="", description="Definition, model and hook, where several are ranked apart.")
    given: str = Field(default="", description="What intervals and ranks take as given; empty if nothing.")
    beside: str = Field(
        default="", description="Floor and ceiling in words, where they are known and the same for all."
    )
    saes: list[RankedSAE] = Field(description="Best first.")
    sentence: str = Field(description="What can be said of the best.")


def default_target(value_a: float, value_b: float) -> float:
    """A difference worth finding: 0.01 for scores up to 1, else 1 % of the larger, to one digit."""
    scale = max(abs(value_a), abs(value_b))
    if scale <= 1.0:
        return SHARE_OF_SCALE
    step = SHARE_OF_SCALE * scale
    digit = 10.0 ** math.floor(math.log10(step))
    return round(step / digit) * digit


def judge(difference: Difference, *, higher_is_better: bool | None) -> Verdict:
    """What is known of A against B: whether the interval of the difference excludes 0."""
    low, high = difference.low, difference.high
    if difference.noise is None or difference.p_value is None or low is None or high is None:
        return "the same" if difference.reason in (SAME, EQUAL) else "no error bar"
    if low <= 0.0 <= high:
        return "inside the noise"
    if higher_is_better is None:
        return "higher" if difference.effect > 0 else "lower"
    return "better" if (difference.effect > 0) == higher_is_better else "worse"


@dataclass(frozen=True)
class Standard:
    """What a comparison is held to.

    Attributes:
        alpha: accepted chance of any false finding among all comparisons.
        target: the difference one would want to find.
        detectable: the difference such runs find in 80 % of cases: at least, as estimated, at most; None without an
            error bar.
        given: what the verdict takes as given; empty if nothing.
    """

    alpha: float
    n_comparisons: int
    target: float
    detectable: tuple[float, float, float] | None
    given: str = ""


def say(difference: Difference, verdict: Verdict, standard: Standard, *, a: str, b: str) -> tuple[str, int | None]:
    """The sentence, and how many more seeds would make the target detectable."""
    if verdict == "the same":
        return difference.reason or SAME, None
    if verdict == "no error bar":
        return f"{difference.reason}; the difference is {number(difference.effect)}", None
    if verdict != "inside the noise":
        winner, word, low, high = _winner(verdict, difference, a, b)
        given = f", given {standard.given}" if standard.given else ""
        return f"{winner} is {word} by {number(abs(difference.effect))} ({number(low)} to {number(high)}){given}", None
    alone = difference.p_value is not None and difference.p_value <= standard.alpha
    many = f", {standard.n_comparisons} comparisons allowed for" if alone and standard.n_comparisons > 1 else ""
    if standard.detectable is None:
        return f"inside the noise{many}: all {difference.n_units} units differ alike, but more are needed to tell", None
    if standard.detectable[1] <= standard.target:
        sure = "" if standard.detectable[2] <= standard.target else " by this run's own estimate of its noise,"
        return (
            f"inside the noise{many}:{sure} {'most' if sure else 'at least 80 %'} of such runs would find a difference "
            f"of {number(standard.target)}"
        ), 0
    more, what = _remedy(difference, standard.target, standard.alpha / standard.n_comparisons)
    return f"inside the noise{many}: {what}", more


def _winner(verdict: Verdict, difference: Difference, a: str, b: str) -> tuple[str, str, float, float]:
    """Who is ahead, in what, and by how much at least and at most."""
    ends = sorted((abs(difference.low or 0.0), abs(difference.high or 0.0)))
    word = "better" if verdict in ("better", "worse") else "higher"
    return (a if verdict in ("better", "higher") else b), word, ends[0], ends[1]


def _remedy(difference: Difference, target: float, alpha: float) -> tuple[int | None, str]:
    """What it takes to detect the target, and where that is out of reach, a difference as large as the one seen."""
    assert difference.noise is not None
    size, seen = number(target), abs(difference.effect)
    if not difference.random:
        needed = f"{_texts(power.further_units(difference.noise, target, alpha=alpha))} would detect {size}"
        if seen > target:
            times = power.further_units(difference.noise, seen, alpha=alpha)
            needed += f", {_texts(times)} {number(seen)}, the size seen"
        return None, f"{needed}; no seed changes this metric"
    more = power.further_seeds(difference.noise, difference.n_seeds, target, alpha=alpha)
    if more is not None:
        return more, f"{_seeds(more)} would detect {size}"
    texts = f"no number of seeds would detect {size} without more test texts"
    enough = power.further_seeds(difference.noise, difference.n_seeds, seen, alpha=alpha) if seen > target else None
    return None, texts if not enough else f"{texts}; {_seeds(enough)} would detect {number(seen)}, the size seen"


def _seeds(more: int) -> str:
    return f"{more} more seed{'s' if more != 1 else ''}"


def _texts(times: int) -> str:
    return f"{times} times as many texts" if times <= MANY else f"over {MANY} times as many texts"


def number(value: float) -> str:
    """A number with the digits that matter."""
    if value == 0:
        return "0"
    digits = 1 if abs(value) >= 10 else 3 if abs(value) >= 0.01 else 4
    shown = f"{value:.{digits}f}"
    return f"{shown.rstrip('0').rstrip('.')}" if float(shown) else f"{value:.0e}"
