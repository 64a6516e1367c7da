"""Settings of ground_truth."""

from __future__ import annotations

from pydantic import Field
from pydantic.dataclasses import dataclass

from sae_bench.evals.families.settings import LLMDtype, ModelName, RandomSeed, option
from sae_bench.results.model import BaseEvalConfig


@dataclass
class GroundTruthEvalConfig(BaseEvalConfig):
    """Which samples of the synthetic model are read."""

    model_name: ModelName = Field(default="", description="Synthetic model; filled in by the run.")
    llm_dtype: LLMDtype = ""
    random_seed: RandomSeed = Field(
        default=42, description="Seed whose samples are read, and of the random directions."
    )
    n_samples: int = option(100_000, "Samples that are read.", ge=2, le=1 << 20)
    batch_size: int = option(1024, "Samples that are encoded at once.", ge=1)
