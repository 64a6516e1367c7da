"""From examples, judgements and embedding scores of one SAE to its result."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import Any

import torch

from sae_bench.evals.autointerp.embedding_score import EmbeddingScores
from sae_bench.evals.autointerp.eval_config import AutoInterpEvalConfig
from sae_bench.evals.autointerp.eval_output import AutoInterpMetricCategories, AutoInterpResultDetail
from sae_bench.evals.autointerp.examples import Case, Corpus, LatentExamples
from sae_bench.evals.autointerp.floors import GUESSING, NONE, answers_of_no_reader, score_references
from sae_bench.evals.autointerp.judging import Judgement
from sae_bench.evals.base import Scores
from sae_bench.evals.families.reported import mean_of_known, report
from sae_bench.results.references import References
from sae_bench.results.samples import Samples, units_key

CATEGORY = "autointerp"
NO_JUDGE = "judge is none"
NOT_SCORED = "scoring is false: explanations only"
NO_EXAMPLES = "no chosen latent has activations enough for examples"
NO_READABLE = "no reply of the judge could be read"
OTHER_SCORING = {
    "autointerp_score": "judge_scoring is logprob: see logprob_auc",
    "logprob_auc": "judge_scoring is list: see autointerp_score",
}
ONE_KIND = "the latent is active in all of its examples, or in none"
ALL_ONE_KIND = "every latent with a readable answer is active in all of its examples, or in none"
SCORES = ("autointerp_score", "balanced_accuracy", "logprob_auc", "embedding_score")
"""Those that have an error bar, a floor and a ceiling."""
ONE_LATENT = "fewer than two latents have a score"
MARKED_SHARE = 0.2
"""Share of judged latents without a readable answer above which the score stands beside a warning."""
MOST_SHARE = 0.5
"""The share above which there is no score."""


@dataclass
class Findings:
    """Examples, judgements and embedding scores of one SAE, from which its result is made.

    Attributes:
        latents: those chosen, ascending.
        n_live: live latents of the SAE; None where latents were named.
        density: latent -> share of the tokens on which it is active.
        examples: (seed, latent) -> its examples.
        without: latent -> why it has none.
        judgements: (seed, latent) -> judgement, for those the judge was asked about.
        with_other: (seed, latent) -> judgement of some of these with another latent's explanation.
        embedding: judge-free scores.
        no_embedding: why there are none.
    """

    key: str
    latents: Sequence[int]
    n_live: int | None
    density: Mapping[int, float]
    examples: dict[Case, LatentExamples] = field(default_factory=dict)
    without: dict[int, str] = field(default_factory=dict)
    judgements: dict[Case, Judgement] = field(default_factory=dict)
    with_other: dict[Case, Judgement] = field(default_factory=dict)
    embedding: EmbeddingScores = field(default_factory=EmbeddingScores)
    no_embedding: str | None = None

    @property
    def with_examples(self) -> list[int]:
        """Latents that have examples, in the order of the draw."""
        return list(dict.fromkeys(latent for _, latent in self.examples))

    @property
    def n_failed(self) -> int:
        """Judged latents without a readable answer."""
        return sum(judgement.failure is not None for judgement in self.judgements.values())

    @property
    def share_failed(self) -> float:
        """Share of the judged latents without a readable answer."""
        return self.n_failed / len(self.judgements) if self.judgements else 0.0


def to_scores(findings: Findings, corpus: Corpus, config: AutoInterpEvalConfig, seeds: Sequence[int]) -> Scores:
    """The result of one SAE."""
    of_latents = _of_latents(findings.judgements)
    means = {
        "autointerp_score": of_latents["autointerp_score"],
        "autointerp_score_by_activation": of_latents["autointerp_score_by_activation"],
        "balanced_accuracy": of_latents["balanced_accuracy"],
        "logprob_auc": of_latents["logprob_auc"],
        "embedding_score": findings.embedding.score,
        "embedding_floor": findings.embedding.floor,
    }
    if findings.share_failed > MOST_SHARE:
        means |= {name: {} for name in of_latents}
    headline = {name: means[name] for name in SCORES}
    spreads = {
        "autointerp_std_dev": _spread(means["autointerp_score"], seeds),
        "logprob_auc_std_dev": _spread(means["logprob_auc"], seeds),
        "embedding_std_dev": _spread(means["embedding_score"], seeds),
    }
    values = {**{name: _mean(of, seeds) for name, of in means.items()}, **spreads, **_counts(findings, seeds)}
    samples = _samples(findings, headline, seeds)
    return report(
        AutoInterpMetricCategories,
        seeds,
        samples=_paths(samples),
        seed_values=_paths({name: [_mean(of, [seed]) for seed in seeds] for name, of in headline.items()}),
        values=_paths(values),
        references=_paths(_references(findings, samples, seeds)),
        reasons=_paths(_reasons(findings, config, means)),
        details=[_detail(latent, findings, of_latents, seeds) for latent in findings.latents],
        unstructured=_logs(findings, corpus, seeds),
        warnings=[*_warnings(findings, config), *_unable(values)],
    )


def _paths(by_name: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{CATEGORY}.{name}": value for name, value in by_name.items()}


def _of_latents(judgements: Mapping[Case, Judgement]) -> dict[str, dict[Case, float]]:
    """Field of the judge -> (seed, latent) -> value, where there is one."""
    fields = {
        "autointerp_score": {case: j.score for case, j in judgements.items()},
        "autointerp_score_by_activation": {case: j.score_by_activation for case, j in judgements.items()},
        "balanced_accuracy": {case: j.balanced_accuracy for case, j in judgements.items()},
        "logprob_auc": {case: j.logprob_auc for case, j in judgements.items()},
    }
    return {name: {case: v for case, v in of.items() if v is not None} for name, of in fields.items()}


def _references(findings: Findings, samples: Mapping[str, Samples], seeds: Sequence[int]) -> dict[str, References]:
    """What the scores are where explanations or windows say nothing, and where nothing is read."""
    with_other = {**_of_latents(findings.with_other), "embedding_score": findings.embedding.floor}
    return score_references(
        samples,
        _samples(findings, with_other, seeds),
        _samples(findings, answers_of_no_reader(findings.examples), seeds),
    )


def _counts(findings: Findings, seeds: Sequence[int]) -> dict[str, Any]:
    """What is counted rather than scored."""
    blind = answers_of_no_reader(findings.examples)
    windows = [e for examples in findings.examples.values() for e in examples.scoring if e.kind == "random"]
    judgements = findings.judgements.values()
    return {
        "autointerp_chance_score": _mean(blind[NONE], seeds),
        "autointerp_guessing_score": _mean(blind[GUESSING], seeds),
        "random_active_share": fmean(e.fires for e in windows) if windows else None,
        "n_live_latents": findings.n_live,
        "n_chosen_latents": len(findings.latents),
        "n_latents_with_examples": len(findings.with_examples),
        "n_embedding_scored": len({latent for _, latent in findings.embedding.score}),
        "n_judged": len(findings.judgements),
        "n_unreadable": sum(j.unanswered is None and j.unreadable is not None for j in judgements),
        "n_unanswered": sum(j.unanswered is not None for j in judgements),
        "judge_tokens_in": sum(j.tokens_in for j in judgements),
        "judge_tokens_out": sum(j.tokens_out for j in judgements),
        "judge_tokens_for_floor": sum(j.tokens_in + j.tokens_out for j in findings.with_other.values()),
    }


def _of_seed(values: Mapping[Case, float], seed: int) -> list[float]:
    return [value for (s, _), value in values.items() if s == seed]


def _mean(values: Mapping[Case, float], seeds: Sequence[int]) -> float | None:
    """Mean over latents, then over the seeds that have any."""
    return mean_of_known(mean_of_known(_of_seed(values, seed)) for seed in seeds)


def _spread(values: Mapping[Case, float], seeds: Sequence[int]) -> float | None:
    """Standard deviation over latents, mean over seeds; None with a single latent."""
    return mean_of_known(stdev(of_seed) for seed in seeds if len(of_seed := _of_seed(values, seed)) > 1)


def _detail(
    latent: int, findings: Findings, of_latents: Mapping[str, Mapping[Case, float]], seeds: Sequence[int]
) -> AutoInterpResultDetail:
    """One row: means over the seeds."""

    def mean(values: Mapping[Case, float]) -> float | None:
        return mean_of_known(values.get((seed, latent)) for seed in seeds)

    judgements = [findings.judgements[s, latent] for s in seeds if (s, latent) in findings.judgements]
    score, logprob_auc = mean(of_latents["autointerp_score"]), mean(of_latents["logprob_auc"])
    reason = findings.without.get(latent)
    if judgements and score is None and logprob_auc is None:
        asked = judgements[0].prediction is not None or judgements[0].log_odds is not None
        reason = judgements[0].failure or (ONE_KIND if asked else NOT_SCORED)
    return AutoInterpResultDetail(
        index=latent,
        density=findings.density[latent],
        explanation=next((j.explanation for j in judgements if j.explanation is not None), None),
        score=score,
        logprob_auc=logprob_auc,
        embedding_score=mean(findings.embedding.score),
        embedding_floor=mean(findings.embedding.floor),
        reason=reason or findings.embedding.without.get(latent),
    )


def _logs(findings: Findings, corpus: Corpus, seeds: Sequence[int]) -> dict[str, Any]:
    """Latent -> what was published of it, for the first seed; later seeds under `seeds`."""
    logs: dict[str, Any] = {}
    for latent in findings.latents:
        records = [
            _record(latent, findings.judgements[s, latent], corpus) for s in seeds if (s, latent) in findings.judgements
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
    record: dict[str, Any] = {
        "latent": latent,
        "explanation": judgement.explanation,
        "predictions": judgement.prediction,
        "correct seqs": judgement.correct,
        "score": judgement.score,
        "logs": "\n\n".join([*judgement.log, "--- examples, active tokens marked\n\n" + "\n".join(shown)]),
    }
    if judgement.log_odds is not None:
        record |= {"score": judgement.logprob_auc, "log odds": judgement.log_odds}
    return record


def _reasons(
    findings: Findings, config: AutoInterpEvalConfig, means: Mapping[str, Mapping[Case, float]]
) -> dict[str, str]:
    """Field -> why it is null, should it be."""
    of_judge = _no_judge_score(findings, config)
    scores = {
        "autointerp_score": of_judge or OTHER_SCORING["autointerp_score"],
        "logprob_auc": OTHER_SCORING["logprob_auc"] if config.judge_scoring == "list" else of_judge or ALL_ONE_KIND,
        "embedding_score": findings.no_embedding
        or next((why for why in findings.embedding.without.values()), NO_EXAMPLES),
    }
    spreads = {"autointerp_std_dev": "autointerp_score", "logprob_auc_std_dev": "logprob_auc"}
    spreads["embedding_std_dev"] = "embedding_score"
    alone = "no two latents of the SAE have windows to compare"
    return {
        **scores,
        **{name: ONE_LATENT if means[of] else scores[of] for name, of in spreads.items()},
        "autointerp_score_by_activation": scores["autointerp_score"],
        "balanced_accuracy": of_judge or (ONE_KIND if config.judge_scoring == "list" else scores["autointerp_score"]),
        "embedding_floor": alone if findings.embedding.score else scores["embedding_score"],
        "autointerp_chance_score": NO_EXAMPLES,
        "autointerp_guessing_score": NO_EXAMPLES,
        "random_active_share": NO_EXAMPLES,
        "n_live_latents": "latents were named, not drawn from the live ones",
    }


def _no_judge_score(findings: Findings, config: AutoInterpEvalConfig) -> str | None:
    """Why the judge gives no score at all; None where it does, in one of the two ways."""
    if config.judge == "none":
        return NO_JUDGE
    if not findings.examples:
        return NO_EXAMPLES
    if not config.scoring:
        return NOT_SCORED
    if findings.n_failed == len(findings.judgements):
        return f"{NO_READABLE} ({_most_common_failure(findings)})"
    if findings.share_failed > MOST_SHARE:
        return (
            f"{findings.n_failed} of {len(findings.judgements)} judged latents have no readable answer, more than "
            f"{MOST_SHARE:.0%} (most often: {_most_common_failure(findings)})"
        )
    return None


def _most_common_failure(findings: Findings) -> str:
    reasons = Counter(j.failure for j in findings.judgements.values() if j.failure is not None)
    return str(reasons.most_common(1)[0][0]) if reasons else NO_READABLE


def _warnings(findings: Findings, config: AutoInterpEvalConfig) -> list[str]:
    warnings = []
    n_chosen, n_with = len(findings.latents), len(findings.with_examples)
    wanted = config.n_latents or 0
    if config.override_latents is None and n_chosen < wanted:
        warnings.append(f"only {n_chosen} latents are live, {wanted} were asked for")
    if n_with < n_chosen:
        warnings.append(
            f"{n_chosen - n_with} of {n_chosen} chosen latents have too few activations for examples and no score"
        )
    if n_failed := findings.n_failed:
        said = (
            f"{n_failed} of {len(findings.judgements)} judged latents have no readable answer and are left out "
            f"of the judge's score (most often: {_most_common_failure(findings)})"
        )
        if MARKED_SHARE < findings.share_failed <= MOST_SHARE:
            said += "; the score is of those the judge could answer, read it with care"
        warnings.append(said)
    return warnings


def _unable(values: Mapping[str, Any]) -> list[str]:
    """Says of a judge that does no better than one that reads nothing what its score then means."""
    means = "the judge cannot do the task on these examples, and its score says nothing of the SAE"
    score, chance, auc = (values[name] for name in ("autointerp_score", "autointerp_chance_score", "logprob_auc"))
    if score is not None and score <= chance:
        return [f"the judge's score, {score:.3f}, is not above {chance:.3f}, what answering None gives: {means}"]
    if auc is not None and auc <= 0.5:
        return [f"the judge's log-odds rank activating pieces no higher than others (AUC {auc:.3f}): {means}"]
    return []


def _samples(
    findings: Findings, values: Mapping[str, Mapping[Case, float]], seeds: Sequence[int]
) -> dict[str, Samples]:
    """The scores behind each metric: one row per seed, one column per chosen latent."""
    samples: dict[str, Samples] = {}
    key = units_key("autointerp", (findings.key, *map(str, findings.latents)))
    for name, of in values.items():
        values_SU = torch.tensor([[of.get((s, latent), math.nan) for latent in findings.latents] for s in seeds])
        if bool(values_SU.isfinite().any(dim=1).all()) and findings.latents:
            samples[name] = Samples.of_equal_units(values_SU, unit="latent", key=key)
    return samples
