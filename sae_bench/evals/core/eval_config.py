"""Settings of the core eval."""

from __future__ import annotations

from pydantic.dataclasses import dataclass

from sae_bench.evals.families.settings import LLMDtype, ModelName, option
from sae_bench.results.model import BaseEvalConfig


@dataclass
class CoreEvalConfig(BaseEvalConfig):
    """Which tokens are read and which groups of metrics are computed.

    Rows `0 .. n_eval_reconstruction_batches` of the packed corpus serve the loss metrics, rows
    `0 .. n_eval_sparsity_variance_batches` all others: the two share their rows, so the shorter is free.
    """

    model_name: ModelName = ""
    llm_dtype: LLMDtype = "float32"
    batch_size_prompts: int = option(16, "Rows per batch; `mse` depends on it.", gt=0)
    n_eval_reconstruction_batches: int = option(
        10, "Batches for the loss and KL metrics.", title="Reconstruction Batches", ge=0
    )
    n_eval_sparsity_variance_batches: int = option(
        1, "Batches for sparsity, variance, norm and density metrics.", title="Sparsity Variance Batches", ge=0
    )
    dataset: str = option("Skylion007/openwebtext", "Corpus of the packed rows.")
    context_size: int = option(128, "Tokens per row.", title="Context Length", gt=1)
    compute_kl: bool = option(True, "KL divergence of the next-token distribution.", title="Compute KL")
    compute_ce_loss: bool = option(True, "Next-token cross-entropy.", title="Compute CE Loss")
    compute_l2_norms: bool = option(True, "Norms and reconstruction bias.")
    compute_sparsity_metrics: bool = option(True, "L0 and L1.")
    compute_variance_metrics: bool = option(True, "Explained variance, MSE and cosine similarity.")
    compute_featurewise_density_statistics: bool = option(True, "How often each latent is active.")
    compute_featurewise_weight_based_metrics: bool = option(
        True, "Norms and cosines of the weights.", title="Compute Featurewise Weight-Based Metrics"
    )
    exclude_special_tokens_from_reconstruction: bool = option(
        False,
        "Leave BOS, EOS and PAD as the model has them when reconstructions take the activations' place.",
        title="Exclude Special Tokens from Reconstruction",
    )
    verbose: bool = option(False, "Show a progress bar.")
    random_seed: int | None = option(None, "Shuffles the corpus's documents; unset keeps their order.")
    compute_pairwise_cosines: bool = option(
        True,
        "The weights' cosines of all pairs of latents: time grows with the square of the width (minutes from 100,000 "
        "latents on).",
        title="Compute Cosines of All Pairs of Latents",
    )
