"""SAEs scored at the same time: the same results as one after the other, each fault its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from runner_checks import Plan
from tiny_runs import HOOK, files, handle, read

from sae_bench.custom_saes.loading import Member
from sae_bench.evals.registry import get_eval
from sae_bench.run.plan import EvalRequest
from sae_bench.run.runner import run
from sae_bench.run.threads import side_by_side
from sae_bench.testing.tiny_models import tiny_sae


@pytest.fixture
def four_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


def member(name: str, hook: str = HOOK, *, linear: bool = True) -> Member:
    sae = tiny_sae("relu")
    sae.decoder_is_linear = linear
    return Member("tiny", name, sae, hook)


@pytest.mark.usefixtures("four_threads")
def test_the_first_of_each_hook_goes_ahead_and_what_runs_the_model_waits():
    members = [
        member("a"),
        member("n", linear=False),
        member("b"),
        member("c", "blocks.2.hook_resid_post"),
        member("d"),
    ]
    running: set[str] = set()
    beside: dict[str, set[str]] = {}
    threads: dict[str, int] = {}
    lock, both = threading.Lock(), threading.Barrier(2, timeout=120)

    def work(one: Member) -> str:
        with lock:
            running.add(one.sae_id)
        if one.sae_id in ("b", "d"):
            both.wait()  # would break if they did not run at the same time
        with lock:
            beside[one.sae_id] = {*running} - {one.sae_id}
            threads[one.sae_id] = torch.get_num_threads()
        if one.sae_id in ("b", "d"):
            both.wait()
        with lock:
            running.discard(one.sae_id)
        return one.sae_id.upper()

    done = list(side_by_side(work, members))
    assert [(one.sae_id, got) for one, got in done] == [("a", "A"), ("c", "C"), ("b", "B"), ("d", "D"), ("n", "N")]
    assert {name for name, others in beside.items() if others} == {"b", "d"}
    assert set(threads.values()) == {1}
    assert torch.get_num_threads() == 4


@pytest.mark.usefixtures("four_threads")
def test_whoever_stops_reading_stops_the_work():
    begun: list[str] = []

    def work(one: Member) -> None:
        begun.append(one.sae_id)
        time.sleep(0.02)

    for _ in side_by_side(work, [member(str(n)) for n in range(40)]):
        break
    assert len(begun) < 20
    assert torch.get_num_threads() == 4


def test_one_thread_works_in_the_given_order():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        members = [member("a", linear=False), member("b"), member("c")]
        assert [one.sae_id for one, _ in side_by_side(lambda one: one.key, members)] == ["a", "b", "c"]
    finally:
        torch.set_num_threads(before)


def test_results_do_not_depend_on_the_threads(make_plan: Plan, tmp_path: Path):
    """Bit for bit: every SAE has one thread, be it alone or beside others."""
    meta = get_eval("meta_structure")
    settings = meta.config(train_steps=3, train_batch_size=16)
    handles = [handle("a"), handle("b", "relu"), handle("broken", load=lambda _context: 1 / 0)]
    before = torch.get_num_threads()
    results = []
    try:
        for n_threads in (1, 2):
            torch.set_num_threads(n_threads)
            plan = make_plan(handles, seeds=(42, 43))
            evals = [*plan.evals[1:], EvalRequest(meta, settings)]
            plan = replace(plan, evals=evals, output_folder=tmp_path / str(n_threads))
            summary = run(plan)
            assert len(summary.written) == 4
            assert len(summary.failures) == 2
            results.append({p.relative_to(plan.output_folder): without_times(read(p)) for p in summary.written})
    finally:
        torch.set_num_threads(before)
    assert results[0] == results[1]
    assert files(tmp_path / "1") == files(tmp_path / "2")


def without_times(result: dict) -> dict:
    result["eval_result_metrics"].get("meta_structure", {}).pop("train_time_seconds", None)
    return result
