"""Settings of meta_structure."""

from __future__ import annotations

from pydantic import Field, field_validator
from pydantic.dataclasses import dataclass

from sae_bench.evals.families.settings import LLMDtype, ModelName, RandomSeed
from sae_bench.language_models.load import DTYPES
from sae_bench.results.model import BaseEvalConfig


@dataclass
class MetaStructureEvalConfig(BaseEvalConfig):
    """Settings of meta_structure; the defaults are the published ones."""

    random_seed: RandomSeed = Field(
        default=42, description="Seed of the meta-SAE's start and batches where a run names no other seeds."
    )
    width_ratio: float = Field(
        default=0.25,
        title="Meta-SAE Width Ratio",
        description="Latents of the meta-SAE per latent of the SAE, rounded up; at least k.",
        gt=0,
    )
    k: int = Field(default=4, title="BatchTopK k", description="Meta-latents that a decoder row uses on average.", ge=1)
    train_steps: int = Field(default=1500, title="Training Steps", description="Steps of training.", ge=1)
    train_batch_size: int = Field(
        default=1024, title="Training Batch Size", description="Decoder rows per step, drawn with replacement.", ge=1
    )
    learning_rate: float = Field(default=5e-4, title="Learning Rate", description="Learning rate of Adam.", gt=0)
    weight_decay: float = Field(default=0.0, title="Weight Decay", description="L2 penalty of Adam.", ge=0)
    autocast: bool = Field(
        default=True,
        title="Use Autocast",
        description="On CUDA devices, make the product with the encoder in bfloat16 while training; elsewhere without "
        "effect.",
    )
    eval_batch_size: int = Field(
        default=4096,
        title="Eval Batch Size",
        description="Decoder rows that share the k active meta-latents per row when the trained meta-SAE is judged.",
        ge=1,
    )
    dead_feature_window: int = Field(
        default=2000,
        title="Dead Feature Window",
        description="Steps without being used after which a meta-latent is dead and learns from the residual.",
        ge=0,
    )
    feature_sampling_window: int = Field(
        default=200,
        title="Feature Sampling Window",
        description="Kept for published configurations: the interval of a log that is not written here.",
        ge=1,
    )
    dtype: str = Field(default="float32", title="Meta-Structure DType", description="dtype of the meta-SAE.")
    model_name: ModelName = Field(default="", description="Language model that the SAE belongs to; it is not run.")
    llm_dtype: LLMDtype = Field(default="", description="dtype of that model; changes no number.")

    @field_validator("dtype")
    @classmethod
    def _check_dtype(cls, name: str) -> str:
        if name not in DTYPES:
            raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, got {name!r}.")
        return name
