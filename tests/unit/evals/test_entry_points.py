"""The published functions and `main` modules: same names, same arguments, one engine."""

from __future__ import annotations

import copy
import inspect
import json
import sys
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tiny_runs import HOOK, SETTINGS, files, written

from sae_bench.cli.process import run_command
from sae_bench.custom_saes.loaders import embedded, sae_lens
from sae_bench.custom_saes.loaders.native import save_sae
from sae_bench.errors import IncompleteRunError, SAELoadError, UnknownNameError, UsageError
from sae_bench.evals.core import main as core
from sae_bench.evals.core.eval_config import CoreEvalConfig
from sae_bench.evals.sparse_probing import main as probing
from sae_bench.evals.sparse_probing.eval_config import SparseProbingEvalConfig
from sae_bench.language_models import LanguageModel
from sae_bench.published import entry_points
from sae_bench.published.entry_points import object_handle, select_saes
from sae_bench.run.planning import load_context
from sae_bench.testing.tiny_models import tiny_model, tiny_sae

CORE_FLAGS = [
    "model_name",
    "batch_size_prompts",
    "n_eval_reconstruction_batches",
    "compute_kl",
    "compute_ce_loss",
    "n_eval_sparsity_variance_batches",
    "compute_l2_norms",
    "compute_sparsity_metrics",
    "compute_variance_metrics",
    "compute_featurewise_density_statistics",
    "compute_featurewise_weight_based_metrics",
    "exclude_special_tokens_from_reconstruction",
    "dataset",
    "context_size",
    "output_folder",
    "verbose",
    "force_rerun",
    "llm_dtype",
]
PROBING_FLAGS = [
    "random_seed",
    "model_name",
    "sae_regex_pattern",
    "sae_block_pattern",
    "output_folder",
    "force_rerun",
    "clean_up_activations",
    "save_activations",
    "llm_batch_size",
    "llm_dtype",
    "sae_batch_size",
    "lower_vram_usage",
    "artifacts_path",
]


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("model")
    lm = tiny_model("gpt2")
    lm.model.save_pretrained(folder)
    lm.tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture
def core_config(model_dir: str, data: Path) -> CoreEvalConfig:
    return CoreEvalConfig(
        **SETTINGS["core"], dataset=str(data / "corpus.jsonl"), model_name=model_dir, llm_dtype="float32"
    )


@pytest.fixture
def probing_config(model_dir: str, words: Any) -> SparseProbingEvalConfig:
    return SparseProbingEvalConfig(**SETTINGS["sparse_probing"], model_name=model_dir, llm_dtype="float32")


@pytest.fixture
def suite(tmp_path: Path, model_dir: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two tiny SAEs in place of the embedded ones."""
    folder = tmp_path / "suite"
    for name in ("topk", "relu"):
        save_sae(tiny_sae(name, model_name=model_dir), folder / f"{name}.safetensors")
    pair = embedded.pair_handles
    monkeypatch.setattr(embedded, "pair_handles", lambda _suite, release: pair(folder, release=release))
    return folder


def unit_free_sae(**kwargs: Any) -> Any:
    """A ReLU SAE whose decoder rows are not unit vectors, so that they will be folded."""
    sae = tiny_sae("relu", **kwargs)
    with torch.no_grad():
        sae.W_dec.mul_(torch.linspace(0.5, 2.0, len(sae.W_dec))[:, None])
    return sae


def state(sae: Any) -> Any:
    return copy.deepcopy((sae.state_dict(), sae.cfg, sae.W_dec.requires_grad))


def same(a: Any, b: Any) -> bool:
    return all(torch.equal(a[0][k], b[0][k]) and a[0][k].dtype == b[0][k].dtype for k in a[0]) and a[1:] == b[1:]


# ---- functions


def test_core_run_eval_on_an_object_and_on_an_embedded_sae(core_config, suite: Path, tmp_path: Path):
    sae = unit_free_sae()
    before, config_before = state(sae), asdict(core_config)
    out = tmp_path / "out"
    results = core.run_eval(core_config, [("mine", sae), ("embedded", "topk")], "cpu", str(out))
    assert set(results) == {"mine_custom_sae", "embedded_topk"}
    assert files(out) == written("mine_custom_sae", "embedded_topk")
    assert results["mine_custom_sae"] == json.loads((out / "mine_custom_sae_eval_results.json").read_text())
    assert same(before, state(sae)), "the caller's SAE was changed"
    assert asdict(core_config) == config_before


def test_an_object_gives_the_same_numbers_as_its_folded_file(core_config, tmp_path: Path, model_dir: str):
    sae = unit_free_sae(model_name=model_dir)
    save_sae(sae, tmp_path / "file" / "a.safetensors")
    loaded = embedded.pair_handles(tmp_path / "file", release="r")[0]
    from_file = loaded.load(SimpleContext())
    results = core.run_eval(core_config, [("a", sae), ("b", from_file)], "cpu", tmp_path / "out")
    a, b = (results[f"{name}_custom_sae"]["eval_result_metrics"] for name in "ab")
    assert a["sparsity"]["l1"] == pytest.approx(b["sparsity"]["l1"], rel=1e-5)
    assert a["reconstruction_quality"]["mse"] == pytest.approx(b["reconstruction_quality"]["mse"], rel=1e-5)


def SimpleContext() -> Any:
    from sae_bench.custom_saes.spec import LoadContext

    return LoadContext(torch.device("cpu"), torch.float32)


def test_an_object_of_another_dtype_is_copied(lm: LanguageModel):
    sae = tiny_sae("topk").to(dtype=torch.float64)
    before = state(sae)
    loaded = object_handle("a", sae).load(load_context(lm))
    assert loaded is not sae
    assert loaded.W_dec.dtype == torch.float32
    assert same(before, state(sae))
    plain = tiny_sae("topk")
    assert object_handle("a", plain).load(load_context(lm)) is plain


def test_what_is_no_sae_is_said_at_once():
    with pytest.raises(SAELoadError, match=r"'x' \(SimpleNamespace\) is no SAE"):
        object_handle("x", SimpleNamespace())
    with pytest.raises(UsageError, match="no SAEs were selected"):
        entry_points.handles_of([])


def test_run_eval_again_reads_what_is_there(core_config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    saes = [("mine", tiny_sae("topk"))]
    first = core.run_eval(core_config, saes, "cpu", tmp_path)
    monkeypatch.setattr(LanguageModel, "capture", None)  # no pass is left to run
    assert core.run_eval(core_config, saes, "cpu", tmp_path) == first


def test_a_failed_sae_is_an_error_after_the_others_are_done(core_config, tmp_path: Path):
    selected = [("narrow", tiny_sae("topk", d_in=24)), ("good", tiny_sae("topk"))]
    with pytest.raises(IncompleteRunError, match=r"1 of 2 failed.*core on narrow_custom_sae: .*24 numbers"):
        core.run_eval(core_config, selected, "cpu", tmp_path)
    assert "good_custom_sae_eval_results.json" in files(tmp_path)


def test_multiple_evals_takes_the_model_that_each_sae_names(model_dir: str, data: Path, tmp_path: Path):
    records = core.multiple_evals(
        [("mine", tiny_sae("topk", model_name=model_dir))],
        n_eval_reconstruction_batches=1,
        n_eval_sparsity_variance_batches=1,
        eval_batch_size_prompts=2,
        compute_featurewise_density_statistics=True,
        dataset=str(data / "corpus.jsonl"),
        context_size=16,
        output_folder=str(tmp_path / "out"),
        dtype="float32",
        device="cpu",
    )
    assert [r["unique_id"] for r in records] == ["mine_custom_sae"]
    assert (records[0]["sae_set"], records[0]["sae_id"]) == ("mine", "custom_sae")
    assert records[0]["eval_cfg"].model_name == model_dir
    assert records[0]["metrics"]["sparsity"]["l0"] == pytest.approx(8, abs=0.5)
    assert len(records[0]["feature_metrics"]["feature_density"]) == 64
    with pytest.raises(UsageError, match="which model it belongs to"):
        core.multiple_evals([("mine", tiny_sae("topk", model_name=""))], 1, 1, device="cpu")


def test_multiple_evals_keeps_the_published_order_of_arguments():
    published = (
        "selected_saes n_eval_reconstruction_batches n_eval_sparsity_variance_batches eval_batch_size_prompts "
        "compute_featurewise_density_statistics compute_featurewise_weight_based_metrics "
        "exclude_special_tokens_from_reconstruction dataset context_size output_folder verbose dtype device force_rerun"
    )
    assert list(inspect.signature(core.multiple_evals).parameters) == published.split()
    published = (
        "config selected_saes device output_path force_rerun clean_up_activations save_activations artifacts_path"
    )
    assert list(inspect.signature(probing.run_eval).parameters) == published.split()
    published = "config sae model device artifacts_folder save_activations"
    assert list(inspect.signature(probing.run_eval_single_sae).parameters) == published.split()


def test_sparse_probing_run_eval_keeps_activations_only_when_asked(probing_config, tmp_path: Path):
    saes = [("mine", tiny_sae("topk"))]
    artifacts = tmp_path / "artifacts"
    plain = probing.run_eval(probing_config, saes, "cpu", str(tmp_path / "1"), artifacts_path=str(artifacts))
    assert not artifacts.exists()
    kept = probing.run_eval(
        probing_config, saes, "cpu", str(tmp_path / "2"), save_activations=True, artifacts_path=str(artifacts)
    )
    assert any(artifacts.rglob("*.safetensors"))
    (artifacts / "sparse_probing" / "mine.txt").touch()
    probing.run_eval(probing_config, saes, "cpu", str(tmp_path / "3"), False, True, True, artifacts_path=str(artifacts))
    assert files(artifacts) == {"sparse_probing", "sparse_probing/mine.txt"}, "only its own files are cleaned up"
    name = "mine_custom_sae"
    assert plain[name]["eval_result_metrics"] == kept[name]["eval_result_metrics"]


def test_run_eval_single_sae_gives_the_published_dictionaries(probing_config, tmp_path: Path, lm: LanguageModel):
    sae = unit_free_sae()
    before = state(sae)
    results, per_class = probing.run_eval_single_sae(probing_config, sae, lm, "cpu", tmp_path / "artifacts")
    assert same(before, state(sae))
    assert not (tmp_path / "artifacts").exists()
    assert set(results) == {
        "llm_test_accuracy", "llm_top_1_test_accuracy", "llm_top_2_test_accuracy",
        "sae_test_accuracy", "sae_top_1_test_accuracy", "sae_top_2_test_accuracy", "tiny/words_results",
    }  # fmt: skip
    assert results["tiny/words_results"]["sae_test_accuracy"] == results["sae_test_accuracy"]
    assert set(per_class["tiny/words_results"]["sae_top_1_test_accuracy"]) == {"river", "code", "food"}
    whole = probing.run_eval(probing_config, [("mine", sae)], "cpu", tmp_path / "out")["mine_custom_sae"]
    assert whole["eval_result_metrics"]["sae"]["sae_top_2_test_accuracy"] == results["sae_top_2_test_accuracy"]


def test_run_eval_single_sae_raises_what_the_sae_raises(probing_config, lm: LanguageModel, tmp_path: Path):
    sae = tiny_sae("relu")

    def fail(*_: Any) -> Any:
        raise ZeroDivisionError("planted")

    sae.encode = fail
    with pytest.raises(ZeroDivisionError, match="planted"):
        probing.run_eval_single_sae(probing_config, sae, lm, "cpu", tmp_path)


# ---- which SAEs


def test_patterns_choose_embedded_or_sae_lens(suite: Path, monkeypatch: pytest.MonkeyPatch):
    assert [h.sae_id for h in select_saes("embed.*", ".*")] == ["relu", "topk"]
    assert [h.sae_id for h in select_saes("embedded", "t.*")] == ["topk"]
    release = SimpleNamespace(saes_map={"blocks.4.hook_resid_post__trainer_1": "x", "other": "y"}, model="tiny")
    monkeypatch.setattr(sae_lens, "pretrained_directory", lambda: {"sae_bench_tiny": release})
    assert [h.sae_id for h in select_saes("sae_bench.*", r".*__trainer_\d")] == ["blocks.4.hook_resid_post__trainer_1"]
    exact = entry_points.handles_of([("sae_bench_tiny", "other"), ("embedded", "topk")])
    assert [(h.release, h.sae_id) for h in exact] == [("sae_bench_tiny", "other"), ("embedded", "topk")]
    with pytest.raises(UnknownNameError, match="sae_bench_tiny"):
        select_saes("sae_bench_tin", ".*")
    with pytest.raises(UsageError, match="no regular expression"):
        select_saes("[", ".*")


# ---- commands


def call(command: Any, *arguments: object, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["main", *map(str, arguments)])
    try:
        run_command(command)
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


@pytest.mark.parametrize(("command", "flags"), [(core.command, CORE_FLAGS), (probing.command, PROBING_FLAGS)])
def test_every_published_flag_is_there_and_explained(command: Any, flags: list[str]):
    options = {opt: param for param in command.params for opt in (*param.opts, *param.secondary_opts)}
    assert {f"--{flag}" for flag in flags} <= set(options)
    assert all(getattr(param, "help", None) for param in command.params if param.param_type_name == "option")


def core_arguments(data: Path, out: Path) -> list[object]:
    settings = {**SETTINGS["core"], "dataset": data / "corpus.jsonl", "llm_dtype": "float32", "device": "cpu"}
    return ["--output_folder", out, *(part for name, value in settings.items() for part in (f"--{name}", value))]


@pytest.mark.parametrize("patterns", [["embedded", "topk"], ["--sae_block_pattern", "topk", "embedded"],
                                      ["--sae-regex-pattern", "embedded", "--sae_block_pattern=topk"]])  # fmt: skip
def test_core_main_with_patterns_in_either_form(patterns, suite, data: Path, tmp_path: Path, monkeypatch, capsys):
    out = tmp_path / "out"
    assert call(core.command, *patterns, *core_arguments(data, out), monkeypatch=monkeypatch) == 0
    assert files(out) == written("embedded_topk")
    assert "embedde" in capsys.readouterr().out


def test_the_compute_flags_choose(suite, data: Path, tmp_path: Path, monkeypatch):
    def metrics(*flags: str) -> dict[str, Any]:
        out = tmp_path / "-".join(("out", *flags))
        assert call(core.command, "embedded", "topk", *core_arguments(data, out), *flags, monkeypatch=monkeypatch) == 0
        return json.loads((out / "embedded_topk_eval_results.json").read_text())["eval_config"]

    switches = [name for name in CORE_FLAGS if name.startswith("compute_")]
    assert all(metrics()[name] for name in switches)
    only = metrics("--compute_kl", "--compute_sparsity_metrics")
    assert {name for name in switches if only[name]} == {"compute_kl", "compute_sparsity_metrics"}
    without = metrics("--no_compute_kl")
    assert {name for name in switches if not without[name]} == {"compute_kl"}


def test_sparse_probing_main(suite, words, tmp_path: Path, model_dir: str, monkeypatch):
    out, artifacts = tmp_path / "out", tmp_path / "artifacts"
    arguments = [
        *("--sae_regex_pattern", "embedded", "--sae_block_pattern", ".*", "--model_name", model_dir),
        *("--dataset_names", "tiny/words", "--k_values", "1,3", "--k_values", "2", "--seeds", 2),
        *("--probe_train_set_size", 16, "--probe_test_set_size", 8, "--context_length", 16, "--random_seed", 5),
        *("--llm_batch_size", 8, "--llm_dtype", "float32", "--lower_vram_usage", "--device", "cpu"),
        *("--output_folder", out, "--artifacts_path", artifacts),
    ]
    assert call(probing.command, *arguments, "--save_activations", monkeypatch=monkeypatch) == 0
    assert not artifacts.exists(), "the published flag turns saving off"
    assert files(out) == written("embedded_topk", "embedded_relu")
    result = json.loads((out / "embedded_topk_eval_results.json").read_text())
    assert result["eval_config"]["k_values"] == [1, 3, 2]
    assert result["provenance"]["seeds"] == [5, 6]
    assert call(probing.command, *arguments, "--force_rerun", monkeypatch=monkeypatch) == 0
    assert artifacts.is_dir()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing --sae_regex_pattern"),
        (["embedded"], "Missing --sae_block_pattern"),
        (["embedded", "topk", "more"], "unexpected extra argument: more"),
        (["embedded", "tokp"], "Did you mean 'topk'"),
        (["embedded", "["], "no regular expression"),
        (["embedded", "topk", "--context_size", "1"], "core.context_size"),
        (["embedded", "topk", "--context_size", "x"], "'x' is not a valid integer"),
        (["embedded", "topk", "--llm_dtype", "float33"], "unknown dtype 'float33'"),
        (["embedded", "topk", "--device", "abacus"], "'abacus' is no device"),
        (["embedded", "topk", "--seeds", "0"], "greater than or equal to 1 (got 0)"),
        (["embedded", "topk", "--model_name", "pythia-70"], "unknown model 'pythia-70'"),
        (["embedded", "topk", "--dataset", "openwebtxt"], "unknown dataset 'openwebtxt'"),
    ],
)
def test_wrong_use_is_one_plain_message(arguments, message, suite, tmp_path: Path, monkeypatch, capsys):
    out = tmp_path / "out"
    assert call(core.command, *arguments, "--output_folder", out, monkeypatch=monkeypatch) == 2
    said = capsys.readouterr()
    assert message in " ".join(said.err.split())
    assert "Traceback" not in said.err + said.out
    assert not out.exists()


def test_a_failed_sae_gives_exit_code_one(suite: Path, data: Path, tmp_path: Path, model_dir, monkeypatch, capsys):
    save_sae(tiny_sae("gated", d_in=24, model_name=model_dir), suite / "narrow.safetensors")
    out = tmp_path / "out"
    assert call(core.command, "embedded", ".*", *core_arguments(data, out), monkeypatch=monkeypatch) == 1
    assert "failed core on embedded_narrow" in " ".join(capsys.readouterr().err.split())
    assert {"embedded_topk_eval_results.json", "embedded_relu_eval_results.json"} < files(out)


def test_the_hook_is_the_saes_own(core_config, tmp_path: Path):
    sae = tiny_sae("topk", hook_name="blocks.0.hook_resid_post")
    result = core.run_eval(core_config, [("mine", sae)], "cpu", tmp_path)["mine_custom_sae"]
    assert result["sae_cfg_dict"]["hook_name"] == "blocks.0.hook_resid_post" != HOOK
