"""The table after a run: names fold, numbers stay whole, in a pipe as on a narrow screen."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from sae_bench.cli.console import PLAIN_WIDTH, results_table

TITLES = ("Loss recovered", "Explained variance", "L0")


def shown(n_metrics: int, width: int, names: list[str]) -> str:
    metrics = [
        SimpleNamespace(title=TITLES[i % 3], higher_is_better=True, read=lambda _content, i=i: 1000.5 + i)
        for i in range(n_metrics)
    ]
    spec: Any = SimpleNamespace(title="Core", metrics=metrics)
    contents = [
        {"sae_lens_release_id": name[:8], "sae_lens_id": name[8:].lstrip(":"), "eval_result_metrics": {}}
        for name in names
    ]
    file = io.StringIO()
    Console(file=file, width=width).print(results_table(spec, contents, width), crop=False)
    return file.getvalue()


@pytest.mark.parametrize("width", [PLAIN_WIDTH, 80, 40])
@pytest.mark.parametrize("n_metrics", [1, 3, 7, 14])
def test_long_names_fold_and_no_number_is_lost(n_metrics: int, width: int):
    names = [letter * 84 for letter in "QJK"]
    text = shown(n_metrics, width, names)
    for i in range(n_metrics):
        assert text.count(f" {1000.5 + i} ") == len(names)
    for letter in "QJK":
        rows = [line.split("│")[1].strip() for line in text.splitlines() if letter in line]
        assert "".join(rows).replace(":", "") == letter * 84
    if n_metrics <= 3 and width > 40:
        assert max(map(len, text.splitlines())) <= width


def test_short_names_stay_whole():
    assert "│ embedded:a_name_of_28_letters_ab │" in shown(7, 80, ["embedded:a_name_of_28_letters_ab"])
