"""Results of RAVEL, with the published field names."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from sae_bench.evals.ravel.eval_config import RAVELEvalConfig
from sae_bench.results import model as base

EVAL_TYPE_ID_RAVEL = "ravel"


class RAVELMetricResults(base.BaseMetrics):
    """Means over attributes, then entity classes, then seeds."""

    disentanglement_score: float | None = Field(
        default=None,
        title="Disentanglement Score",
        description="Mean of cause and isolation score.",
        json_schema_extra=base.DEFAULT_DISPLAY,
    )
    cause_score: float | None = Field(
        default=None,
        title="Cause Score",
        description="Share of completions that name the source's value of an attribute after the latents that were "
        "found for it were taken over from the source. High: these latents carry the attribute.",
        json_schema_extra=base.DEFAULT_DISPLAY,
    )
    isolation_score: float | None = Field(
        default=None,
        title="Isolation Score",
        description="Share of completions on other attributes that are still right after the same. High: these latents "
        "carry nothing else.",
        json_schema_extra=base.DEFAULT_DISPLAY,
    )


class RAVELMetricCategories(base.BaseMetricCategories):
    """Headline numbers of RAVEL."""

    ravel: RAVELMetricResults = Field(
        title="RAVEL", description="How well attributes are told apart.", json_schema_extra=base.DEFAULT_DISPLAY
    )


class RAVELResultDetail(base.BaseResultDetail):
    """One attribute of one entity class, means over seeds."""

    entity_class: str = Field(title="Entity Class", description="Class of the entities.")
    attribute: str = Field(title="Attribute", description="The attribute whose latents were sought.")
    cause_score: float | None = Field(title="Cause Score", description="Cause score of this attribute.")
    isolation_score: float | None = Field(title="Isolation Score", description="Isolation score of the others.")
    disentanglement_score: float | None = Field(title="Disentanglement Score", description="Mean of the two.")
    n_chosen: float = Field(title="N Chosen", description="Latents (or axes) that the mask takes over from the source.")
    n_train_pairs: float = Field(title="N Train Pairs", description="Pairs that the mask was trained on.")
    n_cause_pairs: float = Field(title="N Cause Pairs", description="Pairs behind the cause score.")
    n_isolation_pairs: float = Field(title="N Isolation Pairs", description="Pairs behind the isolation score.")
    patched_cause_score: float | None = Field(
        title="Cause Score, Whole Activation",
        description="The cause score when the source's whole activation is taken over, without an SAE: what the place "
        "in the model allows.",
    )
    patched_isolation_score: float | None = Field(
        title="Isolation Score, Whole Activation", description="The isolation score of the same."
    )


class RAVELEvalOutput(base.BaseEvalOutput[RAVELEvalConfig, RAVELMetricCategories, RAVELResultDetail]):
    """How well an SAE's latents change one attribute of an entity in the model's output and leave the others alone.

    Of the facts of the RAVEL data set those are used that the model knows. A mask over latents is trained for each
    attribute, and scored by activation patching between entities.
    """

    model_config = ConfigDict(title="RAVEL")

    eval_type_id: str = Field(default=EVAL_TYPE_ID_RAVEL, title="Eval Type ID", description="Name of the eval.")
    eval_result_details: list[RAVELResultDetail] = Field(
        default_factory=list, title="Per-Attribute Results", description="One row per entity class and attribute."
    )
