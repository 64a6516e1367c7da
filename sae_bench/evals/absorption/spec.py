"""What Absorption is: the declaration, which loads nothing that computes."""

from sae_bench.evals.absorption.eval_config import AbsorptionEvalConfig
from sae_bench.evals.absorption.eval_output import AbsorptionEvalOutput
from sae_bench.evals.base import SHARE, SINGLE_TOKENS, Caveat, EvalSpec, Lazy, Metric, Shows
from sae_bench.evals.shows import RowsChart

SPEC = EvalSpec(
    name="absorption",
    title="Absorption",
    summary="How often a letter's own latents stay silent on a word while a latent of that word speaks for the letter.",
    protocol="absorption-1",
    config=AbsorptionEvalConfig,
    output=AbsorptionEvalOutput,
    metrics=(
        Metric("mean.mean_absorption_fraction_score", "Absorption fraction", False, bounds=SHARE),
        Metric("mean.mean_full_absorption_score", "Full absorption", False, bounds=SHARE),
        Metric(
            "mean.mean_absorption_fraction_thresholded_score", "Absorption fraction, thresholded", False, bounds=SHARE
        ),
        Metric("mean.mean_num_split_features", "Latents per letter", False, bounds=(0.0, None)),
    ),
    cost="once per model, a prompt of about 85 tokens for each word of the vocabulary; then seconds per SAE and seed",
    given="these training words",
    needs=frozenset({SINGLE_TOKENS}),
    fixed_tokens="the last token of each word",
    texts=lambda _context, _config: (),
    start=Lazy("sae_bench.evals.absorption.evaluate:AbsorptionJob"),
    side_by_side=True,
    presets={
        "paper": {},
        "quick": {"max_words": 2600, "words_per_examples": 32, "k_sparse_probe_batch_size": 256},
    },
    demo={"max_words": 1800},
    caveats=(
        Caveat(
            "Two definitions are about: this one, and the thresholded one of published results since version 0.4.1.",
            ("mean.mean_absorption_fraction_score", "mean.mean_absorption_fraction_thresholded_score"),
        ),
    ),
    shows=Shows(
        "first_letter",
        charts=(
            RowsChart(
                "Absorption by letter",
                "share of the letter",
                {"absorption fraction": "mean_absorption_fraction", "full absorption": "full_absorption_rate"},
                means={
                    "absorption fraction": "mean.mean_absorption_fraction_score",
                    "full absorption": "mean.mean_full_absorption_score",
                },
            ),
        ),
    ),
)
