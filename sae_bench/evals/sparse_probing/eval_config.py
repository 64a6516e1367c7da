"""Settings of sparse probing."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator
from pydantic.dataclasses import dataclass

from sae_bench.results.model import BaseEvalConfig

DEFAULT_DATASETS: tuple[str, ...] = (
    *(f"LabHC/bias_in_bios_class_set{i}" for i in (1, 2, 3)),
    *(f"canrager/amazon_reviews_mcauley_1and5{task}" for task in ("", "_sentiment")),
    "codeparrot/github-code",
    "fancyzhx/ag_news",
    "Helsinki-NLP/europarl",
)


@dataclass
class SparseProbingEvalConfig(BaseEvalConfig):
    """Settings of sparse probing; the defaults are the published ones."""

    random_seed: int = Field(
        default=42,
        title="Random Seed",
        description="Seed of the texts that are sampled, and of the probes where a run names no other seeds.",
    )
    dataset_names: list[str] = Field(
        default=list(DEFAULT_DATASETS),
        title="Dataset Names",
        description="Labelled text data sets to probe; a large one is split into sets of at most five classes.",
    )
    probe_train_set_size: int = Field(
        default=4000,
        title="Probe Train Set Size",
        description="Training texts of one probe; half of them are of its class.",
        ge=2,
    )
    probe_test_set_size: int = Field(
        default=1000,
        title="Probe Test Set Size",
        description="Test texts of one probe; half of them are of its class.",
        ge=2,
    )
    context_length: int = Field(
        default=128,
        title="LLM Context Length",
        description="Tokens of a text that the language model reads; what comes after them is cut off.",
        ge=1,
    )
    sae_batch_size: int = Field(
        default=125,
        title="SAE Batch Size",
        description="Kept for published scripts; the shared pass encodes each of its batches at once.",
        ge=1,
    )
    llm_batch_size: int | None = Field(
        default=None,
        title="LLM Batch Size",
        description="Largest number of texts the language model reads at once; null leaves it to the pass.",
        ge=1,
    )
    llm_dtype: str = Field(
        default="",
        title="LLM Data Type",
        description="dtype of the language model, such as bfloat16; empty chooses by model.",
    )
    model_name: str = Field(
        default="",
        title="Model Name",
        description="Language model; filled in by the run.",
    )
    k_values: list[int] = Field(
        default=[1, 2, 5],
        title="K Values",
        description="How many latents, or channels of the residual stream, a sparse probe reads; one probe per value.",
        min_length=1,
    )
    lower_vram_usage: bool = Field(
        default=False,
        title="Lower Memory Usage",
        description="Keep pooled codes in main memory and leave out the probe on all latents; for very wide SAEs.",
    )
    probe_selection: Literal["test", "validation"] = Field(
        default="test",
        title="Probe Selection",
        description=(
            "What chooses the epoch of the probes on all features: 'test' is the published definition and picks the "
            "epoch with the best test accuracy, which is biased upwards; 'validation' picks on a tenth of the training "
            "texts and reports the test accuracy of that epoch."
        ),
    )
    compute_all_latents_probe: bool = Field(
        default=True,
        title="Compute All-Latents Probe",
        description="Train the probe on all latents (sae_test_accuracy), the slowest part on wide SAEs.",
    )

    @field_validator("k_values")
    @classmethod
    def _check_k_values(cls, values: list[int]) -> list[int]:
        if any(k < 1 for k in values):
            raise ValueError(f"k_values must be 1 or more, got {values}.")
        if len(set(values)) < len(values):
            raise ValueError(f"k_values must differ from one another, got {values}.")
        return values

    @field_validator("dataset_names")
    @classmethod
    def _check_dataset_names(cls, names: list[str]) -> list[str]:
        if not names:
            raise ValueError("dataset_names is empty; name at least one data set.")
        if len(set(names)) < len(names):
            raise ValueError(f"dataset_names holds a name twice: {names}.")
        return names

    @property
    def wants_all_latents_probe(self) -> bool:
        """Whether the probe on all latents is to be trained."""
        return self.compute_all_latents_probe and not self.lower_vram_usage
