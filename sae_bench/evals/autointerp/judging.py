"""The two questions per latent, and what becomes of the answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sae_bench.evals.autointerp.eval_config import AutoInterpEvalConfig
from sae_bench.evals.autointerp.examples import Corpus, LatentExamples
from sae_bench.evals.autointerp.prompts import (
    explanation_question,
    parse_explanation,
    parse_prediction,
    prediction_question,
)
from sae_bench.judges import CachedJudge, Question, Reply


@dataclass
class Judgement:
    """What a judge made of one latent with one seed.

    Attributes:
        explanation: None if that question could not be answered.
        prediction: numbers of the examples, from 1; None if they were not asked for or could not be read.
        error: why something is missing.
        unreadable: whether the reply was there and is no list of numbers.
        log: both conversations in plain text.
    """

    examples: LatentExamples
    explanation: str | None = None
    prediction: list[int] | None = None
    error: str | None = None
    unreadable: bool = False
    tokens_in: int = 0
    tokens_out: int = 0
    log: list[str] = field(default_factory=list)

    @property
    def correct(self) -> list[int]:
        """Numbers of the examples that count as active."""
        return [n for n, example in enumerate(self.examples.scoring, start=1) if example.counts_as_active]

    @property
    def score(self) -> float | None:
        """Share of the examples that the prediction has right."""
        return self._score(self.correct)

    @property
    def score_by_activation(self) -> float | None:
        """The same with windows from anywhere taken for what they are: active where the latent is."""
        return self._score([n for n, example in enumerate(self.examples.scoring, start=1) if example.fires])

    def _score(self, correct: Sequence[int]) -> float | None:
        if self.prediction is None:
            return None
        numbers = range(1, len(self.examples.scoring) + 1)
        return sum((n in self.prediction) == (n in correct) for n in numbers) / len(numbers)


def judge_latents(
    judge: CachedJudge,
    cases: Sequence[tuple[int, LatentExamples]],
    corpus: Corpus,
    config: AutoInterpEvalConfig,
) -> list[Judgement]:
    """Judge every (seed, latent): all explanations first, then all predictions.

    Raises:
        JudgeError: the judge cannot go on.
    """
    judgements = [Judgement(examples) for _, examples in cases]
    questions = [explanation_question(examples, corpus, config) for _, examples in cases]
    for judgement, question, reply in zip(judgements, questions, judge.ask(questions), strict=True):
        _note(judgement, "explanation", question, reply)
        if reply.text is not None:
            judgement.explanation = parse_explanation(reply.text)
    if not config.scoring:
        return judgements
    explained = [
        (place, seed, judgement.explanation)
        for place, ((seed, _), judgement) in enumerate(zip(cases, judgements, strict=True))
        if judgement.explanation is not None
    ]
    questions = [
        prediction_question(explanation, judgements[place].examples, corpus, config, seed=seed)
        for place, seed, explanation in explained
    ]
    for (place, _, _), question, reply in zip(explained, questions, judge.ask(questions), strict=True):
        judgement = judgements[place]
        _note(judgement, "prediction", question, reply)
        if reply.text is not None:
            judgement.prediction = parse_prediction(reply.text)
            judgement.unreadable = judgement.prediction is None
    return judgements


def _note(judgement: Judgement, phase: str, question: Question, reply: Reply) -> None:
    judgement.tokens_in += reply.tokens_in
    judgement.tokens_out += reply.tokens_out
    judgement.error = judgement.error or reply.error
    turns = [f"[{message['role']}] {message['content']}" for message in question.messages]
    judgement.log.append(
        "\n\n".join([f"--- {phase}", *turns, f"[judge] {reply.text if reply.error is None else reply.error}"])
    )
