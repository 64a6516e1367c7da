"""Results of RAVEL, with the published field names."""

from __future__ import annotations

from pydantic import ConfigDict

from sae_bench.evals.ravel.eval_config import RAVELEvalConfig
from sae_bench.results import model as base
from sae_bench.results.model import described, optional

EVAL_TYPE_ID_RAVEL = "ravel"


class RAVELMetricResults(base.BaseMetrics):
    """Means over attributes, then entity classes, then seeds."""

    disentanglement_score: float | None = optional(
        "Disentanglement Score", "Mean of cause and isolation score.", shown=True
    )
    cause_score: float | None = optional(
        "Cause Score",
        "Share of completions that name the source's value of an attribute after the latents that were "
        "found for it were taken over from the source. High: these latents carry the attribute.",
        shown=True,
    )
    isolation_score: float | None = optional(
        "Isolation Score",
        "Share of completions on other attributes that are still right after the same. High: these latents "
        "carry nothing else.",
        shown=True,
    )
    unaided_cause_score: float | None = optional(
        "Cause Score, Unaided Pairs",
        "The cause score without pairs that may count without any change: what the model says of the base counts as "
        "the source's value, or that value stands in the base's prompt.",
    )
    strict_cause_score: float | None = optional(
        "Cause Score, Strict", "The cause score where the answer must name the whole value and no other."
    )
    strict_isolation_score: float | None = optional("Isolation Score, Strict", "The isolation score of the same.")
    strict_disentanglement_score: float | None = optional("Disentanglement Score, Strict", "Mean of the two.")


class RAVELMetricCategories(base.BaseMetricCategories):
    """Headline numbers of RAVEL."""

    ravel: RAVELMetricResults = described("RAVEL", "How well attributes are told apart.", shown=True)


class RAVELResultDetail(base.BaseResultDetail):
    """One attribute of one entity class, means over seeds."""

    entity_class: str = described("Entity Class", "Class of the entities.")
    attribute: str = described("Attribute", "The attribute whose latents were sought.")
    cause_score: float | None = described("Cause Score", "Cause score of this attribute.")
    isolation_score: float | None = described("Isolation Score", "Isolation score of the others.")
    disentanglement_score: float | None = described("Disentanglement Score", "Mean of the two.")
    n_chosen: float = described("N Chosen", "Latents (or axes) that the mask takes over from the source.")
    n_train_pairs: float = described("N Train Pairs", "Pairs that the mask was trained on.")
    n_cause_pairs: float = described("N Cause Pairs", "Pairs behind the cause score.")
    n_isolation_pairs: float = described("N Isolation Pairs", "Pairs behind the isolation score.")
    patched_cause_score: float | None = described(
        "Cause Score, Whole Activation",
        "The cause score when the source's whole activation is taken over, without an SAE: what the place "
        "in the model allows.",
    )
    patched_isolation_score: float | None = described(
        "Isolation Score, Whole Activation", "The isolation score of the same."
    )
    mean_activation_cause_score: float | None = optional(
        "Cause Score, Mean Activation", "The cause score when the mean activation of all entities is put there."
    )
    mean_activation_isolation_score: float | None = optional(
        "Isolation Score, Mean Activation", "The isolation score of the same."
    )
    untouched_cause_score: float | None = optional(
        "Cause Score, No Intervention", "The cause score of what the model says without any change."
    )
    unaided_cause_score: float | None = optional(
        "Cause Score, Unaided Pairs", "The cause score without pairs that may count without any change."
    )
    strict_cause_score: float | None = optional(
        "Cause Score, Strict", "The cause score where the answer must name the whole value and no other."
    )
    strict_isolation_score: float | None = optional("Isolation Score, Strict", "The isolation score of the same.")
    n_aided_pairs: float | None = optional("N Aided Pairs", "Cause pairs that may count without any change.")
    n_train_steps: float | None = optional("N Train Steps", "Steps in which the mask was trained.")


class RAVELEvalOutput(base.BaseEvalOutput[RAVELEvalConfig, RAVELMetricCategories, RAVELResultDetail]):
    """How well an SAE's latents change one attribute of an entity in the model's output and leave the others alone.

    Of the facts of the RAVEL data set those are used that the model knows. A mask over latents is trained for each
    attribute, and scored by activation patching between entities.
    """

    model_config = ConfigDict(title="RAVEL")

    eval_type_id: str = base.eval_type(EVAL_TYPE_ID_RAVEL)
    eval_result_details: list[RAVELResultDetail] = described(
        "Per-Attribute Results", "One row per entity class and attribute.", default_factory=list
    )
