"""Settings of the core eval."""

from __future__ import annotations

from pydantic import Field
from pydantic.dataclasses import dataclass

from sae_bench.evals.families.settings import LLMDtype, ModelName
from sae_bench.results.model import BaseEvalConfig


@dataclass
class CoreEvalConfig(BaseEvalConfig):
    """Which tokens are read and which groups of metrics are computed.

    Rows `0 .. n_eval_reconstruction_batches` of the packed corpus serve the loss metrics, rows
    `0 .. n_eval_sparsity_variance_batches` all others: the two share their rows, so the shorter is free.
    """

    model_name: ModelName = ""
    llm_dtype: LLMDtype = "float32"
    batch_size_prompts: int = Field(
        default=16, gt=0, title="Batch Size Prompts", description="Rows per batch; `mse` depends on it."
    )
    n_eval_reconstruction_batches: int = Field(
        default=10, ge=0, title="Reconstruction Batches", description="Batches for the loss and KL metrics."
    )
    n_eval_sparsity_variance_batches: int = Field(
        default=1, ge=0, title="Sparsity Variance Batches",
        description="Batches for sparsity, variance, norm and density metrics.",
    )  # fmt: skip
    dataset: str = Field(default="Skylion007/openwebtext", title="Dataset", description="Corpus of the packed rows.")
    context_size: int = Field(default=128, gt=1, title="Context Length", description="Tokens per row.")
    compute_kl: bool = Field(
        default=True, title="Compute KL", description="KL divergence of the next-token distribution."
    )
    compute_ce_loss: bool = Field(default=True, title="Compute CE Loss", description="Next-token cross-entropy.")
    compute_l2_norms: bool = Field(default=True, title="Compute L2 Norms", description="Norms and reconstruction bias.")
    compute_sparsity_metrics: bool = Field(default=True, title="Compute Sparsity Metrics", description="L0 and L1.")
    compute_variance_metrics: bool = Field(
        default=True, title="Compute Variance Metrics", description="Explained variance, MSE and cosine similarity."
    )
    compute_featurewise_density_statistics: bool = Field(
        default=True, title="Compute Featurewise Density Statistics", description="How often each latent is active."
    )
    compute_featurewise_weight_based_metrics: bool = Field(
        default=True, title="Compute Featurewise Weight-Based Metrics", description="Norms and cosines of the weights."
    )
    exclude_special_tokens_from_reconstruction: bool = Field(
        default=False, title="Exclude Special Tokens from Reconstruction",
        description="Leave BOS, EOS and PAD as the model has them when reconstructions take the activations' place.",
    )  # fmt: skip
    verbose: bool = Field(default=False, title="Verbose", description="Show a progress bar.")
    random_seed: int | None = Field(
        default=None, title="Random Seed", description="Shuffles the corpus's documents; unset keeps their order."
    )
