"""The loop over SAEs: what is written, what is skipped, what a failure costs, and that nothing is lost."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from runner_checks import EVALS, Plan, counted_forwards, names
from tiny_runs import HOOK, files, handle, read

from sae_bench.errors import DatasetError, ResultError, UsageError
from sae_bench.evals.registry import get_eval
from sae_bench.language_models import LanguageModel
from sae_bench.run.runner import run
from sae_bench.testing.tiny_models import tiny_sae


def broken(*, encode: bool = False, decode: bool = False, nan: bool = False) -> Callable[[Any], Any]:
    def load(_context: Any) -> Any:
        sae = tiny_sae("relu")
        if nan:
            sae.W_dec[3, 4] = float("nan")

        def fail(*_: Any) -> Any:
            raise ZeroDivisionError("planted")

        if encode:
            sae.encode = fail
        if decode:
            sae.decode, sae.decoder_is_linear = fail, False
        return sae

    return load


# ---- what is written


def test_every_sae_and_eval_has_a_result_that_validates(make_plan: Plan, lm: LanguageModel, tmp_path: Path):
    plan = make_plan([handle("a"), handle("b", "relu"), handle("c", "gated")], seeds=(42, 43))
    configs = [asdict(request.config) for request in plan.evals]
    summary = run(plan)
    assert files(plan.output_folder) == names("a", "b", "c")
    assert len(summary.written) == 6
    assert not summary.failures
    assert not summary.skipped
    assert configs == [asdict(request.config) for request in plan.evals]
    for path in summary.written:
        text = path.read_text()
        assert "NaN" not in text
        assert "Infinity" not in text
        output = get_eval(path.parent.name).output.model_validate_json(text)
        assert output.eval_type_id == path.parent.name
        assert output.sae_lens_release_id == "tiny"
        assert output.sae_cfg_dict["hook_name"] == HOOK
        made = output.provenance
        assert (made.seeds, made.llm_dtype, made.sae_dtype, made.device) == ([42, 43], "float32", "float32", "cpu")
        assert made.protocol == get_eval(path.parent.name).protocol
        assert made.model_fingerprint == lm.fingerprint()
        assert made.torch_version == torch.__version__
        assert all(origin["source"] == "path" for origin in made.datasets.values())
        assert set(made.seconds) >= {"prepare (shared)", "lm_pass (shared)", "sae_encode (shared)", "score"}
        per_seed = [] if output.eval_type_id == "core" else [42, 43]
        assert [seed.seed for seed in output.seed_results] == per_seed


def test_the_published_fields_are_means_over_seeds(make_plan: Plan):
    path = run(make_plan([handle("a")], evals=["sparse_probing"], seeds=(1, 2, 3))).written[0]
    content = json.loads(path.read_text())
    values = [seed["metrics"]["sae.sae_top_1_test_accuracy"] for seed in content["seed_results"]]
    assert len(values) == 3
    mean = content["eval_result_metrics"]["sae"]["sae_top_1_test_accuracy"]
    assert mean == pytest.approx(math.fsum(values) / 3, abs=1e-12)


@pytest.mark.slow
def test_results_do_not_depend_on_the_order_or_the_grouping_of_saes(make_plan: Plan, tmp_path: Path):
    handles = [
        handle("a"),
        handle("b", "jumprelu"),
        handle("c", "batch_topk"),
        handle("d", hook="blocks.0.hook_mlp_out"),
    ]
    runs = {
        "one group": make_plan(handles, out=tmp_path / "1"),
        "reversed": make_plan(handles[::-1], out=tmp_path / "2"),
        "one by one": make_plan(handles, out=tmp_path / "3", max_saes=1),
        "alone": make_plan(handles[1:2], out=tmp_path / "4"),
    }
    found = {name: {p.name: (p.parent.name, read(p)) for p in run(plan).written} for name, plan in runs.items()}
    for name, results in found.items():
        for file, result in results.items():
            assert result == found["one group"][file], name


def test_results_can_go_straight_into_the_folder(make_plan: Plan):
    plan = make_plan([handle("a")], evals=["core"], folder_per_eval=False)
    run(plan)
    assert files(plan.output_folder) == {"tiny_a_eval_results.json", "samples", "samples/tiny_a.safetensors"}
    other = make_plan([handle("a")], evals=["sparse_probing"], folder_per_eval=False)
    with pytest.raises(ResultError, match="is a result of core, not of sparse_probing"):
        run(other)


# ---- what is skipped


def test_the_same_request_again_runs_nothing(make_plan: Plan, lm: LanguageModel):
    plan = make_plan([handle("a"), handle("b", "relu")])
    before = {path: path.read_bytes() for path in run(plan).written}
    with counted_forwards(lm) as calls:
        summary = run(plan)
    assert calls == []
    assert sorted(summary.skipped) == sorted(before)
    assert summary.written == []
    assert all(path.read_bytes() == content for path, content in before.items())


def test_only_what_is_missing_is_computed(make_plan: Plan):
    plan = make_plan([handle("a"), handle("b", "relu"), handle("c", "gated")])
    first = {path: read(path) for path in run(plan).written}
    missing = [p for p in first if (p.parent.name, p.name[5]) in {("core", "a"), ("sparse_probing", "b")}]
    kept = {path: path.read_bytes() for path in first if path not in missing}
    for path in missing:
        path.unlink()
    summary = run(plan)
    assert not summary.failures
    assert sorted(summary.written) == sorted(missing)
    assert all(read(path) == first[path] for path in missing)
    assert all(path.read_bytes() == content for path, content in kept.items())


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"settings": {"core": {"context_size": 8}}}, "context_size: 16 there, 8 asked for"),
        ({"seeds": (7,)}, r"seeds: \[42\] there, \[7\] asked for"),
    ],
)
def test_other_settings_stop_the_run_before_it_starts(make_plan: Plan, lm: LanguageModel, changes: dict, named: str):
    plan = make_plan([handle("a")])
    run(plan)
    before = {path: path.read_bytes() for path in plan.output_folder.rglob("*.json")}
    with counted_forwards(lm) as calls, pytest.raises(ResultError, match=named) as error:
        run(make_plan([handle("new"), handle("a")], **changes))
    assert "--force-rerun" in str(error.value)
    assert calls == []
    assert {path: path.read_bytes() for path in plan.output_folder.rglob("*.json")} == before


@pytest.mark.parametrize(("key", "value"), [("protocol", "core-0"), ("model_fingerprint", "0123456789abcdef")])
def test_a_result_of_another_definition_or_model_is_not_reused(make_plan: Plan, key: str, value: str):
    plan = make_plan([handle("a")], evals=["core"])
    path = run(plan).written[0]
    content = json.loads(path.read_text())
    content["provenance"][key] = value
    path.write_text(json.dumps(content))
    with pytest.raises(ResultError, match=rf"{key}\)?: '{value}' there"):
        run(plan)


def test_settings_that_an_older_result_lacks_had_their_defaults(make_plan: Plan):
    plan = make_plan([handle("a")], evals=["core"])
    path = run(plan).written[0]
    content = json.loads(path.read_text())
    del content["eval_config"]["compute_kl"], content["eval_config"]["verbose"]
    path.write_text(json.dumps(content))
    assert run(plan).skipped == [path]
    with pytest.raises(ResultError, match="compute_kl: True there, False asked for"):
        run(make_plan([handle("a")], evals=["core"], settings={"core": {"compute_kl": False}}))
    assert run(make_plan([handle("a")], evals=["core"], settings={"core": {"verbose": True}})).skipped == [path]


def test_force_rerun_replaces_the_result(make_plan: Plan):
    path = run(make_plan([handle("a")], evals=["core"])).written[0]
    changed = {"core": {"context_size": 8}}
    run(make_plan([handle("a")], evals=["core"], settings=changed, force_rerun=True))
    assert json.loads(path.read_text())["eval_config"]["context_size"] == 8


@pytest.mark.parametrize("content", ['{"eval_type_id": "core", "eval', "", "[]", '{"a": 1}', "\udcff"])
def test_a_broken_result_file_is_named(make_plan: Plan, content: str):
    plan = make_plan([handle("a")], evals=["core"])
    path = plan.output_folder / "core" / "tiny_a_eval_results.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(ResultError) as error:
        run(plan)
    assert str(path) in str(error.value)
    assert "Next:" in str(error.value)
    assert files(plan.output_folder) == {"core", "core/tiny_a_eval_results.json"}
    plan = make_plan([handle("a")], evals=["core"], force_rerun=True)
    assert run(plan).written == [path]


# ---- failures


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (broken(nan=True), "W_dec of this SAE holds 1 NaN"),
        (broken(encode=True), "planted"),
        (broken(decode=True), "planted"),
        (lambda _context: tiny_sae("relu", d_in=24), "reads vectors of 24 numbers"),
        (lambda _context: Path("/no/such/file").read_bytes(), "No such file"),
    ],
    ids=["nan", "encode", "decode", "width", "load"],
)
def test_one_failing_sae_does_not_stop_the_others(make_plan: Plan, bad: Callable, message: str):
    plan = make_plan([handle("a"), handle("bad", load=bad), handle("c", "relu")])
    summary = run(plan)
    assert {path.name for path in summary.written} == {"tiny_a_eval_results.json", "tiny_c_eval_results.json"}
    assert len(summary.written) == 4
    assert {(f.sae, f.eval_name) for f in summary.failures} == {("tiny_bad", name) for name in EVALS}
    for failure in summary.failures:
        assert message in failure.message
        assert "Traceback" in failure.traceback_file.read_text()
        assert message in failure.traceback_file.read_text()
    alone = run(make_plan([handle("a")], out=plan.output_folder.parent / "alone")).written
    assert [read(p) for p in alone] == [read(p) for p in summary.written if "tiny_a" in p.name]


def test_results_of_an_sae_that_cannot_be_read_any_more_stay_and_are_not_vouched_for(make_plan: Plan):
    (path,) = run(make_plan([handle("a")], evals=["core"])).written
    before = path.read_bytes()

    def gone(_context: Any) -> Any:
        raise OSError("the file is gone")

    summary = run(make_plan([handle("a", load=gone)]))
    assert [failure.eval_name for failure in summary.failures] == list(EVALS)
    assert summary.skipped == []
    assert path.read_bytes() == before


def test_a_failure_is_recorded_only_for_what_was_still_to_do(make_plan: Plan, monkeypatch: pytest.MonkeyPatch):
    from sae_bench.evals.sparse_probing.evaluate import SparseProbingJob

    def fail(*_: Any) -> Any:
        raise ValueError("planted")

    monkeypatch.setattr(SparseProbingJob, "score", fail)
    run(make_plan([handle("a")], evals=["core"]))
    summary = run(make_plan([handle("a")]))
    assert [failure.eval_name for failure in summary.failures] == ["sparse_probing"]


def test_the_traceback_goes_away_when_the_sae_is_done(make_plan: Plan):
    plan = make_plan([handle("a", load=broken(nan=True)), handle("b")])
    assert (plan.output_folder / "core" / "failed").is_dir() is False
    failure = run(plan).failures[0]
    assert failure.traceback_file.is_file()
    run(make_plan([handle("a"), handle("b")]))
    assert files(plan.output_folder) == names("a", "b")


def test_a_score_that_raises_an_os_error_is_that_saes_failure(make_plan: Plan, monkeypatch: pytest.MonkeyPatch):
    from sae_bench.evals.sparse_probing.evaluate import SparseProbingJob

    score = SparseProbingJob.score

    def flaky(self: Any, member: Any, served: Any) -> Any:
        if member.sae_id == "a":
            raise ConnectionError("judge is away")
        return score(self, member, served)

    monkeypatch.setattr(SparseProbingJob, "score", flaky)
    summary = run(make_plan([handle("a"), handle("b")]))
    assert [(f.sae, f.eval_name) for f in summary.failures] == [("tiny_a", "sparse_probing")]
    assert len(summary.written) == 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"core": {"dataset": "no/such-corpus"}}, "no/such-corpus"),
        ({"core": {"n_eval_sparsity_variance_batches": 5000}}, "are needed"),
        ({"sparse_probing": {"probe_train_set_size": 4000}}, "tiny/words"),
    ],
)
def test_what_cannot_start_writes_nothing(make_plan: Plan, settings: dict, message: str):
    plan = make_plan([handle("a")], settings=settings)
    with pytest.raises((DatasetError, UsageError), match=message):
        run(plan)
    assert not plan.output_folder.exists()


def test_two_saes_with_the_same_result_name(make_plan: Plan, lm: LanguageModel):
    with counted_forwards(lm) as calls, pytest.raises(ResultError, match=r"tiny_a_b_eval_results\.json"):
        run(make_plan([handle("a/b"), handle("a_b", "relu")]))
    assert calls == []


def test_an_sae_whose_hook_the_model_lacks_fails_alone(make_plan: Plan):
    summary = run(make_plan([handle("a"), handle("deep", hook="blocks.9.hook_resid_post")], evals=["core"]))
    assert [path.name for path in summary.written] == ["tiny_a_eval_results.json"]
    (failure,) = summary.failures
    assert failure.sae == "tiny_deep"
    assert "blocks.9.hook_resid_post" in failure.message


@pytest.mark.parametrize("name", ["x" * 300, "nul\0in_it"])
def test_a_name_that_no_file_can_have_fails_before_the_pass(make_plan: Plan, name: str):
    loaded: list[str] = []

    def load(_context: object) -> Any:
        loaded.append(name)
        return tiny_sae("topk", hook_name=HOOK)

    summary = run(make_plan([handle("a"), handle(name, load=load)], evals=["core"]))
    assert [path.name for path in summary.written] == ["tiny_a_eval_results.json"]
    (failure,) = summary.failures
    assert "give the SAE another name" in failure.message
    assert failure.traceback_file.is_file()
    assert loaded == []


@pytest.mark.parametrize(
    ("encode", "message"),
    [
        (lambda x: sys.exit(1), "called sys.exit"),
        (lambda x: torch.full((len(x), 64), float("nan")), "NaN or infinite"),
    ],
)
def test_codes_that_are_none_fail_that_sae_alone(make_plan: Plan, encode: Callable[[Any], Any], message: str):
    sae = tiny_sae("relu", hook_name=HOOK)
    sae.encode = encode
    summary = run(make_plan([handle("a"), handle("bad", load=lambda _context: sae)], evals=["core"]))
    assert [path.name for path in summary.written] == ["tiny_a_eval_results.json"]
    (failure,) = summary.failures
    assert (failure.sae, message in failure.message) == ("tiny_bad", True)


def test_longer_texts_than_in_training_are_a_warning(make_plan: Plan):
    sae = tiny_sae("topk", hook_name=HOOK)
    sae.cfg.context_size = 8
    (path,) = run(make_plan([handle("a", load=lambda _context: sae)], evals=["core"])).written
    assert any("trained on texts of 8 tokens" in warning for warning in read(path)["provenance"]["warnings"])


def test_an_sae_whose_hook_only_loading_tells(make_plan: Plan):
    known_late = handle("a", load=lambda _context: tiny_sae("topk", hook_name=HOOK), hook=None)
    assert len(run(make_plan([known_late], evals=["core"])).written) == 1


def test_what_another_run_makes_meanwhile_is_not_made_again(make_plan: Plan):
    handles = [handle("a"), handle("b", "relu")]
    before: dict[Path, bytes] = {}

    def another_run(phase: str, _tokens: int) -> None:
        if phase == "scoring core" and not before:
            other = run(make_plan(handles[:1]))
            before.update({path: path.read_bytes() for path in other.written})

    plan = make_plan(handles, on_phase=another_run)
    summary = run(plan)
    assert len(before) == 2
    assert sorted(summary.skipped) == sorted(before)
    assert len(summary.written) == 2
    assert all(path.read_bytes() == content for path, content in before.items())


def test_another_result_that_comes_meanwhile_is_not_overwritten(make_plan: Plan):
    def another_run(phase: str, _tokens: int) -> None:
        if phase == "scoring core":
            run(make_plan([handle("a")], evals=["core"], settings={"core": {"context_size": 8}}))

    plan = make_plan([handle("a")], evals=["core"], on_phase=another_run)
    summary = run(plan)
    assert summary.written == []
    assert "context_size" in summary.failures[0].message
    assert read(next((plan.output_folder / "core").glob("*.json")))["eval_config"]["context_size"] == 8
