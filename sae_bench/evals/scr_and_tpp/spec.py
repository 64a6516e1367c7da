"""What SCR and TPP are: the declarations, which load nothing that computes."""

from sae_bench.evals.base import PREDICTION, Caveat, EvalSpec, Lazy, Metric, Shows
from sae_bench.evals.scr_and_tpp import eval_output as output
from sae_bench.evals.scr_and_tpp.eval_config import ScrEvalConfig, TppEvalConfig
from sae_bench.evals.scr_and_tpp.eval_output import scr_key, tpp_key
from sae_bench.evals.shows import NumbersChart

HEADLINE_N = (10, 20, 2, 50, 500)
AUDIT_SAYS = "An independent audit (arXiv 2605.18229) found"
NEXT = "`sae-bench validate RESULTS --save` says what holds here."
PRESETS = {"paper": {}, "quick": {"train_set_size": 1000, "test_set_size": 400}}


def _by_number(title: str, score: str, category: str, column: str) -> Shows:
    """A line per data set over the number of ablated latents."""
    means = {"SAE": f"{category}.{column}"}
    chart = NumbersChart(title, "N: latents that are ablated", score, {"SAE": column}, means)
    return Shows("dataset_name", charts=(chart,))


SCR_SPEC = EvalSpec(
    name="scr",
    title="Spurious correlation removal",
    summary="Recovered share of accuracy when few latents of a spurious concept are ablated (found unreliable).",
    protocol="scr-1",
    config=ScrEvalConfig,
    output=output.ScrEvalOutput,
    metrics=tuple(Metric(f"scr_metrics.{scr_key('metric', n)}", f"SCR at N = {n}", True, 0.0) for n in HEADLINE_N),
    cost="one pass over the texts; probes once per model and hook, then about a second per SAE",
    given="these training texts",
    start=Lazy("sae_bench.evals.scr_and_tpp.evaluate:ScrJob"),
    side_by_side=True,
    needs=frozenset({PREDICTION}),
    presets=PRESETS,
    resampled={"text_choice": "drawn"},
    models=frozenset({"language", "synthetic"}),
    synthetic={"dataset_names": ["synthetic/pairs"]},
    embedded={"dataset_names": ["embedded/emotions_by_address"], "train_set_size": 700, "test_set_size": 176},
    demo={"train_set_size": 300},
    caveats=(
        Caveat(
            f"{AUDIT_SAYS} that SCR turns against ground truth when many latents are ablated; {NEXT}",
            serious=True,
            elsewhere=True,
        ),
        Caveat("A ratio: where the bias costs little accuracy the denominator is tiny and the score unstable."),
    ),
    shows=_by_number(
        "SCR by number of latents, and by pair of classes", "SCR", "scr_metrics", "scr_metric_threshold_{}"
    ),
)

TPP_SPEC = EvalSpec(
    name="tpp",
    title="Targeted probe perturbation",
    summary="How much more ablating few latents hurts one class's probe than the others (found unreliable).",
    protocol="tpp-1",
    config=TppEvalConfig,
    output=output.TppEvalOutput,
    metrics=tuple(
        Metric(f"tpp_metrics.{tpp_key('total_metric', n)}", f"TPP at N = {n}", True, 0.0) for n in HEADLINE_N
    ),
    cost="one pass over the texts (those of sparse_probing); probes once per model and hook, then a second per SAE",
    given="these training texts",
    start=Lazy("sae_bench.evals.scr_and_tpp.evaluate:TppJob"),
    side_by_side=True,
    needs=frozenset({PREDICTION}),
    presets=PRESETS,
    models=frozenset({"language", "synthetic"}),
    synthetic={"dataset_names": ["synthetic/siblings"]},
    embedded={"dataset_names": ["embedded/news_topics", "embedded/code_languages", "embedded/ag_news"]},
    demo={
        "dataset_names": ["embedded/news_topics", "embedded/code_languages"],
        "context_length": 64,  # as sparse_probing, whose texts it shares
        "train_set_size": 240,
        "test_set_size": 120,
    },
    caveats=(
        Caveat(
            f"{AUDIT_SAYS} that TPP falls as SAEs train longer; {NEXT}",
            serious=True,
            elsewhere=True,
        ),
    ),
    shows=_by_number(
        "TPP by number of latents, and by data set", "TPP", "tpp_metrics", "tpp_threshold_{}_total_metric"
    ),
)

SPECS = {True: SCR_SPEC, False: TPP_SPEC}
"""perform_scr -> the eval."""
