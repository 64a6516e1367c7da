"""`--dry-run` says what a run would do, writes nothing, and knows of time what results tell."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sae_bench.activations.requests import PooledTexts
from sae_bench.cli.forecast import show_forecast
from sae_bench.evals.registry import get_eval
from sae_bench.run.dry_run import dry_run
from sae_bench.run.planning import make_config
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


def one_result(world: Any, sae_bench: Callable[..., Any], out: Path) -> Path:
    """The result of one of the six SAEs."""
    assert sae_bench(*world.run_arguments(out, "--quiet")).code == 0
    first, *others = sorted((out / "core").glob("*.json"))
    for path in others:
        path.unlink()
    return first


def test_it_counts_what_the_run_reads_and_writes_nothing(world: Any, sae_bench: Callable[..., Any], tmp_path: Path):
    out = tmp_path / "out"
    said = sae_bench(*world.run_arguments(out, "--dry-run", "--gpus", "3"))
    assert said.code == 0
    assert not out.exists()
    assert "6 SAEs to do, 0 results are there" in said.out
    assert "For 3 workers like this: 3 units of 2 SAEs" in said.message
    assert "How long core will take is not known" in said.message
    n_tokens = next(word for word in said.message.split("pass of the model over ")[1].split())
    assert f"{n_tokens} tokens)" in sae_bench(*world.run_arguments(out)).message
    assert "0 SAEs to do, 6 results are there" in sae_bench(*world.run_arguments(out, "--dry-run")).out


def test_results_that_are_there_tell_the_time(world: Any, sae_bench: Callable[..., Any], tmp_path: Path):
    out = tmp_path / "out"
    path = one_result(world, sae_bench, out)
    content = json.loads(path.read_text())
    shared = {"prepare (shared)": 5.0, "lm_pass (shared)": 9.0, "sae_encode (shared)": 2.0, "consume (shared)": 4.0}
    content["provenance"]["seconds"] = {**shared, "score": 20.0}
    path.write_text(json.dumps(content))
    for n_workers, per_worker in ((1, 5), (2, 3), (5, 1)):
        [forecast] = dry_run(request_of(world, out), n_workers)
        [core] = forecast.evals
        assert (core.n_saes, core.prepare_seconds, core.score_seconds, forecast.codes_seconds) == (5, 5.0, 20.0, 6.0)
        assert forecast.seconds is not None
        assert forecast.pass_seconds is not None
        passes = (forecast.seconds - forecast.load_seconds - 5.0 - per_worker * 26.0) / forecast.pass_seconds
        assert 0.99 <= passes <= 5.01, "one per unit"
        assert n_workers > 1 or passes < 1.01


@pytest.mark.parametrize(
    ("part", "changes"),
    [
        ("provenance", {"device": "cuda"}),
        ("provenance", {"resample_data": True}),
        ("eval_config", {"n_eval_sparsity_variance_batches": 2000}),
    ],
)
def test_results_of_another_kind_of_run_do_not_tell(
    part: str, changes: dict[str, Any], world: Any, sae_bench: Callable[..., Any], tmp_path: Path
):
    out = tmp_path / "out"
    path = one_result(world, sae_bench, out)
    content = json.loads(path.read_text())
    content[part] |= changes
    path.rename(path.with_name("other_sae_eval_results.json")).write_text(json.dumps(content))
    said = sae_bench(*world.run_arguments(out, "--dry-run"))
    assert "How long core will take is not known" in said.message
    assert "All in all" not in said.message


def test_the_time_of_a_pass_is_shared_by_all_its_saes(world: Any, sae_bench: Callable[..., Any], tmp_path: Path):
    out = tmp_path / "out"
    path = one_result(world, sae_bench, out)
    content = json.loads(path.read_text())
    path.unlink()
    shared = {"prepare (shared)": 5.0, "lm_pass (shared)": 9.0, "sae_encode (shared)": 20.0, "consume (shared)": 4.0}
    for i in range(14):  # the last two in a pass of their own
        own = {**shared, "sae_encode (shared)": 2.0} if i > 11 else shared
        content["provenance"]["seconds"] = {**own, "score": 1.0}
        path.with_name(f"other_{i:02}_eval_results.json").write_text(json.dumps(content))
        os.utime(path.with_name(f"other_{i:02}_eval_results.json"), (i, i))
    [forecast] = dry_run(request_of(world, out))
    assert forecast.codes_seconds == 3.0
    for i in (12, 13):
        path.with_name(f"other_{i:02}_eval_results.json").unlink()
    [forecast] = dry_run(request_of(world, out))
    assert forecast.codes_seconds == 2.0


def test_saes_that_are_scored_at_the_same_time_share_it(
    world: Any, sae_bench: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    spec = get_eval("core")
    monkeypatch.setattr("sae_bench.run.forecasting.scored_at_once", lambda n_saes: min(n_saes, 2))
    out = tmp_path / "out"
    path = one_result(world, sae_bench, out)
    content = json.loads(path.read_text())
    content["provenance"]["seconds"]["score"] = 20.0
    path.write_text(json.dumps(content))
    for together, seconds in ((False, 100.0), (True, 50.0)):
        request = request_of(world, out).model_copy(update={"evals": (replace(spec, side_by_side=together),)})
        [forecast] = dry_run(request)
        assert forecast.all_score_seconds == seconds


def test_the_estimate_stands_above_the_bar(
    world: Any, sae_bench: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("sae_bench.run.forecasting.BATCHES_WORTH_IT", 0)
    out, log = tmp_path / "out", tmp_path / "run.log"
    arguments = world.run_arguments(out, "--log-file", str(log))
    n_tokens = sae_bench(*arguments, "--dry-run").message.split("pass of the model over ")[1].split()[0]
    assert sae_bench(*arguments).code == 0
    of_model = f".+ for the model over {n_tokens} tokens"  # measured, and the machine may be busy
    assert re.search(f"6 SAEs: about {of_model}; how long codes and scores will take", log.read_text())
    first, *others = sorted((out / "core").glob("*.json"))
    content = json.loads(first.read_text())
    shared = {"prepare (shared)": 5.0, "lm_pass (shared)": 9.0, "sae_encode (shared)": 2.0, "consume (shared)": 4.0}
    content["provenance"]["seconds"] = {**shared, "score": 20.0}
    first.write_text(json.dumps(content))
    for path in others:
        path.unlink()
    assert sae_bench(*arguments).code == 0
    parts = rf"\({of_model}, 30 s for codes, 1 min 40 s for scores\)"
    assert re.search(f"5 SAEs: about .+ from here {parts}", log.read_text())


def test_a_synthetic_model_is_estimated_and_run(sae_bench: Callable[..., Any], tmp_path: Path):
    arguments = (
        "run", "--model", "synthetic:small", "--sae", "synthetic:topk", "--evals", "ground_truth", "--device", "cpu",
        "--set", "ground_truth.n_samples=512", "--output-folder", str(tmp_path / "results"),
    )  # fmt: skip
    planned = sae_bench(*arguments, "--dry-run")
    assert planned.code == 0, planned.err
    assert "512" in planned.out
    done = sae_bench(*arguments)
    assert done.code == 0, done.err
    assert len(list((tmp_path / "results").glob("ground_truth/*.json"))) == 1


def test_a_share_without_saes_is_said(world: Any, sae_bench: Callable[..., Any], tmp_path: Path):
    said = sae_bench(*world.run_arguments(tmp_path / "out", "--shard", "9/9", "--dry-run"))
    assert said.code == 0
    assert "Nothing to do: there are more shares than SAEs, and share 9/9 has none." in said.message


def test_what_is_kept_of_texts(world: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    texts = [PooledTexts([[1, 2, 3], [4, 5], [1, 2, 3]]), PooledTexts([[4, 5], [6]])]
    spec = replace(get_eval("core"), texts=lambda _context, _config: texts)
    request = request_of(world, tmp_path / "out").model_copy(update={"evals": (spec,)})
    [forecast] = dry_run(request)
    assert (forecast.tokens, forecast.n_texts) == (3 + 2 + 1, 3)
    assert (forecast.pooled_bytes, forecast.pooled_code_bytes) == (3 * 32 * 4, 3 * 1000 * 4)
    show_forecast(request, 1)
    assert "Kept in main memory of 3 texts: 0.0 MB of activations" in capsys.readouterr().err


def test_texts_of_every_seed_are_counted_where_each_draws_its_own(
    world: Any, sae_bench: Callable[..., Any], tmp_path: Path
):
    counts = []
    for more in (("--seeds", "3"), ("--seeds", "3", "--resample-data")):
        said = sae_bench(*world.run_arguments(tmp_path, *more, "--dry-run")).message
        counts.append(int(said.split("pass of the model over ")[1].split()[0]))
    assert counts[0] < counts[1] <= 3 * counts[0], "batches of rows that draws have in common count once"
    said = sae_bench(*world.run_arguments(tmp_path, "--seeds", "3", "--resample-data")).message
    assert f"{counts[1]} tokens)" in said, "as many as the run reads"


def test_gpus_belong_to_a_dry_run(world: Any, sae_bench: Callable[..., Any], tmp_path: Path):
    said = sae_bench(*world.run_arguments(tmp_path, "--gpus", "2"))
    assert said.code == 2
    assert "add --dry-run" in said.message


def test_a_dry_run_has_nothing_to_track(world: Any, sae_bench: Callable[..., Any], tmp_path: Path):
    said = sae_bench(*world.run_arguments(tmp_path / "out", "--dry-run", "--track", "trackio"))
    assert said.code == 2
    assert "--dry-run makes no results that --track could log" in said.message


def test_the_price_of_a_paid_judge():
    spec = get_eval("autointerp")
    assert spec.judge_price is not None
    paid = make_config(spec, {"model_name": "m", "judge": "openai", "n_latents": 10, "judge_model": "gpt-4o-mini"})
    one, three = (spec.judge_price(paid, 1, False, n) for n in (1, 3))
    assert (one.questions, three.questions) == (20, 60)
    assert three.dollars == pytest.approx(3 * one.dollars)
    assert spec.judge_price(make_config(spec, {"model_name": "m", "judge": "local"}), 1, False, 3) is None
