"""All results of a report as one table: SAEs, metrics, values with their error bars, and which of them compare."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

from sae_bench.analysis.bars import error_bar
from sae_bench.analysis.table import Record
from sae_bench.analysis.validity import INVALID, Validation
from sae_bench.evals.base import Caveat, EvalSpec, Metric
from sae_bench.evals.registry import eval_names, get_eval
from sae_bench.report.cohorts import Cohort, cohorts_of
from sae_bench.report.facts import SAEFacts, facts_of
from sae_bench.report.fields import metric_text, metric_texts, readable
from sae_bench.report.sources import Source

L0 = "core|sparsity.l0"
LOSS_RECOVERED = "core|model_performance_preservation.ce_loss_score"
WIDTH, TOKENS = "sae|width", "sae|training_tokens"
NOT_KEPT = "the file keeps no error bar (made by the published package or an earlier version)"


@dataclass(frozen=True)
class SAE:
    """One SAE of one source."""

    number: int
    release: str
    sae_id: str
    source: int
    facts: SAEFacts

    @property
    def name(self) -> str:
        """`release:id`."""
        return f"{self.release}:{self.sae_id}"


@dataclass(frozen=True)
class MetricColumn:
    """One number of one eval.

    Attributes:
        key: `eval|path`, unique in the report.
        better: 1 if higher is better, -1 if lower is, 0 if neither, or if it says nothing of the SAE.
        headline: whether the eval declares it as one of its numbers.
        main: whether it is the first of them that results have.
    """

    key: str
    eval: str
    path: str
    title: str
    description: str = ""
    better: int = 0
    chance: float | None = None
    headline: bool = False
    main: bool = False
    caveats: tuple[Caveat, ...] = ()


@dataclass
class Values:
    """A metric by SAE (index as in `Collected.saes`); None where there is none."""

    value: list[float | None]
    low: list[float | None]
    high: list[float | None]
    n_seeds: list[int | None]
    reason: list[str | None]
    floor: list[float | None]
    ceiling: list[float | None]
    above_floor: list[float | None]
    above_low: list[float | None]
    above_high: list[float | None]
    beside: dict[tuple[str, str], list[float | None]] = field(default_factory=dict)
    """(role, name) of what was measured beside it -> by SAE; roles are floor, ceiling, control and other."""

    @classmethod
    def empty(cls, n: int) -> Values:
        """Nothing known of `n` SAEs."""
        columns: dict[str, Any] = {column.name: [None] * n for column in fields(cls) if column.name != "beside"}
        return cls(**columns)

    def references(self) -> list[tuple[str, str, float]]:
        """Role, name and value of what was measured beside it, where all SAEs that have it have the same."""
        known = {name: {value for value in column if value is not None} for name, column in self.beside.items()}
        return [(*name, values.pop()) for name, values in known.items() if len(values) == 1]

    def reference(self, end: Literal["floor", "ceiling"]) -> float | None:
        """Floor or ceiling, where all SAEs that have one have the same."""
        known = {value for value in getattr(self, end) if value is not None}
        return known.pop() if len(known) == 1 else None


@dataclass(frozen=True)
class EvalGroup:
    """One eval of the report."""

    name: str
    title: str
    summary: str
    spec: EvalSpec | None
    cohorts: list[Cohort] = field(default_factory=list)


@dataclass
class Collected:
    """What the page and the figures are made of."""

    sources: list[Source]
    saes: list[SAE]
    evals: list[EvalGroup]
    metrics: list[MetricColumn]
    values: dict[str, Values]
    records: dict[tuple[str, int], Record]

    def metric(self, key: str) -> MetricColumn | None:
        """A metric by key."""
        return next((metric for metric in self.metrics if metric.key == key), None)

    def cohort_of(self, eval_name: str) -> dict[int, int]:
        """SAE -> number of its cohort in this eval."""
        group = next((g for g in self.evals if g.name == eval_name), None)
        return {sae: n for n, cohort in enumerate(group.cohorts if group else ()) for sae in cohort.members}

    def values_of(self, key: str) -> list[float | None]:
        """A metric, or the SAEs' width or training tokens, by SAE."""
        if key == WIDTH:
            return [_number(sae.facts.width) for sae in self.saes]
        if key == TOKENS:
            return [_number(sae.facts.training_tokens) for sae in self.saes]
        column = self.values.get(key)
        return column.value if column is not None else [None] * len(self.saes)


def collect(sources: Sequence[Source]) -> Collected:
    """Every SAE of every source; one that two sources have appears twice."""
    grouped = [(s, _by_sae(source.table.records)) for s, source in enumerate(sources)]
    saes: list[SAE] = []
    records: dict[tuple[str, int], Record] = {}
    for source, by_sae in grouped:
        for of_sae in by_sae.values():
            sae = SAE(len(saes), of_sae[0].release, of_sae[0].sae_id, source, facts_of(of_sae))
            records.update({(record.eval_name, sae.number): record for record in of_sae})
            saes.append(sae)
    evals = [_eval_group(name, records) for name in _eval_order(sources)]
    validations = [source.validation for source in sources if source.validation is not None]
    metrics = [
        replace(metric, caveats=(*(found := verdicts_on(metric, validations)), *_others(metric, bool(found))))
        for group in evals
        for metric in _metrics(group, _records_of(records, group.name))
    ]
    values = {metric.key: _values(metric, len(saes), records) for metric in metrics}
    return Collected(list(sources), saes, evals, metrics, values, records)


def verdicts_on(metric: MetricColumn, validations: Sequence[Validation]) -> tuple[Caveat, ...]:
    """What `validate` found of a metric, in one sentence per model and hook."""
    verdicts = [one for validation in validations for one in validation.of(metric.eval, metric.path)]
    place = {one.group: f" ({one.group})" if len(verdicts) > 1 else "" for one in verdicts}
    return tuple(
        Caveat(f"{one.verdict}{place[one.group]}: {one.sentence}.", (metric.path,), one.verdict == INVALID)
        for one in verdicts
    )


def _others(metric: MetricColumn, is_judged: bool) -> tuple[Caveat, ...]:
    """The declared caveats; what was found elsewhere gives way to what was found here."""
    return tuple(caveat for caveat in metric.caveats if not (is_judged and caveat.elsewhere))


def _number(value: int | None) -> float | None:
    return None if value is None else float(value)


def _by_sae(records: Iterable[Record]) -> dict[str, list[Record]]:
    by_sae: dict[str, list[Record]] = {}
    for record in sorted(records, key=lambda r: (r.sae, r.eval_name)):
        by_sae.setdefault(record.sae, []).append(record)
    return by_sae


def _eval_order(sources: Sequence[Source]) -> list[str]:
    """Names as results hold them, evals of this version first and in their order."""
    names = list(dict.fromkeys(record.eval_name for source in sources for record in source.table.records))
    known = [_type_id(name) for name in eval_names()]
    return sorted(names, key=lambda name: (known.index(name) if name in known else len(known), name))


def _type_id(name: str) -> str:
    return str(get_eval(name).output.model_fields["eval_type_id"].default or name)


def _eval_group(name: str, records: dict[tuple[str, int], Record]) -> EvalGroup:
    of_eval = _records_of(records, name)
    spec = next(iter(of_eval.values())).spec
    title, summary = (spec.title, spec.summary) if spec else (readable(name), "An eval that this version has not.")
    return EvalGroup(name, title, summary, spec, cohorts_of(list(of_eval.items())))


def _records_of(records: dict[tuple[str, int], Record], eval_name: str) -> dict[int, Record]:
    return {number: record for (name, number), record in records.items() if name == eval_name}


def _metrics(group: EvalGroup, of_eval: dict[int, Record]) -> Iterator[MetricColumn]:
    """Headline metrics first, then every other number that some result has."""
    present = dict.fromkeys(path for record in of_eval.values() for path in record.values)
    declared = {m.path: m for m in group.spec.metrics} if group.spec else {}
    order = list(metric_texts(group.spec.output)) if group.spec else []
    others = sorted(
        (path for path in present if path not in declared),
        key=lambda path: order.index(path) if path in order else len(order),
    )
    headlines = [path for path in declared if path in present]
    for path in (*by_number(headlines, declared), *others):
        metric, text = declared.get(path), metric_text(group.spec, path)
        direction = metric.higher_is_better if metric else None
        yield MetricColumn(
            key=f"{group.name}|{path}",
            eval=group.name,
            path=path,
            title=metric.title if metric else text.title,
            description=text.description,
            better=0 if direction is None or (metric and metric.of_model) else 1 if direction else -1,
            chance=metric.chance if metric else None,
            headline=metric is not None or group.spec is None,
            main=path == (headlines or others)[0],
            caveats=group.spec.caveats_of(path) if group.spec else (),
        )


_NUMBER = re.compile(r"\d+")


def by_number(paths: Sequence[str], declared: Mapping[str, Metric]) -> list[str]:
    """Metrics whose titles differ by a number alone stand in the order of the numbers, at the place of their first."""
    families: dict[str, list[str]] = {}
    for path in paths:
        families.setdefault(_NUMBER.sub("#", declared[path].title), []).append(path)
    return [path for family in families.values()
            for path in sorted(family, key=lambda p: [int(n) for n in _NUMBER.findall(declared[p].title)])]  # fmt: skip


def _values(metric: MetricColumn, n: int, records: dict[tuple[str, int], Record]) -> Values:
    column = Values.empty(n)
    for number in range(n):
        record = records.get((metric.eval, number))
        value = record.values.get(metric.path) if record else None
        if record is None or value is None:
            continue
        column.value[number] = value
        if (validity := record.validity.get(metric.path)) is not None:
            column.floor[number] = None if validity.floor is None else validity.floor.value
            column.ceiling[number] = None if validity.ceiling is None else validity.ceiling.value
            named = [("floor", validity.floor), ("ceiling", validity.ceiling), ("control", validity.control)]
            for role, one in (*named, *(("other", other) for other in validity.others)):
                if one is not None and one.value is not None:
                    column.beside.setdefault((role, one.name), [None] * n)[number] = one.value
            above = validity.above_floor
            column.above_floor[number] = above.value
            column.above_low[number], column.above_high[number] = above.ci_low, above.ci_high
        bar = error_bar(record, metric.path)
        if bar is not None:
            column.low[number], column.high[number], column.n_seeds[number] = bar.ci_low, bar.ci_high, bar.n_seeds
            column.reason[number] = bar.reason
        elif metric.headline:
            column.reason[number] = NOT_KEPT
    return column
