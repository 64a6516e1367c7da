"""Results of sparse probing on the tasks of sae-probes, with the published field names.

The fields of the published k come from one list; scores for another k are kept as extra fields of the same form, and
`sae_metrics_by_k` holds those of every k.
"""

from __future__ import annotations

import re
from statistics import fmean
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator

from sae_bench.evals.sparse_probing_sae_probes.eval_config import SparseProbingSaeProbesEvalConfig
from sae_bench.results import model as base
from sae_bench.results.model import described, optional

EVAL_TYPE_ID_SPARSE_PROBING_SAE_PROBES = "sparse_probing_sae_probes"

PUBLISHED_K_VALUES: tuple[int, ...] = (1, 2, 5, 10, 20, 50, 100)
METRICS: dict[str, str] = {"test_accuracy": "Test Accuracy", "test_auc": "Test AUC", "test_f1": "Test F1"}
"""Metric -> its title."""
_EXTRA_KEY = re.compile(rf"sae_top_[1-9]\d*_({'|'.join(METRICS)})")
_SHOWN = ("sae_top_1_test_accuracy", "sae_top_1_test_auc", "sae_top_1_test_f1", "sae_top_2_test_accuracy",
          "sae_top_5_test_accuracy")  # fmt: skip


def top_k_key(k: int, metric: str) -> str:
    """Name of a score of the probe on `k` latents, such as `sae_top_5_test_auc`."""
    return f"sae_top_{k}_{metric}"


def llm_key(metric: str) -> str:
    """Name of a score of the probe on the residual stream, such as `llm_test_auc`."""
    return f"llm_{metric}"


def metric_path(key: str) -> str:
    """Path of the headline metric of this name."""
    return f"{key.split('_', 1)[0]}.{key}"


def metrics_by_k(values: dict[str, Any], ks: list[int]) -> dict[int, dict[str, float]]:
    """k -> metric -> score, of those that there are."""
    scores_of_k = {k: {m: v for m in METRICS if (v := values.get(top_k_key(k, m))) is not None} for k in ks}
    return {k: scores for k, scores in scores_of_k.items() if scores}


def _llm_fields(*, shown: bool = True) -> dict[str, Any]:
    return {
        llm_key(metric): (
            float | None,
            optional(f"LLM {title}", f"{title} of a linear probe on the full residual stream.", shown=shown),
        )
        for metric, title in METRICS.items()
    }


def _sae_fields(*, shown: bool = True) -> dict[str, Any]:
    """Field definitions for `create_model`: all latents (declared as published), then the published k."""
    every = optional(
        "SAE Test Accuracy",
        "Test accuracy of a linear probe on all SAE latents; declared as published, and never computed.",
        shown=shown,
    )
    fields: dict[str, Any] = {"sae_test_accuracy": (float | None, every)}
    for k in PUBLISHED_K_VALUES:
        for metric, title in METRICS.items():
            key = top_k_key(k, metric)
            field = optional(
                f"SAE Top {k} {title}",
                f"{title} of a linear probe on the top {k} SAE latents by difference of class means.",
                shown=shown and key in _SHOWN,
            )
            fields[key] = (float | None, field)
    return fields


class _OtherK(BaseModel):
    """Takes scores for k outside the published list, and no other extra field."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, float | None] = Field(init=False)

    @model_validator(mode="after")
    def _check_extra_keys(self) -> _OtherK:
        for name in self.__pydantic_extra__ or {}:
            if not _EXTRA_KEY.fullmatch(name):
                raise ValueError(f"'{name}' is no result of this eval; extra fields look like sae_top_3_test_auc.")
        return self


class _SaeHead(_OtherK, base.BaseMetrics):
    model_config = ConfigDict(extra="allow")


class _DetailHead(_OtherK, base.BaseResultDetail):
    model_config = ConfigDict(extra="allow")
    dataset_name: str = described("Dataset Name", "Name of the task.")


if TYPE_CHECKING:
    _LlmGrid = base.BaseMetrics
    _SaeGrid = _SaeHead

    class _DetailGrid(_DetailHead):
        sae_metrics_by_k: dict[int, dict[str, float]] | None = None
else:
    _LlmGrid = create_model("_LlmGrid", __base__=base.BaseMetrics, **_llm_fields())
    _SaeGrid = create_model("_SaeGrid", __base__=_SaeHead, **_sae_fields())
    _DetailGrid = create_model(
        "_DetailGrid",
        __base__=_DetailHead,
        **_llm_fields(shown=False),
        **_sae_fields(shown=False),
        sae_metrics_by_k=(
            dict[int, dict[str, float]] | None,
            optional("SAE Metrics by K", "k -> test_accuracy, test_auc, test_f1."),
        ),
    )


class SaeProbesLlmMetrics(_LlmGrid):
    """Scores of the probe on the residual stream: means over steps, tasks and seeds."""


class SaeProbesSaeMetrics(_SaeGrid):
    """Scores of probes on SAE latents: means over steps, tasks and seeds."""


class SaeProbesMetricCategories(base.BaseMetricCategories):
    """Headline numbers of sparse probing on the tasks of sae-probes."""

    llm: SaeProbesLlmMetrics = described("LLM", "Probe on the residual stream.", shown=True)
    sae: SaeProbesSaeMetrics = described("SAE", "Probes on the SAE's latents.", shown=True)


class SaeProbesResultDetail(_DetailGrid):
    """Scores on one task: means over its steps and over seeds."""


class SparseProbingSaeProbesEvalOutput(
    base.BaseEvalOutput[SparseProbingSaeProbesEvalConfig, SaeProbesMetricCategories, SaeProbesResultDetail]
):
    """How well a handful of SAE latents predicts 113 binary concepts, from the last token of a text.

    For every task a probe reads the k latents whose means differ most between its two classes; the strength of its
    regularisation is chosen by cross-validation. Beside it stands the same kind of probe on the residual stream.
    """

    model_config = ConfigDict(title="Sparse Probing (sae-probes)")

    eval_type_id: str = base.eval_type(EVAL_TYPE_ID_SPARSE_PROBING_SAE_PROBES)
    eval_result_details: list[SaeProbesResultDetail] = described(
        "Per-Dataset Sparse Probing Results", "One row of scores per task.", default_factory=list
    )
    sae_metrics_by_k: dict[int, dict[str, float]] | None = optional(
        "SAE Metrics by K",
        "k -> test_accuracy, test_auc, test_f1: means over tasks, filled in from the rows of the tasks.",
    )

    @model_validator(mode="after")
    def _fill_metrics_by_k(self) -> SparseProbingSaeProbesEvalOutput:
        rows = [detail.sae_metrics_by_k or {} for detail in self.eval_result_details]
        if self.sae_metrics_by_k is None and rows and all(rows):
            self.sae_metrics_by_k = {
                k: {metric: fmean(row[k][metric] for row in rows) for metric in scores}
                for k, scores in rows[0].items()
                if all(k in row for row in rows)
            }
        return self
