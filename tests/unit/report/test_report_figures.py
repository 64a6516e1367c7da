"""Figures for papers."""

from __future__ import annotations

import builtins
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from sae_bench.errors import PrerequisiteError, UsageError
from sae_bench.report import figures
from sae_bench.report.collect import L0, Collected


@pytest.mark.slow
def test_every_figure_as_png_and_svg(collected: Collected, tmp_path: Path):
    few = Collected(collected.sources, collected.saes, collected.evals,
                    [m for m in collected.metrics if "top_1_" in m.path or "ce_loss_score" in m.path],
                    collected.values, collected.records)  # fmt: skip
    written = figures.write_figures(few, tmp_path / "figures")
    names = {path.name for path in written}
    assert {"sparse_probing_sae_top_1_test_accuracy_by_l0.png", "sparse_probing_sae_top_1_test_accuracy_by_width.svg",
            "core_ce_loss_score_by_l0.svg", "correlation.png", "parallel_coordinates.svg"} <= names  # fmt: skip
    assert "core_ce_loss_score_by_loss_recovered.png" not in names  # a metric against itself
    for path in written:
        assert path.read_bytes().startswith(b"\x89PNG") if path.suffix == ".png" else ET.parse(path)
    assert {path.name for path in (tmp_path / "figures").iterdir()} == names


def test_a_scatter_plot_shows_every_sae(collected: Collected):
    metric = collected.metric("sparse_probing|sae.sae_top_1_test_accuracy")
    figure = figures.scatter(collected, metric, L0)
    axes = figure.axes[0]
    assert sum(len(container.lines[0].get_xdata()) for container in axes.containers) == 8
    assert axes.get_ylabel() == "Top-1 accuracy ↑"
    assert axes.get_xscale() == "log"
    assert len(figure.legends[0].get_texts()) >= 7


@pytest.mark.parametrize(("columns", "inches"), [(1, 3.5), (2, 7.1)])
def test_figures_are_as_wide_as_columns(collected: Collected, columns: figures.Columns, inches: float):
    metric = collected.metric("sparse_probing|sae.sae_top_1_test_accuracy")
    for figure in (
        figures.scatter(collected, metric, L0, columns),
        figures.correlation(collected, [metric, *collected.metrics[:2]], columns),
    ):
        assert figure.get_size_inches()[0] == inches


def test_what_cannot_be_drawn(collected: Collected, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="it is a file"):
        figures.write_figures(collected, tmp_path / "file")
    real = builtins.__import__

    def without(name: str, *rest: object, **more: object) -> object:
        if name == "matplotlib":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(PrerequisiteError, match=r"pip install 'sae-bench\[graphs\]'"):
        figures.write_figures(collected, tmp_path / "figures")
