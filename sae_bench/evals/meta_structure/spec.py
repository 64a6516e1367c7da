"""What Meta-structure is: the declaration, which loads nothing that computes."""

from sae_bench.evals.base import EvalSpec, Lazy, Metric
from sae_bench.evals.meta_structure.eval_config import MetaStructureEvalConfig
from sae_bench.evals.meta_structure.eval_output import MetaStructureEvalOutput

EXPLAINED = "meta_structure.decoder_fraction_variance_explained"
MSE = "meta_structure.final_reconstruction_mse"
SPEC = EvalSpec(
    name="meta_structure",
    title="Meta-structure",
    summary="How much of the variance of the decoder rows a small BatchTopK SAE on them explains.",
    protocol="meta_structure-2",
    config=MetaStructureEvalConfig,
    output=MetaStructureEvalOutput,
    metrics=(
        Metric(EXPLAINED, "Decoder variance explained", True, 0.0, (None, 1.0)),
        Metric(MSE, "MSE", False, bounds=(0.0, None)),
    ),
    cost="no pass; one small SAE trained per SAE and seed",
    start=Lazy("sae_bench.evals.meta_structure.evaluate:MetaStructureJob"),
    side_by_side=True,
    models=frozenset({"language", "synthetic"}),
    weights_suffice=True,
    presets={"paper": {}, "quick": {"train_steps": 300}},
    demo={"train_steps": 40},
)
