"""Linear probes: batched exact logistic regression, and many AdamW probes trained at once."""

from sae_bench.probes.adamw import (
    AdamWProbes,
    AdamWSettings,
    ProbeProblem,
    ProbeSelection,
    train_adamw_probes,
)
from sae_bench.probes.features import DenseFeatures, FeatureMatrix
from sae_bench.probes.logistic import LogisticFit, fit_logistic

__all__ = [
    "AdamWProbes",
    "AdamWSettings",
    "DenseFeatures",
    "FeatureMatrix",
    "LogisticFit",
    "ProbeProblem",
    "ProbeSelection",
    "fit_logistic",
    "train_adamw_probes",
]
