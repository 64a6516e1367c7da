"""What Core is: the declaration, which loads nothing that computes."""

from sae_bench.evals.base import INTERVENTION, SHARE, Caveat, EvalSpec, Lazy, Metric, Shows
from sae_bench.evals.core.eval_config import CoreEvalConfig
from sae_bench.evals.core.eval_output import CoreEvalOutput

SPEC = EvalSpec(
    name="core",
    title="Core",
    summary="Reconstruction, sparsity, loss recovered, densities and weight geometry.",
    protocol="core-2",
    config=CoreEvalConfig,
    output=CoreEvalOutput,
    metrics=(
        Metric("model_performance_preservation.ce_loss_score", "Loss recovered", True, 0.0),
        Metric("model_behavior_preservation.kl_div_score", "KL score", True, 0.0),
        Metric("reconstruction_quality.explained_variance", "Explained variance", True, 0.0, (None, 1.0)),
        Metric("reconstruction_quality.cossim", "Cosine", True, bounds=(-1.0, 1.0)),
        Metric("sparsity.l0", "L0", None, bounds=(0.0, None)),
        Metric("shrinkage.l2_ratio", "L2 ratio", None, bounds=(0.0, None)),
        Metric("misc_metrics.frac_alive", "Alive", True, bounds=SHARE),
    ),
    cost="one pass over the rows; for the loss rows, the layers after the hook once more per SAE",
    start=Lazy("sae_bench.evals.core.evaluate:CoreJob"),
    needs=frozenset({INTERVENTION}),
    weights_suffice=True,
    presets={
        "paper": {
            "n_eval_reconstruction_batches": 200,
            "n_eval_sparsity_variance_batches": 2000,
            "exclude_special_tokens_from_reconstruction": True,
        },
        "quick": {
            "n_eval_reconstruction_batches": 4,
            "n_eval_sparsity_variance_batches": 16,
            "exclude_special_tokens_from_reconstruction": True,
        },
    },
    embedded={"dataset": "embedded"},
    demo={"n_eval_reconstruction_batches": 2, "n_eval_sparsity_variance_batches": 12},
    caveats=(
        Caveat(
            "The published definition before version 0.4.1, which is wrong (too high); kept to stand beside old "
            "results.",
            ("reconstruction_quality.explained_variance_legacy",),
            serious=True,
        ),
        Caveat("Depends on the batch size; mse_per_token does not.", ("reconstruction_quality.mse",)),
        Caveat("An underestimate when few tokens were read.", ("misc_metrics.frac_alive",)),
    ),
    shows=Shows(
        "index", rows="latents", histograms=("feature_density", "encoder_decoder_cosine_sim", "max_decoder_cosine_sim")
    ),
)
