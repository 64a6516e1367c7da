"""Results of sparse probing, with the published field names.

The fields of the published k come from one list; an accuracy for another k is kept as an extra field of the same form.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator

from sae_bench.evals.sparse_probing.eval_config import SparseProbingEvalConfig
from sae_bench.results import model as base
from sae_bench.results.model import described, optional

EVAL_TYPE_ID_SPARSE_PROBING = "sparse_probing"

PUBLISHED_K_VALUES: tuple[int, ...] = (1, 2, 5, 10, 20, 50, 100)
_SHOWN_K_VALUES = (1, 2, 5)

Source = Literal["llm", "sae"]
_FEATURES: dict[Source, tuple[str, str]] = {
    "llm": ("LLM", "channels of the residual stream"),
    "sae": ("SAE", "latents of the SAE"),
}
_EXTRA_KEY = re.compile(r"(?P<source>llm|sae)_top_[1-9]\d*_test_accuracy")


def all_features_key(source: Source) -> str:
    """Name of the accuracy of the probe on all features, such as `sae_test_accuracy`."""
    return f"{source}_test_accuracy"


def top_k_key(source: Source, k: int) -> str:
    """Name of the accuracy of the probe on `k` features, such as `sae_top_5_test_accuracy`."""
    return f"{source}_top_{k}_test_accuracy"


def metric_path(key: str) -> str:
    """Path of the headline metric of this name."""
    return f"{key.split('_', 1)[0]}.{key}"


def _all_features_field(source: Source, *, shown: bool = True, **kwargs: Any) -> Any:
    label, features = _FEATURES[source]
    return Field(
        title=f"{label} Test Accuracy",
        description=f"Test accuracy of a linear probe on all {features}.",
        json_schema_extra=base.DEFAULT_DISPLAY if shown else None,
        **kwargs,
    )


def _top_k_fields(source: Source, *, shown: tuple[int, ...] = _SHOWN_K_VALUES) -> dict[str, Any]:
    """Field definitions of the published k, for `create_model`; a user interface shows those of `shown` first."""
    label, features = _FEATURES[source]
    return {
        top_k_key(source, k): (
            float | None,
            optional(
                f"{label} Top {k} Test Accuracy",
                f"Test accuracy of a linear probe on the top {k} {features} by difference of class means.",
                shown=k in shown,
            ),
        )
        for k in PUBLISHED_K_VALUES
    }


class _OtherK(BaseModel):
    """Takes accuracies for k outside the published list, and no other extra field."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, float | None] = Field(init=False)

    @model_validator(mode="after")
    def _check_extra_keys(self) -> _OtherK:
        sources = {name.split("_", 1)[0] for name in type(self).model_fields if _EXTRA_KEY.fullmatch(name)}
        for name in self.__pydantic_extra__ or {}:
            match = _EXTRA_KEY.fullmatch(name)
            if match is None or match["source"] not in sources:
                raise ValueError(
                    f"'{name}' is no result of sparse probing; extra fields look like sae_top_3_test_accuracy."
                )
        return self


class _LlmAllFeatures(_OtherK, base.BaseMetrics):
    model_config = ConfigDict(extra="allow")
    llm_test_accuracy: float = _all_features_field("llm")


class _SaeAllFeatures(_OtherK, base.BaseMetrics):
    model_config = ConfigDict(extra="allow")
    sae_test_accuracy: float | None = _all_features_field("sae", default=None)


class _DetailHead(_OtherK, base.BaseResultDetail):
    model_config = ConfigDict(extra="allow")
    dataset_name: str = described("Dataset Name", "Name of the data set, with '_results' appended.")
    llm_test_accuracy: float = _all_features_field("llm", shown=False)


if TYPE_CHECKING:
    _LlmGrid = _LlmAllFeatures
    _SaeGrid = _SaeAllFeatures

    class _DetailGrid(_DetailHead):
        sae_test_accuracy: float | None = None
else:
    _LlmGrid = create_model("_LlmGrid", __base__=_LlmAllFeatures, **_top_k_fields("llm"))
    _SaeGrid = create_model("_SaeGrid", __base__=_SaeAllFeatures, **_top_k_fields("sae"))
    _DetailGrid = create_model(
        "_DetailGrid",
        __base__=_DetailHead,
        **_top_k_fields("llm", shown=()),
        sae_test_accuracy=(float | None, _all_features_field("sae", shown=False, default=None)),
        **_top_k_fields("sae", shown=()),
    )


class SparseProbingLlmMetrics(_LlmGrid):
    """Accuracies of probes on the residual stream: means over classes, data sets and seeds."""


class SparseProbingSaeMetrics(_SaeGrid):
    """Accuracies of probes on SAE latents: means over classes, data sets and seeds."""


class SparseProbingMetricCategories(base.BaseMetricCategories):
    """Headline numbers of sparse probing."""

    llm: SparseProbingLlmMetrics = described("LLM", "Probes on the residual stream.", shown=True)
    sae: SparseProbingSaeMetrics = described("SAE", "Probes on the SAE's latents.", shown=True)


class SparseProbingResultDetail(_DetailGrid):
    """Accuracies on one data set: means over its classes and over seeds."""


class SparseProbingEvalOutput(
    base.BaseEvalOutput[SparseProbingEvalConfig, SparseProbingMetricCategories, SparseProbingResultDetail]
):
    """How well a handful of SAE latents predicts labelled concepts (professions, topics, languages, sentiment).

    For every class a probe reads the k latents whose means differ most between the class and the rest. Beside it stand
    the same probe on channels of the residual stream, and probes on all channels and all latents.
    """

    model_config = ConfigDict(title="Sparse Probing")

    eval_type_id: str = base.eval_type(EVAL_TYPE_ID_SPARSE_PROBING)
    eval_result_details: list[SparseProbingResultDetail] = described(
        "Per-Dataset Sparse Probing Results", "One row of accuracies per data set.", default_factory=list
    )
