"""A run on a Ray cluster makes the results of one process, whoever is killed while it goes on."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tiny_runs import read
from trapped_saes import FOLDER, tight

from sae_bench.run.plan import SILENT
from sae_bench.run.ray_engine import Item, evaluate_on_ray
from sae_bench.run.request import RunRequest

ray = pytest.importorskip("ray")
SUPPORT = Path(__file__).parents[2] / "support"


def results(folder: Path) -> dict[str, Any]:
    """What was measured, by file."""
    return {path.name: read(path) for path in sorted((folder / "core").glob("*_eval_results.json"))}


def names(folder: Path) -> set[str]:
    """Whatever is in the folder, samples and artifacts apart."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.parent.name != "samples"}


@pytest.fixture(scope="module")
def traps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("traps")


@pytest.fixture(scope="module")
def cluster(traps: Path) -> Iterator[str]:
    """The address of two nodes with one CPU each, and a third that holds them together."""
    from ray.cluster_utils import Cluster

    patch = pytest.MonkeyPatch()
    for name, value in {
        FOLDER: str(traps),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(SUPPORT), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "RAY_worker_niceness": "0",
        "RAY_health_check_period_ms": "500",
        "RAY_health_check_failure_threshold": "3",
    }.items():
        patch.setenv(name, value)
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    for _ in range(2):
        nodes.add_node(num_cpus=1)
    yield nodes.address
    nodes.shutdown()
    patch.undo()


@pytest.mark.slow
def test_a_worker_that_is_killed_in_a_pass_costs_nothing(
    cluster: str,
    traps: Path,
    world: Any,
    sae_bench: Callable[..., Any],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
):
    saes = ("--sae", "python:trapped_saes:once")
    assert sae_bench(*world.run_arguments(tmp_path / "one", "--quiet", *saes)).code == 0
    (traps / "worker").touch()
    arguments = world.run_arguments(tmp_path / "ray", *saes, "--engine", "ray", "--ray-address", cluster)
    said = sae_bench(*arguments)
    assert said.code == 0, said.err
    assert not (traps / "worker").exists(), "the worker was killed"
    assert "died at" in caplog.text
    assert "8 results written" in said.message
    assert results(tmp_path / "ray") == results(tmp_path / "one")
    assert names(tmp_path / "ray") == names(tmp_path / "one")


@pytest.mark.slow
def test_who_kills_twice_has_failed_and_the_others_are_done(
    cluster: str, traps: Path, world: Any, sae_bench: Callable[..., Any], tmp_path: Path
):
    (traps / "always").touch()
    arguments = ("--engine", "ray", "--ray-address", cluster)
    said = sae_bench(*world.run_arguments(tmp_path / "ray", *arguments, sae="python:trapped_saes:lethal"))
    assert said.code == 1
    assert list(results(tmp_path / "ray")) == ["harmless_custom_sae_eval_results.json"]
    assert "failed core on always_custom_sae: 2 workers died at it" in said.message
    failure = tmp_path / "ray" / "core" / "failed" / "always_custom_sae_core.txt"
    assert "SIGKILL" in failure.read_text() or "died" in failure.read_text()


@pytest.mark.slow
def test_a_unit_that_runs_out_of_memory_is_divided(cluster: str, tmp_path: Path):
    request = RunRequest.of(targets=[{"model": "m", "saes": ["s"]}], output_folder=tmp_path, ray_address=cluster)
    items = [Item(0, "hook", "r", str(n), {"core": tmp_path / "core"}) for n in range(5)]
    summary = evaluate_on_ray(request, items, tight, SILENT)
    assert sorted(path.name for path in summary.written) == [f"r_{n}_eval_results.json" for n in (0, 1, 3, 4)]
    assert [(failure.sae, failure.message) for failure in summary.failures] == [("r_2", "no room")]
    assert "MemoryError" in summary.failures[0].traceback_file.read_text()


@contextmanager
def driver_at_work(arguments: list[str], folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A driver in a process of its own, when its first result is there."""
    driver = subprocess.Popen(
        [sys.executable, "-m", "sae_bench.cli", *arguments],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job in the background ignores it
    )
    deadline = time.monotonic() + 180
    try:
        while not results(folder):
            assert driver.poll() is None, driver.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield driver
    finally:
        driver.kill()
        driver.communicate()


@pytest.mark.slow
def test_ctrl_c_ends_the_workers_and_the_same_command_goes_on(
    cluster: str, traps: Path, world: Any, sae_bench: Callable[..., Any], tmp_path: Path
):
    saes = ("--sae", "python:trapped_saes:stuck")
    arguments = world.run_arguments(tmp_path, *saes, "--engine", "ray", "--ray-address", cluster)
    (traps / "stuck").touch()
    with driver_at_work(arguments, tmp_path) as driver:
        driver.send_signal(signal.SIGINT)
        _, err = driver.communicate(timeout=180)
    (traps / "stuck").unlink()
    assert driver.returncode == 130
    assert "interrupted. What was done is kept; the same command goes on from there." in err
    assert "Traceback" not in err
    n_done = len(results(tmp_path))
    assert n_done < 7, "one was not done before"
    said = sae_bench(*arguments)
    assert said.code == 0, said.err
    assert f"{7 - n_done} results written to {tmp_path}, {n_done} were there already" in said.message


@pytest.mark.slow
def test_driver_and_node_are_killed_and_the_same_command_ends_it(
    cluster: str, traps: Path, world: Any, sae_bench: Callable[..., Any], tmp_path: Path
):
    saes = ("--sae", "python:trapped_saes:of_node")
    assert sae_bench(*world.run_arguments(tmp_path / "one", "--quiet", *saes)).code == 0
    arguments = world.run_arguments(tmp_path / "ray", *saes, "--engine", "ray", "--ray-address", cluster)
    (traps / "slow").touch()
    with driver_at_work(arguments, tmp_path / "ray") as driver:
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    done = results(tmp_path / "ray")
    (traps / "node").touch()
    (traps / "slow").unlink()
    said = sae_bench(*arguments)
    assert said.code == 0, said.err
    assert "were there already" in said.message
    assert len(done) >= 1
    assert results(tmp_path / "ray") == results(tmp_path / "one")
    assert names(tmp_path / "ray") == names(tmp_path / "one")


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (("--engine", "ray", "--shard", "1/2"), "--shard and --engine ray both divide the run"),
        (("--engine", "ray", "--shard", "1/2", "--dry-run"), "--shard and --engine ray both divide the run"),
        (("--engine", "ray", "--gpus-per-worker", "0"), "gpus_per_worker"),
        (("--engine", "ray", "--gpus-per-worker", "1.5"), "1.5: a worker has whole GPUs or a share of one"),
        (("--ray-address", "auto"), "add --engine ray"),
        (("--gpus-per-worker", "0.5"), "add --engine ray"),
    ],
)
def test_what_cannot_be(
    more: tuple[str, ...], expected: str, world: Any, sae_bench: Callable[..., Any], tmp_path: Path
):
    said = sae_bench(*world.run_arguments(tmp_path / "out", *more))
    assert said.code == 2
    assert expected in said.message


def test_an_address_where_nothing_answers_is_refused_at_once(world: Any, sae_bench: Callable[..., Any], tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    said = sae_bench(*world.run_arguments(tmp_path, "--engine", "ray", "--ray-address", f"127.0.0.1:{port}"))
    assert said.code == 2
    assert f"no Ray cluster at '127.0.0.1:{port}'" in said.message
