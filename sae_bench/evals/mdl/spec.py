"""What MDL is: the declaration, which loads nothing that computes."""

from sae_bench.evals.base import PREDICTION, SINGLE_TOKENS, EvalSpec, Lazy, Metric, Shows
from sae_bench.evals.mdl.eval_config import PUBLISHED_RUN, MDLEvalConfig
from sae_bench.evals.mdl.eval_output import MDLEvalOutput
from sae_bench.evals.shows import PlaneChart

SPEC = EvalSpec(
    name="mdl",
    title="MDL",
    summary="Bits per token that the codes take when values are put into bins, and whether they still reconstruct.",
    protocol="mdl-1",
    config=MDLEvalConfig,
    output=MDLEvalOutput,
    metrics=(
        Metric("mdl.description_length", "Bits per token", False, bounds=(0.0, None)),
        Metric("mdl.explained_variance", "Explained variance", True, 0.0, (None, 1.0)),
        Metric("mdl.num_bins", "Bins", None),
    ),
    cost="one pass over the rows; then one decode of the codes per number of bins and SAE",
    start=Lazy("sae_bench.evals.mdl.evaluate:MDLJob"),
    side_by_side=True,
    needs=frozenset({PREDICTION, SINGLE_TOKENS}),
    presets={"paper": dict(PUBLISHED_RUN), "quick": {**PUBLISHED_RUN, "n_rows": 256}},
    embedded={"dataset_name": "embedded"},
    demo={"n_rows": 48},
    shows=Shows(
        "num_bins",
        charts=(
            PlaneChart(
                "Rate and distortion",
                ("description_length", "bits per token"),
                ("explained_variance", "explained variance, binned"),
                said=("num_bins", "k"),
                joined=True,
                marked=("reconstructs", "too far off to be chosen"),
            ),
        ),
    ),
)
