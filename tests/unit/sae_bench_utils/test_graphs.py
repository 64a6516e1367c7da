"""Published plots on constructed results: what is drawn, where, in which colour, and what is left out."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import matplotlib
import pytest

matplotlib.use("Agg")

import itertools

import matplotlib.pyplot as plt
from matplotlib.colors import to_rgba

from sae_bench.errors import PrerequisiteError, ResultError, UsageError
from sae_bench.published.graphs.style import FONT_SIZE
from sae_bench.sae_bench_utils import graphing_utils as graphs

SAES = [  # name, architecture, width, L0, loss recovered, two metrics
    ("rel_topk_trainer_0", "topk", 4096, 20.0, 0.90, 0.70, 0.75),
    ("rel_topk_trainer_1", "topk", 16384, 40.0, 0.93, 0.72, 0.85),
    ("rel_relu_trainer_2", "standard", 4096, 100.0, 0.95, 0.60, 0.65),
    ("rel_mine_trainer_3", "my_sae", 65536, 60.0, 0.97, 0.80, 0.80),
]


def results(tokens: float = 1e6) -> dict[str, dict[str, Any]]:
    return {
        name: {
            "sae_class": architecture,
            "d_sae": graphs.get_d_sae_string(width),
            "l0": l0,
            "ce_loss_score": recovered,
            "score": score,
            "train_tokens": tokens,
        }
        for name, architecture, width, l0, recovered, score, _ in SAES
    }


@pytest.fixture(autouse=True)
def _no_figure_stays_open():
    yield
    open_figures = plt.get_fignums()
    plt.close("all")
    assert len(open_figures) <= 1, "a figure that was shown is closed"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """core/ and sparse_probing/ with a result of every SAE."""
    for eval_name in ("core", "sparse_probing"):
        (tmp_path / eval_name).mkdir()
    for name, architecture, width, l0, recovered, first, second in SAES:
        release, sae_id = name.split("_", 1)
        common = {
            "eval_config": {"model_name": "m"},
            "sae_cfg_dict": {"architecture": architecture, "d_sae": width, "training_tokens": 500},
        }
        core = {"sparsity": {"l0": l0}, "model_performance_preservation": {"ce_loss_score": recovered}}
        probing = {
            "llm": {"llm_top_1_test_accuracy": 0.9},
            "sae": {"sae_top_1_test_accuracy": first, "sae_top_5_test_accuracy": second},
        }
        for eval_name, metrics in (("core", core), ("sparse_probing", probing)):
            path = tmp_path / eval_name / f"{release}_{sae_id}_eval_results.json"
            path.write_text(json.dumps({**common, "eval_type_id": eval_name, "eval_result_metrics": metrics}))
    return tmp_path


def points(ax: Any) -> set[tuple[float, float]]:
    return {tuple(map(float, xy)) for group in ax.collections for xy in group.get_offsets() if len(xy)}


def legend(fig: Any, axes: int = 0) -> list[str]:
    return [text.get_text() for text in fig.axes[axes].get_legend().get_texts()]


# ---- result files


def test_result_files_as_plots_read_them(files: Path):
    found = graphs.find_eval_results_files([str(files / "sparse_probing")])
    assert len(found) == len(SAES)
    assert found == sorted(found)
    read = graphs.get_eval_results(found)["rel_topk_trainer_1"]
    assert (read["sae_top_5_test_accuracy"], read["sae_class"], read["d_sae"], read["train_tokens"]) == (
        0.85, "topk", "16k", 500,
    )  # fmt: skip
    core = graphs.get_core_results(graphs.find_eval_results_files([str(files / "core")]))
    assert core["rel_relu_trainer_2"] == {"l0": 100.0, "ce_loss_score": 0.95}


def test_missing_and_broken_files(files: Path, caplog: pytest.LogCaptureFixture):
    assert graphs.get_eval_results([str(files / "nothing_eval_results.json")]) == {}
    assert "there is no file" in caplog.text
    broken = files / "core" / "cut_eval_results.json"
    broken.write_text('{"eval_type_id": "co')
    with pytest.raises(ResultError, match="not a readable result"):
        graphs.get_eval_results([str(broken)])


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("eval_results/tpp", "tpp_threshold_5_total_metric"),
        ("eval_results/scr", "scr_metric_threshold_5"),
        ("eval_results/sparse_probing", "sae_top_5_test_accuracy"),
        ("eval_results/absorption", "mean_absorption_fraction_score"),
        ("eval_results/autointerp", "autointerp_score"),
        ("eval_results/unlearning", "unlearning_score"),
        ("eval_results/ravel", "disentanglement_score"),
        ("eval_results/core", "ce_loss_score"),
    ],
)
def test_metric_of_an_eval(path: str, key: str):
    assert graphs.get_custom_metric_key_and_name(path, 5)[0] == key


def test_metric_of_an_unknown_eval():
    with pytest.raises(UsageError, match="names no eval"):
        graphs.get_custom_metric_key_and_name("somewhere")


def test_widths_and_tokens_by_name():
    widths = [512, 1024, 2304, 16384, 65536, 131072, 1048576]
    assert [graphs.get_d_sae_string(n) for n in widths] == ["1k", "1k", "2k", "16k", "65k", "131k", "1M"]
    assert graphs.get_d_sae_string(32) == "32"
    assert graphs.get_sae_bench_train_tokens("sae_bench_x_trainer_1") == 244140 * 2048
    assert graphs.get_sae_bench_train_tokens("sae_bench_x_trainer_1_step_100") == 100 * 2048
    assert graphs.get_sae_bench_train_tokens_archived("sae_bench_pythia", "trainer_1") == 48828 * 4096
    assert graphs.get_sae_bench_train_tokens_archived("sae_bench_gemma_2pow14", "trainer_1") == 146484 * 2048
    assert graphs.get_sae_bench_train_tokens_archived("sae_bench_gemma_2pow16", "trainer_1_step_7") == 7 * 2048
    for name in ("other", "sae_bench_steps"):
        with pytest.raises(UsageError):
            graphs.get_sae_bench_train_tokens(name)


def test_architectures_by_name():
    assert graphs.get_sae_class_archived({}, "sae_bench_panneal") == "p_anneal"
    assert graphs.get_sae_class_archived({"activation_fn_str": "topk"}, "r") == "topk"
    assert graphs.get_sae_class_archived({"activation_fn_str": "relu", "architecture": "gated"}, "r") == "gated"


# ---- styles


def test_new_architectures_get_styles_of_their_own():
    markers, colors = graphs.update_trainer_markers_and_colors(results(), graphs.TRAINER_MARKERS, graphs.TRAINER_COLORS)
    assert "my_sae" not in graphs.TRAINER_MARKERS
    present = ("topk", "standard", "my_sae")
    assert len({markers[name] for name in present}) == 3
    assert len({colors[name] for name in present}) == 3


def test_more_architectures_than_styles():
    many = {f"s{i}": {"sae_class": f"kind_{i}"} for i in range(40)}
    markers, colors = graphs.update_trainer_markers_and_colors(many, {}, {})
    assert set(markers) == set(colors) == {f"kind_{i}" for i in range(40)}


# ---- scatter plots


def test_two_variables(tmp_path: Path):
    file = tmp_path / "plot.png"
    fig = graphs.plot_2var_graph(
        results(), "score", title="T", y_label="Y", xlims=(10, 200), ylims=(0, 1), output_filename=str(file),
        baseline_value=0.5, baseline_label="Base", return_fig=True, connect_points=True,
    )  # fmt: skip
    ax = fig.axes[0]
    assert points(ax) == {(l0, score) for _, _, _, l0, _, score, _ in SAES}
    assert legend(fig) == ["Standard", "TopK", "My_sae", "Base"]
    assert (ax.get_xscale(), ax.get_xlim(), ax.get_ylim()) == ("log", (10, 200), (0, 1))
    assert (ax.get_title(), ax.get_ylabel(), ax.get_xlabel()) == ("T", "Y", "L0 (Sparsity)")
    lines = [line for line in ax.lines if line.get_label() != "Base"]
    assert [20.0, 40.0] in [list(line.get_xdata()) for line in lines], "points of one architecture are joined in order"
    assert file.stat().st_size > 1000


@pytest.mark.parametrize(("xlims", "ticks"), [((30, 41), [30, 40]), ((8, 600), [10, 20, 50, 100, 200, 500])])
def test_numbers_at_the_axis_do_not_overlap(xlims: tuple[int, int], ticks: list[float]):
    fig = graphs.plot_2var_graph(results(), "score", xlims=xlims, return_fig=True)
    axis = fig.axes[0].xaxis
    inside = [tick for tick in axis.get_majorticklocs() if xlims[0] <= tick <= xlims[1]]
    assert len(inside) <= 6
    assert set(ticks) <= set(inside)
    assert len(axis.get_minorticklocs()) == 0
    fig.canvas.draw()
    boxes = [label.get_window_extent() for label in axis.get_ticklabels() if label.get_text()]
    shown = sorted((box.x0, box.x1) for box in boxes if fig.bbox.x0 <= box.x0 <= fig.bbox.x1)
    assert all(right < left for (_, right), (left, _) in itertools.pairwise(shown))


def test_own_markers_and_colours():
    fig = graphs.plot_2var_graph(
        {"a": results()["rel_topk_trainer_0"]}, "score", trainer_markers={"topk": "v"}, trainer_colors={"topk": "pink"},
        x_axis_key="ce_loss_score", return_fig=True,
    )  # fmt: skip
    assert points(fig.axes[0]) == {(0.9, 0.7)}
    assert to_rgba("pink") == tuple(fig.axes[0].collections[0].get_facecolor()[0])


def test_saes_without_a_value_are_left_out():
    with_gap = results()
    with_gap["rel_topk_trainer_0"]["score"] = None
    fig = graphs.plot_2var_graph(with_gap, "score", return_fig=True)
    assert len(points(fig.axes[0])) == len(SAES) - 1
    with pytest.raises(UsageError, match="none of 4 SAEs has a number for all of l0, nothing_such"):
        graphs.plot_2var_graph(with_gap, "nothing_such")


def test_by_width():
    fig = graphs.plot_2var_graph_dict_size(
        results(), "score", baseline_value=0.0, baseline_label="Zero", return_fig=True
    )
    assert legend(fig) == ["SAE Width: 4k", "SAE Width: 16k", "SAE Width: 65k", "Zero"]
    assert points(fig.axes[0]) == {(l0, score) for _, _, _, l0, _, score, _ in SAES}
    darkness = [sum(group.get_facecolor()[0][:3]) for group in fig.axes[0].collections if not len(group.get_offsets())]
    assert darkness == sorted(darkness, reverse=True), "the wider, the darker"


def test_three_variables():
    fig = graphs.plot_3var_graph(results(), "T", "score", colorbar_label="Score", return_fig=True)
    assert points(fig.axes[0]) == {(l0, recovered) for _, _, _, l0, recovered, _, _ in SAES}
    assert fig.axes[1].get_ylabel() == "Score"
    assert legend(fig) == ["Standard", "TopK", "My_sae"]


def test_interactive(tmp_path: Path):
    file = tmp_path / "plot.html"
    fig = graphs.plot_interactive_3var_graph(
        results(), "score", xlims=(0, 200), y_lims=(0, 1), output_filename=str(file), title="T", return_fig=True
    )
    assert list(fig.data[0].x) == [20.0, 40.0, 100.0, 60.0]
    assert list(fig.data[0].marker.color) == [0.7, 0.72, 0.6, 0.8]
    assert "rel_mine_trainer_3" in fig.data[0].text[3]
    assert fig.layout.xaxis.range == (0, 200)
    assert "rel_mine_trainer_3" in file.read_text()


def test_shown_figures_are_closed_and_nothing_global_changes():
    size = plt.rcParams["font.size"]
    assert graphs.plot_2var_graph(results(), "score") is None
    assert plt.get_fignums() == []
    assert plt.rcParams["font.size"] == size != FONT_SIZE


# ---- training and correlation


def over_time() -> dict[str, dict[str, Any]]:
    return {
        f"rel_{kind}_trainer_{number}_step_{step}": {"sae_class": kind, "train_tokens": step, "score": slope * step}
        for kind, number, slope in (("topk", 1, 1.0), ("standard", 2, 3.0))
        for step in (0, 10, 100)
    }


def test_training_steps():
    fig = graphs.plot_training_steps(over_time(), "score", y_label="Y", title="T", return_fig=True)
    start, rest = fig.axes
    drawn = [(list(line.get_xdata()), list(line.get_ydata())) for line in rest.lines]
    assert ([0, 10, 100], [0.0, 10.0, 100.0]) in drawn
    assert ([0, 10, 100], [0.0, 20.0, 200.0]) in drawn, "the mean of the two"
    assert rest.get_xscale() == "log"
    assert start.get_xlim() == (-1.25, 5.0)
    assert legend(fig, 1) == ["Average", "Standard", "TopK"]
    with pytest.raises(UsageError, match="no training to plot"):
        graphs.plot_training_steps({k: v for k, v in over_time().items() if v["train_tokens"] == 0}, "score")


def test_share_of_training():
    fig = graphs.plot_steps_vs_average_diff(over_time(), avg_diff_key="score", return_fig=True)
    drawn = [(list(line.get_xdata()), list(line.get_ydata())) for line in fig.axes[0].lines]
    assert drawn == [
        ([0.0, 10.0, 100.0], [0.0, 10.0, 100.0]),
        ([0.0, 10.0, 100.0], [0.0, 30.0, 300.0]),
        ([0.0, 10.0, 100.0], [0.0, 20.0, 200.0]),
    ]


def test_correlations(caplog: pytest.LogCaptureFixture):
    table = {f"s{i}": {"a": i, "b": 2 * i + 1, "c": -i, "d": None if i == 0 else i * i} for i in range(5)}
    fig = graphs.plot_correlation_heatmap(table, ["a", "b", "c", "d"], return_fig=True)
    shown = fig.axes[0].images[0].get_array()
    assert shown[0, 1] == pytest.approx(1)
    assert shown[0, 2] == pytest.approx(-1)
    assert 0.9 < shown[0, 3] < 1
    assert len(fig.axes[0].texts) == 16
    plt.close(fig)
    fig = graphs.plot_correlation_scatter(table, "a", "b", x_label="A", return_fig=True)
    (line,) = fig.axes[0].lines
    assert line.get_label() == "r = 1.0000"
    assert list(line.get_ydata()) == pytest.approx([1, 9])
    assert graphs.plot_correlation_scatter(table, "a", "d", ae_names=["s0"]) is None
    assert "nothing to draw" in caplog.text


# ---- straight from files


def test_plots_of_result_files(files: Path):
    found = graphs.find_eval_results_files([str(files / "sparse_probing")])
    core = graphs.find_eval_results_files([str(files / "core")])
    base = str(files / "images" / "probing")
    fig = graphs.plot_results(
        found, core, "sparse_probing", base, k=5, return_fig=True, baseline_sae_path=found[0], baseline_label="Base"
    )
    assert points(fig.axes[0]) == {(l0, second) for _, _, _, l0, _, _, second in SAES}
    assert fig.axes[0].get_ylabel() == "Sparse Probing Top 5 Test Accuracy"
    assert [p.name for p in sorted((files / "images").iterdir())] == [
        "probing_2var_dict_size.png",
        "probing_2var_sae_type.png",
    ]
    with pytest.raises(UsageError, match="give both or neither"):
        graphs.plot_results(found, core, "sparse_probing", base, k=5, baseline_label="Base")


def test_one_figure_of_two_folders(files: Path):
    chosen = [("rel", "topk_trainer_0"), ("rel", "topk_trainer_1")]
    fig = graphs.get_single_figure(
        chosen, str(files / "sparse_probing"), str(files / "core"), str(files / "one"), k=1,
        baseline_sae=("rel", "relu_trainer_2"), baseline_label="ReLU",
    )  # fmt: skip
    assert points(fig.axes[0]) == {(20.0, 0.70), (40.0, 0.72)}
    assert legend(fig) == ["TopK", "ReLU"]
    assert 0.60 in [line.get_ydata()[0] for line in fig.axes[0].lines]


def test_best_of_several_k(files: Path):
    found = graphs.get_best_results(
        graphs.get_eval_results(graphs.find_eval_results_files([str(files / "sparse_probing")])),
        "sparse_probing",
        [1, 5, 100],
    )
    assert {name: data["best_custom_metric"] for name, data in found.items()} == {
        name: max(first, second) for name, *_, first, second in SAES
    }
    chosen = [("rel", name.split("_", 1)[1]) for name, *_ in SAES]
    graphs.plot_best_of_ks_results(
        chosen, str(files / "sparse_probing"), str(files / "core"), str(files / "best"), [1, 5]
    )
    assert {p.name for p in files.glob("best*")} == {
        "best_3var.png",
        "best_2var_sae_type.png",
        "best_2var_dict_size.png",
    }


# ---- without the extra


@pytest.mark.parametrize(
    ("module", "draw", "line"),
    [
        ("matplotlib.pyplot", "plot_2var_graph", "pip install 'matplotlib>=3.8'"),
        ("plotly.graph_objects", "plot_interactive_3var_graph", "pip install 'plotly>=5.20'"),
    ],
)
def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch, module: str, draw: str, line: str):
    monkeypatch.setitem(sys.modules, module, None)
    if module == "matplotlib.pyplot":
        monkeypatch.delattr(matplotlib, "pyplot")
    utils = importlib.import_module("sae_bench.sae_bench_utils.graphing_utils")
    with pytest.raises(PrerequisiteError, match=line.replace("(", r"\(")):
        getattr(utils, draw)(results(), "score")
