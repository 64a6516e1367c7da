"""What autointerp reports."""

from __future__ import annotations

from pydantic import ConfigDict

from sae_bench.evals.autointerp.eval_config import AutoInterpEvalConfig
from sae_bench.results import model as base
from sae_bench.results.model import described, optional

EVAL_TYPE_ID_AUTOINTERP = "autointerp"


class AutoInterpMetrics(base.BaseMetrics):
    """Means over latents, then over seeds."""

    autointerp_score: float | None = optional(
        "AutoInterp Score",
        "Share of the examples that the judge, given only the explanation, rightly calls activating or "
        "not; random windows count as not activating, as published.",
        shown=True,
    )
    autointerp_std_dev: float | None = optional(
        "AutoInterp Standard Deviation", "Standard deviation of the score over latents."
    )
    autointerp_chance_score: float | None = optional(
        "AutoInterp Score of Answering None", "What a judge gets that reads nothing and calls no example activating."
    )
    autointerp_guessing_score: float | None = optional(
        "AutoInterp Score of Guessing",
        "What a judge gets that reads nothing and names at random as many examples as are activating.",
    )
    balanced_accuracy: float | None = optional(
        "Balanced Accuracy",
        "Mean of the shares of activating and of other examples that the judge has right: 0.5 for every answer that "
        "reads nothing.",
    )
    autointerp_score_by_activation: float | None = optional(
        "AutoInterp Score by Activation",
        "The score with random windows on which the latent is active counted as activating.",
    )
    logprob_auc: float | None = optional(
        "Log-Probability AUC",
        "With judge_scoring: logprob. Area under the ROC curve of the judge's log-odds that the explained "
        "latent is active in a piece of text: activating windows against random ones on which it is not active.",
    )
    logprob_auc_std_dev: float | None = optional(
        "Log-Probability AUC Standard Deviation", "Its standard deviation over latents."
    )
    random_active_share: float | None = optional(
        "Random Active Share",
        "Share of the random windows on which the latent is active: where it is high, the two scores part.",
    )
    embedding_score: float | None = optional(
        "Embedding Score",
        "Judge-free: area under the ROC curve of telling activating windows from others by the mean cosine "
        "of their sentence embedding to those of the windows that explanations are made from. None of these shares "
        "tokens with those to be told apart, and the others are windows on which the latent is not active.",
        shown=True,
    )
    embedding_floor: float | None = optional(
        "Embedding Floor",
        "The embedding score with the explanation's windows of another latent of the SAE: what the score "
        "is where they say nothing of the latent.",
    )
    embedding_std_dev: float | None = optional("Embedding Standard Deviation", "Its standard deviation over latents.")
    n_live_latents: int | None = optional("Live Latents", "Latents active on more tokens than the threshold.")
    n_chosen_latents: int = described("Chosen Latents", "Latents drawn or named.", default=0)
    n_latents_with_examples: int = described(
        "Latents with Examples", "Chosen latents with activations enough for examples.", default=0
    )
    n_embedding_scored: int = described(
        "Latents with an Embedding Score", "Of these, how many have an embedding score.", default=0
    )
    n_judged: int = described("Judged", "Pairs of latent and seed that the judge was asked about.", default=0)
    n_unreadable: int = described(
        "Unreadable",
        "Of these, how many got a reply that is no answer: no list of numbers of the examples, cut off, no "
        "explanation. They are left out of the score.",
        default=0,
    )
    n_unanswered: int = described(
        "Unanswered",
        "Of these, how many got no answer: an empty reply, a refusal, a content filter, a question that "
        "is not taken. They are left out of the score.",
        default=0,
    )
    judge_tokens_in: int = described("Judge Tokens In", "Tokens of all questions.", default=0)
    judge_tokens_out: int = described("Judge Tokens Out", "Tokens of all replies.", default=0)
    judge_tokens_for_floor: int = described(
        "Judge Tokens for the Floor", "Tokens beyond these, in and out, with other latents' explanations.", default=0
    )


class AutoInterpMetricCategories(base.BaseMetricCategories):
    """Headline numbers of autointerp."""

    autointerp: AutoInterpMetrics = described("AutoInterp", "How well latents can be explained.", shown=True)


class AutoInterpResultDetail(base.BaseResultDetail):
    """One latent, means over seeds."""

    index: int = described("Latent Index", "Index of the latent.")
    density: float = described("Density", "Share of the tokens on which it is active.")
    explanation: str | None = optional("Explanation", "The first seed's explanation.")
    score: float | None = optional("Score", "Its autointerp score.")
    logprob_auc: float | None = optional("Log-Probability AUC", "Its area under the ROC curve of the judge's log-odds.")
    embedding_score: float | None = optional("Embedding Score", "Its judge-free score.")
    embedding_floor: float | None = optional("Embedding Floor", "The same with another latent's windows.")
    reason: str | None = optional("Reason", "Why it has no examples or no score.")


class AutoInterpEvalOutput(
    base.BaseEvalOutput[AutoInterpEvalConfig, AutoInterpMetricCategories, AutoInterpResultDetail]
):
    """Whether a language model that explains a latent from examples can tell where the latent is active.

    After EleutherAI's detection scoring (Paulo et al. 2024, "Automatically Interpreting Millions of Features").
    """

    model_config = ConfigDict(title="AutoInterp")

    eval_type_id: str = base.eval_type(EVAL_TYPE_ID_AUTOINTERP)
    eval_result_details: list[AutoInterpResultDetail] = described(
        "Per-Latent Results", "One row per chosen latent.", default_factory=list
    )
