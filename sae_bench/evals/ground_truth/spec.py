"""What Ground truth is: the declaration, which loads nothing that computes."""

from __future__ import annotations

from sae_bench.evals.base import RECONSTRUCTION, SHARE, SINGLE_TOKENS, EvalSpec, Lazy, Metric, Shows
from sae_bench.evals.ground_truth.eval_config import GroundTruthEvalConfig
from sae_bench.evals.ground_truth.eval_output import GroundTruthEvalOutput

MCC, F1, UNIQUENESS = "recovery.mcc", "recovery.f1", "recovery.uniqueness"
PRECISION, RECALL, ACCURACY = "recovery.precision", "recovery.recall", "recovery.accuracy"
EXPLAINED, SHRINKAGE = "reconstruction.explained_variance", "reconstruction.shrinkage"
L0, TRUE_L0, DEAD = "sparsity.l0", "sparsity.true_l0", "sparsity.dead_latents"

SPEC = EvalSpec(
    name="ground_truth",
    title="Ground truth",
    summary="What an SAE finds of the known features of a synthetic model.",
    protocol="ground_truth-1",
    config=GroundTruthEvalConfig,
    output=GroundTruthEvalOutput,
    metrics=(
        Metric(MCC, "MCC", True, bounds=SHARE),
        Metric(F1, "F1", True, bounds=SHARE),
        Metric(UNIQUENESS, "Uniqueness", True, bounds=SHARE),
        Metric(EXPLAINED, "Explained variance", True, 0.0, (None, 1.0)),
        Metric(L0, "L0", bounds=(0.0, None)),
    ),
    cost="one pass over the samples; one matching of latents and features per SAE",
    start=Lazy("sae_bench.evals.ground_truth.evaluate:GroundTruthJob"),
    models=frozenset({"synthetic"}),
    needs=frozenset({RECONSTRUCTION, SINGLE_TOKENS}),
    presets={"paper": {"n_samples": 1_000_000}, "quick": {"n_samples": 20_000}},
    demo={"n_samples": 10_000},
    shows=Shows("index", "latents"),
)
