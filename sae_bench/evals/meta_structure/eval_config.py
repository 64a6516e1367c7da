"""Settings of meta_structure."""

from __future__ import annotations

from pydantic import Field, field_validator
from pydantic.dataclasses import dataclass

from sae_bench.evals.families.settings import LLMDtype, ModelName, RandomSeed
from sae_bench.results.model import BaseEvalConfig


@dataclass
class MetaStructureEvalConfig(BaseEvalConfig):
    """Settings of meta_structure; the defaults are the published ones."""

    random_seed: RandomSeed = Field(
        42, description="Seed of the meta-SAE's start and batches where a run names no other seeds."
    )
    width_ratio: float = Field(
        0.25, gt=0, title="Meta-SAE Width Ratio",
        description="Latents of the meta-SAE per latent of the SAE, rounded up; at least k.",
    )  # fmt: skip
    k: int = Field(4, ge=1, title="BatchTopK k", description="Meta-latents that a decoder row uses on average.")
    train_steps: int = Field(1500, ge=1, title="Training Steps", description="Steps of training.")
    train_batch_size: int = Field(
        1024, ge=1, title="Training Batch Size", description="Decoder rows per step, drawn with replacement."
    )
    learning_rate: float = Field(5e-4, gt=0, title="Learning Rate", description="Learning rate of Adam.")
    weight_decay: float = Field(0.0, ge=0, title="Weight Decay", description="L2 penalty of Adam.")
    autocast: bool = Field(
        True, title="Use Autocast",
        description="On CUDA devices, make the product with the encoder in bfloat16 while training; elsewhere without "
        "effect.",
    )  # fmt: skip
    eval_batch_size: int = Field(
        4096, ge=1, title="Eval Batch Size",
        description="Decoder rows that share the k active meta-latents per row when the trained meta-SAE is judged.",
    )  # fmt: skip
    dead_feature_window: int = Field(
        2000, ge=0, title="Dead Feature Window",
        description="Steps without being used after which a meta-latent is dead and learns from the residual.",
    )  # fmt: skip
    feature_sampling_window: int = Field(
        200, ge=1, title="Feature Sampling Window",
        description="Kept for published configurations: the interval of a log that is not written here.",
    )  # fmt: skip
    dtype: str = Field("float32", title="Meta-Structure DType", description="dtype of the meta-SAE.")
    model_name: ModelName = Field("", description="Language model that the SAE belongs to; it is not run.")
    llm_dtype: LLMDtype = Field("", description="dtype of that model; changes no number.")

    @field_validator("dtype")
    @classmethod
    def _check_dtype(cls, name: str) -> str:
        from sae_bench.language_models.load import DTYPES  # loads torch, which reading a declaration need not

        if name not in DTYPES:
            raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, got {name!r}.")
        return name
