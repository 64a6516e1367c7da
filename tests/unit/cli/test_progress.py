"""What a run says while it goes on."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sae_bench.cli.progress import RunProgress, RunState, duration


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_time_left_follows_from_the_speed():
    clock = Clock()
    state = RunState(clock)
    state.begin("one pass for 9 SAEs", 4000)
    assert state.seconds_left() is None
    clock.now += 10.0
    state.tokens_read = 1000
    assert state.seconds_left() == 30.0
    state.done, state.failed, state.asked = 12, 1, 99
    expected = (
        "10 s: one pass for 9 SAEs; 1,000 of 4,000 tokens; 30 s left of this phase; 12 of 99 results done, 1 failed"
    )
    assert state.line() == expected


def test_a_phase_forgets_the_tokens_of_the_last():
    state = RunState(Clock())
    state.begin("one pass", 4000)
    state.tokens_read = 10
    state.begin("scoring core", 0)
    assert state.seconds_left() is None
    assert state.line() == "0 s: scoring core"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.4, "0 s"), (59.6, "1 min 0 s"), (61.0, "1 min 1 s"), (3600.0, "1 h 0 min"), (7322.0, "2 h 2 min")],
)
def test_durations(seconds: float, said: str):
    assert duration(seconds) == said


def test_every_phase_is_logged(caplog: pytest.LogCaptureFixture):
    progress = RunProgress(None)
    with caplog.at_level(logging.INFO, logger="sae_bench"):
        progress.listener.on_phase("loading SAEs", 0)
        progress.listener.on_result(1, 0, 4)
        progress.listener.on_phase("scoring core", 0)
    assert [re.sub(r"^\d+ s: ", "", line) for line in caplog.messages] == [
        "loading SAEs", "scoring core; 1 of 4 results done",
    ]  # fmt: skip


@pytest.mark.slow
def test_outside_a_terminal_phases_are_lines_and_a_log_file_has_them_too(world: Any, tmp_path: Path):
    log = tmp_path / "run.log"
    arguments = world.run_arguments(tmp_path / "out", "--evals", "core", "--log-file", str(log))
    said = subprocess.run([sys.executable, "-m", "sae_bench.cli", *arguments], capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    for text in (said.stderr, log.read_text(encoding="utf-8")):
        assert re.search(r"\d+ s: scoring core", text)
        assert re.search(r"one pass for \d+ SAEs?; 0 of [\d,]+ tokens", text)
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+ INFO ", log.read_text(encoding="utf-8"))


def test_a_quiet_run_says_nothing_where_nothing_is_wrong(world: Any, sae_bench: Callable[..., Any], tmp_path: Path):
    said = sae_bench(*world.run_arguments(tmp_path / "out", "--evals", "core", "--quiet"))
    assert (said.code, said.out.strip(), said.err.strip()) == (0, "", "")
    assert list((tmp_path / "out").rglob("*_eval_results.json"))


def test_a_log_file_that_cannot_be_written(world: Any, sae_bench: Callable[..., Any], tmp_path: Path):
    said = sae_bench(*world.run_arguments(tmp_path / "out", "--log-file", str(tmp_path / "no" / "run.log")))
    assert said.code == 2
    assert "cannot be written" in said.err


def test_one_eval_is_listed_with_its_settings(sae_bench: Callable[..., Any]):
    said = sae_bench("list", "evals", "core")
    assert said.code == 0, said.err
    assert "model_performance_preservation.ce_loss_score" in said.out
    cells = [line.split("│")[1:3] for line in said.out.splitlines() if line.count("│") == 3]
    names, meanings = ("".join(column) for column in zip(*cells, strict=True))
    assert "n_eval_reconstruction_batches = 10" in names
    assert "paper: 200" in names
    assert " ".join(meanings.split()).count("Batches for sparsity, variance, norm and density metrics.") == 1
