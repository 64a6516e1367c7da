"""Where a run writes: folders, a full disk, leftovers, kept activations, and what it says of its phases."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from runner_checks import Plan, counted_forwards, names
from tiny_runs import HOOK, SETTINGS, files, handle, read

from sae_bench.activations.one_pass import PassOptions
from sae_bench.activations.store import ActivationStore
from sae_bench.atomic import atomic_path
from sae_bench.errors import ResultError, UsageError
from sae_bench.language_models import LanguageModel
from sae_bench.results import files as result_files
from sae_bench.results import model as result_model
from sae_bench.run.planning import load_context
from sae_bench.run.runner import run


def test_a_folder_that_is_a_file_is_found_before_the_work(make_plan: Plan, lm: LanguageModel, tmp_path: Path):
    (tmp_path / "results").write_text("mine")
    with counted_forwards(lm) as calls, pytest.raises(ResultError, match="is a file"):
        run(make_plan([handle("a")]))
    assert calls == []


def test_a_read_only_folder_is_found_before_the_work(make_plan: Plan, lm: LanguageModel, monkeypatch):
    monkeypatch.setattr(result_files.os, "access", lambda *_: False)  # what a plain user sees; tests may run as root
    with counted_forwards(lm) as calls, pytest.raises(ResultError, match="is not writable"):
        run(make_plan([handle("a")]))
    assert calls == []


def test_a_full_disk_ends_the_run_and_keeps_what_is_done(make_plan: Plan, monkeypatch: pytest.MonkeyPatch):
    plan = make_plan([handle("a"), handle("b", "relu")], evals=["core"])
    write = result_model.write_text_atomically

    def full(path: Path, text: str) -> None:
        if "tiny_b" in path.name:
            raise OSError(28, "No space left on device", str(path))
        write(path, text)

    monkeypatch.setattr(result_model, "write_text_atomically", full)
    with pytest.raises(OSError, match="No space left"):
        run(plan)
    assert files(plan.output_folder) == names("a", evals=["core"])
    monkeypatch.undo()
    assert len(run(plan).skipped) == 1


def test_leftovers_of_a_killed_run_are_removed(make_plan: Plan, tmp_path: Path):
    store = ActivationStore(tmp_path / "store")
    plan = make_plan([handle("a")], pass_options=PassOptions(max_tokens=256, store=store))
    run(plan)
    with atomic_path(tmp_path / "x") as partial:
        writer, _, _ = partial.name.partition(f"-{os.getpid()}.")
    dead, alive = f"{writer}-999999999.abc.partial", f"{writer}-{os.getppid()}.abc.partial"
    places = [plan.output_folder / "core", *(tmp_path / "store").glob("*/*")]
    (plan.output_folder / "core" / "failed").mkdir()
    places.append(plan.output_folder / "core" / "failed")
    for place in places:
        (place / dead).touch()
        (place / alive).touch()
    run(plan)
    for place in places:
        assert not (place / dead).exists()
        assert (place / alive).exists(), "another process is writing it"


def test_a_kept_activation_saves_the_pass_and_changes_nothing(make_plan: Plan, lm: LanguageModel, tmp_path: Path):
    store = ActivationStore(tmp_path / "store")
    options = PassOptions(max_tokens=256, store=store)
    plain = run(make_plan([handle("a")], evals=["sparse_probing"], out=tmp_path / "plain")).written
    run(make_plan([handle("a")], evals=["sparse_probing"], out=tmp_path / "1", pass_options=options))
    plan = make_plan([handle("a")], evals=["sparse_probing"], out=tmp_path / "2", pass_options=options)
    with counted_forwards(lm) as calls:
        again = run(plan).written
    assert len(calls) <= 1  # the width of the hook
    assert read(again[0]) == read(plain[0])


def test_the_baseline_needs_a_place(make_plan: Plan, lm: LanguageModel):
    from sae_bench.custom_saes.spec import resolve_spec

    plan = make_plan(resolve_spec("baseline:identity"), evals=["core"])
    with pytest.raises(UsageError, match="--hook"):
        run(plan)
    assert not plan.output_folder.exists()
    placed = make_plan(resolve_spec("baseline:identity"), evals=["core"], load_context=load_context(lm, hook=HOOK))
    metrics = read(run(placed).written[0])["eval_result_metrics"]
    assert metrics["model_performance_preservation"]["ce_loss_score"] == pytest.approx(1.0, abs=1e-5)


def test_the_phases_are_told_with_their_tokens(make_plan: Plan):
    phases: list[tuple[str, int]] = []
    run(make_plan([handle("a")], on_phase=lambda name, tokens: phases.append((name, tokens))))
    told = dict(phases)
    assert told["one pass for 1 SAEs"] > 8 * SETTINGS["core"]["context_size"]
    assert {"preparing core", "preparing sparse_probing", "scoring core", "loading SAEs"} <= set(told)
