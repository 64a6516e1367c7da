"""Whole sets of plots straight from result files."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from sae_bench.errors import UsageError
from sae_bench.published.graphs import result_files, scatter
from sae_bench.published.graphs.result_files import get_custom_metric_key_and_name
from sae_bench.results.files import result_path

BEST = "best_custom_metric"

SAEName = tuple[str, str]
"""(release, id)"""


def plot_results(
    eval_filenames: Sequence[str],
    core_filenames: Sequence[str],
    eval_type: str,
    image_base_name: str,
    k: int | None = None,
    trainer_markers: Mapping[str, str] | None = None,
    trainer_colors: Mapping[str, str] | None = None,
    title_prefix: str = "",
    return_fig: bool = False,
    baseline_sae_path: str | None = None,
    baseline_label: str | None = None,
) -> Any:
    """An eval's metric against L0, in one plot by architecture and in one by width, saved as
    `<image_base_name>_2var_sae_type.png` and `<image_base_name>_2var_dict_size.png`.

    Args:
        eval_type: name of the eval, which is also a part of the path of the baseline's result.
        return_fig: hand out the plot by architecture in place of showing both.
    """
    core = result_files.get_core_results(core_filenames)
    results = result_files.with_core(result_files.get_eval_results(eval_filenames), core)
    metric, name = get_custom_metric_key_and_name(eval_type, k)
    _check_label(baseline_sae_path, baseline_label)
    baseline = None
    if baseline_sae_path is not None:
        (values,) = result_files.get_eval_results([baseline_sae_path]).values()
        baseline = values[metric]
    drawn: dict[str, Any] = {
        "title": f"{title_prefix}L0 vs {name}",
        "y_label": name,
        "baseline_value": baseline,
        "baseline_label": baseline_label,
        "trainer_markers": trainer_markers,
    }
    by_type, by_size = _image_names(image_base_name)
    fig = scatter.plot_2var_graph(
        results, metric, output_filename=by_type, trainer_colors=trainer_colors, return_fig=return_fig, **drawn
    )
    scatter.plot_2var_graph_dict_size(results, metric, output_filename=by_size, **drawn)
    return fig


def get_single_figure(
    selected_saes: Sequence[SAEName],
    results_path: str,
    core_results_path: str,
    image_base_name: str,
    k: int | None = None,
    trainer_markers: Mapping[str, str] | None = None,
    title: str | None = None,
    title_prefix: str = "",
    plot_type: bool = True,
    baseline_sae: SAEName | None = None,
    baseline_label: str | None = None,
) -> Any:
    """One figure of the SAEs whose results are in two folders: by architecture (`plot_type`), else by width."""
    results = _of_folders(selected_saes, results_path, core_results_path)
    metric, name = get_custom_metric_key_and_name(results_path, k)
    _check_label(baseline_sae, baseline_label)
    baseline = None
    if baseline_sae is not None:
        (values,) = result_files.get_eval_results(_paths([baseline_sae], results_path)).values()
        baseline = values[metric]
    by_type, by_size = _image_names(image_base_name)
    draw = scatter.plot_2var_graph if plot_type else scatter.plot_2var_graph_dict_size
    return draw(
        results,
        metric,
        title=title or f"{title_prefix}L0 vs {name}",
        y_label=name,
        output_filename=by_type if plot_type else by_size,
        trainer_markers=trainer_markers,
        baseline_value=baseline,
        baseline_label=baseline_label,
        return_fig=True,
    )


def plot_best_of_ks_results(
    selected_saes: Sequence[SAEName],
    results_path: str,
    core_results_path: str,
    image_base_name: str,
    ks: Sequence[int],
    trainer_markers: Mapping[str, str] | None = None,
    title_prefix: str = "",
    baseline_sae: SAEName | None = None,
    baseline_label: str | None = None,
) -> None:
    """The best value over several k of each SAE: against L0 by architecture and by width, and with loss recovered."""
    results = get_best_results(_of_folders(selected_saes, results_path, core_results_path), results_path, ks)
    name = get_custom_metric_key_and_name(results_path, 0)[1].replace("Top 0", f"Best of {list(ks)}")
    _check_label(baseline_sae, baseline_label)
    baseline = None
    if baseline_sae is not None:
        core_and_eval = result_files.get_eval_results(_paths([baseline_sae], results_path))
        (values,) = get_best_results(core_and_eval, results_path, ks).values()
        baseline = values[BEST]
    by_type, by_size = _image_names(image_base_name)
    scatter.plot_3var_graph(
        results, f"{title_prefix}L0 vs Loss Recovered vs {name}", BEST, colorbar_label="Custom Metric",
        output_filename=f"{image_base_name}_3var.png", trainer_markers=trainer_markers,
    )  # fmt: skip
    for draw, image in ((scatter.plot_2var_graph, by_type), (scatter.plot_2var_graph_dict_size, by_size)):
        draw(
            results,
            BEST,
            title=f"{title_prefix}L0 vs {name}",
            y_label=name,
            output_filename=image,
            trainer_markers=trainer_markers,
            baseline_value=baseline,
            baseline_label=baseline_label,
        )


def get_best_results(
    results_dict: Mapping[str, Mapping[str, Any]], results_path: str, ks: Sequence[int]
) -> dict[str, dict[str, Any]]:
    """The results with `best_custom_metric`: the largest value over `ks`; None where an SAE has none of them."""
    keys = [get_custom_metric_key_and_name(results_path, k)[0] for k in ks]

    def best(values: Mapping[str, Any]) -> float | None:
        return max((values[key] for key in keys if values.get(key) is not None), default=None)

    return {name: {**values, BEST: best(values)} for name, values in results_dict.items()}


def _of_folders(saes: Sequence[SAEName], results_path: str, core_path: str) -> dict[str, dict[str, Any]]:
    results = result_files.get_eval_results(_paths(saes, results_path))
    return result_files.with_core(results, result_files.get_core_results(_paths(saes, core_path)))


def _paths(saes: Sequence[SAEName], folder: str) -> list[str]:
    return [str(result_path(folder, release, sae_id)) for release, sae_id in saes]


def _image_names(base: str) -> tuple[str, str]:
    folder = os.path.dirname(base)
    if folder:
        os.makedirs(folder, exist_ok=True)
    return f"{base}_2var_sae_type.png", f"{base}_2var_dict_size.png"


def _check_label(baseline: object, label: str | None) -> None:
    if (baseline is None) != (label is None):
        raise UsageError("a baseline and its label go together: give both or neither.")
