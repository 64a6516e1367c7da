"""What AutoInterp is: the declaration, which loads nothing that computes."""

from collections.abc import Sequence
from typing import Any

from sae_bench.evals.autointerp.eval_config import AutoInterpEvalConfig
from sae_bench.evals.autointerp.eval_output import AutoInterpEvalOutput
from sae_bench.evals.base import JUDGE, SHARE, Caveat, EvalSpec, Lazy, Metric, Shows


def judge_price(config: AutoInterpEvalConfig, n_seeds: int, controls: bool, n_saes: int) -> Any:
    """What a judge at OpenAI's endpoint will read and write; None for another."""
    from sae_bench.evals.autointerp.opening import cost_of_one_sae

    return None if config.judge != "openai" else cost_of_one_sae(config, n_seeds, controls=controls).times(n_saes)


def texts(context: Any, config: AutoInterpEvalConfig) -> Sequence[Any]:
    """What its job asks the pass for, without a judge that has to be opened."""
    from sae_bench.evals.autointerp.evaluate import pack_rows, rows_to_read

    return rows_to_read(context.lm, config, pack_rows(context, config))


SPEC = EvalSpec(
    name="autointerp",
    title="AutoInterp",
    summary="Whether a judge that explains a latent from examples can tell where the latent is active.",
    protocol="autointerp-2",
    config=AutoInterpEvalConfig,
    output=AutoInterpEvalOutput,
    metrics=(
        Metric("autointerp.autointerp_score", "Judge's score", True, 10 / 14, SHARE),
        Metric("autointerp.logprob_auc", "Judge's yes or no", True, 0.5, SHARE),
        Metric("autointerp.embedding_score", "Embedding score", True, 0.5, SHARE),
        Metric("autointerp.embedding_floor", "Another latent's windows", None, bounds=SHARE),
        Metric("autointerp.autointerp_chance_score", "Answering None", None, bounds=SHARE),
    ),
    cost="one pass over the corpus; per SAE, seed and latent two questions to the judge (logprob: 15), "
    "at most a quarter more for the floor, and 29 texts to embed",
    given="these texts",
    texts=texts,
    judge_price=judge_price,
    start=Lazy("sae_bench.evals.autointerp.evaluate:AutoInterpJob"),
    needs=frozenset({JUDGE}),
    presets={
        "paper": {},
        "quick": {"total_tokens": 100_000, "n_latents": 40, "max_judged_latents": 4, "judge": "local"},
    },
    embedded={"dataset_name": "embedded"},
    demo={
        "total_tokens": 16_000,
        "n_latents": 6,
        "max_judged_latents": 1,
        "judge_scoring": "logprob",
        "buffer": 5,
        "n_top_ex_for_generation": 5,
        "n_iw_sampled_ex_for_generation": 2,
    },
    caveats=(
        Caveat(
            "Depends on the judge model and on its prompts; compare only scores of one judge.",
            ("autointerp.autointerp_score", "autointerp.logprob_auc"),
        ),
        Caveat(
            "A judge that cannot do the task scores what chance gives, whatever the SAE: 10 of 14 for answering None, "
            "4 of 14 for naming every piece. Such a score is about the judge.",
            ("autointerp.autointerp_score",),
        ),
        Caveat(
            "0.5 is a judge that cannot tell, such as the small embedded model: that says nothing of the SAE.",
            ("autointerp.logprob_auc",),
        ),
        Caveat("Read it above its floor: what another latent's windows give.", ("autointerp.embedding_score",)),
    ),
    shows=Shows("index", rows="latents", histograms=("score", "logprob_auc", "embedding_score")),
)
