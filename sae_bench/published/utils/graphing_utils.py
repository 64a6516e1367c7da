"""Plots of results, under their published names; they need the extra `graphs` (matplotlib, plotly).

Every plot takes `return_fig=True` to hand the figure out in place of showing it. The text size is set for these figures
only, nothing global changes.
"""

from sae_bench.published.graphs.correlation import plot_correlation_heatmap, plot_correlation_scatter
from sae_bench.published.graphs.from_files import (
    get_best_results,
    get_single_figure,
    plot_best_of_ks_results,
    plot_results,
)
from sae_bench.published.graphs.result_files import (
    find_eval_results_files,
    get_core_results,
    get_custom_metric_key_and_name,
    get_d_sae_string,
    get_eval_results,
    get_sae_bench_train_tokens,
    get_sae_bench_train_tokens_archived,
    get_sae_class_archived,
)
from sae_bench.published.graphs.scatter import (
    plot_2var_graph,
    plot_2var_graph_dict_size,
    plot_3var_graph,
    plot_interactive_3var_graph,
)
from sae_bench.published.graphs.style import (
    TRAINER_COLORS,
    TRAINER_LABELS,
    TRAINER_MARKERS,
    update_trainer_markers_and_colors,
)
from sae_bench.published.graphs.training import plot_steps_vs_average_diff, plot_training_steps

__all__ = [
    "TRAINER_COLORS",
    "TRAINER_LABELS",
    "TRAINER_MARKERS",
    "find_eval_results_files",
    "get_best_results",
    "get_core_results",
    "get_custom_metric_key_and_name",
    "get_d_sae_string",
    "get_eval_results",
    "get_sae_bench_train_tokens",
    "get_sae_bench_train_tokens_archived",
    "get_sae_class_archived",
    "get_single_figure",
    "plot_2var_graph",
    "plot_2var_graph_dict_size",
    "plot_3var_graph",
    "plot_best_of_ks_results",
    "plot_correlation_heatmap",
    "plot_correlation_scatter",
    "plot_interactive_3var_graph",
    "plot_results",
    "plot_steps_vs_average_diff",
    "plot_training_steps",
    "update_trainer_markers_and_colors",
]
