"""The example eval of the docs: a package, installed as one, run, checked, and shown on its page as it is."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from sae_bench.cli import main
from sae_bench.evals.registry import eval_names, get_eval
from sae_bench.plugins import forget_plugins
from sae_bench.testing import check_eval, run_checks

pytestmark = pytest.mark.slow

DOCS = Path(__file__).parents[3] / "docs"
PAGE = DOCS / "adding_an_eval.md"
EXAMPLE = DOCS / "examples" / "firing_entropy"
NAME = "firing_entropy"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the example installed."""
    source = shutil.copytree(EXAMPLE, tmp_path_factory.mktemp("source") / NAME)
    target = tmp_path_factory.mktemp("site")
    options = ("--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check")
    subprocess.run([sys.executable, "-m", "pip", "install", *options, "--target", target, source], check=True)
    return target


@pytest.fixture
def installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(site)
    forget_plugins()
    yield
    monkeypatch.undo()
    forget_plugins()
    sys.modules.pop(NAME, None)


@pytest.mark.parametrize("path", re.findall(r"<!-- file (\S+) -->", PAGE.read_text(encoding="utf-8")))
def test_the_page_shows_the_file(path: str):
    shown = re.search(
        rf"<!-- file {re.escape(path)} -->\n```\w*\n(.*?)```\n<!-- /file -->", PAGE.read_text(), re.DOTALL
    )
    assert shown is not None
    assert shown[1] == (DOCS / path).read_text(encoding="utf-8")


def test_it_is_small_and_the_page_shows_a_file():
    assert "<!-- file " in PAGE.read_text()
    assert sum(len(path.read_text().splitlines()) for path in EXAMPLE.rglob("*.py")) <= 120


def test_it_is_listed(installed: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(sys, "argv", ["sae-bench", "list", "evals", "firing"])
    monkeypatch.setenv("COLUMNS", "80")
    assert eval_names()[-1] == NAME
    main()
    shown = [line for line in PAGE.read_text().split("```")[1].splitlines() if line.startswith("│")]
    assert shown
    assert [line for line in capsys.readouterr().out.splitlines() if line.startswith("│")] == shown


def test_it_runs(installed: None, world: Any, sae_bench: Callable, tmp_path: Path):
    said = sae_bench(
        "run", "--model", world.model, "--sae", f"path:{world.saes}", "--evals", NAME, "--device", "cpu",
        "--set", f"{NAME}.dataset={world.corpus}", "--set", f"{NAME}.n_texts=30", "--output-folder", tmp_path,
    )  # fmt: skip
    assert said.code == 0, said.err
    paths = sorted((tmp_path / NAME).glob("*.json"))
    assert len(paths) == 6
    evenness = [json.loads(path.read_text())["eval_result_metrics"]["firing"]["evenness"] for path in paths]
    assert all(0 < value <= 1 for value in evenness)
    assert "Evenness" in said.out


def test_it_keeps_the_contract(installed: None, world: Any):
    spec = get_eval(NAME)
    report = run_checks(check_eval(spec, settings={"dataset": str(world.corpus), "n_texts": 30}))
    assert {"company", "resume", "dead_sae", "ranks[zero]"} <= set(report.checked)
    assert report.expected == {}


def test_evenness_by_its_definition(installed: None):
    import firing_entropy

    assert firing_entropy.evenness(torch.tensor([3, 3, 3, 3])) == pytest.approx(1.0)
    assert firing_entropy.evenness(torch.tensor([0, 7, 0])) == 0.0
    assert firing_entropy.evenness(torch.tensor([1, 1, 0, 0])) == pytest.approx(0.5)
    assert firing_entropy.evenness(torch.zeros(4)) is None
