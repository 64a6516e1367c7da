"""Settings of mdl."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field, field_validator
from pydantic.dataclasses import dataclass

from sae_bench.evals.families.settings import (
    CorpusName,
    Counts,
    LLMBatchSize,
    LLMDtype,
    ModelName,
    RandomSeed,
    distinct,
    option,
)
from sae_bench.results.model import BaseEvalConfig

PUBLISHED_RUN: dict[str, Any] = {
    "k_values": [None],
    "num_bins_values": [8, 16, 32, 64],
    "mse_epsilon_threshold": 0.2,
}
"""What the published command runs with; it sets these itself, whatever the defaults of the configuration are."""


@dataclass
class MDLEvalConfig(BaseEvalConfig):
    """Settings of mdl; the defaults are those of the published configuration class."""

    k_values: Annotated[list[int | None], AfterValidator(distinct)] = option(
        [16, 24, 32],
        "Largest codes that a token keeps; null (or 'none') keeps all. One sweep over bins per value.",
        min_length=1,
    )
    num_bins_values: Counts = option(
        [4, 6, 8, 12, 16, 32],
        "Numbers of equal bins between the smallest and the largest active code of a latent.",
        title="Numbers of Bins",
    )
    random_seed: RandomSeed = Field(
        default=42, description="Shuffles the documents of the corpus before they are packed."
    )
    dataset_name: CorpusName = "HuggingFaceFW/fineweb"
    context_length: int = option(128, "Tokens per row.", title="LLM Context Length", gt=1)
    sae_batch_size: int = option(64, "Rows that are encoded at once; changes no number.", title="SAE Batch Size", gt=0)
    model_name: ModelName = "pythia-70m-deduped"
    llm_dtype: LLMDtype = "float32"
    mse_epsilon_threshold: float = option(
        0.01,
        "A number of bins reconstructs if the root mean squared error of a coordinate, divided by the "
        "number of coordinates, is below this (the published criterion).",
        title="MSE Threshold",
        gt=0,
    )
    n_rows: int = option(
        4096,
        "Packed rows that are read; ranges, histograms and reconstructions are of the same tokens.",
        title="Rows",
        gt=0,
    )
    llm_batch_size: LLMBatchSize = Field(
        default=None, description="Largest number of rows the language model reads at once; null leaves it to the pass."
    )
    min_explained_variance_kept: float | None = option(
        None,
        "If set, a number of bins reconstructs only if it also keeps this share of the explained variance "
        "that the codes have without bins.",
        title="Explained Variance Kept",
        gt=0,
        le=1,
    )

    @field_validator("k_values", mode="before")
    @classmethod
    def _read_k_values(cls, values: Any) -> Any:
        if values is None:
            return [None]
        if not isinstance(values, list):
            return values
        return [None if isinstance(k, str) and k.lower() in ("none", "null") else k for k in values]

    @field_validator("k_values")
    @classmethod
    def _check_k_values(cls, values: list[int | None]) -> list[int | None]:
        if any(k is not None and k < 1 for k in values):
            raise ValueError(f"k_values must be 1 or more, or null for all codes, got {values}.")
        return values
