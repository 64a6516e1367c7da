"""Results of scr and tpp, with the published field names.

The fields of the published N come from one list; a score for another N is kept as an extra field of the same form.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator

from sae_bench.evals.scr_and_tpp.eval_config import PUBLISHED_N_VALUES, ScrEvalConfig, TppEvalConfig
from sae_bench.results import model as base
from sae_bench.results.model import described, optional

EVAL_TYPE_ID_SCR = "scr"
EVAL_TYPE_ID_TPP = "tpp"

_SHOWN_N_VALUES = (10, 20)
_SCR_KINDS = {
    "dir1": ("SCR Dir 1", "latents of the second attribute (gender) are ablated to recover accuracy on the class"),
    "metric": (
        "SCR Metric",
        "direction 1 where the biased probe knows the class (profession) less well than the second attribute, else "
        "direction 2",
    ),
    "dir2": ("SCR Dir 2", "latents of the class (profession) are ablated to recover accuracy on the second attribute"),
}
_TPP_KINDS = {
    "total_metric": ("TPP Metric", "drop of the class's own probe less the mean drop of the other classes' probes"),
    "intended_diff_only": ("TPP Intended Class", "drop of the class's own probe"),
    "unintended_diff_only": ("TPP Unintended Class", "mean drop of the other classes' probes"),
}


def scr_key(kind: str, n: int) -> str:
    """Name of a score, such as `scr_metric_threshold_10`; `kind` is dir1, dir2 or metric."""
    return f"scr_{kind}_threshold_{n}"


def tpp_key(kind: str, n: int) -> str:
    """Name of a score, such as `tpp_threshold_10_total_metric`."""
    return f"tpp_threshold_{n}_{kind}"


def _score_fields(eval_name: str, *, shown: tuple[int, ...] = _SHOWN_N_VALUES) -> dict[str, Any]:
    """Field definitions of the published N, for `create_model`; a user interface shows those of `shown` first."""
    kinds, key, headline = {
        EVAL_TYPE_ID_SCR: (_SCR_KINDS, scr_key, "metric"),
        EVAL_TYPE_ID_TPP: (_TPP_KINDS, tpp_key, "total_metric"),
    }[eval_name]
    return {
        key(kind, n): (
            float | None,
            optional(
                f"{label}, Top {n} SAE latents",
                f"Top {n} latents ablated: {meaning}.",
                shown=kind == headline and n in shown,
            ),
        )
        for n in PUBLISHED_N_VALUES
        for kind, (label, meaning) in kinds.items()
    }


class _OtherN(BaseModel):
    """Takes scores for N outside the published list, and no other extra field."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, float | None] = Field(init=False)
    extra_key: ClassVar[re.Pattern[str]] = re.compile("")

    @model_validator(mode="after")
    def _check_extra_keys(self) -> _OtherN:
        for name in self.__pydantic_extra__ or {}:
            if not self.extra_key.fullmatch(name):
                raise ValueError(f"'{name}' is no score of this eval; extra fields look like {self.extra_key.pattern}.")
        return self


class _Scr(_OtherN):
    extra_key: ClassVar[re.Pattern[str]] = re.compile(r"scr_(dir1|dir2|metric)_threshold_[1-9]\d*")


class _Tpp(_OtherN):
    extra_key: ClassVar[re.Pattern[str]] = re.compile(r"tpp_threshold_[1-9]\d*_(total_metric|(un)?intended_diff_only)")


class _ScrMetricsHead(_Scr, base.BaseMetrics):
    model_config = ConfigDict(extra="allow")


class _TppMetricsHead(_Tpp, base.BaseMetrics):
    model_config = ConfigDict(extra="allow")


class _ScrDetailHead(_Scr, base.BaseResultDetail):
    model_config = ConfigDict(extra="allow")
    dataset_name: str = described("Dataset Name", "`<data set>_scr_<class>_<class>_results`.")


class _TppDetailHead(_Tpp, base.BaseResultDetail):
    model_config = ConfigDict(extra="allow")
    dataset_name: str = described("Dataset Name", "`<data set>_tpp_results`.")


if TYPE_CHECKING:
    _ScrMetricsGrid = _ScrMetricsHead
    _ScrDetailGrid = _ScrDetailHead
    _TppMetricsGrid = _TppMetricsHead
    _TppDetailGrid = _TppDetailHead
else:
    _ScrMetricsGrid = create_model("_ScrMetricsGrid", __base__=_ScrMetricsHead, **_score_fields("scr"))
    _ScrDetailGrid = create_model("_ScrDetailGrid", __base__=_ScrDetailHead, **_score_fields("scr", shown=(10,)))
    _TppMetricsGrid = create_model("_TppMetricsGrid", __base__=_TppMetricsHead, **_score_fields("tpp"))
    _TppDetailGrid = create_model("_TppDetailGrid", __base__=_TppDetailHead, **_score_fields("tpp", shown=(10,)))


class ScrMetrics(_ScrMetricsGrid):
    """Scores by number of ablated latents: means over pairs of classes that have one, then over seeds."""


class TppMetrics(_TppMetricsGrid):
    """Scores by number of ablated latents: means over classes, data sets and seeds."""


class ScrMetricCategories(base.BaseMetricCategories):
    """Headline numbers of spurious correlation removal."""

    scr_metrics: ScrMetrics = described(
        "SCR Metrics",
        "Share of the accuracy lost to a spurious correlation that ablating N latents recovers, and the "
        "same for both directions.",
        shown=True,
    )


class TppMetricCategories(base.BaseMetricCategories):
    """Headline numbers of targeted probe perturbation."""

    tpp_metrics: TppMetrics = described(
        "TPP Metrics", "How much more ablating N latents of a class hurts its own probe than the others.", shown=True
    )


class ScrResultDetail(_ScrDetailGrid):
    """Scores of one pair of classes, and the accuracies that they are ratios of: means over seeds."""

    scr_dir1_clean_accuracy: float | None = optional("Dir 1 Clean", "Accuracy of an unbiased probe on the class.")
    scr_dir1_original_accuracy: float | None = optional("Dir 1 Original", "The biased probe's accuracy on the class.")
    scr_dir1_denominator: float | None = optional("Dir 1 Denominator", "Clean less original accuracy.")
    scr_dir1_small_denominator: bool | None = optional(
        "Dir 1 Unstable", "Whether the denominator is under 0.05 in some seed."
    )
    scr_dir2_clean_accuracy: float | None = optional(
        "Dir 2 Clean", "Accuracy of an unbiased probe on the second attribute."
    )
    scr_dir2_original_accuracy: float | None = optional(
        "Dir 2 Original", "The biased probe's accuracy on the second attribute."
    )
    scr_dir2_denominator: float | None = optional("Dir 2 Denominator", "Clean less original accuracy.")
    scr_dir2_small_denominator: bool | None = optional(
        "Dir 2 Unstable", "Whether the denominator is under 0.05 in some seed."
    )


class TppResultDetail(_TppDetailGrid):
    """Scores on one data set: means over its classes and over seeds."""


class ScrEvalOutput(base.BaseEvalOutput[ScrEvalConfig, ScrMetricCategories, ScrResultDetail]):
    """How well ablating few latents frees a biased probe from a spurious correlation.

    A probe is trained where class and second attribute always occur together (male professors, female nurses); the
    latents of one of the two are ablated, and the score is the recovered share of the accuracy that the bias cost.
    From "Evaluating Sparse Autoencoders on Targeted Concept Removal Tasks" (Karvonen et al. 2024).
    """

    model_config = ConfigDict(title="SCR")

    eval_type_id: str = base.eval_type(EVAL_TYPE_ID_SCR)
    eval_result_details: list[ScrResultDetail] = described(
        "Per-Dataset Spurious Correlation Removal (SCR) Results",
        "One row of scores per data set and pair of classes.",
        default_factory=list,
    )


class TppEvalOutput(base.BaseEvalOutput[TppEvalConfig, TppMetricCategories, TppResultDetail]):
    """How well ablating few latents damages the probe of one class and spares those of the others.

    From "Evaluating Sparse Autoencoders on Targeted Concept Removal Tasks" (Karvonen et al. 2024).
    """

    model_config = ConfigDict(title="TPP")

    eval_type_id: str = base.eval_type(EVAL_TYPE_ID_TPP)
    eval_result_details: list[TppResultDetail] = described(
        "Per-Dataset TPP Results", "One row of scores per data set.", default_factory=list
    )
