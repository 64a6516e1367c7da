"""A result is of one SAE: another one of the same name never gets it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_runs import HOOK, SETTINGS

from sae_bench.custom_saes import fingerprint
from sae_bench.custom_saes.loaders.native import save_sae
from sae_bench.errors import ResultError
from sae_bench.language_models import LanguageModel
from sae_bench.run.evaluate import evaluate
from sae_bench.run.runner import RunSummary
from sae_bench.testing.tiny_models import tiny_sae

Run = Callable[..., RunSummary]


@pytest.fixture
def run_core(lm: LanguageModel, data: Path, tmp_path: Path) -> Run:
    def run(*saes: Any, **options: Any) -> RunSummary:
        settings = {"core": {**SETTINGS["core"], "dataset": str(data / "corpus.jsonl")}}
        return evaluate(lm, saes, "core", output_folder=tmp_path / "out", preset=None, settings=settings, **options)

    return run


def saved(folder: Path, seed: int) -> str:
    save_sae(tiny_sae("topk", seed=seed, hook_name=HOOK), f"{folder}/saes/trainer_0.safetensors")
    return f"path:{folder}/saes"


def refused(run: Run, *saes: Any, names: str, **options: Any) -> None:
    with pytest.raises(ResultError, match=names) as caught:
        run(*saes, **options)
    assert "--force-rerun" in str(caught.value)
    assert len(run(*saes, force_rerun=True, **options).written) == len(saes)


def test_the_same_sae_is_done(run_core: Run, tmp_path: Path):
    spec = saved(tmp_path / "run1", 0)
    assert len(run_core(spec).written) == 1
    again = run_core(spec)
    assert (len(again.skipped), len(again.written)) == (1, 0)


def test_retrained_weights_at_the_same_path_are_refused(run_core: Run, tmp_path: Path):
    run_core(saved(tmp_path / "run1", 0))
    refused(run_core, saved(tmp_path / "run1", 1), names="sae_fingerprint")


def test_another_folder_of_the_same_name_is_refused(run_core: Run, tmp_path: Path):
    run_core(saved(tmp_path / "run1", 0))
    refused(run_core, saved(tmp_path / "run2", 1), names="sae_fingerprint")


def test_a_copy_of_the_same_folder_is_the_same_sae(run_core: Run, tmp_path: Path):
    run_core(saved(tmp_path / "run1", 0))
    assert len(run_core(saved(tmp_path / "run2", 0)).skipped) == 1


def test_a_function_that_returns_another_sae_is_refused(run_core: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    code = f"""import os
from sae_bench.testing.tiny_models import tiny_sae
def mine():
    return tiny_sae("topk", seed=int(os.environ["SEED"]), hook_name={HOOK!r})
"""
    (tmp_path / "their_saes.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("SEED", "1")
    run_core("python:their_saes:mine")
    assert len(run_core("python:their_saes:mine").skipped) == 1
    monkeypatch.setenv("SEED", "2")
    refused(run_core, "python:their_saes:mine", names="sae_fingerprint")


def test_an_object_of_the_same_name_is_refused(run_core: Run):
    run_core(("mine", tiny_sae("relu", hook_name=HOOK)))
    refused(run_core, ("mine", tiny_sae("relu", seed=3, hook_name=HOOK)), names="sae_fingerprint")


def test_a_baseline_at_another_hook_is_refused(run_core: Run):
    run_core("baseline:identity", hook="blocks.0.hook_resid_post")
    assert len(run_core("baseline:identity", hook="blocks.0.hook_resid_post").skipped) == 1
    refused(run_core, "baseline:identity", hook=HOOK, names="sae_hook: 'blocks.0.hook_resid_post' there")


def test_another_dtype_of_the_sae_is_refused(run_core: Run, tmp_path: Path):
    spec = saved(tmp_path, 0)
    (written,) = run_core(spec, sae_dtype="float32").written
    before = json.loads(written.read_text())["provenance"]
    refused(run_core, spec, sae_dtype="bfloat16", names="sae_dtype: 'float32' there, 'bfloat16' asked for")
    after = json.loads(written.read_text())["provenance"]
    assert after["sae_fingerprint"] == before["sae_fingerprint"], "the fingerprint is of the file, not of the cast"
    assert (before["sae_hook"], after["sae_dtype"]) == (HOOK, "bfloat16")


def test_a_result_without_a_fingerprint_is_kept_and_named(
    run_core: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    spec = saved(tmp_path, 0)
    (path,) = run_core(spec).written
    content = json.loads(path.read_text())
    del content["provenance"]["sae_fingerprint"]
    path.write_text(json.dumps(content))
    with caplog.at_level(logging.WARNING):
        assert run_core(spec).skipped == [path]
    assert "do not record which SAE they are of" in caplog.text


def test_an_sae_is_looked_at_only_where_results_are_there_and_once(
    run_core: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    spec = saved(tmp_path, 0)
    run_core(spec)
    hashed: list[Path] = []
    monkeypatch.setattr(fingerprint, "of_files", lambda *paths: hashed.extend(paths) or "other")
    with pytest.raises(ResultError):
        run_core(spec)
    assert len(hashed) == 2, "weights and configuration"


def test_a_fingerprint_of_weights_tells_values_and_configuration_apart():
    sae = tiny_sae("topk")
    same, other = tiny_sae("topk"), tiny_sae("topk")
    with torch.no_grad():
        other.W_dec[0, 0] += 1e-3
    deeper = tiny_sae("topk", hook_name="blocks.0.hook_resid_post")
    found = [fingerprint.of_weights(one) for one in (sae, same, other, deeper)]
    assert found[0] == found[1]
    assert len(set(found)) == 3
    half = tiny_sae("topk").to(dtype=torch.bfloat16)
    assert fingerprint.of_weights(half) == fingerprint.of_weights(half.to(dtype=torch.float32))
