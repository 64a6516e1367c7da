"""Charts of the details of one result, as its eval declares them (`evals/shows.py`), as series that the page draws."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sae_bench.analysis.bars import error_bar
from sae_bench.analysis.table import Record
from sae_bench.evals.shows import Chart, NumbersChart, PlaneChart, RowsChart
from sae_bench.report.fields import readable
from sae_bench.report.numbers import round6

Row = Mapping[str, Any]
Series = dict[str, Any]
MOST_LINES = 12
"""Rows that are drawn as lines of their own; of more, only their mean is."""

MEAN = "mean of all"


def charts_of(record: Record, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Every declared chart for which the result has at least one point."""
    charts = [] if record.spec is None else [_chart(chart, record, rows) for chart in record.spec.shows.charts]
    return [chart for chart in charts if any(series["y"] for series in chart["series"])]


def _chart(chart: Chart, record: Record, rows: Sequence[Row]) -> dict[str, Any]:
    if isinstance(chart, RowsChart):
        return _rows_chart(chart, record, rows)
    return _numbers_chart(chart, record, rows) if isinstance(chart, NumbersChart) else _plane_chart(chart, rows)


def _rows_chart(chart: RowsChart, record: Record, rows: Sequence[Row]) -> dict[str, Any]:
    """Categories on x; the mean of all rows is one more of them, with its interval."""
    labels = chart.labels or (record.spec.shows.label if record.spec else "",)
    names = [" · ".join(str(row.get(label)) for label in labels) for row in rows]
    series = [_series(name, names, [row.get(column) for row in rows]) for name, column in chart.columns.items()]
    for name, path in chart.means.items():
        if path in record.values:
            one = next(entry for entry in series if entry["name"] == name)
            _append(one, MEAN, record, path)
    return _packed(chart.title, "", chart.score, series, kind="rows")


def _numbers_chart(chart: NumbersChart, record: Record, rows: Sequence[Row]) -> dict[str, Any]:
    """Thin lines of single rows, and the mean of all with its interval and control at every number."""
    column, path = next(iter(chart.columns.values())), next(iter(chart.means.values()))
    label = record.spec.shows.label if record.spec else ""
    numbers = _numbers_in(column, [name for row in rows for name, value in row.items() if value is not None])
    series = []
    if 1 < len(rows) <= MOST_LINES:
        series = [_series(_row_name(row, label), numbers, [row.get(column.format(n)) for n in numbers], role="row")
                  for row in rows]  # fmt: skip
    for name, pattern in chart.means.items():
        mean = _series(name, [], [])
        for n in _numbers_in(pattern, record.values):
            _append(mean, n, record, pattern.format(n))
        series.append(mean)
    at_number = {n: record.validity[path.format(n)] for n in _numbers_in(path, record.validity)}
    controls = {n: beside.control for n, beside in at_number.items() if beside.control is not None}
    if controls:
        name = next(iter(controls.values())).name
        series.append(_series(name, list(controls), [control.value for control in controls.values()], role="beside"))
    levels = {name: record.values.get(metric) for name, metric in chart.levels.items()}
    for beside in list(at_number.values())[:1]:
        ends = {"floor": beside.floor, "ceiling": beside.ceiling}
        levels |= {f"{end}: {one.name}": one.value for end, one in ends.items() if one is not None}
    return _packed(chart.title, chart.number, chart.score, series, kind="numbers", levels=levels)


def _plane_chart(chart: PlaneChart, rows: Sequence[Row]) -> dict[str, Any]:
    """Points that count, and those that do not."""
    (x, x_title), (y, y_title) = chart.x, chart.y
    ordered = sorted((row for row in rows if row.get(x) is not None and row.get(y) is not None), key=lambda row: row[x])
    groups = {"": ordered}
    if chart.marked is not None:
        column, hollow = chart.marked
        groups = {"counts": [r for r in ordered if r.get(column)], hollow: [r for r in ordered if not r.get(column)]}
    series = [
        _series(name, [row[x] for row in group], [row[y] for row in group], role="hollow" if n else "main")
        | {"text": [_said(row, chart.said) for row in group]}
        for n, (name, group) in enumerate(groups.items())
        if group
    ]
    if chart.joined and len(ordered) > 1:
        series.insert(0, _series("", [row[x] for row in ordered], [row[y] for row in ordered], role="join"))
    return _packed(chart.title, x_title, y_title, series, kind="plane")


def _numbers_in(pattern: str, names: Iterable[str]) -> list[int]:
    """The numbers for which a name of this pattern is there, in their order."""
    expression = re.compile(re.escape(pattern).replace(r"\{\}", r"(\d+)"))
    return sorted({int(match[1]) for name in names if (match := expression.fullmatch(name))})


def _series(name: str, x: Sequence[Any], y: Sequence[Any], role: str = "main") -> Series:
    known = [(a, round6(b)) for a, b in zip(x, y, strict=True) if isinstance(b, int | float)]
    return {"name": name, "role": role, "x": [a for a, _ in known], "y": [b for _, b in known]}


def _append(series: Series, x: Any, record: Record, path: str) -> None:
    """One more point: a metric with its interval."""
    value, bar = record.values[path], error_bar(record, path)
    ends = (None, None) if bar is None else (round6(bar.ci_low), round6(bar.ci_high))
    series.setdefault("low", [None] * len(series["y"])).append(ends[0])
    series.setdefault("high", [None] * len(series["y"])).append(ends[1])
    series["x"].append(x)
    series["y"].append(round6(value))


def _row_name(row: Row, label: str) -> str:
    return str(row.get(label, "")).removesuffix("_results")


def _said(row: Row, columns: Sequence[str]) -> str:
    return ", ".join(f"{readable(name).lower()} {row[name]}" for name in columns if row.get(name) is not None)


def _packed(
    title: str, x: str, y: str, series: Sequence[Series], *, kind: str, levels: Mapping[str, float | None] | None = None
) -> dict[str, Any]:
    known = {name: round6(value) for name, value in (levels or {}).items() if value is not None}
    shown = [entry for entry in series if entry["y"]]
    return {"title": title, "kind": kind, "x": x, "y": y, "series": shown, "levels": known}
