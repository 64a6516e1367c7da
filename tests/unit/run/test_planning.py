"""From what a user asks for to a plan: which evals, which settings, which SAEs, where baselines sit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_runs import HOOK, handle

from sae_bench.custom_saes.loaders.native import save_sae
from sae_bench.custom_saes.spec import resolve_spec
from sae_bench.errors import UnknownNameError, UsageError
from sae_bench.evals.registry import eval_names, get_eval
from sae_bench.language_models import LanguageModel
from sae_bench.run import planning
from sae_bench.testing.tiny_models import tiny_model, tiny_sae


def test_choosing_evals():
    assert [s.name for s in planning.choose_evals(["sparse_probing, core", "core"])] == ["sparse_probing", "core"]
    assert [s.name for s in planning.choose_evals(["all"])] == list(eval_names())
    assert [s.name for s in planning.choose_evals(["core,all"])] == list(eval_names())
    with pytest.raises(UsageError, match="at least one eval: core"):
        planning.choose_evals([" , "])
    with pytest.raises(UnknownNameError, match="Did you mean 'sparse_probing'"):
        planning.choose_evals(["sparse_probin"])


def test_what_a_user_sets_goes_before_preset_and_preset_before_default(lm: LanguageModel):
    spec = get_eval("core")
    config = planning.resolve_config(spec, preset="paper", overrides={"context_size": 64}, lm=lm)
    assert (config.context_size, config.n_eval_reconstruction_batches) == (64, 200)
    assert (config.model_name, config.llm_dtype, config.random_seed) == (lm.name, "float32", None)
    plain = planning.resolve_config(spec, preset=None, overrides={}, lm=lm)
    assert plain.n_eval_reconstruction_batches == spec.config().n_eval_reconstruction_batches
    both = planning.resolve_config(spec, preset="paper", overrides={"n_eval_reconstruction_batches": 3}, lm=lm)
    assert both.n_eval_reconstruction_batches == 3


def test_the_seed_of_the_texts_is_the_first_seed_where_there_is_one(lm: LanguageModel):
    assert (
        planning.resolve_config(get_eval("sparse_probing"), preset=None, overrides={}, lm=lm, seed=7).random_seed == 7
    )
    assert planning.resolve_config(get_eval("core"), preset=None, overrides={}, lm=lm, seed=7).random_seed is None


def test_the_embedded_model_stays_on_embedded_data_unless_told_otherwise():
    embedded = tiny_model("gpt2")
    embedded.name = "embedded"
    spec = get_eval("core")
    assert planning.resolve_config(spec, preset="quick", overrides={}, lm=embedded).dataset == "embedded"
    assert planning.resolve_config(spec, preset="quick", overrides={"dataset": "x"}, lm=embedded).dataset == "x"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"contxt_size": 3}, "unknown setting of core 'contxt_size'. Did you mean 'context_size'"),
        ({"context_size": "long"}, "core.context_size: .*'long'"),
        ({"context_size": 1}, "core.context_size: .*greater than 1"),
        ({"compute_kl": [1]}, r"core.compute_kl: .*\[1\]"),
    ],
)
def test_wrong_settings_are_named(lm: LanguageModel, overrides: dict, message: str):
    with pytest.raises(UsageError, match=message):
        planning.resolve_config(get_eval("core"), preset="paper", overrides=overrides, lm=lm)


def test_an_unknown_preset(lm: LanguageModel):
    with pytest.raises(UnknownNameError, match=r"'papre'\. Did you mean 'paper'"):
        planning.resolve_config(get_eval("core"), preset="papre", overrides={}, lm=lm)


def test_seeds():
    assert planning.seed_list(3, 10) == (10, 11, 12)
    with pytest.raises(UsageError, match="1 or more; got 0"):
        planning.seed_list(0)


def test_an_sae_that_several_specs_name_is_taken_once():
    specs = ["baseline:zero", "baseline:identity", "baseline:zero"]
    assert [h.sae_id for h in planning.resolve_saes(specs)] == ["zero", "identity"]


def test_folders_with_the_same_name_are_different_saes(tmp_path: Path):
    for place in ("one", "two"):
        save_sae(tiny_sae("topk"), tmp_path / place / "suite" / "sae.safetensors")
    specs = [f"path:{tmp_path / place / 'suite'}" for place in ("one", "two", "one")]
    handles = planning.resolve_saes(specs)
    assert [h.release for h in handles] == ["suite", "suite"]


def test_baselines_sit_where_the_other_saes_sit():
    identity = resolve_spec("baseline:identity")
    placed = planning.place_baselines([handle("a"), *identity], None)
    assert [(h.sae_id, h.hook_name) for h in placed] == [("a", HOOK), ("identity", HOOK)]
    other = "blocks.0.hook_resid_post"
    placed = planning.place_baselines([handle("a"), handle("b", hook=other), *identity], None)
    assert [(h.sae_id, h.hook_name) for h in placed[2:]] == [(f"identity_{other}", other), (f"identity_{HOOK}", HOOK)]
    placed = planning.place_baselines([handle("a"), *identity], other)
    assert placed[1].hook_name == other
    assert planning.place_baselines(identity, None) == identity
    elsewhere = resolve_spec(f"baseline:identity@{other}")
    assert planning.place_baselines([handle("a"), *elsewhere], None)[1].hook_name == other


def test_a_placed_baseline_is_built_at_its_hook(lm: LanguageModel):
    hook = "blocks.2.mlp.hook_post"
    placed = planning.place_baselines(resolve_spec("baseline:zero"), hook)[0]
    sae = placed.load(planning.load_context(lm))
    assert (sae.cfg.hook_name, sae.cfg.d_in) == (hook, 64)


def test_the_dtype_of_saes(lm: LanguageModel):
    assert planning.load_context(lm).dtype == torch.float32
    assert planning.load_context(lm, sae_dtype="float64").dtype == torch.float64
    with pytest.raises(UnknownNameError, match="unknown dtype 'flot64'"):
        planning.load_context(lm, sae_dtype="flot64")


def test_the_activations_for_pca_leave_out_special_tokens(lm: LanguageModel, data: Path, monkeypatch):
    monkeypatch.setattr(planning, "PCA_TOKENS", 128)
    batches = list(planning.corpus_activations(lm, HOOK, str(data / "corpus.jsonl"), context_length=32))
    n_tokens = sum(len(batch) for batch in batches)
    assert all(batch.shape[1] == lm.d_model for batch in batches)
    assert 0.7 * 128 < n_tokens <= 4 * 31  # each row starts with BOS, documents end with EOS


def test_all_is_every_eval_that_can_read_the_model():
    specs = planning.choose_evals(["all"])
    on_samples = planning.fitting(specs, "synthetic", "synthetic:small", leave_out=True)
    assert {spec.name for spec in on_samples} == {"sparse_probing", "scr", "tpp", "meta_structure", "ground_truth"}
    on_language = planning.fitting(specs, "language", "embedded", leave_out=True)
    assert [spec.name for spec in specs if spec not in on_language] == ["ground_truth"]
    with pytest.raises(UsageError, match=r"core, sparse_probing_sae_probes, .* Next: choose from sparse_probing"):
        planning.fitting(specs, "synthetic", "synthetic:small", leave_out=False)
