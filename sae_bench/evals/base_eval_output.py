"""Published path of what every eval's configuration and output share."""

from typing import TypeVar

from sae_bench.results.model import (
    DEFAULT_DISPLAY,
    BaseEvalConfig,
    BaseEvalOutput,
    BaseMetricCategories,
    BaseMetrics,
    BaseResultDetail,
)

BaseEvalConfigType = TypeVar("BaseEvalConfigType", bound=BaseEvalConfig)
BaseMetricsType = TypeVar("BaseMetricsType", bound=BaseMetrics)
BaseMetricCategoriesType = TypeVar("BaseMetricCategoriesType", bound=BaseMetricCategories)
BaseResultDetailType = TypeVar("BaseResultDetailType", bound=BaseResultDetail)

__all__ = [
    "DEFAULT_DISPLAY",
    "BaseEvalConfig",
    "BaseEvalConfigType",
    "BaseEvalOutput",
    "BaseMetricCategories",
    "BaseMetricCategoriesType",
    "BaseMetrics",
    "BaseMetricsType",
    "BaseResultDetail",
    "BaseResultDetailType",
]
