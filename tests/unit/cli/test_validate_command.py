"""`sae-bench validate` on results of a panel that does not exist."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sae_bench.cli.validate import panel_specs, trained_specs
from sae_bench.custom_saes.listing import DEGRADING, LEVELS
from sae_bench.testing.synthetic_panel import follows, saturates, write_panel

Call = Callable[..., Any]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("panel")
    write_panel(folder, [follows(0.5), saturates(0.4), follows(0.0)])
    return folder


def test_one_line_one_sentence_and_a_verdict_per_metric(results: Path, sae_bench: Call, tmp_path: Path):
    said = sae_bench("validate", results, "--json", tmp_path / "found.json")
    assert said.code == 0, said.err
    lines = said.out.splitlines()
    for title, short, verdict in (
        ("Top-1 accuracy", "ranks", "ranks SAEs here"),
        ("Top-2 accuracy", "separates", "separates good from bad only"),
        ("Top-5 accuracy", "not valid", "not valid here"),
    ):
        assert any(f"│ {title} " in line and f" {short} " in line for line in lines), said.out
        assert any(line.startswith(f"  {title}: {verdict}. ") and line.endswith(".") for line in lines), said.out
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["metrics"][0]["verdict"] == "ranks SAEs here"
    assert found["seconds"] < 60
    assert not (results / "validity.json").exists()


def test_one_metric_saved_for_the_report(results: Path, sae_bench: Call):
    said = sae_bench("validate", results, "--metric", "top_1", "--save")
    assert said.code == 0, said.err
    (one,) = json.loads((results / "validity.json").read_text())["metrics"]
    assert one["title"] == "Top-1 accuracy"
    assert "skipped" not in sae_bench("compare", results).message  # it is no result


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name RESULTS"),
        (["nowhere"], "nowhere"),
        (["--model", "gpt2"], "a panel needs trained SAEs"),
        (["results", "--model", "embedded"], "name RESULTS"),
    ],
)
def test_wrong_use(sae_bench: Call, arguments: list[str], message: str):
    said = sae_bench("validate", *arguments)
    assert said.code == 2
    assert message in said.message


def test_a_panel_has_every_way_of_being_worse_and_the_saes_of_the_package_by_default():
    assert trained_specs("embedded", ()) == ("embedded:.*",)
    assert trained_specs("synthetic:small", ()) == ("synthetic:.*",)
    assert trained_specs("embedded", ("embedded:topk",)) == ("embedded:topk",)
    specs = panel_specs("embedded:topk")
    for kind in DEGRADING:
        rungs = [f"baseline:degraded(embedded:topk,{kind},{level:g})" for level in LEVELS]
        assert [spec for spec in specs if f",{kind}," in spec] == rungs[1:]  # the first is the SAE itself


@pytest.mark.slow
def test_the_panel_is_made_first(world: Any, sae_bench: Call, tmp_path: Path):
    """Trained SAEs, their nulls and ladders through the one door, then the verdicts."""
    arguments = world.run_arguments(tmp_path)
    settings = [arguments[n + 1] for n, word in enumerate(arguments) if word == "--set"]
    said = sae_bench(
        "validate", "--model", world.model, "--sae", f"path:{world.saes}", "--evals", "core", "--device", "cpu",
        "--ladder-of", "baseline:identity@blocks.1.hook_resid_post", "--output-folder", tmp_path / "panel",
        *(part for setting in settings for part in ("--set", setting)),
    )  # fmt: skip
    assert said.code == 0, said.err
    found = json.loads((tmp_path / "panel" / "validity.json").read_text())
    by_title = {one["title"]: one for one in found["metrics"]}
    variance = by_title["Explained variance"]
    assert variance["nulls"]["n_pairs"] >= 4
    assert variance["ladders"]["n_ladders"] == 4  # the identity has no encoder that could get noise
    assert "verdicts rest on what did not fail" in said.message


def test_a_page_gets_the_table_between_its_marks(results: Path, sae_bench: Call, tmp_path: Path):
    page, marks = (
        tmp_path / "page.md",
        [f"<!-- sae-bench validate: {edge} synthetic-2b -->" for edge in ("begin", "end")],
    )
    page.write_text(f"above\n{marks[0]}\nold\n{marks[1]}\nbelow\n")
    assert sae_bench("validate", results, "--markdown", page).code == 0
    text = page.read_text()
    assert text.startswith(f"above\n{marks[0]}\n| eval | metric | ")
    assert text.endswith(f"|\n{marks[1]}\nbelow\n")
    assert "old" not in text
    assert "| sparse_probing | Top-1 accuracy | " in text
    page.write_text("no marks")
    said = sae_bench("validate", results, "--markdown", page)
    assert (said.code, "Next: add the lines" in said.message) == (2, True)
