"""The questions per latent, and what becomes of the answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice

import torch

from sae_bench.evals.autointerp.eval_config import AutoInterpEvalConfig
from sae_bench.evals.autointerp.examples import Corpus, LatentExamples
from sae_bench.evals.autointerp.prompts import explanation_question, piece_question, prediction_question
from sae_bench.evals.autointerp.ranking import area_under_curve
from sae_bench.evals.autointerp.replies import read_explanation, read_numbers
from sae_bench.judges import CachedJudge, Question, Reply
from sae_bench.judges.interface import CUT_OFF

NO_EXPLANATION = "the reply holds no explanation"
NO_LIST = "no list of numbers of the examples"


@dataclass
class Judgement:
    """What a judge made of one latent with one seed.

    Attributes:
        explanation: None if the judge gave none.
        prediction: numbers of the examples, from 1; None if they were not asked for or could not be read.
        log_odds: of every example, that it is active; None as above.
        unreadable: why a reply that came is no answer.
        unanswered: why no answer came.
        log: the conversations in plain text.
    """

    examples: LatentExamples
    explanation: str | None = None
    prediction: list[int] | None = None
    log_odds: list[float] | None = None
    unreadable: str | None = None
    unanswered: str | None = None
    tokens_in: int = 0
    tokens_out: int = 0
    log: list[str] = field(default_factory=list)

    @property
    def failure(self) -> str | None:
        """Why there is nothing to score, if the judge is the reason."""
        return self.unanswered or self.unreadable

    @property
    def correct(self) -> list[int]:
        """Numbers of the shown examples in which the latent counts as active."""
        return [n for n, example in enumerate(self.examples.scoring, start=1) if example.counts_as_active]

    @property
    def score(self) -> float | None:
        """Share of the examples that the prediction has right."""
        return self._score(self.correct)

    @property
    def score_by_activation(self) -> float | None:
        """Share that is right when a random window counts as active if the latent is active in it."""
        return self._score([n for n, example in enumerate(self.examples.scoring, start=1) if example.fires])

    @property
    def balanced_accuracy(self) -> float | None:
        """Mean of the shares of activating and of other examples that are right; None where one kind is missing."""
        active, n_examples = set(self.correct), len(self.examples.scoring)
        if self.prediction is None or not 0 < len(active) < n_examples:
            return None
        named = set(self.prediction)
        wrongly = len(named - active) / (n_examples - len(active))
        return (len(named & active) / len(active) + 1.0 - wrongly) / 2.0

    @property
    def logprob_auc(self) -> float | None:
        """Chance that an activating example has higher log-odds than a window on which the latent is not active."""
        if self.log_odds is None:
            return None
        log_odds = torch.tensor(self.log_odds, dtype=torch.float64)
        active = torch.tensor([example.counts_as_active for example in self.examples.scoring])
        inactive = torch.tensor([example.is_inactive_window for example in self.examples.scoring])
        return area_under_curve(log_odds[active], log_odds[inactive])

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

    Args:
        judge: who is asked.
        cases: seed and examples.
        corpus: how examples read.
        config: which questions are asked.
    Raises:
        JudgeError: the judge cannot go on.
    """
    judgements = [Judgement(examples) for _, examples in cases]
    questions = [explanation_question(examples, corpus, config) for _, examples in cases]
    for judgement, question, reply in zip(judgements, questions, judge.ask(questions), strict=True):
        _note(judgement, "explanation", question, reply)
        judgement.unanswered = reply.no_answer
        if reply.no_answer is None:
            judgement.explanation = read_explanation(reply.content or "")
            judgement.unreadable = NO_EXPLANATION if judgement.explanation is None else None
    explained = [
        (seed, judgement)
        for (seed, _), judgement in zip(cases, judgements, strict=True)
        if judgement.explanation is not None
    ]
    if config.scoring:
        ask_where_active(judge, explained, corpus, config)
    return judgements


def ask_where_active(
    judge: CachedJudge, explained: Sequence[tuple[int, Judgement]], corpus: Corpus, config: AutoInterpEvalConfig
) -> None:
    """Ask in which of its examples each explained latent is active.

    Args:
        judge: who is asked.
        explained: seeds, and judgements that hold an explanation; the answers go into these.
        corpus: how examples read.
        config: how it is asked.
    """
    if config.judge_scoring == "logprob":
        _ask_pieces(judge, [judgement for _, judgement in explained], corpus)
    else:
        _ask_lists(judge, explained, corpus, config)


def _ask_lists(
    judge: CachedJudge, explained: Sequence[tuple[int, Judgement]], corpus: Corpus, config: AutoInterpEvalConfig
) -> None:
    """Ask which of its examples each explanation fits."""
    questions = [
        prediction_question(judgement.explanation or "", judgement.examples, corpus, config, seed=seed)
        for seed, judgement in explained
    ]
    for (_, judgement), question, reply in zip(explained, questions, judge.ask(questions), strict=True):
        _note(judgement, "prediction", question, reply)
        judgement.unanswered = reply.no_answer
        if reply.no_answer is not None:
            continue
        if reply.is_cut_off:
            judgement.unreadable = CUT_OFF
            continue
        judgement.prediction = read_numbers(reply.content or "", len(judgement.examples.scoring))
        judgement.unreadable = NO_LIST if judgement.prediction is None else None


def _ask_pieces(judge: CachedJudge, judgements: Sequence[Judgement], corpus: Corpus) -> None:
    """Ask of every example on its own whether the explanation fits it."""
    questions = [
        [piece_question(judgement.explanation or "", example, corpus) for example in judgement.examples.scoring]
        for judgement in judgements
    ]
    replies = iter(judge.ask([question for of_latent in questions for question in of_latent]))
    for judgement, of_latent in zip(judgements, questions, strict=True):
        log_odds: list[float] = []
        for question, reply in zip(of_latent, islice(replies, len(of_latent)), strict=True):
            _note(judgement, "piece", question, reply)
            judgement.unanswered = judgement.unanswered or reply.no_answer
            if reply.log_odds is not None:
                log_odds.append(reply.log_odds)
        if judgement.unanswered is None and len(log_odds) == len(of_latent):
            judgement.log_odds = log_odds


def _note(judgement: Judgement, phase: str, question: Question, reply: Reply) -> None:
    """Count the tokens and keep the conversation."""
    judgement.tokens_in += reply.tokens_in
    judgement.tokens_out += reply.tokens_out
    turns = [f"[{message['role']}] {message['content']}" for message in question.messages]
    if phase == "piece" and len(judgement.log) > 1:
        turns = turns[-1:]  # its instructions stand above
    said = reply.content if reply.log_odds is None else f"log-odds of yes {reply.log_odds:.3f}"
    judgement.log.append("\n\n".join([f"--- {phase}", *turns, f"[judge] {reply.no_answer or said}"]))
