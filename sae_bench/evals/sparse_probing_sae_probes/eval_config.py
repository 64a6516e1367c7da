"""Settings of sparse probing on the tasks of sae-probes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from sae_bench.evals.families.settings import (
    Counts,
    DatasetNames,
    LLMBatchSize,
    LLMDtype,
    ModelName,
    RandomSeed,
    option,
)
from sae_bench.results.model import BaseEvalConfig

Penalty = Literal["l1", "l2"]
Setting = Literal["normal", "scarcity", "imbalance"]

QUICK_TASKS: tuple[str, ...] = (
    "5_hist_fig_ismale",
    "21_headline_istrump",
    "26_headline_isfrontpage",
    "36_sciq_tf",
    "42_temp_sense",
    "51_just_is",
    "54_cs_tf",
    "67_social-security",
    "73_control-group",
    "85_mental-health",
    "87_glue_cola",
    "92_glue_sst2",
    "96_spam_is",
    "105_click_bait",
    "106_hate_hate",
    "113_movie_sent",
    "119_us_state_TX",
    "124_world_country_United_States",
    "126_art_type_book",
    "155_athlete_sport_basketball",
)
"""Twenty tasks of short texts, of every kind: facts about names, grammar, style, truth, sentiment, bigrams."""


@dataclass
class SparseProbingSaeProbesEvalConfig(BaseEvalConfig):
    """Settings of sparse probing on the tasks of sae-probes; the defaults are the published ones."""

    model_name: ModelName = ""
    random_seed: RandomSeed = Field(
        default=42, description="Seed of splits and folds where a run names no other seeds."
    )
    dataset_names: DatasetNames = Field(
        default=[], description="Tasks such as 87_glue_cola; empty takes all 113 binary tasks of the package."
    )
    reg_type: Penalty = option(
        "l1",
        "Penalty on the weights of the sparse probes; the residual stream's probe always takes l2.",
        title="Regularization Type",
    )
    setting: Setting = option(
        "normal",
        "'normal': up to 1024 balanced training texts; 'scarcity': 2 to 1024 of them, in 20 steps; 'imbalance': "
        "5 to 95 per cent of them positive, in 19 steps. Scores are means over the steps.",
        title="Data Balance Setting",
    )
    ks: Counts = option([1, 2, 5], "How many latents a sparse probe reads; one probe per value.", title="K Values")
    binarize: bool = option(
        False,
        "Probes read whether a latent is active instead of its value; only in the setting 'normal'.",
        title="Binarize Latents",
    )
    results_path: str = option(
        "artifacts/sparse_probing_sae_probes",
        "Kept for published scripts; nothing is written there, results have one row per task.",
        title="sae-probes Results Root",
    )
    model_cache_path: str | None = option(
        None,
        "Folder where run_eval keeps the model's activations for SAEs that come later; null keeps none.",
        title="Model Activations Cache",
    )
    include_llm_baseline: bool = option(
        True, "Probe the whole residual stream as well; paid once for all SAEs at a hook.", title="Include LLM Baseline"
    )
    baseline_method: Literal["logreg"] = option(
        "logreg", "Probe of the residual stream: cross-validated logistic regression."
    )
    context_length: int = option(
        1024,
        "The last so many tokens of a text are read; fewer where the model has fewer positions.",
        title="LLM Context Length",
        ge=2,
    )
    llm_batch_size: LLMBatchSize = None
    llm_dtype: LLMDtype = ""
    max_tasks: int | None = option(None, "Only the first so many of the chosen tasks; null takes all.", ge=1)
    max_texts: int | None = option(
        None, "Only the first so many texts of a task, half of each class; null takes all. For quick runs.", ge=104
    )

    @model_validator(mode="after")
    def _check_binarize(self) -> SparseProbingSaeProbesEvalConfig:
        if self.binarize and self.setting != "normal":
            raise ValueError(f"binarize works in the setting 'normal' only, got '{self.setting}'.")
        return self
