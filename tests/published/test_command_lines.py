"""`arg_parser`, `create_config_and_selected_saes` and `run_evaluations` of the published `main` modules."""

from __future__ import annotations

import argparse
import importlib
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from sae_bench.errors import UsageError
from sae_bench.evals.core import main as core
from sae_bench.evals.core.eval_config import CoreEvalConfig
from sae_bench.evals.core.eval_output import CoreEvalOutput
from sae_bench.evals.meta_structure import main as meta_structure
from sae_bench.sae_bench_utils import testing_utils

PATTERNS = {"sae_regex_pattern": "embedded", "sae_block_pattern": "topk"}
ACTIVATIONS = {"artifacts_path": "artifacts", "save_activations": True, "clean_up_activations": False}
MODEL = {"model_name": "pythia-70m-deduped", "llm_batch_size": None, "llm_dtype": None}

PUBLISHED: dict[str, tuple[dict[str, Any], int]] = {
    "absorption": (
        {
            "output_folder": "eval_results/absorption", "random_seed": 42, "f1_jump_threshold": 0.03, "max_k_value": 10,
            "prompt_template": "{word} has the first letter:", "prompt_token_pos": -6, "k_sparse_probe_l1_decay": 0.01,
            "k_sparse_probe_batch_size": 4096,
        },
        512,
    ),
    "autointerp": ({"output_folder": "eval_results/autointerp", "artifacts_path": "artifacts"}, 512),
    "mdl": ({"output_folder": "eval_results/mdl"}, 512),
    "ravel": (
        {"output_folder": "eval_results/ravel", "artifacts_path": "artifacts", "train_mdas": False}, 512 // 4
    ),
    "scr_and_tpp": (
        {"output_folder": "eval_results", "perform_scr": False, "lower_vram_usage": False, **ACTIVATIONS}, 512
    ),
    "sparse_probing": (
        {"output_folder": "eval_results/sparse_probing", "lower_vram_usage": False, **ACTIVATIONS}, 512
    ),
    "unlearning": (
        {"output_folder": "eval_results/unlearning", "artifacts_path": "artifacts", "clean_up_artifacts": False},
        512 // 8,
    ),
}  # fmt: skip
"""Eval -> the published flags with their published defaults, and its batch size for Pythia 70M."""


def main_of(name: str) -> Any:
    return importlib.import_module(f"sae_bench.evals.{name}.main")


def parsed(name: str, *more: str) -> argparse.Namespace:
    given = {**PATTERNS, "model_name": MODEL["model_name"]}
    more = (*more, "--perform_scr", "false") if name == "scr_and_tpp" else more
    return main_of(name).arg_parser().parse_args([*(f"--{key}={value}" for key, value in given.items()), *more])


@pytest.mark.parametrize("name", PUBLISHED)
def test_flags_have_their_published_defaults(name: str):
    flags, _ = PUBLISHED[name]
    args = vars(parsed(name))
    assert {key: args[key] for key in flags} == flags
    assert {key: args[key] for key in MODEL} == MODEL
    assert args["force_rerun"] is False


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_command_line_becomes_a_config_and_a_selection(name: str, suite: Path):
    module, (_, batch_size) = main_of(name), PUBLISHED[name]
    config, selected = module.create_config_and_selected_saes(parsed(name))
    assert selected == [("embedded", "topk")]
    assert (config.model_name, config.llm_batch_size, config.llm_dtype) == ("pythia-70m-deduped", batch_size, "float32")
    config, _ = module.create_config_and_selected_saes(
        parsed(name, "--random_seed", "7", "--llm_batch_size", "3", "--llm_dtype", "bfloat16")
    )
    assert (config.random_seed, config.llm_batch_size, config.llm_dtype) == (7, 3, "bfloat16")
    args = parsed(name)
    args.sae_block_pattern = "nothing"
    with pytest.raises(UsageError, match="no SAE matches"):
        module.create_config_and_selected_saes(args)


def test_activations_are_turned_off_by_the_flag_that_is_called_save():
    assert parsed("sparse_probing", "--save_activations").save_activations is False


def test_lists_and_switches(suite: Path):
    module = main_of("sparse_probing_sae_probes")
    args = parsed("sparse_probing_sae_probes", "--ks", "1", "16", "--binarize", "--reg_type", "l2")
    config, _ = module.create_config_and_selected_saes(args)
    assert (args.ks, config.ks, config.binarize, config.reg_type) == ([1, 16], [1, 16], True, "l2")
    ravel, _ = main_of("ravel").create_config_and_selected_saes(parsed("ravel", "--train_mdas"))
    assert (ravel.train_mdas, ravel.num_epochs) == (True, 10)
    with pytest.raises(SystemExit):
        main_of("scr_and_tpp").arg_parser().parse_args([*(f"--{k}={v}" for k, v in PATTERNS.items()), "--model_name=m"])


def test_meta_structure_makes_its_config_from_arguments():
    args = meta_structure.arg_parser().parse_args(["--sae_regex_pattern=x", "--sae_id_pattern=y", "--k=8"])
    assert (args.sae_id_pattern, meta_structure.create_config(args).k) == ("y", 8)


# ---- core


def test_the_parser_of_core_stands_for_its_config():
    testing_utils.validate_eval_cli_interface(
        core.arg_parser(), eval_config_cls=CoreEvalConfig, additional_required_args={"force_rerun"}
    )


def test_core_takes_its_patterns_without_flags():
    args = core.arg_parser().parse_args(["release", "block"])
    assert (args.sae_regex_pattern, args.sae_block_pattern, args.output_folder) == ("release", "block", "eval_results")
    assert (args.batch_size_prompts, args.n_eval_reconstruction_batches, args.llm_dtype) == (16, 10, "float32")
    switches = {name: value for name, value in vars(args).items() if name.startswith("compute_")}
    assert set(switches.values()) == {False}


def core_arguments(data: Path, out: Path, **more: Any) -> argparse.Namespace:
    return argparse.Namespace(
        **PATTERNS, n_eval_reconstruction_batches=1, n_eval_sparsity_variance_batches=2, batch_size_prompts=4,
        dataset=str(data / "corpus.jsonl"), context_size=16, output_folder=str(out), verbose=False, force_rerun=True,
        compute_featurewise_density_statistics=True, compute_featurewise_weight_based_metrics=True,
        exclude_special_tokens_from_reconstruction=True, llm_dtype="float32", **more,
    )  # fmt: skip


def test_core_runs_from_parsed_arguments(suite: Path, data: Path, tmp_path: Path):
    records = core.run_evaluations(core_arguments(data, tmp_path / "out"))
    (record,) = records
    path = tmp_path / "out" / "embedded_topk_eval_results.json"
    testing_utils.validate_eval_output_format_file(path, eval_output_type=CoreEvalOutput)
    assert record["metrics"] == json.loads(path.read_text())["eval_result_metrics"]
    assert record["metrics"]["reconstruction_quality"]["explained_variance"] is not None
    latents = record["feature_metrics"]
    published = {
        "feature_density", "consistent_activation_heuristic", "encoder_bias", "encoder_norm",
        "encoder_decoder_cosine_sim", "max_decoder_cosine_sim", "max_encoder_cosine_sim",
    }  # fmt: skip
    assert published <= set(latents)
    assert {len(latents[name]) for name in published} == {64}


def test_a_flag_that_turns_others_off_says_so(suite: Path, data: Path, tmp_path: Path, caplog):
    said = CliRunner().invoke(core.command, ["--help"]).output
    assert "turns the others off" in " ".join(said.split())
    arguments = ["embedded", "topk", "--dataset", str(data / "corpus.jsonl"), "--context_size", "16", "--device", "cpu"]
    arguments += ["--n_eval_reconstruction_batches", "1", "--output_folder", str(tmp_path / "out")]
    with caplog.at_level(logging.WARNING, logger="sae_bench"):
        answer = CliRunner().invoke(core.command, [*arguments, "--compute_kl", "--no_compute_l2_norms"])
    assert answer.exit_code == 0, answer.output
    (message,) = [r.getMessage() for r in caplog.records if "not computed, because flags" in r.getMessage()]
    assert "compute_ce_loss" in message
    assert "compute_kl" not in message
    assert "compute_l2_norms" not in message


def test_dictionaries_of_results_are_turned():
    assert core.dict_to_nested({"a/b": 1, "a/c": 2, "d": 3}) == {"a": {"b": 1, "c": 2}, "d": 3}
    assert core.nested_dict()["any"]["depth"] == {}
    assert core.replace_nans_with_negative_one({"a": [float("nan"), 2.0], "b": "x"}) == {"a": [-1, 2.0], "b": "x"}
    unlearning = main_of("unlearning")
    assert unlearning.convert_ndarrays_to_lists({"a": [np.ones(2), "x"]}) == {"a": [[1.0, 1.0], "x"]}
