"""Plots of a metric over the course of training."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from sae_bench.errors import UsageError
from sae_bench.published.graphs import style
from sae_bench.published.graphs.style import Results

Curve = Sequence[tuple[float, float]]
"""(training steps or tokens, metric), sorted."""

_STEP = re.compile(r"_?(?:step|checkpoints?)_\d+")


def plot_steps_vs_average_diff(
    results_dict: Results,
    steps_key: str = "train_tokens",
    avg_diff_key: str = "average_diff",
    title: str | None = None,
    y_label: str | None = None,
    output_filename: str | None = None,
    return_fig: bool = False,
) -> Any:
    """A metric against the share of training that is done, a line per SAE and their mean.

    SAEs whose names differ in their `step_<number>` alone are one SAE over time.
    """
    runs: dict[str, list[str]] = {}
    for name in results_dict:
        runs.setdefault(_STEP.sub("", name), []).append(name)
    curves = {run: _curve(results_dict, names, steps_key, avg_diff_key) for run, names in runs.items()}
    with style.large_text() as plt:
        fig, ax = plt.subplots(figsize=(12, 6))
        for curve in curves.values():
            ax.plot(*_progress(curve), marker="o", alpha=0.3, linewidth=1)
        ax.plot(*_progress(_mean(curves)), marker="o", linewidth=3, color="red", zorder=10, label="Average")
        label = y_label or _spoken(avg_diff_key)
        style.decorate(ax, title=title or "", y_label=label, x_label="Training Progress (%)", log_x=False)
        ax.grid(alpha=0.3)
        return style.finish(fig, output_filename, return_fig=return_fig)


def plot_training_steps(
    results_dict: Results,
    metric_key: str,
    steps_key: str = "train_tokens",
    title: str | None = None,
    y_label: str | None = None,
    output_filename: str | None = None,
    break_fraction: float = 0.15,
    return_fig: bool = False,
) -> Any:
    """A metric against training steps, on a broken axis: step 0 on the left, the rest on a logarithmic scale.

    SAEs of one architecture and one trainer number (`..._trainer_<number>_...`) are one SAE over time.

    Raises:
        UsageError: no SAE was trained for more than 0 steps.
    """
    curves, classes = _by_trainer(results_dict, steps_key, metric_key)
    later = [step for curve in curves.values() for step, _ in curve if step > 0]
    if not later:
        raise UsageError(f"no SAE has a '{steps_key}' above 0: there is no training to plot.")
    _, colors = style.update_trainer_markers_and_colors(results_dict, style.TRAINER_MARKERS, style.TRAINER_COLORS)
    with style.large_text() as plt:
        ratios = {"width_ratios": [break_fraction, 1 - break_fraction]}
        fig, (start, rest) = plt.subplots(1, 2, sharey=True, figsize=(15, 6), gridspec_kw=ratios)
        for ax in (start, rest):
            for run, curve in curves.items():
                ax.plot(*_unzipped(curve), marker="o", linewidth=2, alpha=0.3, color=colors[classes[run]])
            ax.plot(*_unzipped(_mean(curves)), marker="o", linewidth=4, color="black", zorder=10)
            ax.grid(alpha=0.3)
        _break_axis(start, rest, min(later) / 2)
        start.set_ylabel(y_label or _spoken(metric_key))
        fig.supxlabel("Training Steps")
        if title is not None:
            fig.suptitle(title)
        rest.plot([], [], color="black", linewidth=3, label="Average")
        for trainer in sorted(set(classes.values())):
            rest.plot([], [], color=colors[trainer], linewidth=3, label=style.label_of(trainer))
        rest.legend(loc="lower right")
        return style.finish(fig, output_filename, return_fig=return_fig)


def _by_trainer(results: Results, steps_key: str, metric_key: str) -> tuple[dict[str, Curve], dict[str, str]]:
    """Curves by trainer, and the architecture of each."""
    runs: dict[str, list[str]] = {}
    classes: dict[str, str] = {}
    for name, data in results.items():
        number = name.split("_trainer_")[-1].split("_")[0]
        run = f"{data['sae_class']} Trainer {number}"
        runs.setdefault(run, []).append(name)
        classes[run] = str(data["sae_class"])
    return {run: _curve(results, names, steps_key, metric_key) for run, names in runs.items()}, classes


def _curve(results: Results, names: Sequence[str], steps_key: str, metric_key: str) -> Curve:
    return sorted((float(results[name][steps_key]), float(results[name][metric_key])) for name in names)


def _mean(curves: Mapping[str, Curve]) -> Curve:
    """At every step, the mean over the SAEs that have one there."""
    steps = sorted({step for curve in curves.values() for step, _ in curve})
    return [(step, fmean(value for curve in curves.values() for at, value in curve if at == step)) for step in steps]


def _progress(curve: Curve) -> tuple[list[float], list[float]]:
    """Steps as percentages of the last one."""
    steps, values = _unzipped(curve)
    return [100 * step / max(max(steps), 1) for step in steps], values


def _unzipped(curve: Curve) -> tuple[list[float], list[float]]:
    return [step for step, _ in curve], [value for _, value in curve]


def _spoken(key: str) -> str:
    return key.replace("_", " ").capitalize()


def _break_axis(start: Any, rest: Any, at: float) -> None:
    """Make two plots side by side look like one whose axis is broken at a value."""
    start.set_xlim(-at / 4, at)
    rest.set_xscale("log")
    rest.set_xlim(left=at)
    start.spines["right"].set_visible(False)
    rest.spines["left"].set_visible(False)
    rest.yaxis.tick_right()
    mark = {"marker": [(-0.5, -1), (0.5, 1)], "markersize": 12, "linestyle": "none", "color": "k", "clip_on": False}
    start.plot([1, 1], [0, 1], transform=start.transAxes, **mark)
    rest.plot([0, 0], [0, 1], transform=rest.transAxes, **mark)
