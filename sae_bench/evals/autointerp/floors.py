"""What stands beside the scores: the judge with another latent's explanation, and answers that read nothing."""

from __future__ import annotations

from collections.abc import Mapping

from sae_bench.evals.autointerp.examples import Case, LatentExamples
from sae_bench.evals.autointerp.judging import Judgement
from sae_bench.results.references import Reference, References
from sae_bench.results.samples import Samples

LATENTS_PER_FLOOR = {"list": 2, "logprob": 4}
"""Way of scoring -> of so many judged latents one is asked about again: at most a quarter more questions."""
OTHER = "the judge with another latent's explanation"
NONE = "answering None"
GUESSING = "naming at random as many as are active"
BLIND = Reference("a judge that cannot tell", 0.5)
OTHER_WINDOWS = "another latent's windows"
CEILING = Reference("every answer right", 1.0)


def with_other_explanations(judgements: Mapping[Case, Judgement], judge_scoring: str) -> dict[Case, Judgement]:
    """Questions about some of the latents, each with the explanation of the next one of its seed; not asked yet.

    Args:
        judgements: of one SAE, in the order of the draw.
        judge_scoring: "list" or "logprob".
    """
    n, again = LATENTS_PER_FLOOR[judge_scoring], dict[Case, Judgement]()
    for seed in dict.fromkeys(seed for seed, _ in judgements):
        explained = [(case, one) for case, one in judgements.items() if case[0] == seed and one.failure is None]
        others = [*explained[1:], *explained[:1]]
        pairs = list(zip(explained, others, strict=True))[: len(explained) // n * n : n]
        again |= {case: Judgement(own.examples, other.explanation) for (case, own), (_, other) in pairs}
    return again


def answers_of_no_reader(examples: Mapping[Case, LatentExamples]) -> dict[str, dict[Case, float]]:
    """Name -> (seed, latent) -> share of the examples that a judge who reads nothing has right.

    With a share p active: 1 - p for answering None; p^2 + (1 - p)^2 for naming as many at random as are active.
    """
    active = {
        case: sum(example.counts_as_active for example in of.scoring) / len(of.scoring) for case, of in examples.items()
    }
    return {
        NONE: {case: 1.0 - p for case, p in active.items()},
        GUESSING: {case: p * p + (1.0 - p) * (1.0 - p) for case, p in active.items()},
    }


def score_references(
    names: Mapping[str, Samples], with_other: Mapping[str, Samples], blind: Mapping[str, Samples]
) -> dict[str, References]:
    """Metric -> floor and ceiling.

    Args:
        names: metric -> its samples.
        with_other: metric -> samples with another latent's explanation, or its windows; of some latents perhaps.
        blind: name of an answer that reads nothing -> its samples, for the share of right answers.
    """
    unread = {
        "autointerp_score": tuple(Reference(name, blind.get(name), "no examples") for name in (NONE, GUESSING)),
        "balanced_accuracy": (BLIND,),
        "logprob_auc": (BLIND,),
        "embedding_score": (BLIND,),
    }
    references: dict[str, References] = {}
    for name in names:
        measured = with_other.get(name)
        replaced = OTHER_WINDOWS if name == "embedding_score" else OTHER
        floor = unread[name][0] if measured is None else Reference(replaced, measured)
        references[name] = References(floor=floor, ceiling=CEILING, others=unread[name])
    return references
