"""Settings of evals: checked dataclasses that may be changed, copied and extended, and that a run never sees change."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable

import pydantic
import pytest
from pydantic import ValidationError
from pydantic.dataclasses import dataclass
from tiny_runs import handle

from sae_bench.errors import UsageError
from sae_bench.evals.absorption.eval_config import AbsorptionEvalConfig
from sae_bench.evals.autointerp.eval_config import AutoInterpEvalConfig
from sae_bench.evals.core.eval_config import CoreEvalConfig
from sae_bench.evals.mdl.eval_config import MDLEvalConfig
from sae_bench.evals.meta_structure.eval_config import MetaStructureEvalConfig
from sae_bench.evals.ravel.eval_config import RAVELEvalConfig
from sae_bench.evals.registry import eval_names, get_eval
from sae_bench.evals.scr_and_tpp.eval_config import ScrAndTppEvalConfig
from sae_bench.evals.sparse_probing.eval_config import SparseProbingEvalConfig
from sae_bench.evals.sparse_probing_sae_probes.eval_config import SparseProbingSaeProbesEvalConfig
from sae_bench.evals.unlearning.eval_config import UnlearningEvalConfig
from sae_bench.results.files import read_result
from sae_bench.results.model import BaseEvalConfig, as_taken, config_fields, config_from, config_values, own_copy
from sae_bench.run.runner import EvalRequest, RunPlan, run

PUBLISHED = {
    AbsorptionEvalConfig: "model_name random_seed f1_jump_threshold max_k_value prompt_template prompt_token_pos "
    "llm_batch_size llm_dtype k_sparse_probe_l1_decay k_sparse_probe_batch_size k_sparse_probe_num_epochs "
    "min_GT_probe_f1 min_feats_for_eval eval_k_sparse_probe_batch_size precalc_k_sparse_probe_sae_acts",
    AutoInterpEvalConfig: "model_name n_latents override_latents dead_latent_threshold random_seed dataset_name "
    "llm_context_size llm_batch_size llm_dtype buffer no_overlap act_threshold_frac total_tokens scoring "
    "max_tokens_in_explanation use_demos_in_explanation n_top_ex_for_generation n_iw_sampled_ex_for_generation "
    "n_top_ex_for_scoring n_random_ex_for_scoring n_iw_sampled_ex_for_scoring",
    CoreEvalConfig: "model_name llm_dtype batch_size_prompts n_eval_reconstruction_batches "
    "n_eval_sparsity_variance_batches dataset context_size compute_kl compute_ce_loss compute_l2_norms "
    "compute_sparsity_metrics compute_variance_metrics compute_featurewise_density_statistics "
    "compute_featurewise_weight_based_metrics exclude_special_tokens_from_reconstruction verbose",
    MDLEvalConfig: "k_values num_bins_values random_seed dataset_name context_length sae_batch_size model_name "
    "llm_dtype mse_epsilon_threshold",
    MetaStructureEvalConfig: "random_seed width_ratio k train_steps train_batch_size learning_rate weight_decay "
    "autocast eval_batch_size dead_feature_window feature_sampling_window dtype",
    RAVELEvalConfig: "entity_attribute_selection top_n_entities top_n_templates full_dataset_downsample "
    "num_pairs_per_attribute train_test_split force_dataset_recompute model_name llm_dtype llm_batch_size "
    "learning_rate num_epochs train_mdas n_generated_tokens random_seed artifact_dir",
    ScrAndTppEvalConfig: "random_seed dataset_names perform_scr early_stopping_patience train_set_size test_set_size "
    "context_length probe_train_batch_size probe_test_batch_size probe_epochs probe_lr probe_l1_penalty "
    "sae_batch_size llm_batch_size llm_dtype lower_vram_usage model_name n_values column1_vals_lookup",
    SparseProbingEvalConfig: "random_seed dataset_names probe_train_set_size probe_test_set_size context_length "
    "sae_batch_size llm_batch_size llm_dtype model_name k_values lower_vram_usage",
    SparseProbingSaeProbesEvalConfig: "model_name random_seed dataset_names reg_type setting ks binarize results_path "
    "model_cache_path include_llm_baseline baseline_method",
    UnlearningEvalConfig: "random_seed dataset_names intervention_method retain_thresholds n_features_list "
    "multipliers dataset_size seq_len n_batch_loss_added target_metric save_metrics model_name llm_batch_size "
    "llm_dtype",
}
"""Fields of the published configurations (sae-bench 0.6.0), in the order in which they are given by position."""


@pytest.mark.parametrize("config", PUBLISHED, ids=lambda config: config.__name__)
def test_published_fields_come_first_in_their_order(config: type[BaseEvalConfig]):
    published = PUBLISHED[config].split()
    assert [field.name for field in dataclasses.fields(config)][: len(published)] == published


@pytest.mark.parametrize("config", [*PUBLISHED, *(get_eval(name).config for name in ("scr", "tpp"))])
def test_a_config_is_a_documented_dataclass(config: type[BaseEvalConfig]):
    made = config()
    assert dataclasses.is_dataclass(config)
    assert list(dataclasses.asdict(made)) == list(config_fields(config)) == list(config_values(made))
    assert dataclasses.replace(made) == made == config_from(config, config_values(made)) == copy.deepcopy(made)
    for name, field in config_fields(config).items():
        assert field.description, name
    for field in dataclasses.fields(made):
        setattr(made, field.name, getattr(made, field.name))
    assert made == config()


def test_fields_by_position():
    config = MDLEvalConfig([2], [4], 7, "a corpus")
    assert (config.k_values, config.num_bins_values, config.random_seed, config.dataset_name) == (
        [2], [4], 7, "a corpus",
    )  # fmt: skip


# ---- assignment


def test_assignment_takes_what_making_takes():
    config = SparseProbingEvalConfig()
    config.random_seed = "7"  # type: ignore[assignment]
    config.k_values = [3]
    assert (config.random_seed, config.k_values) == (7, [3])
    assert config == SparseProbingEvalConfig(random_seed=7, k_values=[3])


@pytest.mark.parametrize(
    ("config", "name", "value", "message"),
    [
        (SparseProbingEvalConfig(), "k_values", [0], r"SparseProbingEvalConfig.k_values: .* 1 or more, got \[0\]"),
        (CoreEvalConfig(), "context_size", "long", r"CoreEvalConfig.context_size: .* valid integer.*'long'"),
        (AutoInterpEvalConfig(), "llm_context_size", 20, "no room for 10 tokens on both sides"),
        (UnlearningEvalConfig(), "forget_dataset", "unknown", "must be one of dataset_names"),
        (CoreEvalConfig(), "contextsize", 64, "unknown setting of CoreEvalConfig 'contextsize'.*'context_size'"),
    ],
)
def test_a_refused_assignment_changes_nothing(config: BaseEvalConfig, name: str, value: object, message: str):
    before = dataclasses.asdict(config)
    with pytest.raises(UsageError, match=message):
        setattr(config, name, value)
    assert dataclasses.asdict(config) == before
    assert not hasattr(config, "contextsize")


def test_latents_that_are_named_count_themselves():
    config = AutoInterpEvalConfig(n_latents=None, override_latents=[4, 2])
    assert (config.n_latents, config.latents) == (2, [4, 2])
    config.override_latents = [1, 2, 3]
    assert config.n_latents == 3
    with pytest.raises(ValidationError, match="unexpected_keyword_argument"):
        AutoInterpEvalConfig(override_latent=[1])  # type: ignore[call-arg]


# ---- being a base


@dataclasses.dataclass
class _Plain(SparseProbingEvalConfig):
    note: str = "mine"


@dataclass
class _Checked(SparseProbingEvalConfig):
    note: str = pydantic.Field(default="mine", description="A note.")


@pytest.mark.parametrize("config", [_Plain, _Checked])
def test_a_config_may_be_the_base_of_a_dataclass(config: type[_Plain | _Checked]):
    made = config(3, context_length=64)
    assert (made.random_seed, made.context_length, made.k_values, made.note) == (3, 64, [1, 2, 5], "mine")
    made.note = "other"
    assert own_copy(made) == dataclasses.replace(made) == made
    with pytest.raises(UsageError, match="context_length"):
        made.context_length = 0
    with pytest.raises(ValueError, match="context_length"):
        config(context_length=0)
    config().k_values.append(7)
    assert config().k_values == [1, 2, 5]
    assert "probe_selection" in config_values(made)


def test_a_subclass_that_is_no_dataclass_is_named():
    class Forgotten(SparseProbingEvalConfig):
        note: str = "mine"

    with pytest.raises(TypeError, match=r"Forgotten is no dataclass\. Next: put @pydantic\.dataclasses\.dataclass"):
        Forgotten()


# ---- a run has its own


def test_own_copy_shares_nothing_and_is_checked_as_a_whole():
    config = SparseProbingEvalConfig()
    copied = own_copy(config)
    config.k_values.append(0)
    assert copied.k_values == [1, 2, 5]
    with pytest.raises(UsageError, match="k_values must be 1 or more"):
        own_copy(config)


def test_a_run_never_sees_a_later_change(make_plan: Callable[..., RunPlan]):
    plan = make_plan([handle("a")], evals=["core"])
    mine = dataclasses.replace(plan.evals[0].config)
    rows = mine.batch_size_prompts
    plan = dataclasses.replace(plan, evals=[EvalRequest(get_eval("core"), mine)])
    mine.batch_size_prompts = rows + 5
    (path,) = run(plan).written
    assert read_result(path)["eval_config"]["batch_size_prompts"] == rows
    assert mine.batch_size_prompts == rows + 5


def test_every_eval_has_such_a_config():
    assert all(issubclass(get_eval(name).config, BaseEvalConfig) for name in eval_names())


# ---- what is written


@pytest.mark.parametrize(
    ("config", "taken"),
    [
        (SparseProbingEvalConfig(), 100),
        (SparseProbingEvalConfig(llm_batch_size=7), 7),
        (AbsorptionEvalConfig(), 256),
        (AutoInterpEvalConfig(llm_context_size=128), 32),
        (UnlearningEvalConfig(seq_len=1024), 4),
        (RAVELEvalConfig(model_name="EleutherAI/pythia-70m-deduped"), 128),
        (RAVELEvalConfig(llm_batch_size=3), 3),
    ],
)
def test_a_result_names_the_batch_size_that_was_taken(config: BaseEvalConfig, taken: int):
    assert config_values(as_taken(config, 100))["llm_batch_size"] == taken


def test_a_config_without_batch_size_is_written_as_it_is():
    config = CoreEvalConfig()
    assert as_taken(config, 100) is config


def test_a_result_file_leaves_no_batch_size_open(make_plan: Callable[..., RunPlan]):
    plan = make_plan([handle("a")], evals=["sparse_probing"])
    (path,) = run(plan).written
    assert read_result(path)["eval_config"]["llm_batch_size"] == plan.pass_options.max_texts
    assert run(plan).written == []
