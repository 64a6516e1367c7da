"""Texts drawn anew for every seed: one job per seed in the same pass, and their scores merged into one result.

Each job gets its seed as the configuration's `random_seed`, which is what texts are drawn with. All of them ask the
same pass, so a text that several draws share is still read once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

from sae_bench.activations.requests import Request, Served
from sae_bench.custom_saes.loading import Member
from sae_bench.evals.base import EvalContext, EvalSpec, Job, Scores
from sae_bench.results.model import BaseEvalConfig, BaseMetricCategories, BaseResultDetail, SeedResult, config_fields
from sae_bench.results.references import Reference, References
from sae_bench.results.samples import Samples, stack_draws

NOT_RESAMPLED = "this eval has no random_seed: all seeds share its texts"
DETAILS_DIFFER = "the draws' details have different rows: those of the first seed are kept"


def start_resampled(spec: EvalSpec, context: EvalContext, config: BaseEvalConfig) -> Job:
    """The eval with texts drawn per seed; an eval that draws no texts runs as always and says so."""
    if "random_seed" not in config_fields(type(config)):
        return _Remarked(spec.start(context, config), NOT_RESAMPLED)
    draws = settings_of_draws(spec, config, context.seeds)
    jobs = [spec.start(replace(context, seeds=(seed,)), draw) for seed, draw in zip(context.seeds, draws, strict=True)]
    return ResampledJob(spec, context.seeds, jobs)


def settings_of_draws(spec: EvalSpec, config: BaseEvalConfig, seeds: Sequence[int]) -> list[BaseEvalConfig]:
    """The settings of every seed's draw of the texts; one draw for all seeds if the eval draws none."""
    if "random_seed" not in config_fields(type(config)):
        return [config]
    return [replace(config, **{**spec.resampled, "random_seed": seed}) for seed in seeds]


class ResampledJob:
    """One job per seed, each with its own texts."""

    def __init__(self, spec: EvalSpec, seeds: Sequence[int], jobs: Sequence[Job]) -> None:
        self.spec = spec
        self.seeds = tuple(seeds)
        self.jobs = list(jobs)

    @property
    def datasets(self) -> dict[str, dict[str, str]]:
        return self.jobs[0].datasets

    def requests(self, members: Sequence[Member]) -> Sequence[Request]:
        return [request for job in self.jobs for request in job.requests(members)]

    def score(self, member: Member, served: Sequence[Served]) -> Scores:
        each = len(served) // len(self.jobs)  # draws of one eval make equally many requests
        draws = [job.score(member, served[i * each : (i + 1) * each]) for i, job in enumerate(self.jobs)]
        return merge_draws(self.spec, self.seeds, draws)


class _Remarked:
    """A job whose scores carry one more warning."""

    def __init__(self, job: Job, warning: str) -> None:
        self.job = job
        self.warning = warning

    @property
    def datasets(self) -> dict[str, dict[str, str]]:
        return self.job.datasets

    def requests(self, members: Sequence[Member]) -> Sequence[Request]:
        return self.job.requests(members)

    def score(self, member: Member, served: Sequence[Served]) -> Scores:
        scores = self.job.score(member, served)
        return replace(scores, warnings=[*scores.warnings, self.warning])


def merge_draws(spec: EvalSpec, seeds: Sequence[int], draws: Sequence[Scores]) -> Scores:
    """Means of the draws' numbers; their samples and headline numbers one seed after the other.

    A number that some draw lacks is null; the reason is that draw's.
    """
    metrics = _mean([draw.metrics.model_dump() for draw in draws])
    details, warnings = _merge_details([draw.details for draw in draws])
    for draw in draws:
        warnings += [warning for warning in draw.warnings if warning not in warnings]
    return Scores(
        metrics=type(draws[0].metrics).model_validate(metrics),
        details=details,
        unstructured=_mean([draw.unstructured for draw in draws], whole=False),
        not_computed={field: reason for draw in reversed(draws) for field, reason in draw.not_computed.items()},
        seed_results=[
            SeedResult(seed=seed, metrics=_headline(spec, draw)) for seed, draw in zip(seeds, draws, strict=True)
        ],
        samples={
            path: stack_draws([draw.samples[path] for draw in draws])
            for path in draws[0].samples
            if all(path in draw.samples for draw in draws)
        },
        references=merge_references([draw.references for draw in draws]),
        warnings=warnings,
    )


def merge_references(draws: Sequence[Mapping[str, References]]) -> dict[str, References]:
    """Those that every draw has, seed after seed."""
    shared = [path for path in draws[0] if all(path in draw for draw in draws)]
    return {
        path: References(
            floor=_merged([draw[path].floor for draw in draws]),
            ceiling=_merged([draw[path].ceiling for draw in draws]),
            control=_merged([draw[path].control for draw in draws]),
            others=tuple(
                merged
                for of_draws in zip(*(draw[path].others for draw in draws), strict=False)
                if (merged := _merged(of_draws)) is not None
            ),
        )
        for path in shared
    }


def _merged(draws: Sequence[Reference | None]) -> Reference | None:
    first, measured = draws[0], [None if draw is None else draw.measured for draw in draws]
    if first is None or any(draw is None for draw in draws):
        return None
    samples = [value for value in measured if isinstance(value, Samples)]
    if len(samples) == len(draws):
        return replace(first, measured=stack_draws(samples))
    numbers = [value for value in measured if isinstance(value, float | int)]
    if len(numbers) == len(draws):
        return replace(first, measured=fmean(numbers))
    return next(draw for draw in draws if draw is not None and draw.measured is None) if None in measured else first


def _headline(spec: EvalSpec, draw: Scores) -> dict[str, float | None]:
    if draw.seed_results:
        return draw.seed_results[0].metrics
    metrics: BaseMetricCategories = draw.metrics
    values = metrics.model_dump()
    return {metric.path: metric.read(values) for metric in spec.metrics}


def _merge_details(rows: Sequence[Sequence[BaseResultDetail]]) -> tuple[list[BaseResultDetail], list[str]]:
    """Rows of equal name are averaged; draws with other rows (letters that only one of them has) are not merged."""
    names = [[_name(row) for row in of_draw] for of_draw in rows]
    if any(other != names[0] for other in names[1:]):
        return list(rows[0]), [DETAILS_DIFFER]
    merged = [_mean([row.model_dump() for row in same]) for same in zip(*rows, strict=True)]
    return [type(row).model_validate(values) for row, values in zip(rows[0], merged, strict=True)], []


def _name(row: BaseResultDetail) -> tuple[Any, ...]:
    """What tells a row from the others: its texts and whole numbers under names of identity."""
    return tuple(
        value for key, value in row if isinstance(value, str) or (isinstance(value, int) and key in ("index", "id"))
    )


def _mean(values: Sequence[Any], *, whole: bool = True) -> Any:
    """Means of the numbers of nested mappings and lists; what is neither alike nor a number is that of the first.

    With `whole`, means of integers are rounded to integers, for fields that hold no other number.
    """
    first = values[0]
    if isinstance(first, dict):
        shared = [key for key in first if all(isinstance(v, dict) and key in v for v in values)]
        return {key: _mean([value[key] for value in values], whole=whole) for key in shared}
    if isinstance(first, list) and all(isinstance(v, list) and len(v) == len(first) for v in values):
        return [_mean(list(items), whole=whole) for items in zip(*values, strict=True)]
    if any(value is None for value in values):
        return None
    if not all(isinstance(v, int | float) and not isinstance(v, bool) for v in values) or len(set(values)) == 1:
        return first
    mean = fmean(values)
    return round(mean) if whole and all(isinstance(v, int) for v in values) else mean
