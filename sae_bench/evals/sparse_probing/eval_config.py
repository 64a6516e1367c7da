"""Settings of sparse probing."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from sae_bench.evals.families.settings import (
    ContextLength,
    Counts,
    LLMBatchSize,
    LLMDtype,
    ModelName,
    ProbeTestTexts,
    ProbeTrainTexts,
    RandomSeed,
    SAEBatchSize,
    SomeDatasetNames,
    option,
)
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

    random_seed: RandomSeed = 42
    dataset_names: SomeDatasetNames = Field(
        default=list(DEFAULT_DATASETS),
        description="Labelled text data sets to probe; a large one is split into sets of at most five classes.",
    )
    probe_train_set_size: ProbeTrainTexts = Field(default=4000, title="Probe Train Set Size", ge=2)
    probe_test_set_size: ProbeTestTexts = Field(default=1000, title="Probe Test Set Size", ge=2)
    context_length: ContextLength = 128
    sae_batch_size: SAEBatchSize = 125
    llm_batch_size: LLMBatchSize = None
    llm_dtype: LLMDtype = ""
    model_name: ModelName = ""
    k_values: Counts = option(
        [1, 2, 5], "How many latents, or channels of the residual stream, a sparse probe reads; one probe per value."
    )
    lower_vram_usage: bool = option(
        False,
        "Keep pooled codes in main memory and leave out the probe on all latents; for very wide SAEs.",
        title="Lower Memory Usage",
    )
    probe_selection: Literal["test", "validation"] = option(
        "test",
        "What chooses the epoch of the probes on all features: 'test' is the published definition and picks the "
        "epoch with the best test accuracy, which is biased upwards; 'validation' picks on a tenth of the training "
        "texts and reports the test accuracy of that epoch.",
    )
    compute_all_latents_probe: bool = option(
        True,
        "Train the probe on all latents (sae_test_accuracy), the slowest part on wide SAEs.",
        title="Compute All-Latents Probe",
    )

    @property
    def wants_all_latents_probe(self) -> bool:
        """Whether the probe on all latents is to be trained."""
        return self.compute_all_latents_probe and not self.lower_vram_usage
