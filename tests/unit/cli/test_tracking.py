"""`--track`: a real trackio in a folder of its own; wandb and mlflow by the calls that they get."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from written_results import TOP_1, write

from sae_bench.cli.tracking import track
from sae_bench.errors import PrerequisiteError
from sae_bench.evals.registry import get_eval
from sae_bench.results.samples import Samples

SPECS = [get_eval("sparse_probing")]
KEY = "sparse_probing/sae_top_1_test_accuracy"


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    samples = Samples.of_equal_units(torch.tensor([[0.5, 1.0], [0.25, 0.75]]), unit="test text", key="k")
    beside = {"validity": {TOP_1: {"floor": 0.5, "above_floor": 0.25, "control": None}}}
    return [write(tmp_path, name, samples, **beside) for name in ("one", "two")]


LOG_TWICE = """
import sys
from pathlib import Path
import trackio
from sae_bench.cli.tracking import track
from sae_bench.evals.registry import get_eval

for _ in range(2):  # the second time goes on in the same runs
    track("trackio", [get_eval("sparse_probing")], [Path(path) for path in sys.argv[1:]])
for run in trackio.Api().runs("sae-bench"):
    sys.stdout.write(f"{run.name} {run.config['model']}\\n")
"""


@pytest.mark.slow
def test_trackio(paths: list[Path], tmp_path: Path):
    pytest.importorskip("trackio")
    environment = {**os.environ, "TRACKIO_DIR": str(tmp_path / "tracked")}
    command = [sys.executable, "-c", LOG_TWICE, *map(str, paths)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == ["tiny:one on tiny tiny", "tiny:two on tiny tiny"]


class Recorder(ModuleType):
    """A module that keeps the calls it gets."""

    def __init__(self, name: str, **answers: Any) -> None:
        super().__init__(name)
        self.calls: list[tuple[str, tuple, dict]] = []
        self._answers = answers

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)

        def call(*arguments: Any, **keywords: Any) -> Any:
            self.calls.append((name, arguments, keywords))
            answer = self._answers.get(name)
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call


def test_wandb_gets_a_run_per_sae_with_intervals_and_floors(paths: list[Path], monkeypatch: pytest.MonkeyPatch):
    wandb = Recorder("wandb")
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    track("wandb", SPECS, paths)
    begun = [keywords for name, _, keywords in wandb.calls if name == "init"]
    assert [(run["name"], run["id"], run["resume"]) for run in begun] == [
        ("tiny:one on tiny", "tiny-one-on-tiny", "allow"), ("tiny:two on tiny", "tiny-two-on-tiny", "allow"),
    ]  # fmt: skip
    logged = next(arguments[0] for name, arguments, _ in wandb.calls if name == "log")
    assert logged[KEY] == pytest.approx(0.625)
    assert logged[f"{KEY}/floor"] == 0.5
    assert logged[f"{KEY}/ci_low"] < logged[KEY] < logged[f"{KEY}/ci_high"]
    assert f"{KEY}/control" not in logged


def test_saes_of_one_name_on_two_models_have_a_run_each(paths: list[Path], monkeypatch: pytest.MonkeyPatch):
    content = json.loads(paths[0].read_text())
    content["provenance"]["model"] = "other"
    content["eval_result_metrics"]["sae"]["sae_top_1_test_accuracy"] = 0.125
    other = paths[0].with_name("other_eval_results.json")
    other.write_text(json.dumps(content))
    wandb = Recorder("wandb")
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    track("wandb", SPECS, [paths[0], other])
    assert {keywords["name"] for name, _, keywords in wandb.calls if name == "init"} == {
        "tiny:one on tiny", "tiny:one on other",
    }  # fmt: skip
    assert {arguments[0][KEY] for name, arguments, _ in wandb.calls if name == "log"} == {0.625, 0.125}


def test_mlflow_goes_on_in_the_run_that_is_there(paths: list[Path], monkeypatch: pytest.MonkeyPatch):
    class Run:
        def __enter__(self) -> None: ...
        def __exit__(self, *_: object) -> None: ...

    known = SimpleNamespace(info=SimpleNamespace(run_id="r7"))
    for found, names in (([], ["log_params", "log_metrics"]), ([known], ["log_metrics"])):
        mlflow = Recorder("mlflow", search_runs=found, start_run=Run())
        monkeypatch.setitem(sys.modules, "mlflow", mlflow)
        track("mlflow", SPECS, paths[:1])
        assert [name for name, _, _ in mlflow.calls] == ["set_experiment", "search_runs", "start_run", *names]
        begun = next(keywords for name, _, keywords in mlflow.calls if name == "start_run")
        assert begun["run_id"] == (found[0].info.run_id if found else None)


def test_a_tracker_that_is_down_loses_nothing(paths: list[Path], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "wandb", Recorder("wandb", init=OSError("no network")))
    with pytest.raises(PrerequisiteError, match=r"results are written, but wandb did not take.*no network"):
        track("wandb", SPECS, paths)
    assert all(path.is_file() for path in paths)


def test_a_tracker_that_is_missing_is_said_before_the_run(
    world: Any, sae_bench: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "wandb", None)
    said = sae_bench(*world.run_arguments(tmp_path / "out", "--track", "wandb"))
    assert said.code == 2
    assert "pip install wandb" in said.err
    assert not (tmp_path / "out").exists()


def test_a_run_is_tracked(world: Any, sae_bench: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    wandb = Recorder("wandb")
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    said = sae_bench(*world.run_arguments(tmp_path / "out", "--track", "wandb"))
    assert said.code == 0, said.err
    assert [name for name, _, _ in wandb.calls][:3] == ["init", "log", "finish"]
