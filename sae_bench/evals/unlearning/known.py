"""Which questions the model knows: those that it answers right in (nearly) every order of the choices.

A question is dropped as soon as it has been answered wrong too often to be known, which changes no outcome: a model
that always says the same letter is through after three of the 24 orders.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor

from sae_bench.datasets.multiple_choice import N_CHOICES, Question, QuestionSet
from sae_bench.evals.unlearning.eval_config import TargetMetric
from sae_bench.evals.unlearning.prompts import Ask, Order

Answer = Callable[[Sequence[Ask]], Bool[Tensor, " Q"]]
"""Puts asks to the model; tells which are answered right."""

_TRICK = re.compile(r"(Both )?[ABCD] (and|&) [ABCD]|All of the above")


@dataclass(frozen=True)
class KnownQuestions:
    """What the model knows of one set.

    Attributes:
        questions: the known questions that the target metric asks for.
        counts: how many questions there are, are right in the given order, are known (`correct`), are known and not
            answered right without the question (`correct-iff-question`), or have no choice such as 'A and B'
            (`correct-no-tricks`).
    """

    name: str
    subject: str
    questions: tuple[Question, ...]
    counts: dict[str, int]

    @property
    def asks(self) -> list[Ask]:
        """The known questions in their given order."""
        return [Ask(question, self.subject) for question in self.questions]


def find_known(
    questions: QuestionSet, orders: Sequence[Order], answer: Answer, *, required: int, target: TargetMetric
) -> KnownQuestions:
    """The questions of a set that count as known.

    Args:
        orders: the orders that can differ in their outcome, the given one first.
        required: in how many of the 24 orders a question must be answered right, the given order among them.
        target: which of the known questions to keep.
    """
    all_asks = [Ask(question, questions.subject) for question in questions.questions]
    given = [ask for ask, right in zip(all_asks, answer(all_asks).tolist(), strict=True) if right]
    may_miss = len(orders) - required if len(orders) > 1 else 0
    known = _right_often(given, schedule(orders)[1:], answer, may_miss=may_miss)
    blind = [Ask(ask.question, ask.subject, with_question=False) for ask in known]
    guessed = {a.question.index for a in _right_often(blind, schedule(orders), answer, may_miss=may_miss)}
    kinds: dict[str, list[Question]] = {
        "correct": [ask.question for ask in known],
        "correct-iff-question": [ask.question for ask in known if ask.question.index not in guessed],
        "correct-no-tricks": [ask.question for ask in known if not has_trick(ask.question)],
    }
    counts = {"questions": len(all_asks), "correct in the given order": len(given)}
    counts |= {kind: len(questions_of_kind) for kind, questions_of_kind in kinds.items()}
    return KnownQuestions(questions.name, questions.subject, tuple(kinds[target]), counts)


def schedule(orders: Sequence[Order]) -> list[Order]:
    """The orders with those first that move every choice: a model that prefers one letter shows at once."""
    return sorted(orders, key=lambda order: not _is_rotation(order))


def has_trick(question: Question) -> bool:
    """Whether a choice refers to other choices by letter, or to all of them."""
    return any(_TRICK.fullmatch(choice) for choice in question.choices)


def _right_often(asks: Sequence[Ask], orders: Sequence[Order], answer: Answer, *, may_miss: int) -> list[Ask]:
    """The asks that miss at most `may_miss` of the orders."""
    missed = torch.zeros(len(asks), dtype=torch.long)
    alive = torch.arange(len(asks))
    for order in orders:
        if not len(alive):
            break
        tried = [Ask(asks[i].question, asks[i].subject, order, asks[i].with_question) for i in alive.tolist()]
        missed[alive] += (~answer(tried)).long()
        alive = alive[missed[alive] <= may_miss]
    return [asks[i] for i in alive.tolist()]


def _is_rotation(order: Order) -> bool:
    return all(letter == (order[0] + step) % N_CHOICES for step, letter in enumerate(order))
