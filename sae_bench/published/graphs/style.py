"""Markers, colours and names of SAE architectures, and what all plots begin and end with."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from sae_bench.custom_saes.architectures import ARCHITECTURES
from sae_bench.errors import PrerequisiteError

Results = Mapping[str, Mapping[str, Any]]
"""Name of an SAE -> its numbers by name, beside `sae_class`, `d_sae` and `train_tokens`."""

_STYLES = {name: style for row in ARCHITECTURES.values() for name, style in row.plots}
TRAINER_MARKERS = {trainer: style.marker for trainer, style in _STYLES.items()}
TRAINER_COLORS = {trainer: style.color for trainer, style in _STYLES.items()}
TRAINER_LABELS = {trainer: style.label for trainer, style in _STYLES.items()}
_MORE_MARKERS = ("v", "<", ">", "p", "h", "D", "8", "H")
_MORE_COLORS = ("teal", "magenta", "olive", "gray", "cyan", "black", "gold", "navy")

FONT_SIZE = 20
MARKER_SIZE = 100


def label_of(trainer: str) -> str:
    """What a legend calls an architecture."""
    return TRAINER_LABELS.get(trainer, trainer.capitalize())


def update_trainer_markers_and_colors(
    results: Results, trainer_markers: Mapping[str, str], trainer_colors: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Both with an entry for every architecture of the results; new ones get what none of the others in them has."""
    markers, colors = dict(trainer_markers), dict(trainer_colors)
    present = sorted({str(data["sae_class"]) for data in results.values()})
    for known, more in ((markers, _MORE_MARKERS), (colors, _MORE_COLORS)):
        used = {known[trainer] for trainer in present if trainer in known}
        free = [style for style in dict.fromkeys([*known.values(), *more]) if style not in used]
        for i, trainer in enumerate(trainer for trainer in present if trainer not in known):
            known[trainer] = (free or list(more))[i % len(free or more)]
    return markers, colors


def with_value(results: Results, *keys: str) -> dict[str, Mapping[str, Any]]:
    """The SAEs that have a number under each of the keys."""
    return {name: data for name, data in results.items() if all(data.get(key) is not None for key in keys)}


# ---- matplotlib


def pyplot() -> ModuleType:
    """matplotlib's pyplot. Raises `PrerequisiteError` without it."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise PrerequisiteError(
            f"plots need matplotlib, which cannot be imported ({error}): pip install 'matplotlib>=3.8'"
        ) from error
    return plt


def plotly() -> ModuleType:
    """plotly's graph objects. Raises `PrerequisiteError` without it."""
    try:
        import plotly.graph_objects as go
    except ImportError as error:
        raise PrerequisiteError(
            f"interactive plots need plotly, which cannot be imported ({error}): pip install 'plotly>=5.20'"
        ) from error
    return go


@contextmanager
def large_text() -> Iterator[ModuleType]:
    """pyplot with the published text size, for the figures that are made inside only."""
    plt = pyplot()
    with plt.rc_context({"font.size": FONT_SIZE}):
        yield plt


def finish(fig: Any, output_filename: str | None, *, return_fig: bool = False) -> Any:
    """Save a figure if a file is named, then hand it out or show it."""
    fig.tight_layout()
    if output_filename:
        fig.savefig(output_filename, bbox_inches="tight")
    if return_fig:
        return fig
    plt = pyplot()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*non-interactive.*")
        plt.show()
    plt.close(fig)
    return None


def decorate(
    ax: Any,
    *,
    title: str,
    y_label: str,
    xlims: tuple[float | int, float | int] | None = None,
    ylims: tuple[float | int, float | int] | None = None,
    x_label: str = "L0 (Sparsity)",
    log_x: bool = True,
) -> None:
    """Titles, limits and scale of one plot."""
    ax.set_xlabel(x_label)
    ax.set_ylabel(y_label)
    ax.set_title(title)
    if log_x:
        ax.set_xscale("log")
    if xlims:
        ax.set_xlim(*xlims)
    if ylims:
        ax.set_ylim(*ylims)
    if log_x:
        _few_ticks(ax)


def _few_ticks(ax: Any) -> None:
    """Plain numbers on a logarithmic axis, few enough to stand beside one another in large text."""
    from matplotlib import ticker

    low, high = ax.get_xlim()
    short = low > 0 and high / low < 10
    ax.xaxis.set_major_locator(ticker.MaxNLocator(5) if short else ticker.LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _place: f"{value:g}"))
    ax.xaxis.set_minor_locator(ticker.NullLocator())
