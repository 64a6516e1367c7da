"""A run that is killed or interrupted at any moment loses nothing that was done and leaves nothing broken."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sae_bench.evals.registry import get_eval

SLOW = Path(__file__).parents[2] / "support" / "slow_writer.py"
N_SAES = 6


@contextmanager
def started(arguments: list[str]) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, str(SLOW), *arguments]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job in the background ignores it
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_for(process: subprocess.Popen[str], condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 180
    while not condition():
        if process.poll() is not None:
            raise AssertionError(f"the run ended too early: {process.communicate()[1]}")
        assert time.monotonic() < deadline
        time.sleep(0.005)


def results(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.glob("*.json"))}


def partials(folder: Path) -> list[Path]:
    return list(folder.glob(".*.partial"))


def check_whole(found: dict[Path, bytes]) -> None:
    for content in found.values():
        get_eval("core").output.model_validate_json(content)


@pytest.mark.slow
def test_kill_dash_nine(world: Any, sae_bench: Callable[..., Any], tmp_path: Path):
    out = tmp_path / "out" / "core"
    arguments = world.run_arguments(tmp_path / "out")
    rng = random.Random()
    done: dict[Path, bytes] = {}
    for moment in range(3):
        with started(arguments) as process:
            if moment == 0:  # during a write
                wait_for(process, lambda: len(results(out)) == 1 and bool(partials(out)))
            else:  # at any moment after another result is there
                before = len(done)
                wait_for(process, lambda before=before: len(results(out)) > before)
                time.sleep(rng.uniform(0, 0.5))
            process.send_signal(signal.SIGKILL)
            process.wait()
        if moment == 0:
            assert partials(out), "killed during a write"
        found = results(out)
        check_whole(found)
        assert all(found[path] == content for path, content in done.items()), "what was done is not done again"
        assert len(done) < len(found) <= N_SAES
        done = found
    said = sae_bench(*arguments)
    assert said.code == 0
    assert f"{N_SAES - len(done)} results written" in said.message
    assert f"{len(done)} were there already" in said.message
    found = results(out)
    check_whole(found)
    assert len(found) == N_SAES
    assert all(found[path] == content for path, content in done.items())
    assert {path.name for path in out.iterdir()} == {*(path.name for path in found), "samples"}, (
        "nothing is left behind"
    )
    samples = {path.name for path in (out / "samples").iterdir()}
    assert samples == {path.name.replace("_eval_results.json", ".safetensors") for path in found}


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_done(world: Any, sae_bench: Callable[..., Any], tmp_path: Path):
    out = tmp_path / "out" / "core"
    arguments = world.run_arguments(tmp_path / "out")
    with started(arguments) as process:
        wait_for(process, lambda: len(results(out)) == 2)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=180)
    assert process.returncode == 130
    assert "interrupted. What was done is kept; the same command goes on from there." in err
    assert "Traceback" not in err
    done = results(out)
    check_whole(done)
    assert len(done) >= 2
    assert partials(out) == []
    assert f"{len(done)} were there already" in sae_bench(*arguments).message
