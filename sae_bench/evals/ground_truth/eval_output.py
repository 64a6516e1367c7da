"""What ground_truth reports."""

from __future__ import annotations

from pydantic import ConfigDict

from sae_bench.evals.ground_truth.eval_config import GroundTruthEvalConfig
from sae_bench.results import model as base

EVAL_TYPE_ID_GROUND_TRUTH = "ground_truth"


class RecoveryMetrics(base.BaseMetrics):
    """How well latents stand for features."""

    mcc: float | None = base.optional(
        "MCC",
        "Mean |cosine| of decoder rows and true directions over the one-to-one matching that makes it largest.",
        shown=True,
    )
    f1: float | None = base.optional(
        "F1", "Mean over latents of the F1 of 'latent is not 0' against 'its feature is on'.", shown=True
    )
    precision: float | None = base.optional("Precision", "Mean over latents; 0 for a latent that is never active.")
    recall: float | None = base.optional("Recall", "Mean over latents; 0 where the feature is never on.")
    accuracy: float | None = base.optional("Accuracy", "Mean over latents of the share of samples that agree.")
    uniqueness: float | None = base.optional(
        "Uniqueness", "Different nearest features of all latents, per latent.", shown=True
    )


class ReconstructionMetrics(base.BaseMetrics):
    """How well activations are rebuilt."""

    explained_variance: float | None = base.optional(
        "Explained Variance", "1 - sum |x - x'|^2 / sum |x - mean x|^2 over the samples.", shown=True
    )
    shrinkage: float | None = base.optional("Shrinkage", "Mean |x'| / |x|; below 1 is shrinkage.")


class SparsityMetrics(base.BaseMetrics):
    """How many latents and features are on."""

    l0: float | None = base.optional("L0", "Active latents per sample.", shown=True)
    true_l0: float | None = base.optional("True L0", "Features that are on per sample.")
    dead_latents: int | None = base.optional("Dead Latents", "Latents that are active on none of the samples.")


class GroundTruthMetricCategories(base.BaseMetricCategories):
    """Headline numbers of ground_truth."""

    recovery: RecoveryMetrics = base.described("Recovery", "Latents against true features.", shown=True)
    reconstruction: ReconstructionMetrics = base.described("Reconstruction", "Activations rebuilt.", shown=True)
    sparsity: SparsityMetrics = base.described("Sparsity", "Active latents and features.", shown=True)


class GroundTruthResultDetail(base.BaseResultDetail):
    """One latent and the feature whose direction is nearest to its decoder row."""

    index: int = base.described("Index", "Number of the latent.")
    feature: int = base.described("Feature", "Number of the nearest true feature.")
    cosine: float = base.described("Cosine", "|cosine| of the decoder row and the feature's direction.")
    density: float = base.described("Density", "Share of samples on which the latent is active.")
    feature_rate: float = base.described("Feature Rate", "Share of samples on which the feature is on.")
    precision: float = base.described("Precision", "Share of its active samples on which the feature is on.")
    recall: float = base.described("Recall", "Share of the samples with the feature on which it is active.")
    f1: float = base.described("F1", "Harmonic mean of the two; 0 where one is undefined.")


class GroundTruthEvalOutput(
    base.BaseEvalOutput[GroundTruthEvalConfig, GroundTruthMetricCategories, GroundTruthResultDetail]
):
    """What an SAE finds of the features that the activations of a synthetic model are sums of.

    Directions are compared with decoder rows, activity of the features with that of the latents.
    """

    model_config = ConfigDict(title="Ground Truth")

    eval_type_id: str = base.eval_type(EVAL_TYPE_ID_GROUND_TRUTH)
    eval_result_details: list[GroundTruthResultDetail] = base.described(
        "Per-Latent Ground Truth Results", "One row per latent.", default_factory=list
    )
