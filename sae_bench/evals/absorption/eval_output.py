"""Results of absorption, with the published field names; what this package adds says so in its description."""

from __future__ import annotations

from pydantic import ConfigDict, field_validator

from sae_bench.evals.absorption.eval_config import AbsorptionEvalConfig
from sae_bench.results import model as base
from sae_bench.results.model import described, optional

EVAL_TYPE_ID_ABSORPTION = "absorption_first_letter"


class AbsorptionMeanMetrics(base.BaseMetrics):
    """Means over letters, then over seeds; standard deviations are over letters. Null where no letter is left."""

    mean_absorption_fraction_score: float | None = optional(
        "Mean Absorption Fraction Score",
        "Mean over letters of the mean absorption fraction: the share of the latents' projection on the letter's probe "
        "that does not come from the letter's own latents, over words that the probe gets right.",
        shown=True,
    )
    mean_full_absorption_score: float | None = optional(
        "Mean Full Absorption Score",
        "Mean over letters of the full absorption rate: none of the letter's latents is on, and one other latent "
        "carries the letter.",
        shown=True,
    )
    mean_num_split_features: float | None = optional(
        "Mean Number of Split Features", "Mean over letters of the number of latents of a letter.", shown=True
    )
    std_dev_absorption_fraction_score: float | None = optional(
        "Standard Deviation of Absorption Fraction Score", "Over letters."
    )
    std_dev_full_absorption_score: float | None = optional(
        "Standard Deviation of Full Absorption Score", "Over letters."
    )
    std_dev_num_split_features: float | None = optional(
        "Standard Deviation of Number of Split Features", "Over letters."
    )
    mean_absorption_fraction_thresholded_score: float | None = optional(
        "Mean Absorption Fraction Score (Thresholded)",
        "Addition: the fraction as sae-bench 0.6.0 defines it, of at most three absorbing latents aligned with "
        "the probe and together carry at least 0.4 of the word's projection.",
        shown=True,
    )
    std_dev_absorption_fraction_thresholded_score: float | None = optional(
        "Standard Deviation of Absorption Fraction Score (Thresholded)", "Addition: over letters."
    )
    mean_probe_f1: float | None = optional(
        "Mean Probe F1", "Addition: test F1 of the letter probes on the model's activations, which no SAE changes."
    )


class AbsorptionMetricCategories(base.BaseMetricCategories):
    """Headline numbers of absorption."""

    mean: AbsorptionMeanMetrics = described("Mean", "Means over letters.", shown=True)


class AbsorptionResultDetail(base.BaseResultDetail):
    """One letter: means over the seeds in which it counts.

    The published counts are whole numbers; theirs are the means rounded to the nearest one (halves to the even one),
    and the means themselves stand in the fields of the same name that end in `_mean`.
    """

    first_letter: str = described("First Letter", "The letter, in lower case.")
    mean_absorption_fraction: float = described(
        "Mean Absorption Fraction", "Mean over the letter's words that its probe gets right."
    )
    full_absorption_rate: float = described("Rate of Full Absorption", "Share of those words.")
    num_full_absorption: int = described(
        "Num Full Absorption", "Words that are fully absorbed, mean over seeds, rounded."
    )
    num_probe_true_positives: int = described(
        "Num Probe True Positives", "Test words that the letter's probe gets right, mean over seeds, rounded."
    )
    num_split_features: int = described("Num Split Features", "Latents of the letter, mean over seeds, rounded.")
    num_full_absorption_mean: float | None = optional("Num Full Absorption, Mean", "Addition: not rounded.")
    num_probe_true_positives_mean: float | None = optional("Num Probe True Positives, Mean", "Addition: not rounded.")
    num_split_features_mean: float | None = optional("Num Split Features, Mean", "Addition: not rounded.")
    mean_absorption_fraction_thresholded: float | None = optional(
        "Mean Absorption Fraction (Thresholded)", "Addition: as sae-bench 0.6.0 defines it."
    )
    probe_f1: float | None = optional("Probe F1", "Addition: test F1 of the letter's probe on activations.")
    probe_precision: float | None = optional("Probe Precision", "Addition: its test precision.")
    probe_recall: float | None = optional("Probe Recall", "Addition: its test recall.")
    num_train_words: int | None = optional("Num Train Words", "Addition: words of the letter trained on.")
    num_test_words: int | None = optional("Num Test Words", "Addition: words of the letter tested on.")

    @field_validator("first_letter")
    @classmethod
    def _check_letter(cls, value: str) -> str:
        if len(value) != 1 or not value.isalpha():
            raise ValueError(f"first_letter must be one letter, got {value!r}.")
        return value


class AbsorptionEvalOutput(
    base.BaseEvalOutput[AbsorptionEvalConfig, AbsorptionMetricCategories, AbsorptionResultDetail]
):
    """How often a letter's own latents stay silent on a word while a latent of that word speaks for the letter.

    The letters are first letters of the words in the model's vocabulary. Lower absorption is better.
    """

    model_config = ConfigDict(title="Absorption")

    eval_type_id: str = base.eval_type(EVAL_TYPE_ID_ABSORPTION)
    eval_result_details: list[AbsorptionResultDetail] = described(
        "Per-Letter Absorption Results", "One row per letter.", default_factory=list
    )
