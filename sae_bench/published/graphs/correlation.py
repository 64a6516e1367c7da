"""Plots of how metrics go together over SAEs."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from sae_bench.published.graphs import style
from sae_bench.published.graphs.style import Results

logger = logging.getLogger(__name__)


def plot_correlation_heatmap(
    plotting_results: Results,
    metric_names: Sequence[str],
    ae_names: Sequence[str] | None = None,
    title: str = "Metric Correlation Heatmap",
    output_filename: str | None = None,
    figsize: tuple[float | int, float | int] = (12, 10),
    cmap: str = "coolwarm",
    annot: bool = True,
    return_fig: bool = False,
) -> Any:
    """Pearson correlations between metrics over SAEs; a metric that an SAE lacks is left out pair by pair."""
    names = list(plotting_results) if ae_names is None else list(ae_names)
    rows = [[_number(plotting_results[name].get(metric)) for metric in metric_names] for name in names]
    table = pd.DataFrame(rows, index=names, columns=list(metric_names)).corr()
    with style.large_text() as plt:
        fig, ax = plt.subplots(figsize=figsize)
        image = ax.imshow(table.to_numpy(), cmap=cmap, vmin=-1, vmax=1)
        ticks = range(len(metric_names))
        ax.set_xticks(ticks, labels=list(metric_names), rotation=45, ha="right")
        ax.set_yticks(ticks, labels=list(metric_names))
        for row, column in ((r, c) for r in ticks for c in ticks if annot):
            value = table.iat[row, column]
            ax.text(column, row, f"{value:.2f}", ha="center", va="center", color="w" if abs(value) > 0.6 else "k")
        fig.colorbar(image, ax=ax)
        ax.set_title(title)
        return style.finish(fig, output_filename, return_fig=return_fig)


def plot_correlation_scatter(
    plotting_results: Results,
    metric_x: str,
    metric_y: str,
    x_label: str | None = None,
    y_label: str | None = None,
    ae_names: Sequence[str] | None = None,
    title: str = "Metric Comparison Scatter Plot",
    output_filename: str | None = None,
    figsize: tuple[float | int, float | int] = (10, 8),
    return_fig: bool = False,
) -> Any:
    """One metric against another with the least-squares line and its correlation; needs two SAEs that have both."""
    names = list(plotting_results) if ae_names is None else list(ae_names)
    pairs = [(_number(plotting_results[n].get(metric_x)), _number(plotting_results[n].get(metric_y))) for n in names]
    values_P2 = np.array([pair for pair in pairs if not np.isnan(pair).any()])
    if len(values_P2) < 2:
        logger.warning("%d SAEs have both %s and %s: nothing to draw", len(values_P2), metric_x, metric_y)
        return None
    x, y = values_P2.T
    fit = stats.linregress(x, y)
    logger.info("r = %.4f, r² = %.4f, p = %.4f over %d SAEs", fit.rvalue, fit.rvalue**2, fit.pvalue, len(values_P2))
    with style.large_text() as plt:
        fig, ax = plt.subplots(figsize=figsize)
        ax.scatter(x, y, color="blue", label="SAE")
        ends = np.array([x.min(), x.max()])
        ax.plot(ends, fit.intercept + fit.slope * ends, color="red", label=f"r = {fit.rvalue:.4f}")
        style.decorate(ax, title=title, x_label=x_label or metric_x, y_label=y_label or metric_y, log_x=False)
        ax.legend()
        return style.finish(fig, output_filename, return_fig=return_fig)


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)
