"""How a report shows the details of an eval: the column that names a row, and charts of what the eval found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class RowsChart:
    """A point per row and column: scores by letter, by attribute.

    Attributes:
        score: what the values are, on the axis.
        columns: name in the legend -> column of the details; the first is what the eval found, the others stand
            beside it (floors, ceilings).
        labels: the columns that name a row; empty: the one that names it in the table.
        means: name in the legend -> path of the metric that is the mean of its rows, shown with its interval.
    """

    title: str
    score: str
    columns: Mapping[str, str]
    labels: tuple[str, ...] = ()
    means: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class NumbersChart:
    """Lines over a number that stands in the names of columns and metrics, written `{}` in their names.

    Attributes:
        number, score: what the axes are.
        columns: name in the legend -> column; a thin line for each row, the first name's only.
        means: name in the legend -> path of the metric that is the mean of all rows, shown with its interval.
        levels: name in the legend -> path of a metric without the number, shown as a level line.
    """

    title: str
    number: str
    score: str
    columns: Mapping[str, str]
    means: Mapping[str, str]
    levels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PlaneChart:
    """A point per row: one column against another.

    Attributes:
        x, y: column and what it is.
        said: columns that a point says of itself.
        joined: whether a line joins the points in the order of x.
        marked: a true-or-false column; points where it is false are hollow, and what hollow means.
    """

    title: str
    x: tuple[str, str]
    y: tuple[str, str]
    said: tuple[str, ...] = ()
    joined: bool = False
    marked: tuple[str, str] | None = None


Chart = RowsChart | NumbersChart | PlaneChart


@dataclass(frozen=True)
class Shows:
    """How a report shows the details of an eval.

    Attributes:
        label: the column that names a row; empty: the first one.
        rows: what a row is; many latents are shown as histograms, anything else as a table.
        charts: what the eval found, the most telling first.
        histograms: of latents, the columns whose histograms are shown at once; the others are folded.
    """

    label: str = ""
    rows: Literal["latents", "other"] = "other"
    charts: tuple[Chart, ...] = ()
    histograms: tuple[str, ...] = ()
