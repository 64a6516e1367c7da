"""Results of absorption, with the published field names; what this package adds says so in its description."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field, field_validator

from sae_bench.evals.absorption.eval_config import AbsorptionEvalConfig
from sae_bench.results import model as base

EVAL_TYPE_ID_ABSORPTION = "absorption_first_letter"


def _score(title: str, description: str, *, shown: bool = False) -> Any:
    return Field(
        default=None,
        title=title,
        description=description,
        json_schema_extra=base.DEFAULT_DISPLAY if shown else None,
    )


class AbsorptionMeanMetrics(base.BaseMetrics):
    """Means over letters, then over seeds; standard deviations are over letters. Null where no letter is left."""

    mean_absorption_fraction_score: float | None = _score(
        "Mean Absorption Fraction Score",
        "Mean over letters of the mean absorption fraction: the share of the latents' projection on the letter's probe "
        "that does not come from the letter's own latents, over words that the probe gets right.",
        shown=True,
    )
    mean_full_absorption_score: float | None = _score(
        "Mean Full Absorption Score",
        "Mean over letters of the full absorption rate: none of the letter's latents is on, and one other latent "
        "carries the letter.",
        shown=True,
    )
    mean_num_split_features: float | None = _score(
        "Mean Number of Split Features", "Mean over letters of the number of latents of a letter.", shown=True
    )
    std_dev_absorption_fraction_score: float | None = _score(
        "Standard Deviation of Absorption Fraction Score", "Over letters."
    )
    std_dev_full_absorption_score: float | None = _score("Standard Deviation of Full Absorption Score", "Over letters.")
    std_dev_num_split_features: float | None = _score("Standard Deviation of Number of Split Features", "Over letters.")
    mean_absorption_fraction_thresholded_score: float | None = _score(
        "Mean Absorption Fraction Score (Thresholded)",
        "Addition: the fraction as sae-bench 0.6.0 defines it, of at most three absorbing latents aligned with "
        "the probe and together carry at least 0.4 of the word's projection.",
        shown=True,
    )
    std_dev_absorption_fraction_thresholded_score: float | None = _score(
        "Standard Deviation of Absorption Fraction Score (Thresholded)", "Addition: over letters."
    )
    mean_probe_f1: float | None = _score(
        "Mean Probe F1", "Addition: test F1 of the letter probes on the model's activations, which no SAE changes."
    )


class AbsorptionMetricCategories(base.BaseMetricCategories):
    """Headline numbers of absorption."""

    mean: AbsorptionMeanMetrics = Field(
        title="Mean", description="Means over letters.", json_schema_extra=base.DEFAULT_DISPLAY
    )


class AbsorptionResultDetail(base.BaseResultDetail):
    """One letter: means over the seeds in which it counts.

    The published counts are whole numbers; theirs are the means rounded to the nearest one (halves to the even one),
    and the means themselves stand in the fields of the same name that end in `_mean`.
    """

    first_letter: str = Field(title="First Letter", description="The letter, in lower case.")
    mean_absorption_fraction: float = Field(
        title="Mean Absorption Fraction", description="Mean over the letter's words that its probe gets right."
    )
    full_absorption_rate: float = Field(title="Rate of Full Absorption", description="Share of those words.")
    num_full_absorption: int = Field(
        title="Num Full Absorption", description="Words that are fully absorbed, mean over seeds, rounded."
    )
    num_probe_true_positives: int = Field(
        title="Num Probe True Positives",
        description="Test words that the letter's probe gets right, mean over seeds, rounded.",
    )
    num_split_features: int = Field(
        title="Num Split Features", description="Latents of the letter, mean over seeds, rounded."
    )
    num_full_absorption_mean: float | None = _score("Num Full Absorption, Mean", "Addition: not rounded.")
    num_probe_true_positives_mean: float | None = _score("Num Probe True Positives, Mean", "Addition: not rounded.")
    num_split_features_mean: float | None = _score("Num Split Features, Mean", "Addition: not rounded.")
    mean_absorption_fraction_thresholded: float | None = _score(
        "Mean Absorption Fraction (Thresholded)", "Addition: as sae-bench 0.6.0 defines it."
    )
    probe_f1: float | None = _score("Probe F1", "Addition: test F1 of the letter's probe on activations.")
    probe_precision: float | None = _score("Probe Precision", "Addition: its test precision.")
    probe_recall: float | None = _score("Probe Recall", "Addition: its test recall.")
    num_train_words: int | None = _score("Num Train Words", "Addition: words of the letter trained on.")
    num_test_words: int | None = _score("Num Test Words", "Addition: words of the letter tested on.")

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

    eval_type_id: str = Field(default=EVAL_TYPE_ID_ABSORPTION, title="Eval Type ID", description="Name of the eval.")
    eval_result_details: list[AbsorptionResultDetail] = Field(
        default_factory=list,
        title="Per-Letter Absorption Results",
        description="One row per letter.",
    )
