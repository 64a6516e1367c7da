"""Plots of a metric against sparsity, one point per SAE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sae_bench.errors import UsageError
from sae_bench.published.graphs import style
from sae_bench.published.graphs.style import Results

Number = float | int
Limits = tuple[Number, Number]


def plot_2var_graph(
    results: Results,
    custom_metric: str,
    title: str = "L0 vs Custom Metric",
    y_label: str = "Custom Metric",
    xlims: Limits | None = None,
    ylims: Limits | None = None,
    output_filename: str | None = None,
    baseline_value: Number | None = None,
    baseline_label: str | None = None,
    x_axis_key: str = "l0",
    trainer_markers: Mapping[str, str] | None = None,
    trainer_colors: Mapping[str, str] | None = None,
    return_fig: bool = False,
    connect_points: bool = False,
) -> Any:
    """A metric against L0, one marker and colour per architecture; SAEs that lack one of the two are left out."""
    results = _drawable(results, x_axis_key, custom_metric)
    markers, colors = style.update_trainer_markers_and_colors(
        results, trainer_markers or style.TRAINER_MARKERS, trainer_colors or style.TRAINER_COLORS
    )
    with style.large_text() as plt:
        fig, ax = plt.subplots(figsize=(12, 6))
        for trainer, points in _by_class(results, markers).items():
            xy = sorted((data[x_axis_key], data[custom_metric]) for data in points)
            x, y = zip(*xy, strict=True)
            if connect_points:
                ax.plot(x, y, color=colors[trainer], alpha=0.5, zorder=1)
            ax.scatter(x, y, s=style.MARKER_SIZE, marker=markers[trainer], color=colors[trainer], edgecolor="black",
                       zorder=2, label=style.label_of(trainer))  # fmt: skip
        _baseline(ax, baseline_value, baseline_label)
        style.decorate(ax, title=title, y_label=y_label, xlims=xlims, ylims=ylims)
        ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
        return style.finish(fig, output_filename, return_fig=return_fig)


def plot_2var_graph_dict_size(
    results: Results, custom_metric: str, title: str = "L0 vs Custom Metric", y_label: str = "Custom Metric",
    xlims: Limits | None = None, ylims: Limits | None = None, output_filename: str | None = None,
    legend_location: str = "lower right", baseline_value: Number | None = None, baseline_label: str | None = None,
    x_axis_key: str = "l0", return_fig: bool = False, trainer_markers: Mapping[str, str] | None = None,
) -> Any:  # fmt: skip
    """A metric against L0, one shade of red per width (the wider, the darker) and one marker per architecture."""
    results = _drawable(results, x_axis_key, custom_metric)
    markers, _ = style.update_trainer_markers_and_colors(
        results, trainer_markers or style.TRAINER_MARKERS, style.TRAINER_COLORS
    )
    sizes = sorted({str(data["d_sae"]) for data in results.values()}, key=_width)
    with style.large_text() as plt:
        shades = [plt.get_cmap("Reds")(0.1 + 0.8 * i / max(len(sizes) - 1, 1)) for i in range(len(sizes))]
        fig, ax = plt.subplots(figsize=(10, 6))
        for size, shade in zip(sizes, shades, strict=True):
            for data in (d for d in results.values() if d["d_sae"] == size):
                ax.scatter(data[x_axis_key], data[custom_metric], s=style.MARKER_SIZE, color=shade, edgecolor="black",
                           marker=markers[data["sae_class"]])  # fmt: skip
            ax.scatter([], [], s=style.MARKER_SIZE, color=shade, edgecolor="black", label=f"SAE Width: {size}")
        _baseline(ax, baseline_value, baseline_label)
        style.decorate(ax, title=title, y_label=y_label, xlims=xlims, ylims=ylims)
        ax.legend(loc=legend_location)
        return style.finish(fig, output_filename, return_fig=return_fig)


def plot_3var_graph(
    results: Results,
    title: str,
    custom_metric: str,
    xlims: Limits | None = None,
    ylims: Limits | None = None,
    colorbar_label: str = "Average Diff",
    output_filename: str | None = None,
    legend_location: str = "lower right",
    x_axis_key: str = "l0",
    y_axis_key: str = "ce_loss_score",
    trainer_markers: Mapping[str, str] | None = None,
    return_fig: bool = False,
) -> Any:
    """Loss recovered against L0, a metric as colour, one marker per architecture."""
    results = _drawable(results, x_axis_key, y_axis_key, custom_metric)
    markers, _ = style.update_trainer_markers_and_colors(
        results, trainer_markers or style.TRAINER_MARKERS, style.TRAINER_COLORS
    )
    values = [data[custom_metric] for data in results.values()]
    with style.large_text() as plt:
        fig, ax = plt.subplots(figsize=(10, 6))
        scale = plt.Normalize(min(values), max(values))
        for trainer, points in _by_class(results, markers).items():
            ax.scatter([d[x_axis_key] for d in points], [d[y_axis_key] for d in points], s=style.MARKER_SIZE,
                       c=[d[custom_metric] for d in points], cmap="viridis", norm=scale, marker=markers[trainer],
                       edgecolor="black")  # fmt: skip
            ax.scatter([], [], s=style.MARKER_SIZE, marker=markers[trainer], color="white", edgecolor="black",
                       label=style.label_of(trainer))  # fmt: skip
        fig.colorbar(plt.cm.ScalarMappable(norm=scale, cmap="viridis"), ax=ax, label=colorbar_label)
        style.decorate(ax, title=title, y_label="Loss Recovered (Fidelity)", xlims=xlims, ylims=ylims, log_x=False)
        ax.legend(loc=legend_location)
        return style.finish(fig, output_filename, return_fig=return_fig)


def plot_interactive_3var_graph(
    results: Results,
    custom_color_metric: str,
    xlims: Limits | None = None,
    y_lims: Limits | None = None,
    output_filename: str | None = None,
    x_axis_key: str = "l0",
    y_axis_key: str = "ce_loss_score",
    title: str = "",
    return_fig: bool = False,
) -> Any:
    """The same as a plotly figure, whose points tell their SAE; `output_filename` is an HTML file."""
    go = style.plotly()
    results = _drawable(results, x_axis_key, y_axis_key, custom_color_metric)
    told = [
        f"{name}<br>L0: {d[x_axis_key]:.4f}<br>Loss recovered: {d[y_axis_key]:.4f}<br>"
        f"{custom_color_metric}: {d[custom_color_metric]:.4f}<br>Width: {d['d_sae']}"
        for name, d in results.items()
    ]
    color = [d[custom_color_metric] for d in results.values()]
    points = go.Scatter(
        x=[d[x_axis_key] for d in results.values()],
        y=[d[y_axis_key] for d in results.values()],
        mode="markers",
        marker={"size": 10, "color": color, "colorscale": "Viridis", "showscale": True},
        text=told,
        hoverinfo="text",
    )
    fig = go.Figure(points)
    fig.update_layout(title=title, xaxis_title="L0 (Sparsity)", yaxis_title="Loss Recovered (Fidelity)")
    if xlims:
        fig.update_xaxes(range=list(xlims))
    if y_lims:
        fig.update_yaxes(range=list(y_lims))
    if output_filename:
        fig.write_html(output_filename)
    if return_fig:
        return fig
    fig.show()
    return None


# ---- parts


def _drawable(results: Results, *keys: str) -> dict[str, Mapping[str, Any]]:
    """The SAEs that can be drawn. Raises `UsageError` if there are none."""
    drawable = style.with_value(results, *keys)
    if not drawable:
        raise UsageError(f"none of {len(results)} SAEs has a number for all of {', '.join(keys)}: nothing to draw.")
    return drawable


def _by_class(results: Results, order: Mapping[str, str]) -> dict[str, Sequence[Mapping[str, Any]]]:
    """Architecture -> its SAEs, in the order of the legend."""
    grouped = {trainer: [d for d in results.values() if d["sae_class"] == trainer] for trainer in order}
    return {trainer: of_trainer for trainer, of_trainer in grouped.items() if of_trainer}


def _baseline(ax: Any, value: Number | None, label: str | None) -> None:
    if value is not None:
        ax.axhline(value, color="red", linestyle="--", label=label)


def _width(size: str) -> float:
    """A width such as 16k or 1M as a number."""
    unit = {"k": 1e3, "M": 1e6}.get(size[-1:], 1.0)
    number = size.rstrip("kM")
    return float(number) * unit if number.replace(".", "").isdigit() else float("inf")
