"""What Unlearning is: the declaration, which loads nothing that computes."""

from collections.abc import Sequence
from typing import Any

from sae_bench.evals.base import INTERVENTION, SHARE, SINGLE_TOKENS, Caveat, EvalSpec, Lazy, Metric, Shows
from sae_bench.evals.shows import PlaneChart
from sae_bench.evals.unlearning.eval_config import UnlearningEvalConfig
from sae_bench.evals.unlearning.eval_output import UnlearningEvalOutput


def texts(context: Any, config: UnlearningEvalConfig) -> Sequence[Any]:
    """What its job asks the pass for, without asking the model which questions it knows."""
    from sae_bench.evals.unlearning.evaluate import pack_corpora, rows_to_read

    forget_NL, retain_NL, _ = pack_corpora(context, config)
    return rows_to_read(config, forget_NL, retain_NL)


SPEC = EvalSpec(
    name="unlearning",
    title="Unlearning",
    summary="How well a topic can be unlearned by clamping its latents without touching other knowledge.",
    protocol="unlearning-2",
    config=UnlearningEvalConfig,
    output=UnlearningEvalOutput,
    metrics=(
        Metric("unlearning.unlearning_score", "Unlearning", True, 0.0, SHARE),
        Metric("unlearning.unlearning_score_held_out", "Unlearning, held out", True, 0.0, SHARE),
    ),
    cost="one pass over forget and retain texts; the known questions once; then per SAE and setting the layers after "
    "the hook on every question",
    given="these corpora",
    fixed_tokens="every token of the questions, where latents are clamped",
    texts=texts,
    start=Lazy("sae_bench.evals.unlearning.evaluate:UnlearningJob"),
    needs=frozenset({INTERVENTION, SINGLE_TOKENS}),
    presets={
        "paper": {},
        "quick": {
            "dataset_size": 64,
            "seq_len": 128,
            "n_features_list": [10],
            "multipliers": [25, 100],
            "max_questions": 200,
        },
    },
    embedded={
        "dataset_names": ["embedded/geography", "embedded/everyday"],
        "forget_dataset": "embedded/geography",
        "not_side_effects": [],
        "forget_corpus": "embedded/geography",
        "retain_corpus": "embedded/everyday",
        "answer_format": "cloze",
    },
    demo={"max_questions": 40, "dataset_size": 24},
    shows=Shows(
        "retain_threshold",
        charts=(
            PlaneChart(
                "What is forgotten against what else is lost",
                ("side_effect_accuracy", "share still right of the questions to be kept"),
                ("forget_accuracy", "share still right, to be forgotten"),
                said=("retain_threshold", "n_features", "multiplier", "n_clamped"),
                marked=("counts", "too much else is lost to count"),
            ),
        ),
    ),
    caveats=(
        Caveat(
            "The setting is chosen on the questions that are scored, so it gains from chance; the held-out score does "
            "not.",
            ("unlearning.unlearning_score",),
        ),
    ),
)
