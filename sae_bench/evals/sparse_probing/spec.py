"""What Sparse probing is: the declaration, which loads nothing that computes."""

from sae_bench.evals.base import SHARE, Caveat, EvalSpec, Lazy, Metric, Shows
from sae_bench.evals.shows import NumbersChart
from sae_bench.evals.sparse_probing.eval_config import SparseProbingEvalConfig
from sae_bench.evals.sparse_probing.eval_output import SparseProbingEvalOutput

SPEC = EvalSpec(
    name="sparse_probing",
    title="Sparse probing",
    summary="How well the few best latents predict labelled concepts, beside the residual stream.",
    protocol="sparse_probing-1",
    config=SparseProbingEvalConfig,
    output=SparseProbingEvalOutput,
    metrics=(
        Metric("sae.sae_top_1_test_accuracy", "Top-1 accuracy", True, 0.5, SHARE),
        Metric("sae.sae_top_2_test_accuracy", "Top-2 accuracy", True, 0.5, SHARE),
        Metric("sae.sae_top_5_test_accuracy", "Top-5 accuracy", True, 0.5, SHARE),
        Metric("sae.sae_test_accuracy", "All latents", True, 0.5, SHARE),
        Metric("llm.llm_test_accuracy", "Residual stream", True, 0.5, SHARE, of_model=True),
    ),
    cost="one pass over the labelled texts; then seconds of probe fitting per SAE",
    given="these training texts",
    start=Lazy("sae_bench.evals.sparse_probing.evaluate:SparseProbingJob"),
    side_by_side=True,
    presets={
        "paper": {},
        "quick": {"probe_train_set_size": 1000, "probe_test_set_size": 400},
    },
    models=frozenset({"language", "synthetic"}),
    synthetic={
        "dataset_names": [
            "synthetic/features",
            "synthetic/rare_features",
            "synthetic/combinations",
            "synthetic/rare_combinations",
            "synthetic/mixed_combinations",
        ]
    },
    embedded={"dataset_names": ["embedded/news_topics", "embedded/code_languages", "embedded/ag_news"]},
    demo={
        "dataset_names": ["embedded/news_topics", "embedded/code_languages"],
        "context_length": 64,
        "probe_train_set_size": 240,
        "probe_test_set_size": 120,
    },
    caveats=(
        Caveat(
            "Probes on all latents and on the residual stream keep the epoch with the best TEST accuracy, as "
            "published: a little too high for every SAE.",
            ("sae.sae_test_accuracy", "llm.llm_test_accuracy"),
        ),
    ),
    shows=Shows(
        "dataset_name",
        charts=(
            NumbersChart(
                "Accuracy by number of latents, and by data set",
                "k: latents that the probe reads",
                "test accuracy",
                {"SAE": "sae_top_{}_test_accuracy", "residual stream": "llm_top_{}_test_accuracy"},
                means={"SAE": "sae.sae_top_{}_test_accuracy", "residual stream": "llm.llm_top_{}_test_accuracy"},
                levels={"all latents": "sae.sae_test_accuracy"},
            ),
        ),
    ),
)
