"""Published path of what every eval's configuration and output share."""

from sae_bench.results.model import (
    DEFAULT_DISPLAY,
    BaseEvalConfig,
    BaseEvalOutput,
    BaseMetricCategories,
    BaseMetrics,
    BaseResultDetail,
)

__all__ = [
    "DEFAULT_DISPLAY",
    "BaseEvalConfig",
    "BaseEvalOutput",
    "BaseMetricCategories",
    "BaseMetrics",
    "BaseResultDetail",
]
