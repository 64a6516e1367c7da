"""What the core eval reports."""

from __future__ import annotations

from pydantic import ConfigDict

from sae_bench.evals.core.eval_config import CoreEvalConfig
from sae_bench.results import model as base
from sae_bench.results.model import described, optional

EVAL_TYPE_ID_CORE = "core"


class ModelBehaviorPreservationMetrics(base.BaseMetrics):
    """How far the next-token distribution moves (nats)."""

    kl_div_score: float | None = optional(
        "KL Divergence Score", "(KL with ablation - KL with SAE) / KL with ablation; 1 is perfect, 0 is no better than "
        "zeros.", shown=True,
    )  # fmt: skip
    kl_div_with_ablation: float | None = optional(
        "KL Divergence with Ablation", "KL(original || activations replaced by zeros), nats per token."
    )
    kl_div_with_sae: float | None = optional(
        "KL Divergence with SAE", "KL(original || activations replaced by the reconstruction), nats per token."
    )


class ModelPerformancePreservationMetrics(base.BaseMetrics):
    """How much next-token loss the reconstruction costs (nats)."""

    ce_loss_score: float | None = optional(
        "Cross Entropy Loss Score", "(loss with ablation - loss with SAE) / (loss with ablation - original loss): the "
        "share of the loss recovered.", shown=True,
    )  # fmt: skip
    ce_loss_with_ablation: float | None = optional("CE Loss with Ablation", "Loss with the activations set to zero.")
    ce_loss_with_sae: float | None = optional("CE Loss with SAE", "Loss with the reconstruction in place.")
    ce_loss_without_sae: float | None = optional("CE Loss without SAE", "Loss of the untouched model.")


class ReconstructionQualityMetrics(base.BaseMetrics):
    """How close the reconstruction is to the activation."""

    explained_variance: float | None = optional(
        "Explained Variance", "1 - E|x - x'|^2 / E|x - E x|^2 over all tokens.", shown=True
    )
    explained_variance_legacy: float | None = optional(
        "Explained Variance (Legacy)", "Mean over tokens of 1 - |x - x'|^2 / |x - batch mean|^2: what most published "
        "results hold.", shown=True,
    )  # fmt: skip
    mse: float | None = optional(
        "Mean Squared Error", "Squared error summed over dimensions, divided by the tokens of its batch, averaged over "
        "tokens: the published definition, which depends on the batch size.",
    )  # fmt: skip
    mse_per_token: float | None = optional(
        "MSE per Token", "Squared error summed over dimensions, averaged over tokens."
    )
    cossim: float | None = optional("Cosine Similarity", "Mean cosine of activation and reconstruction.")


class ShrinkageMetrics(base.BaseMetrics):
    """Whether the reconstruction is too short."""

    l2_norm_in: float | None = optional("Input L2 Norm", "Mean norm of the activations.")
    l2_norm_out: float | None = optional("Output L2 Norm", "Mean norm of the reconstructions.")
    l2_ratio: float | None = optional("L2 Ratio", "Mean ratio of the norms, output over input.", shown=True)
    relative_reconstruction_bias: float | None = optional(
        "Relative Reconstruction Bias", "E|x'|^2 / E[x.x'] per batch, averaged over batches (Rajamanoharan et al. "
        "2024, eq. 10); below 1 means shrinkage.",
    )  # fmt: skip


class SparsityMetrics(base.BaseMetrics):
    """How many latents a token uses."""

    l0: float | None = optional("L0 Sparsity", "Mean number of non-zero latents per token.", shown=True)
    l1: float | None = optional("L1 Sparsity", "Mean sum of the latents' activations per token.")


class TokenStatsMetrics(base.BaseMetrics):
    """How many tokens were read (special tokens included, as published)."""

    total_tokens_eval_reconstruction: int | None = optional(
        "Total Tokens (Reconstruction)", "Tokens of the loss metrics."
    )
    total_tokens_eval_sparsity_variance: int | None = optional(
        "Total Tokens (Sparsity/Variance)", "Tokens of all other metrics."
    )


class MiscMetrics(base.BaseMetrics):
    """Summaries of the per-latent numbers."""

    freq_over_1_percent: float | None = optional(
        "Activation Frequency Over 1%", "Share of latents active on more than 1 % of tokens."
    )
    freq_over_10_percent: float | None = optional(
        "Activation Frequency Over 10%", "Share of latents active on more than 10 % of tokens."
    )
    normalized_freq_over_1_percent: float | None = optional(
        "Normalized Activation Frequency Over 1%", "Their share of all activity (sum of densities)."
    )
    normalized_freq_over_10_percent: float | None = optional(
        "Normalized Activation Frequency Over 10%", "Their share of all activity (sum of densities)."
    )
    average_max_encoder_cosine_sim: float | None = optional(
        "Average Max Encoder Cosine Similarity", "Mean over latents of the largest cosine to another encoder direction."
    )
    average_max_decoder_cosine_sim: float | None = optional(
        "Average Max Decoder Cosine Similarity", "Mean over latents of the largest cosine to another decoder direction."
    )
    frac_alive: float | None = optional(
        "Fraction of Alive Features", "Share of latents active at least once; an underestimate on few tokens."
    )
    nth_decoder_projection: float | None = optional(
        "N-th Decoder Projection", "The (n x tokens)-th largest projection of the activations of a batch on the unit "
        "decoder directions, n a quarter of the latents (arXiv 2508.16560): lowest at the right L0.",
    )  # fmt: skip
    mean_abs_decoder_cosine_sim: float | None = optional(
        "Mean Absolute Decoder Cosine Similarity", "Mean |cosine| of all pairs of decoder directions: lowest at the "
        "right L0 (arXiv 2508.16560).",
    )  # fmt: skip
    opposite_decoder_pairs: int | None = optional(
        "Nearly Opposite Decoder Pairs", "Pairs of decoder directions with a cosine below -0.9."
    )
    frac_with_opposite_decoder: float | None = optional(
        "Fraction with an Opposite Decoder", "Share of latents whose decoder direction has a nearly opposite one."
    )


class CoreMetricCategories(base.BaseMetricCategories):
    """Headline numbers of the core eval."""

    model_behavior_preservation: ModelBehaviorPreservationMetrics = described(
        "Model Behavior Preservation", "KL divergence of the model's predictions."
    )
    model_performance_preservation: ModelPerformancePreservationMetrics = described(
        "Model Performance Preservation", "Next-token loss."
    )
    reconstruction_quality: ReconstructionQualityMetrics = described(
        "Reconstruction Quality", "Distance of the reconstruction from the activation."
    )
    shrinkage: ShrinkageMetrics = described("Shrinkage", "Norms of input and output.")
    sparsity: SparsityMetrics = described("Sparsity", "Active latents per token.")
    token_stats: TokenStatsMetrics = described("Token Statistics", "Tokens read.")
    misc_metrics: MiscMetrics = described("Miscellaneous Metrics", "Densities and weight geometry.")


class CoreFeatureMetric(base.BaseResultDetail):
    """Numbers of one latent."""

    index: int = described("Feature Index", "Index of the latent.")
    feature_density: float | None = optional("Feature Density", "Share of tokens on which the latent is positive.")
    consistent_activation_heuristic: float | None = optional(
        "Consistent Activation Heuristic", "Active tokens per row that has any; null for a latent that never fired."
    )
    encoder_bias: float | None = optional("Encoder Bias", "Encoder bias (magnitude bias of a gated SAE).")
    encoder_norm: float | None = optional("Encoder Norm", "Norm of the encoder direction.")
    encoder_decoder_cosine_sim: float | None = optional(
        "Encoder-Decoder Cosine Similarity", "Cosine of the encoder and decoder directions."
    )
    max_decoder_cosine_sim: float | None = optional(
        "Max Decoder Cosine Similarity", "Largest cosine to another latent's decoder direction."
    )
    max_encoder_cosine_sim: float | None = optional(
        "Max Encoder Cosine Similarity", "Largest cosine to another latent's encoder direction."
    )


class CoreEvalOutput(base.BaseEvalOutput[CoreEvalConfig, CoreMetricCategories, CoreFeatureMetric]):
    """Reconstruction, sparsity, loss recovered and weight geometry of an SAE."""

    model_config = ConfigDict(title="Core")

    eval_type_id: str = base.eval_type(EVAL_TYPE_ID_CORE)
    eval_result_details: list[CoreFeatureMetric] = described(
        "Feature-wise Metrics", "One row of numbers per latent.", default_factory=list
    )
