"""What mdl reports; the published code writes a plain list of settings and has no output class."""

from __future__ import annotations

from pydantic import ConfigDict

from sae_bench.evals.mdl.eval_config import MDLEvalConfig
from sae_bench.results import model as base
from sae_bench.results.model import described, optional

EVAL_TYPE_ID_MDL = "mdl"


class MDLMetrics(base.BaseMetrics):
    """The chosen setting: of those that reconstruct, the one with the smallest description length."""

    description_length: float | None = optional(
        "Description Length", "Bits per token that the binned codes take.", shown=True
    )
    num_bins: int | None = optional("Number of Bins", "Bins per latent.", shown=True)
    k: int | None = optional("K", "Codes that a token keeps at most; null where all are kept.")
    mse_loss: float | None = optional(
        "MSE Loss", "Root mean squared error of a coordinate over the number of coordinates, binned codes decoded."
    )
    explained_variance: float | None = optional(
        "Explained Variance", "1 - E|x - x'|^2 / E|x - E x|^2 with x' decoded from the binned codes.", shown=True
    )
    explained_variance_unbinned: float | None = optional(
        "Explained Variance without Bins", "The same with x' decoded from the codes as they are."
    )
    active_bits: float | None = optional(
        "Bits for Activity", "Part of the description length that says which latents are active."
    )
    bin_bits: float | None = optional(
        "Bits for Bins", "Part of the description length that says in which bin an active code lies."
    )


class MDLMetricCategories(base.BaseMetricCategories):
    """Headline numbers of mdl."""

    mdl: MDLMetrics = described("MDL", "The shortest code that reconstructs.", shown=True)


class MDLResultDetail(base.BaseResultDetail):
    """One number of bins and one k."""

    num_bins: int = described("Number of Bins", "Bins per latent.")
    k: int | None = described("K", "Codes that a token keeps at most; null keeps all.")
    description_length: float = described("Description Length", "Bits per token.")
    within_threshold: bool = described("Within Threshold", "Whether `mse_loss` is below `mse_epsilon_threshold`.")
    reconstructs: bool = described(
        "Reconstructs",
        "Whether the setting may be chosen: within the threshold and, if asked for, enough explained variance kept.",
    )
    mse_loss: float = described("MSE Loss", "Root mean squared error of a coordinate over the number of coordinates.")
    mse_loss_unbinned: float = described("MSE Loss without Bins", "The same for the codes as they are.")
    explained_variance: float | None = described("Explained Variance", "Of the reconstruction from binned codes.")
    explained_variance_unbinned: float | None = described(
        "Explained Variance without Bins", "Of the reconstruction from the codes as they are."
    )
    active_bits: float = described("Bits for Activity", "Bits per token to say which are active.")
    bin_bits: float = described("Bits for Bins", "Bits per token to say in which bins they lie.")


class MDLEvalOutput(base.BaseEvalOutput[MDLEvalConfig, MDLMetricCategories, MDLResultDetail]):
    """How many bits per token the codes of an SAE take when each latent's values are put into bins.

    Codes in few bins are short but reconstruct badly; the headline is the shortest code that still reconstructs.
    """

    model_config = ConfigDict(title="MDL")

    eval_type_id: str = base.eval_type(EVAL_TYPE_ID_MDL)
    eval_result_details: list[MDLResultDetail] = described(
        "Results per Setting", "One row per number of bins and k.", default_factory=list
    )
