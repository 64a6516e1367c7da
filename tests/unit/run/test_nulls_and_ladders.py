"""Runs with null baselines beside every SAE, and with SAEs whose order is known."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_runs import HOOK, SETTINGS, read

from sae_bench.custom_saes.loaders.native import save_sae
from sae_bench.datasets import LabelledSpec
from sae_bench.errors import ResultError, UsageError
from sae_bench.language_models import LanguageModel
from sae_bench.run import planning
from sae_bench.run.evaluate import evaluate
from sae_bench.run.request import RunRequest
from sae_bench.run.runner import RunSummary
from sae_bench.testing.tiny_models import tiny_sae

Run = Callable[..., RunSummary]
NULLS = ("random_l0_matched", "permuted_decoder", "frozen_encoder")


@pytest.fixture(autouse=True)
def small_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny corpus is no longer."""
    monkeypatch.setattr(planning, "PCA_TOKENS", 2048)


@pytest.fixture
def run(lm: LanguageModel, data: Path, words: LabelledSpec, tmp_path: Path) -> Run:
    def run(*saes: Any, evals: Any = ("core",), **options: Any) -> RunSummary:
        corpus = str(data / "corpus.jsonl")
        settings = {name: SETTINGS[name] for name in evals}
        if "core" in settings:
            settings["core"] = {**settings["core"], "dataset": corpus}
        return evaluate(
            lm,
            saes,
            evals,
            output_folder=tmp_path / "out",
            preset=None,
            settings=settings,
            pca_corpus=corpus,
            **options,
        )

    return run


def saved(folder: Path, *, seed: int = 0, name: str = "one", tokens: int | None = None) -> str:
    sae = tiny_sae("topk", seed=seed, hook_name=HOOK)
    if tokens is not None:
        sae.cfg.training_tokens = tokens
    save_sae(sae, f"{folder}/{name}.safetensors")
    return f"path:{folder}"


def core_of(folder: Path, name: str) -> dict[str, Any]:
    return read(folder / "out" / "core" / f"{name}_eval_results.json")


def test_nulls_stand_beside_every_sae_and_name_it(run: Run, tmp_path: Path) -> None:
    spec = saved(tmp_path / "saes")
    summary = run(spec, "baseline:identity", nulls=True)
    assert summary.failures == []
    assert {path.name.removesuffix("_eval_results.json") for path in summary.written} == {
        "saes_one",
        "baseline_identity",
        *(f"baseline_{name}(saes_one)" for name in NULLS),
    }
    own = core_of(tmp_path, "saes_one")
    for name in NULLS:
        null = core_of(tmp_path, f"baseline_{name}(saes_one)")
        cfg = null["sae_cfg_dict"]
        assert cfg["derived_from"] == {
            "name": name,
            "release": "saes",
            "sae_id": "one",
            "fingerprint": own["provenance"]["sae_fingerprint"],
            "architecture": "topk",
        }
        assert (cfg["architecture"], cfg["hook_name"], cfg["d_sae"]) == (name, HOOK, own["sae_cfg_dict"]["d_sae"])
    again = run(spec, f"baseline:permuted_decoder({spec})", "baseline:identity", nulls=True)
    assert (len(again.skipped), len(again.written)) == (5, 0)


def test_a_null_of_another_sae_is_not_taken_for_done(run: Run, tmp_path: Path) -> None:
    null = f"baseline:permuted_decoder({saved(tmp_path / 'saes')})"
    run(null)
    saved(tmp_path / "saes", seed=1)
    with pytest.raises(ResultError, match="sae_fingerprint"):
        run(null)


def test_a_permuted_decoder_scores_as_its_sae_where_only_codes_count(run: Run, tmp_path: Path) -> None:
    spec = saved(tmp_path / "saes")
    assert run(spec, f"baseline:permuted_decoder({spec})", evals=("core", "sparse_probing")).failures == []
    names = ("saes_one", "baseline_permuted_decoder(saes_one)")
    probing, permuted = (read(tmp_path / "out/sparse_probing" / f"{name}_eval_results.json") for name in names)
    for key in ("eval_result_metrics", "eval_result_details", "seed_results", "statistics"):
        assert probing[key] == permuted[key]
    own, ruined = (core_of(tmp_path, name)["eval_result_metrics"] for name in names)
    assert own["sparsity"] == ruined["sparsity"]
    assert ruined["reconstruction_quality"]["explained_variance"] < own["reconstruction_quality"]["explained_variance"]


def test_objects_get_nulls_and_are_left_as_they_are(lm: LanguageModel, data: Path, tmp_path: Path) -> None:
    sae = tiny_sae("topk", hook_name=HOOK)
    before = {name: value.clone() for name, value in sae.state_dict().items()}
    corpus = str(data / "corpus.jsonl")
    settings = {"core": {**SETTINGS["core"], "dataset": corpus}}
    options = {"output_folder": tmp_path, "preset": None, "settings": settings, "pca_corpus": corpus}
    assert len(evaluate(lm, {"mine": sae}, nulls=True, sae_dtype="bfloat16", **options).written) == 4
    assert all((before[name] == value).all() for name, value in sae.state_dict().items())


def test_rungs_of_a_ladder_are_marked_with_their_level(run: Run, tmp_path: Path) -> None:
    spec = saved(tmp_path / "saes")
    assert len(run(f"baseline:degraded({spec},dead)", spec).written) == 6
    marks = [
        core_of(tmp_path, f"baseline_degraded(saes_one,dead,{level})")["sae_cfg_dict"]["ladder"]
        for level in ("0", "0.1", "0.25", "0.5", "1")
    ]
    assert [mark["value"] for mark in marks] == [0, 0.1, 0.25, 0.5, 1]
    assert {(mark["ladder"], mark["by"], mark["better"]) for mark in marks} == {
        ("baseline:degraded(saes_one,dead)", "level", "lower")
    }
    top, own = core_of(tmp_path, "baseline_degraded(saes_one,dead,0)"), core_of(tmp_path, "saes_one")
    assert top["eval_result_metrics"] == own["eval_result_metrics"]
    assert "ladder" not in own["sae_cfg_dict"]


def test_snapshots_of_a_training_run_are_marked_with_their_tokens(run: Run, tmp_path: Path) -> None:
    for tokens in (2048, 1024):
        spec = saved(tmp_path / "run", name=f"step_{tokens}", tokens=tokens)
    saved(tmp_path / "run", name="unknown")
    summary = run("baseline:identity", ladder=[spec])
    assert len(summary.written) == 3
    (failure,) = summary.failures
    assert failure.sae == "run_unknown"
    assert "how many tokens" in failure.message
    for tokens in (2048, 1024):
        mark = core_of(tmp_path, f"run_step_{tokens}")["sae_cfg_dict"]["ladder"]
        assert mark == {"ladder": spec, "by": "training_tokens", "value": tokens, "better": "higher"}


def test_files_and_flags_ask_for_nulls_and_ladders(tmp_path: Path) -> None:
    path = tmp_path / "request.yaml"
    path.write_text(json.dumps({"model": "embedded", "saes": "embedded:topk", "ladder": "path:run", "nulls": True}))
    for request in (
        RunRequest.from_yaml(path),
        RunRequest.from_flags({}, request_file=path),
        RunRequest.from_flags(
            {"model": "embedded", "sae_specs": ("embedded:topk",), "ladder": ("path:run",), "nulls": True}
        ),
    ):
        (target,) = request.targets
        assert (target.saes, target.ladder, request.nulls) == (("embedded:topk", "path:run"), ("path:run",), True)
    alone = RunRequest.from_flags({"model": "embedded", "sae_specs": (), "ladder": ("path:run",)})
    assert alone.targets[0].saes == ("path:run",)
    with pytest.raises(UsageError, match="--sae"):
        RunRequest.from_flags({"model": "embedded", "sae_specs": (), "ladder": ()})
    with pytest.raises(UsageError, match="ladder"):
        RunRequest.of(targets=[{"model": "embedded", "saes": "embedded:topk", "ladder": 5}])


def test_two_specs_of_one_null_are_one() -> None:
    one, other = "baseline:permuted_decoder(embedded:topk)", "baseline:permuted_decoder(embedded:top.)"
    assert len(planning.resolve_saes([one, other])) == 1
