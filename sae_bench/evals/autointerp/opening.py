"""From the configuration to a judge, and what asking it will take."""

from __future__ import annotations

from pathlib import Path

from sae_bench.evals.autointerp.eval_config import AutoInterpEvalConfig
from sae_bench.evals.autointerp.floors import LATENTS_PER_FLOOR
from sae_bench.judges import JudgeSettings
from sae_bench.judges.endpoint import DEFAULT_MODEL, EndpointSettings
from sae_bench.judges.pricing import Estimate, estimate

PROMPT_TOKENS = 450
"""Of the instructions of both questions and the numbering of their examples, roughly."""
TOKENS_AGAIN = 1.4
"""A window that is cut from the model's tokens takes more of the judge's, marks included."""


def judge_settings(config: AutoInterpEvalConfig, data_dir: Path | None) -> JudgeSettings:
    """The judge that the configuration describes.

    Args:
        data_dir: mirror that a local judge's model may be in.
    """
    return JudgeSettings(
        kind="local" if config.judge == "local" else "openai",
        local_model=config.judge_model,
        endpoint=EndpointSettings(
            model=config.judge_model or DEFAULT_MODEL,
            base_url=config.judge_base_url,
            temperature=config.judge_temperature,
            concurrency=config.judge_concurrency,
            requests_per_minute=config.judge_requests_per_minute,
            tokens_per_minute=config.judge_tokens_per_minute,
            timeout=config.judge_timeout,
            max_retries=config.judge_max_retries,
        ),
        cache=None if config.judge_cache is None else Path(config.judge_cache),
        data_dir=data_dir,
    )


def cost_of_one_sae(config: AutoInterpEvalConfig, n_seeds: int, *, controls: bool) -> Estimate:
    """What the judge has to read and write for one SAE if every latent has examples and no reply is kept yet.

    Args:
        config: which questions are asked.
        n_seeds: of the run.
        controls: whether some latents are asked about again, with other latents' explanations.
    """
    latents = min(config.n_latents or 0, config.max_judged_latents or config.n_latents or 0) * n_seeds
    window = (2 * config.buffer + 1) * TOKENS_AGAIN
    examples = config.n_ex_for_generation + (config.n_ex_for_scoring if config.scoring else 0)
    out = config.max_tokens_in_explanation + (config.max_tokens_in_prediction if config.scoring else 0)
    again = latents // LATENTS_PER_FLOOR["list"] if config.scoring and controls else 0
    tokens_again = config.n_ex_for_scoring * window + PROMPT_TOKENS / 2
    return estimate(
        config.judge_model or DEFAULT_MODEL,
        questions=latents * (2 if config.scoring else 1) + again,
        tokens_in=int(latents * (examples * window + PROMPT_TOKENS) + again * tokens_again),
        tokens_out=latents * out + again * config.max_tokens_in_prediction,
    )
