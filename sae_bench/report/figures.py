"""The plots of the report as PNG and SVG for papers, drawn by matplotlib (no browser, no network)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy import stats

from sae_bench.atomic import atomic_path
from sae_bench.errors import PrerequisiteError, UsageError
from sae_bench.report.collect import L0, LOSS_RECOVERED, TOKENS, WIDTH, Collected, MetricColumn, Values
from sae_bench.report.facts import BASELINES, Architecture, architectures_of
from sae_bench.report.fronts import pareto_front

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = ("png", "svg")
_AXES = {L0: "L0", LOSS_RECOVERED: "loss recovered", WIDTH: "latents", TOKENS: "training tokens"}
_FILE_NAMES = {L0: "l0", LOSS_RECOVERED: "loss_recovered", WIDTH: "width", TOKENS: "training_tokens"}
_X_BETTER = {L0: -1, LOSS_RECOVERED: 1}
_FEWEST_SAES = 4
"""SAEs below which a correlation is not shown."""

NEAR = 0.25
"""A floor or ceiling is drawn where a point is so near."""

Columns = Literal[1, 2]
"""Columns of a paper that a figure is as wide as."""

_WIDTHS: dict[Columns, float] = {1: 3.5, 2: 7.1}
"""Inches: 89 and 180 mm."""

_MOST_ROWS = 12
"""Metrics up to which figures of all metrics show all; beyond, the main one of every eval."""

_STYLE: Any = {
    "font.size": 8, "axes.titlesize": 8, "axes.labelsize": 8, "xtick.labelsize": 7, "ytick.labelsize": 7,
    "legend.fontsize": 7, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.3,
    "legend.frameon": False, "savefig.dpi": 300, "svg.hashsalt": "sae-bench",
}  # fmt: skip


def write_figures(collected: Collected, folder: Path, *, columns: Columns = 2) -> list[Path]:
    """Write every plot of the headline metrics in all formats, and say where.

    Args:
        columns: how many columns of a paper they are as wide as; letters have 7 and 8 points in both.
    Raises:
        PrerequisiteError: matplotlib is not installed.
        UsageError: `folder` is a file.
    """
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise PrerequisiteError("--figures needs matplotlib. Next: pip install 'sae-bench[graphs]'.") from error
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"figures cannot go to '{folder}': it is a file. Next: name another folder.")
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    with mpl.rc_context(_STYLE):
        for name, figure in _figures(collected, columns):
            written += _save(figure, folder, name)
    return written


def _figures(collected: Collected, columns: Columns) -> Iterator[tuple[str, Figure]]:
    headline = [metric for metric in collected.metrics if metric.headline]
    for metric in headline:
        for axis, name in _FILE_NAMES.items():
            if axis != metric.key and (figure := scatter(collected, metric, axis, columns)) is not None:
                yield f"{metric.eval}_{metric.path.split('.', 1)[-1]}_by_{name}", figure
    ranked = [metric for metric in headline if metric.better]
    if len(ranked) > _MOST_ROWS:
        ranked = [metric for metric in ranked if metric.main]
    if (figure := correlation(collected, ranked, columns)) is not None:
        yield "correlation", figure
    if (figure := parallel(collected, ranked, columns)) is not None:
        yield "parallel_coordinates", figure


def _save(figure: Figure, folder: Path, name: str) -> list[Path]:
    paths = [folder / f"{re.sub(r'[^A-Za-z0-9_-]+', '_', name)}.{ending}" for ending in FORMATS]
    for path in paths:
        with atomic_path(path) as partial:
            metadata = {"Date": None} if path.suffix == ".svg" else None
            figure.savefig(partial, format=path.suffix[1:], metadata=metadata)
    return paths


def _new_figure(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure outside of pyplot's global state."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def _legend(figure: Figure, columns: Columns) -> None:
    """Below the axes of a narrow figure, beside those of a wide one."""
    if columns == 1:
        figure.legend(loc="outside lower center", ncols=2)
    else:
        figure.legend(loc="outside right upper")


def scatter(collected: Collected, metric: MetricColumn, axis: str, columns: Columns = 2) -> Figure | None:
    """A metric against L0, loss recovered, width or training tokens; None with fewer than two points on the axis.

    Args:
        axis: key of the metric on the horizontal axis.
        columns: columns of a paper that it is as wide as.
    """
    x, column = collected.values_of(axis), collected.values[metric.key]
    groups = collected.cohort_of(metric.eval)
    points = [(a, b, number) for number, (a, b) in enumerate(zip(x, column.value, strict=True))
              if a is not None and b is not None]  # fmt: skip
    if len({a for a, _, _ in points}) < 2:
        return None
    figure, axes = _new_figure(_WIDTHS[columns], 3.6)
    architectures = architectures_of(sae.facts.architecture for sae in collected.saes)
    for name, architecture in architectures.items():
        for group in sorted(set(groups.values())):
            chosen = [p for p in points if collected.saes[p[2]].facts.architecture == name and groups[p[2]] == group]
            if chosen:
                _draw_points(axes, chosen, collected, metric, architecture, group)
    if axis in _X_BETTER and metric.better:
        for group in sorted(set(groups.values())):
            ranked = [p for p in points if groups[p[2]] == group and not _is_baseline(collected, p[2])]
            _draw_front(axes, ranked, _X_BETTER[axis], metric.better)
    _draw_floor_and_ceiling(axes, metric, column, [b for _, b, _ in points])
    if axis in (L0, WIDTH, TOKENS) and min(a for a, _, _ in points) > 0:
        axes.set_xscale("log")
    axes.set_xlabel(_AXES[axis])
    axes.set_ylabel(f"{metric.title} {_direction(metric)}".strip())
    _legend(figure, columns)
    return figure


def _draw_floor_and_ceiling(axes: Axes, metric: MetricColumn, column: Values, scores: Sequence[float]) -> None:
    """Thin lines, where a point is near; chance in the place of a floor that is not known."""
    floor = column.reference("floor")
    lines = [("chance", metric.chance, ":") if floor is None else ("floor", floor, ":")]
    lines.append(("ceiling", column.reference("ceiling"), "--"))
    for name, level, style in lines:
        if level is not None and min(abs(score - level) for score in scores) < NEAR:
            axes.axhline(level, color="0.5", linestyle=style, linewidth=1, label=name)


def _draw_points(
    axes: Axes,
    points: Sequence[tuple[float, float, int]],
    collected: Collected,
    metric: MetricColumn,
    architecture: Architecture,
    group: int,
) -> None:
    column = collected.values[metric.key]
    y = np.asarray([b for _, b, _ in points])
    low = np.asarray([column.low[p] if column.low[p] is not None else np.nan for _, _, p in points], dtype=float)
    high = np.asarray([column.high[p] if column.high[p] is not None else np.nan for _, _, p in points], dtype=float)
    bars: Any = np.maximum(np.stack([y - low, high - y]), 0.0)
    cohorts = next(g.cohorts for g in collected.evals if g.name == metric.eval)
    label = architecture.title + (f" ({cohorts[group].title})" if group else "")
    axes.errorbar(
        [a for a, _, _ in points], y, yerr=None if np.isnan(bars).all() else bars, fmt=architecture.marker, ms=6,
        color=architecture.color, mfc="none" if group else architecture.color, elinewidth=0.9, capsize=2, label=label,
    )  # fmt: skip


def _draw_front(axes: Axes, points: Sequence[tuple[float, float, int]], x_better: int, y_better: int) -> None:
    if len(points) < 3:
        return
    point_of_sae = {sae: (a, b) for a, b, sae in points}
    front = [point_of_sae[sae] for sae in pareto_front(points, x_better=x_better, y_better=y_better)]
    axes.plot([a for a, _ in front], [b for _, b in front], color="0.45", linestyle="--", linewidth=1, zorder=1)


def correlation(collected: Collected, metrics: Sequence[MetricColumn], columns: Columns = 2) -> Figure | None:
    """Spearman rank correlations of the metrics over comparable results, turned so that better goes with better."""
    known = [(metric, _comparable(collected, metric)) for metric in metrics]
    known = [(metric, values) for metric, values in known if len(set(values.values())) > 1]
    if len(known) < 2:
        return None
    n = len(known)
    matrix = np.full((n, n), np.nan)
    for i, (_, a) in enumerate(known):
        for j, (_, b) in enumerate(known):
            both = [sae for sae in a if sae in b]
            x, y = [a[p] for p in both], [b[p] for p in both]
            if len(both) >= _FEWEST_SAES and len(set(x)) > 1 and len(set(y)) > 1:
                matrix[i, j] = stats.spearmanr(x, y).statistic
    figure, axes = _new_figure(_WIDTHS[columns], 0.5 + 0.75 * _WIDTHS[columns])
    image = axes.imshow(matrix, vmin=-1, vmax=1, cmap="RdBu")
    axes.grid(visible=False)
    labels = [f"{metric.eval}: {metric.title}" for metric, _ in known]
    axes.set_xticks(range(n), labels, rotation=60, ha="right")
    axes.set_yticks(range(n), labels)
    for i, j in np.argwhere(np.isfinite(matrix)) if n <= 20 else ():
        ink = "white" if abs(matrix[i, j]) > 0.6 else "black"
        axes.text(j, i, f"{matrix[i, j]:.2f}", ha="center", va="center", fontsize=7 if columns == 2 else 5, color=ink)
    figure.colorbar(image, ax=axes, shrink=0.8, label="Spearman")
    return figure


def parallel(collected: Collected, metrics: Sequence[MetricColumn], columns: Columns = 2) -> Figure | None:
    """Every SAE over all metrics, each from its worst (0) to its best (1) value."""
    known = [(metric, _comparable(collected, metric)) for metric in metrics]
    known = [(metric, values) for metric, values in known if len(values) > 1]
    if len(known) < 2:
        return None
    scaled = [(metric, _scaled(values)) for metric, values in known]
    figure, axes = _new_figure(_WIDTHS[columns], 3.8)
    architectures = architectures_of(sae.facts.architecture for sae in collected.saes)
    named: set[str] = set()
    for sae in collected.saes:
        at = [(i, values[sae.number]) for i, (_, values) in enumerate(scaled) if sae.number in values]
        if len(at) < 2:
            continue
        architecture = architectures[sae.facts.architecture]
        label = None if architecture.name in named else architecture.title
        named.add(architecture.name)
        axes.plot([i for i, _ in at], [v for _, v in at], color=architecture.color, marker=architecture.marker, ms=3,
                  linewidth=0.8, alpha=0.7, label=label)  # fmt: skip
    axes.set_xticks(range(len(known)), [f"{m.eval}:\n{m.title}" for m, _ in known], rotation=45, ha="right")
    axes.set_ylabel("worst to best")
    _legend(figure, columns)
    return figure


def _is_baseline(collected: Collected, sae: int) -> bool:
    return collected.saes[sae].facts.architecture in BASELINES


def _comparable(collected: Collected, metric: MetricColumn) -> dict[int, float]:
    """SAE -> value, higher is better, in the first group of comparable results."""
    groups, values = collected.cohort_of(metric.eval), collected.values[metric.key].value
    return {p: (metric.better or 1) * v for p, v in enumerate(values) if v is not None and groups.get(p) == 0}


def _scaled(values: dict[int, float]) -> dict[int, float]:
    low, high = min(values.values()), max(values.values())
    return {sae: (value - low) / (high - low) if high > low else 0.5 for sae, value in values.items()}


def _direction(metric: MetricColumn) -> str:
    return {1: "↑", -1: "↓", 0: ""}[metric.better]
