"""What meta_structure reports, with the published field names."""

from __future__ import annotations

from pydantic import ConfigDict

from sae_bench.evals.meta_structure.eval_config import MetaStructureEvalConfig as Config
from sae_bench.results import model as base

EVAL_TYPE_ID_META_STRUCTURE = "meta_structure_decoder_variance"


class MetaStructureMetrics(base.BaseMetrics):
    """Means over seeds."""

    decoder_fraction_variance_explained: float = base.described(
        "Decoder Fraction Variance Explained", "Share of the decoder rows' variance that is reconstructed.", shown=True
    )
    train_time_seconds: float = base.described("Training Time (s)", "Wall-clock seconds of training, per seed.")
    final_reconstruction_mse: float = base.described("Final Reconstruction MSE", "Mean squared error of a coordinate.")


class MetaStructureMetricCategories(base.BaseMetricCategories):
    """Headline numbers of meta_structure."""

    meta_structure: MetaStructureMetrics = base.described(
        "Meta-Structure", "A meta-SAE on the decoder rows.", shown=True
    )


class MetaStructureEvalOutput(base.BaseEvalOutput[Config, MetaStructureMetricCategories, base.BaseResultDetail]):
    """How much of an SAE's decoder a much smaller BatchTopK SAE reconstructs from few directions.

    The more latents are combinations of shared directions, the more of the variance of their decoder rows it explains.
    """

    model_config = ConfigDict(title="Meta-Structure Decoder Variance")
    eval_type_id: str = base.eval_type(EVAL_TYPE_ID_META_STRUCTURE)
