"""What autointerp reports."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from sae_bench.evals.autointerp.eval_config import AutoInterpEvalConfig
from sae_bench.results import model as base

EVAL_TYPE_ID_AUTOINTERP = "autointerp"


class AutoInterpMetrics(base.BaseMetrics):
    """Means over latents, then over seeds."""

    autointerp_score: float | None = Field(
        default=None,
        title="AutoInterp Score",
        description="Share of the examples that the judge, given only the explanation, rightly calls activating or "
        "not; random windows count as not activating, as published.",
        json_schema_extra=base.DEFAULT_DISPLAY,
    )
    autointerp_std_dev: float | None = Field(
        default=None,
        title="AutoInterp Standard Deviation",
        description="Standard deviation of the score over latents.",
    )
    autointerp_chance_score: float | None = Field(
        default=None,
        title="AutoInterp Score of Answering None",
        description="What a judge gets that reads nothing and calls no example activating.",
    )
    autointerp_score_by_activation: float | None = Field(
        default=None,
        title="AutoInterp Score by Activation",
        description="The score with random windows on which the latent is active counted as activating.",
    )
    logprob_auc: float | None = Field(
        default=None,
        title="Log-Probability AUC",
        description="With judge_scoring: logprob. Area under the ROC curve of the judge's log-odds that the explained "
        "latent is active in a piece of text: activating windows against random ones on which it is not active.",
    )
    logprob_auc_std_dev: float | None = Field(
        default=None,
        title="Log-Probability AUC Standard Deviation",
        description="Its standard deviation over latents.",
    )
    random_active_share: float | None = Field(
        default=None,
        title="Random Active Share",
        description="Share of the random windows on which the latent is active: where it is high, the two scores part.",
    )
    embedding_score: float | None = Field(
        default=None,
        title="Embedding Score",
        description="Judge-free: area under the ROC curve of telling activating windows from others by the mean cosine "
        "of their sentence embedding to those of the windows that explanations are made from. None of these shares "
        "tokens with those to be told apart, and the others are windows on which the latent is not active.",
        json_schema_extra=base.DEFAULT_DISPLAY,
    )
    embedding_floor: float | None = Field(
        default=None,
        title="Embedding Floor",
        description="The embedding score with the explanation's windows of another latent of the SAE: what the score "
        "is where they say nothing of the latent.",
    )
    embedding_std_dev: float | None = Field(
        default=None, title="Embedding Standard Deviation", description="Its standard deviation over latents."
    )
    n_live_latents: int | None = Field(
        default=None, title="Live Latents", description="Latents active on more tokens than the threshold."
    )
    n_chosen_latents: int = Field(default=0, title="Chosen Latents", description="Latents drawn or named.")
    n_latents_with_examples: int = Field(
        default=0, title="Latents with Examples", description="Chosen latents with activations enough for examples."
    )
    n_embedding_scored: int = Field(
        default=0, title="Latents with an Embedding Score", description="Of these, how many have an embedding score."
    )
    n_judged: int = Field(
        default=0, title="Judged", description="Pairs of latent and seed that the judge was asked about."
    )
    n_unreadable: int = Field(
        default=0,
        title="Unreadable",
        description="Of these, how many got a reply that is no answer: no list of numbers of the examples, cut off, no "
        "explanation. They are left out of the score.",
    )
    n_unanswered: int = Field(
        default=0,
        title="Unanswered",
        description="Of these, how many got no answer: an empty reply, a refusal, a content filter, a question that "
        "is not taken. They are left out of the score.",
    )
    judge_tokens_in: int = Field(default=0, title="Judge Tokens In", description="Tokens of all questions.")
    judge_tokens_out: int = Field(default=0, title="Judge Tokens Out", description="Tokens of all replies.")


class AutoInterpMetricCategories(base.BaseMetricCategories):
    """Headline numbers of autointerp."""

    autointerp: AutoInterpMetrics = Field(
        title="AutoInterp", description="How well latents can be explained.", json_schema_extra=base.DEFAULT_DISPLAY
    )


class AutoInterpResultDetail(base.BaseResultDetail):
    """One latent, means over seeds."""

    index: int = Field(title="Latent Index", description="Index of the latent.")
    density: float = Field(title="Density", description="Share of the tokens on which it is active.")
    explanation: str | None = Field(default=None, title="Explanation", description="The first seed's explanation.")
    score: float | None = Field(default=None, title="Score", description="Its autointerp score.")
    logprob_auc: float | None = Field(
        default=None, title="Log-Probability AUC", description="Its area under the ROC curve of the judge's log-odds."
    )
    embedding_score: float | None = Field(default=None, title="Embedding Score", description="Its judge-free score.")
    embedding_floor: float | None = Field(
        default=None, title="Embedding Floor", description="The same with another latent's windows."
    )
    reason: str | None = Field(default=None, title="Reason", description="Why it has no examples or no score.")


class AutoInterpEvalOutput(
    base.BaseEvalOutput[AutoInterpEvalConfig, AutoInterpMetricCategories, AutoInterpResultDetail]
):
    """Whether a language model that explains a latent from examples can tell where the latent is active.

    After EleutherAI's detection scoring (Paulo et al. 2024, "Automatically Interpreting Millions of Features").
    """

    model_config = ConfigDict(title="AutoInterp")

    eval_type_id: str = Field(default=EVAL_TYPE_ID_AUTOINTERP, title="Eval Type ID", description="Name of the eval.")
    eval_result_details: list[AutoInterpResultDetail] = Field(
        default_factory=list, title="Per-Latent Results", description="One row per chosen latent."
    )
