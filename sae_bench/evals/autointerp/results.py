"""From examples, judgements and embedding scores of one SAE to its result."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import Any

import torch

from sae_bench.evals.autointerp.eval_config import AutoInterpEvalConfig
from sae_bench.evals.autointerp.eval_output import (
    AutoInterpMetricCategories,
    AutoInterpMetrics,
    AutoInterpResultDetail,
)
from sae_bench.evals.autointerp.examples import Corpus, LatentExamples
from sae_bench.evals.autointerp.judging import Judgement
from sae_bench.evals.base import Scores
from sae_bench.results.model import SeedResult
from sae_bench.results.samples import Samples, units_key

SCORE = "autointerp.autointerp_score"
EMBEDDING = "autointerp.embedding_score"
NO_JUDGE = "judge is none"
NOT_SCORED = "scoring is false: explanations only"
NO_EXAMPLES = "no chosen latent has activations enough for examples"
NO_READABLE = "no reply of the judge could be read"

Case = tuple[int, int]
"""(seed, latent)"""


@dataclass
class Found:
    """All that is known of one SAE.

    Attributes:
        latents: those chosen, ascending.
        n_live: live latents of the SAE; None where latents were named.
        density: latent -> share of the tokens on which it is active.
        examples: (seed, latent) -> its examples.
        without: latent -> why it has none.
        judgements: (seed, latent) -> judgement, for those the judge was asked about.
        embedding: (seed, latent) -> judge-free score.
        no_embedding: why there are none.
    """

    key: str
    latents: Sequence[int]
    n_live: int | None
    density: Mapping[int, float]
    examples: dict[Case, LatentExamples] = field(default_factory=dict)
    without: dict[int, str] = field(default_factory=dict)
    judgements: dict[Case, Judgement] = field(default_factory=dict)
    embedding: dict[Case, float] = field(default_factory=dict)
    no_embedding: str | None = None

    @property
    def with_examples(self) -> list[int]:
        """Latents that have examples, in the order of the draw."""
        return list(dict.fromkeys(latent for _, latent in self.examples))


def to_scores(found: Found, corpus: Corpus, config: AutoInterpEvalConfig, seeds: Sequence[int]) -> Scores:
    """The result of one SAE."""
    judged = {case: j.score for case, j in found.judgements.items() if j.score is not None}
    by_activation = {case: j.score_by_activation for case, j in found.judgements.items()}
    floor = {case: _share_inactive(examples) for case, examples in found.examples.items()}
    windows = [e for examples in found.examples.values() for e in examples.scoring if e.kind == "random"]
    metrics = AutoInterpMetrics(
        autointerp_score=_mean(judged, seeds),
        autointerp_std_dev=_spread(judged, seeds),
        autointerp_chance_score=_mean(floor, seeds),
        autointerp_score_by_activation=_mean({c: v for c, v in by_activation.items() if v is not None}, seeds),
        random_active_share=fmean(e.fires for e in windows) if windows else None,
        embedding_score=_mean(found.embedding, seeds),
        embedding_std_dev=_spread(found.embedding, seeds),
        n_live_latents=found.n_live,
        n_chosen_latents=len(found.latents),
        n_latents_with_examples=len(found.with_examples),
        n_judged=len(found.judgements),
        n_unreadable=sum(j.unreadable for j in found.judgements.values()),
        n_unanswered=sum(j.error is not None for j in found.judgements.values()),
        judge_tokens_in=sum(j.tokens_in for j in found.judgements.values()),
        judge_tokens_out=sum(j.tokens_out for j in found.judgements.values()),
    )
    return Scores(
        metrics=AutoInterpMetricCategories(autointerp=metrics),
        details=[_detail(latent, found, judged, seeds) for latent in found.latents],
        unstructured=_logs(found, corpus, seeds),
        not_computed=_not_computed(found, metrics, config),
        seed_results=[
            SeedResult(seed=s, metrics={SCORE: _mean(judged, [s]), EMBEDDING: _mean(found.embedding, [s])})
            for s in seeds
        ],
        samples=_samples(found, {SCORE: judged, EMBEDDING: found.embedding}, seeds),
        warnings=_warnings(metrics, config),
    )


def _share_inactive(examples: LatentExamples) -> float:
    return fmean(not example.counts_as_active for example in examples.scoring)


def _of_seed(values: Mapping[Case, float], seed: int) -> list[float]:
    return [value for (s, _), value in values.items() if s == seed]


def _mean(values: Mapping[Case, float], seeds: Sequence[int]) -> float | None:
    """Mean over latents, then over the seeds that have any."""
    means = [fmean(of_seed) for seed in seeds if (of_seed := _of_seed(values, seed))]
    return fmean(means) if means else None


def _spread(values: Mapping[Case, float], seeds: Sequence[int]) -> float | None:
    """Standard deviation over latents, mean over seeds; None with a single latent."""
    spreads = [stdev(of_seed) for seed in seeds if len(of_seed := _of_seed(values, seed)) > 1]
    return fmean(spreads) if spreads else None


def _detail(latent: int, found: Found, judged: Mapping[Case, float], seeds: Sequence[int]) -> AutoInterpResultDetail:
    judgements = [found.judgements[s, latent] for s in seeds if (s, latent) in found.judgements]
    scores = [judged[s, latent] for s in seeds if (s, latent) in judged]
    similar = [found.embedding[s, latent] for s in seeds if (s, latent) in found.embedding]
    reason = found.without.get(latent)
    if judgements and not scores:
        reason = judgements[0].error or (NO_READABLE if judgements[0].unreadable else NOT_SCORED)
    return AutoInterpResultDetail(
        index=latent,
        density=found.density[latent],
        explanation=judgements[0].explanation if judgements else None,
        score=fmean(scores) if scores else None,
        embedding_score=fmean(similar) if similar else None,
        reason=reason,
    )


def _logs(found: Found, corpus: Corpus, seeds: Sequence[int]) -> dict[str, Any]:
    """Latent -> what was published of it, for the first seed; later seeds under `seeds`."""
    logs: dict[str, Any] = {}
    for latent in found.latents:
        records = [
            _record(latent, found.judgements[s, latent], corpus) for s in seeds if (s, latent) in found.judgements
        ]
        if records:
            more = {str(s): r for s, r in zip(seeds[1:], records[1:], strict=False)}
            logs[str(latent)] = {**records[0], **({"seeds": more} if more else {})}
    return logs


def _record(latent: int, judgement: Judgement, corpus: Corpus) -> dict[str, Any]:
    shown = [
        f"{number:>3} {max(example.values):9.3f} {'active' if example.counts_as_active else '      '} "
        f"{corpus.text(example, mark=True)}"
        for number, example in enumerate(judgement.examples.scoring, start=1)
    ]
    return {
        "latent": latent,
        "explanation": judgement.explanation,
        "predictions": judgement.prediction,
        "correct seqs": judgement.correct,
        "score": judgement.score,
        "logs": "\n\n".join([*judgement.log, "--- examples, active tokens marked\n\n" + "\n".join(shown)]),
    }


def _not_computed(found: Found, metrics: AutoInterpMetrics, config: AutoInterpEvalConfig) -> dict[str, str]:
    reasons: dict[str, str] = {}
    if config.judge == "none":
        why_no_score = NO_JUDGE
    elif not found.examples:
        why_no_score = NO_EXAMPLES
    else:
        why_no_score = NO_READABLE if config.scoring else NOT_SCORED
    for name in ("autointerp_score", "autointerp_std_dev", "autointerp_score_by_activation"):
        if getattr(metrics, name) is None:
            one = name.endswith("std_dev") and metrics.autointerp_score is not None
            reasons[f"autointerp.{name}"] = "fewer than two latents have a score" if one else why_no_score
    for name in ("embedding_score", "embedding_std_dev"):
        if getattr(metrics, name) is None:
            one = name.endswith("std_dev") and metrics.embedding_score is not None
            why = "fewer than two latents have a score" if one else found.no_embedding or NO_EXAMPLES
            reasons[f"autointerp.{name}"] = why
    for name in ("autointerp_chance_score", "random_active_share"):
        if getattr(metrics, name) is None:
            reasons[f"autointerp.{name}"] = NO_EXAMPLES
    if metrics.n_live_latents is None:
        reasons["autointerp.n_live_latents"] = "latents were named, not drawn from the live ones"
    return reasons


def _warnings(metrics: AutoInterpMetrics, config: AutoInterpEvalConfig) -> list[str]:
    warnings = []
    wanted = config.n_latents or 0
    if config.override_latents is None and metrics.n_chosen_latents < wanted:
        warnings.append(f"only {metrics.n_chosen_latents} latents are live, {wanted} were asked for")
    if metrics.n_latents_with_examples < metrics.n_chosen_latents:
        n_without = metrics.n_chosen_latents - metrics.n_latents_with_examples
        warnings.append(
            f"{n_without} of {metrics.n_chosen_latents} chosen latents have too few activations for examples and no "
            "score"
        )
    if metrics.n_unreadable:
        warnings.append(f"{metrics.n_unreadable} of {metrics.n_judged} replies could not be read and are left out")
    if metrics.n_unanswered:
        warnings.append(f"{metrics.n_unanswered} of {metrics.n_judged} questions got no reply and are left out")
    return warnings


def _samples(found: Found, values: Mapping[str, Mapping[Case, float]], seeds: Sequence[int]) -> dict[str, Samples]:
    """The scores behind each headline metric: one row per seed, one column per chosen latent."""
    samples: dict[str, Samples] = {}
    key = units_key("autointerp", (found.key, *map(str, found.latents)))
    for path, of in values.items():
        values_SU = torch.tensor([[of.get((s, latent), math.nan) for latent in found.latents] for s in seeds])
        if bool(values_SU.isfinite().any(dim=1).all()) and found.latents:
            samples[path] = Samples.of_equal_units(values_SU, unit="latent", key=key)
    return samples
