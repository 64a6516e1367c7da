"""The built wheel holds all that the package needs: data, templates, entry points."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from written_results import write

from sae_bench.results.samples import Samples

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
QUIET = ("--quiet", "--no-deps", "--no-index", "--disable-pip-version-check")
USE = """
import json, pathlib, sys
import sae_bench
from sae_bench.datasets import list_datasets
from sae_bench.evals.registry import eval_names, get_eval

assert pathlib.Path(sae_bench.__file__).is_relative_to(sys.argv[1]), sae_bench.__file__
saes = sae_bench.load_saes("embedded:.*")
assert len(saes) >= 7, list(saes)
assert len([get_eval(name) for name in eval_names()]) >= 12
assert len(list_datasets()) >= 20
written = sae_bench.report(sys.argv[2], sys.argv[3])
assert "<title>" in pathlib.Path(sys.argv[3]).read_text(encoding="utf-8")
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel installed, built from the sources that git would hand out."""
    place = tmp_path_factory.mktemp("wheel")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        if name.startswith("sae_bench/") or "/" not in name:
            copy = place / "source" / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes((ROOT / name).read_bytes())
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        *QUIET,
        "--no-build-isolation",
        "--wheel-dir",
        place,
        place / "source",
    ]
    subprocess.run(build, check=True)
    (wheel,) = place.glob("*.whl")
    subprocess.run([sys.executable, "-m", "pip", "install", *QUIET, "--target", place / "site", wheel], check=True)
    return place / "site"


def test_what_is_installed_can_be_used(site: Path, tmp_path: Path):
    results = tmp_path / "results"
    write(results, "one", Samples.of_equal_units(torch.tensor([[0.5, 0.75], [0.25, 1.0]]), unit="test text", key="k"))
    environment = {**os.environ, "PYTHONPATH": str(site), "HF_HUB_OFFLINE": "1"}
    arguments = [sys.executable, "-c", USE, site, results, tmp_path / "report.html"]
    done = subprocess.run(arguments, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_command_is_there(site: Path, tmp_path: Path):
    environment = {**os.environ, "PYTHONPATH": str(site)}
    said = subprocess.run([site / "bin" / "sae-bench", "--version"], env=environment, capture_output=True, text=True)
    assert said.stdout.startswith("sae-bench, version "), said.stderr
