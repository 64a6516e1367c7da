"""The two `run_all_evals_*` scripts on a tiny model, and the converter of old core results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from jsonschema import Draft202012Validator
from test_dictionary_learning import trained_state

from sae_bench.custom_saes import run_all_evals_custom_saes as custom
from sae_bench.custom_saes import run_all_evals_dictionary_learning_saes as dictionary
from sae_bench.errors import IncompleteRunError, SAEMismatchError, UnknownNameError, UsageError
from sae_bench.evals.core import convert_directory as converter
from sae_bench.evals.core.eval_output import CoreEvalOutput, CoreMetricCategories
from sae_bench.evals.registry import evals_of
from sae_bench.testing.tiny_models import tiny_model, tiny_sae

TINY: dict[str, Any] = {
    "batch_size_prompts": 4,
    "n_eval_reconstruction_batches": 1,
    "n_eval_sparsity_variance_batches": 1,
    "context_size": 16,
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("model")
    lm = tiny_model("gpt2")
    lm.model.save_pretrained(folder)
    lm.tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, dict[str, Any]]:
    corpus = tmp_path / "corpus.jsonl"
    texts = [f"Text {i} is about river {i % 7} and bread." for i in range(60)]
    corpus.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return {"core": {**TINY, "dataset": str(corpus)}}


@pytest.fixture
def repo(tmp_path: Path, model: Path) -> Path:
    """A local repository of two SAEs at layer 1 and a checkpoint of one of them."""
    folder = tmp_path / "my_repo"
    width = tiny_sae("relu").cfg.d_in
    for location in ("layer_1/trainer_0", "layer_1/trainer_1", "checkpoints/trainer_0"):
        (folder / location).mkdir(parents=True)
        state = trained_state("StandardTrainer")
        d_sae = state["encoder.weight"].shape[0]
        random_rows = torch.randn(d_sae, width, generator=torch.Generator().manual_seed(1))
        rows = torch.nn.functional.normalize(random_rows, dim=1)
        state |= {"encoder.weight": rows, "decoder.weight": rows.T.contiguous(), "bias": torch.zeros(width)}
        torch.save(state, folder / location / "ae.pt")
        trainer = {"trainer_class": "StandardTrainer", "dict_class": "AutoEncoder", "layer": 1, "lm_name": str(model)}
        (folder / location / "config.json").write_text(json.dumps({"trainer": trainer}))
    return folder


# ---- SAE objects


def test_custom_saes(model: Path, settings: dict[str, dict[str, Any]], tmp_path: Path):
    saes = [("mine", tiny_sae("topk")), ("other", tiny_sae("relu"))]
    found = custom.run_evals(
        str(model), saes, 4, "float32", "cpu", ["core"], output_folder=tmp_path / "out", settings=settings
    )
    assert sorted(found["core"]) == ["mine_custom_sae", "other_custom_sae"]
    path = tmp_path / "out" / "core" / "mine_custom_sae_eval_results.json"
    content = json.loads(path.read_text())
    assert content == found["core"]["mine_custom_sae"]
    assert content["eval_config"]["compute_kl"] is True
    assert content["eval_config"]["exclude_special_tokens_from_reconstruction"] is True, "a published setting"
    assert content["provenance"]["seeds"] == [custom.RANDOM_SEED]
    again = custom.run_evals(
        str(model), saes, 4, "float32", "cpu", ["core"], output_folder=tmp_path / "out", settings=settings
    )
    assert again == found, "what is there is not computed again"


def test_unknown_eval(model: Path):
    with pytest.raises(UnknownNameError, match="Did you mean 'core'"):
        custom.run_evals(str(model), [("mine", tiny_sae("topk"))], 4, "float32", "cpu", ["coer"])


def test_a_failing_sae_is_named(model: Path, settings: dict[str, dict[str, Any]], tmp_path: Path):
    broken = tiny_sae("topk")
    with torch.no_grad():
        broken.W_enc.fill_(float("nan"))
    with pytest.raises(IncompleteRunError, match="1 of 2 failed"):
        custom.run_evals(
            str(model), [("bad", broken), ("good", tiny_sae("relu"))], 4, "float32", "cpu", ["core"],
            output_folder=tmp_path / "out", settings=settings,
        )  # fmt: skip
    assert (tmp_path / "out" / "core" / "good_custom_sae_eval_results.json").exists()


def test_published_tables():
    assert custom.MODEL_CONFIGS["gemma-2-2b"] == {
        "batch_size": 32, "dtype": "bfloat16", "layers": [5, 12, 19], "d_model": 2304,
    }  # fmt: skip
    assert set(custom.output_folders) == set(evals_of("language"))
    assert custom.output_folders["core"] == "eval_results/core"


def test_example_saes_are_at_the_published_layers():
    saes = custom.example_saes("pythia-70m-deduped", "float32", "cpu")
    assert [name for name, _ in saes] == [f"pythia-70m-deduped_layer_{i}_identity_sae" for i in (3, 4)]
    assert saes[0][1].cfg.hook_name == "blocks.3.hook_resid_post"


def test_key_of_the_judge(tmp_path: Path):
    assert custom.read_api_key(tmp_path / "none.txt") is None
    (tmp_path / "key.txt").write_text(" abc \n")
    assert custom.read_api_key(tmp_path / "key.txt") == "abc"


# ---- dictionary_learning repositories


def test_repository(repo: Path, model: Path, settings: dict[str, dict[str, Any]], tmp_path: Path):
    locations = [path for path in dictionary.get_all_hf_repo_autoencoders(str(repo)) if "checkpoints" not in path]
    assert locations == ["layer_1/trainer_0", "layer_1/trainer_1"]
    found = dictionary.run_evals(
        str(repo), str(model), locations, 4, "float32", "cpu", ["core"], 7,
        output_folder=tmp_path / "out", settings=settings,
    )  # fmt: skip
    assert sorted(found["core"]) == [f"my_repo_layer_1_trainer_{i}_custom_sae" for i in (0, 1)]
    assert len(list((tmp_path / "out" / "core").glob("my_repo_layer_1_trainer_?_custom_sae_eval_results.json"))) == 2


def test_one_sae_of_a_repository(repo: Path):
    dictionary.verify_saes_load(str(repo), ["layer_1/trainer_0"], "a-model", "cpu", torch.float32)
    sae = dictionary.load_dictionary_learning_sae(
        str(repo), "layer_1/trainer_0", "a-model", "cpu", torch.float64, layer=1
    )
    assert (sae.cfg.model_name, sae.W_dec.dtype, sae.cfg.hook_layer) == ("a-model", torch.float64, 1)
    with pytest.raises(SAEMismatchError, match="layer 3 was asked"):
        dictionary.load_dictionary_learning_sae(str(repo), "layer_1/trainer_0", "m", "cpu", torch.float32, layer=3)
    with pytest.raises(UnknownNameError, match="layer_1/trainer_0"):
        dictionary.load_dictionary_learning_sae(str(repo), "layer_1/trainer_9", "m", "cpu", torch.float32)
    assert set(dictionary.TRAINER_LOADERS) >= {"TopKTrainer", "GatedSAETrainer", "MatryoshkaBatchTopKTrainer"}


# ---- old core results


def old_result() -> dict[str, Any]:
    columns = ("feature_density", "consistent_activation_heuristic", "encoder_bias", "encoder_norm")
    return {
        "eval_type_id": "core",
        "eval_config": {},
        "eval_id": "1",
        "datetime_epoch_millis": 1,
        "eval_result_metrics": {name: {} for name in CoreMetricCategories.model_fields},
        "eval_result_details": [{name: [0.1, 0.25, 1 / 3] for name in columns}],
        "sae_bench_commit_hash": "x",
        "sae_lens_id": "i",
        "sae_lens_release_id": "r",
        "sae_lens_version": None,
        "sae_cfg_dict": {},
    }


def test_old_core_results_become_rows(tmp_path: Path):
    (tmp_path / "a.json").write_text(json.dumps(old_result()))
    answer = CliRunner().invoke(converter.command, [str(tmp_path)])
    assert answer.exit_code == 0, answer.output
    converted = json.loads((tmp_path / "converted_outputs" / "a.json").read_text())
    assert [row["index"] for row in converted["eval_result_details"]] == [0, 1, 2]
    assert converted["eval_result_details"][2]["encoder_norm"] == 0.3333333333
    Draft202012Validator(CoreEvalOutput.model_json_schema()).validate(converted)
    assert CoreEvalOutput.model_validate(converted).eval_result_details[1].feature_density == 0.25
    assert converter.convert(converted) == converted, "twice changes nothing"
    assert converter.convert({**converted, "eval_result_details": []})["eval_result_details"] == []


def test_files_that_are_no_core_results_are_named(tmp_path: Path):
    (tmp_path / "a.json").write_text(json.dumps(old_result()))
    (tmp_path / "cut.json").write_text('{"eval_type')
    uneven = old_result()
    uneven["eval_result_details"][0]["encoder_bias"] = [1.0]
    (tmp_path / "uneven.json").write_text(json.dumps(uneven))
    with pytest.raises(IncompleteRunError, match=r"2 of 3 files.*cut\.json.*uneven\.json"):
        converter.convert_directory(tmp_path)
    assert (tmp_path / "converted_outputs" / "a.json").exists()
    with pytest.raises(UsageError, match="no JSON file"):
        converter.convert_directory(tmp_path / "converted_outputs" / "none")
