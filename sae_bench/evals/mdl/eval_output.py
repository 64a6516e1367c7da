"""What mdl reports; the published code writes a plain list of settings and has no output class."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field

from sae_bench.evals.mdl.eval_config import MDLEvalConfig
from sae_bench.results import model as base

EVAL_TYPE_ID_MDL = "mdl"


def _metric(title: str, description: str, *, shown: bool = False) -> Any:
    return Field(
        default=None, title=title, description=description, json_schema_extra=base.DEFAULT_DISPLAY if shown else None
    )


class MDLMetrics(base.BaseMetrics):
    """The chosen setting: of those that reconstruct, the one with the smallest description length."""

    description_length: float | None = _metric(
        "Description Length", "Bits per token that the binned codes take.", shown=True
    )
    num_bins: int | None = _metric("Number of Bins", "Bins per latent.", shown=True)
    k: int | None = _metric("K", "Codes that a token keeps at most; null where all are kept.")
    mse_loss: float | None = _metric(
        "MSE Loss", "Root mean squared error of a coordinate over the number of coordinates, binned codes decoded."
    )
    explained_variance: float | None = _metric(
        "Explained Variance", "1 - E|x - x'|^2 / E|x - E x|^2 with x' decoded from the binned codes.", shown=True
    )
    explained_variance_unbinned: float | None = _metric(
        "Explained Variance without Bins", "The same with x' decoded from the codes as they are."
    )
    active_bits: float | None = _metric(
        "Bits for Activity", "Part of the description length that says which latents are active."
    )
    bin_bits: float | None = _metric(
        "Bits for Bins", "Part of the description length that says in which bin an active code lies."
    )


class MDLMetricCategories(base.BaseMetricCategories):
    """Headline numbers of mdl."""

    mdl: MDLMetrics = Field(
        title="MDL", description="The shortest code that reconstructs.", json_schema_extra=base.DEFAULT_DISPLAY
    )


class MDLResultDetail(base.BaseResultDetail):
    """One number of bins and one k."""

    num_bins: int = Field(title="Number of Bins", description="Bins per latent.")
    k: int | None = Field(title="K", description="Codes that a token keeps at most; null keeps all.")
    description_length: float = Field(title="Description Length", description="Bits per token.")
    within_threshold: bool = Field(
        title="Within Threshold", description="Whether `mse_loss` is below `mse_epsilon_threshold`."
    )
    reconstructs: bool = Field(
        title="Reconstructs",
        description="Whether the setting may be chosen: within the threshold and, if asked for, enough explained "
        "variance kept.",
    )
    mse_loss: float = Field(
        title="MSE Loss", description="Root mean squared error of a coordinate over the number of coordinates."
    )
    mse_loss_unbinned: float = Field(title="MSE Loss without Bins", description="The same for the codes as they are.")
    explained_variance: float | None = Field(
        title="Explained Variance", description="Of the reconstruction from binned codes."
    )
    explained_variance_unbinned: float | None = Field(
        title="Explained Variance without Bins", description="Of the reconstruction from the codes as they are."
    )
    active_bits: float = Field(title="Bits for Activity", description="Bits per token to say which are active.")
    bin_bits: float = Field(title="Bits for Bins", description="Bits per token to say in which bins they lie.")


class MDLEvalOutput(base.BaseEvalOutput[MDLEvalConfig, MDLMetricCategories, MDLResultDetail]):
    """How many bits per token the codes of an SAE take when each latent's values are put into bins.

    Codes in few bins are short but reconstruct badly; the headline is the shortest code that still reconstructs.
    """

    model_config = ConfigDict(title="MDL")

    eval_type_id: str = Field(default=EVAL_TYPE_ID_MDL, title="Eval Type ID", description="Name of the eval.")
    eval_result_details: list[MDLResultDetail] = Field(
        default_factory=list, title="Results per Setting", description="One row per number of bins and k."
    )
