"""Settings of meta_structure."""

from pydantic import Field
from pydantic.dataclasses import dataclass

from sae_bench.evals.families.settings import DType, LLMDtype, ModelName, RandomSeed, option
from sae_bench.results.model import BaseEvalConfig


@dataclass
class MetaStructureEvalConfig(BaseEvalConfig):
    """Settings of meta_structure; the defaults are the published ones."""

    random_seed: RandomSeed = Field(default=42, description="Seed of start and batches, unless a run names seeds.")
    width_ratio: float = option(0.25, "Meta-latents per latent; at least k.", title="Meta-SAE Width Ratio", gt=0)
    k: int = option(4, "Meta-latents that a decoder row uses on average.", title="BatchTopK k", ge=1)
    train_steps: int = option(1500, "Steps of training.", title="Training Steps", ge=1)
    train_batch_size: int = option(1024, "Rows per step, drawn with replacement.", title="Training Batch Size", ge=1)
    learning_rate: float = option(5e-4, "Learning rate of Adam.", gt=0)
    weight_decay: float = option(0.0, "L2 penalty of Adam.", ge=0)
    autocast: bool = option(True, "On CUDA devices, encode in bfloat16 while training.", title="Use Autocast")
    eval_batch_size: int = option(4096, "Rows judged at once, which share k active meta-latents per row.", ge=1)
    dead_feature_window: int = option(2000, "Unused steps after which a meta-latent learns from the residual.", ge=0)
    feature_sampling_window: int = option(200, "Kept for published configurations: interval of a log.", ge=1)
    dtype: DType = option("float32", "dtype of the meta-SAE.", title="Meta-Structure DType")
    model_name: ModelName = Field(default="", description="Language model of the SAE; it is not run.")
    llm_dtype: LLMDtype = Field(default="", description="dtype of that model; changes no number.")
