"""What meta_structure reports, with the published field names."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from sae_bench.evals.meta_structure.eval_config import MetaStructureEvalConfig
from sae_bench.results import model as base

EVAL_TYPE_ID_META_STRUCTURE = "meta_structure_decoder_variance"


class MetaStructureMetrics(base.BaseMetrics):
    """Means over seeds."""

    decoder_fraction_variance_explained: float = Field(
        title="Decoder Fraction Variance Explained",
        description="Share of the variance of the SAE's decoder rows that the meta-SAE reconstructs.",
        json_schema_extra=base.DEFAULT_DISPLAY,
    )
    train_time_seconds: float = Field(
        title="Training Time (s)", description="Wall-clock seconds that the meta-SAE of one seed trained."
    )
    final_reconstruction_mse: float = Field(
        title="Final Reconstruction MSE", description="Mean squared error of a coordinate of the decoder rows."
    )


class MetaStructureMetricCategories(base.BaseMetricCategories):
    """Headline numbers of meta_structure."""

    meta_structure: MetaStructureMetrics = Field(
        title="Meta-Structure",
        description="How well a meta-SAE explains the decoder rows.",
        json_schema_extra=base.DEFAULT_DISPLAY,
    )


class MetaStructureEvalOutput(
    base.BaseEvalOutput[MetaStructureEvalConfig, MetaStructureMetricCategories, base.BaseResultDetail]
):
    """How much of an SAE's decoder a much smaller BatchTopK SAE reconstructs from few directions.

    The more latents are combinations of shared directions, the more of the variance of their decoder rows it explains.
    """

    model_config = ConfigDict(title="Meta-Structure Decoder Variance")

    eval_type_id: str = Field(EVAL_TYPE_ID_META_STRUCTURE, title="Eval Type ID", description="Name of the eval.")
