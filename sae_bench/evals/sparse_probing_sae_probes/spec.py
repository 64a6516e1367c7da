"""What Sparse probing (sae-probes) is: the declaration, which loads nothing that computes."""

from sae_bench.evals.base import SHARE, EvalSpec, Lazy, Metric, Shows
from sae_bench.evals.shows import NumbersChart
from sae_bench.evals.sparse_probing_sae_probes.eval_config import QUICK_TASKS, SparseProbingSaeProbesEvalConfig
from sae_bench.evals.sparse_probing_sae_probes.eval_output import SparseProbingSaeProbesEvalOutput

SPEC = EvalSpec(
    name="sparse_probing_sae_probes",
    title="Sparse probing (sae-probes)",
    summary="How well the few best latents at the last token predict 113 binary concepts; cross-validated probes.",
    protocol="sparse_probing_sae_probes-1",
    config=SparseProbingSaeProbesEvalConfig,
    output=SparseProbingSaeProbesEvalOutput,
    metrics=(
        Metric("sae.sae_top_1_test_auc", "Top-1 AUC", True, 0.5, SHARE),
        Metric("sae.sae_top_2_test_auc", "Top-2 AUC", True, 0.5, SHARE),
        Metric("sae.sae_top_5_test_auc", "Top-5 AUC", True, 0.5, SHARE),
        Metric("sae.sae_top_5_test_accuracy", "Top-5 accuracy", True, bounds=SHARE),
        Metric("llm.llm_test_auc", "Residual stream AUC", True, 0.5, SHARE, of_model=True),
    ),
    cost="one pass over up to 270,000 texts, of which only last tokens are encoded; then seconds of probes per SAE",
    given="these training texts",
    fixed_tokens="the last token of each text",
    start=Lazy("sae_bench.evals.sparse_probing_sae_probes.evaluate:SaeProbesJob"),
    side_by_side=True,
    presets={
        "paper": {},
        "quick": {"dataset_names": list(QUICK_TASKS), "max_texts": 400},
    },
    demo={"max_tasks": 8, "max_texts": 240},
    shows=Shows(
        "dataset_name",
        charts=(
            NumbersChart(
                "AUC by number of latents, and by task",
                "k: latents that the probe reads",
                "test AUC",
                {"SAE": "sae_top_{}_test_auc"},
                means={"SAE": "sae.sae_top_{}_test_auc"},
            ),
        ),
    ),
)
