"""What a worker of a cluster tells its driver, tried without a cluster."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tiny_runs import read

from sae_bench.atomic import marker
from sae_bench.run.evaluate import evaluate_saes
from sae_bench.run.ray_worker import Broken, Event, Finished, MadeFile, Place, Progress, Worker
from sae_bench.run.request import RunRequest


def request_of(world: Any, out: Path) -> RunRequest:
    settings = {
        "batch_size_prompts": 4,
        "n_eval_reconstruction_batches": 1,
        "n_eval_sparsity_variance_batches": 1,
        "context_size": 16,
        "dataset": str(world.corpus),
    }
    target = {"model": str(world.model), "saes": [f"path:{world.saes}"], "llm_dtype": "float32"}
    return RunRequest.of(targets=[target], settings={"core": settings}, output_folder=out, device="cpu")


def written(folder: Path) -> dict[str, Any]:
    return {path.name: read(path) for path in sorted(folder.rglob("*_eval_results.json"))}


def heard(worker: Worker, request: RunRequest, places: list[int], unseen: list[Place]) -> list[Event]:
    """All that a worker says; files go where it says they belong."""
    events = list(worker.evaluate(request, places, evaluate_saes, unseen))
    for event in events:
        if isinstance(event, MadeFile):
            path = event.folder / event.relative
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(event.content)
    return events


def test_results_of_a_folder_that_a_worker_does_not_see_come_as_events(world: Any, tmp_path: Path):
    worker = Worker(str(tmp_path))
    heard(worker, request_of(world, tmp_path / "seen"), [0, 2, 3], [])
    far = request_of(world, tmp_path / "far")
    events = heard(worker, far, [0, 2], [Place(tmp_path / "far")])
    assert isinstance(events[-1], Finished)
    assert [event.done for event in events if isinstance(event, Progress)] == [1, 2]
    there = {
        path.relative_to(tmp_path / "far").as_posix(): path.read_bytes() for path in written_files(tmp_path / "far")
    }
    events = heard(worker, far, [0, 2, 3], [Place(tmp_path / "far", there)])
    assert written(tmp_path / "far") == written(tmp_path / "seen")
    last = events[-1]
    assert isinstance(last, Finished)
    assert (len(last.summary.written), len(last.summary.skipped)) == (1, 2), "what the driver has is not done again"
    assert len([event for event in events if isinstance(event, MadeFile)]) == 2, "a result and its samples"


def written_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_worker_says_whether_it_sees_the_folders(tmp_path: Path):
    with marker(tmp_path / "results") as path:
        assert Worker(str(tmp_path)).hello([path]).sees_folders
    assert not Worker(str(tmp_path)).hello([path]).sees_folders
    assert list((tmp_path / "results").iterdir()) == []


def test_errors_of_the_request_and_of_the_code_are_told_apart(world: Any, tmp_path: Path):
    def breaks(*_: object) -> Any:
        raise ZeroDivisionError("no")

    wrong = request_of(world, tmp_path).model_copy(update={"sae_dtype": "float7"})
    for work, expected in ((evaluate_saes, ("request", "float7")), (breaks, ("other", "no"))):
        work_of: Callable[..., Any] = work
        event = list(Worker(str(tmp_path)).evaluate(wrong, [0], work_of))[-1]
        assert isinstance(event, Broken)
        assert event.kind == expected[0]
        assert expected[1] in event.message
