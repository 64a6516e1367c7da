"""Linear probes: batched exact logistic regression, and many AdamW probes trained at once."""

from sae_bench.probes.adamw import (
    AdamWProbes,
    AdamWSettings,
    ProbeProblem,
    ProbeSelection,
    train_adamw_probes,
)
from sae_bench.probes.features import DenseFeatures, FeatureMatrix
from sae_bench.probes.l1_logistic import fit_l1_logistic
from sae_bench.probes.logistic import LogisticFit, fit_logistic
from sae_bench.probes.mean_direction import MeanDirection, fit_mean_direction
from sae_bench.probes.scores import roc_auc, weighted_f1

__all__ = [
    "AdamWProbes",
    "AdamWSettings",
    "DenseFeatures",
    "FeatureMatrix",
    "LogisticFit",
    "MeanDirection",
    "ProbeProblem",
    "ProbeSelection",
    "fit_l1_logistic",
    "fit_logistic",
    "fit_mean_direction",
    "roc_auc",
    "train_adamw_probes",
    "weighted_f1",
]
