"""Results of unlearning, with the published field names."""

from __future__ import annotations

from pydantic import ConfigDict

from sae_bench.evals.unlearning.eval_config import UnlearningEvalConfig
from sae_bench.results import model as base
from sae_bench.results.model import described, optional

EVAL_TYPE_ID_UNLEARNING = "unlearning"


class UnlearningMetrics(base.BaseMetrics):
    """Scores over all settings."""

    unlearning_score: float = described(
        "Unlearning Score",
        "1 - lowest accuracy on the questions to be forgotten, over the settings that keep the accuracy on "
        "all others at the side-effect threshold (0.99) or above; 0 if none does (Farrell et al. 2024).",
        shown=True,
    )
    unlearning_score_held_out: float | None = optional(
        "Unlearning Score, Held Out",
        "The same with the setting chosen on one random half of the forget questions and scored on the "
        "other, both ways, mean over seeds: free of the gain from choosing on the questions that are scored.",
        shown=True,
    )


class UnlearningMetricCategories(base.BaseMetricCategories):
    """Headline numbers of unlearning."""

    unlearning: UnlearningMetrics = described("Unlearning", "How much of the topic is forgotten.")


class UnlearningResultDetail(base.BaseResultDetail):
    """Accuracies under one setting."""

    retain_threshold: float = described("Retain Threshold", "Limit of the activity on retain tokens.")
    n_features: int = described("N Features", "How many latents were to be clamped.")
    multiplier: int = described("Multiplier", "Active latents were set to minus this value.")
    n_clamped: int = described(
        "N Clamped", "How many latents were clamped: fewer where fewer are active on forget tokens."
    )
    forget_accuracy: float = described(
        "Forget Accuracy", "Share of the questions to be forgotten that are still answered right."
    )
    side_effect_accuracy: float = described(
        "Side Effect Accuracy", "Share of the questions to be kept that are still answered right."
    )
    counts: bool = described(
        "Counts", "Whether the side-effect accuracy reaches the threshold, so that the setting counts."
    )
    accuracies: dict[str, float] = described("Accuracies", "Data set -> accuracy on its known questions.")


class UnlearningEvalOutput(
    base.BaseEvalOutput[UnlearningEvalConfig, UnlearningMetricCategories, UnlearningResultDetail]
):
    """How well a topic can be unlearned by clamping the SAE's latents for it, without touching other knowledge.

    Latents that are active on texts of the topic and quiet on others are clamped to negative values while the model
    answers multiple-choice questions that it knows.
    """

    model_config = ConfigDict(title="Unlearning")

    eval_type_id: str = base.eval_type(EVAL_TYPE_ID_UNLEARNING)
    eval_result_details: list[UnlearningResultDetail] = described(
        "Per-Setting Results", "One row per retain threshold, number of latents and multiplier.", default_factory=list
    )
