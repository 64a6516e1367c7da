"""Known questions: every shortcut against asking everything in all 24 orders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch

from sae_bench.datasets.multiple_choice import Question, QuestionSet
from sae_bench.errors import PrerequisiteError
from sae_bench.evals.unlearning.eval_config import UnlearningEvalConfig
from sae_bench.evals.unlearning.evaluate import check_known, given_questions
from sae_bench.evals.unlearning.known import KnownQuestions, find_known, has_trick, schedule
from sae_bench.evals.unlearning.prompts import GIVEN_ORDER, ORDERS, Ask

N = 40
LETTERS = ORDERS
CLOZE = (GIVEN_ORDER,)


def question_set(n: int = N) -> QuestionSet:
    return QuestionSet("set", "words", tuple(Question(i, f"q{i}", ("a", "b", "c", "d"), i % 4) for i in range(n)), {})


class Oracle:
    """Answers by a table of (question, order, with question), and counts what it is asked."""

    def __init__(self, share: float, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        ease_Q = torch.rand(N, generator=generator) ** 0.05
        draw = torch.rand(2, N, 24, generator=generator)
        self.right = draw < torch.maximum(ease_Q, torch.tensor(share))[None, :, None]
        self.asked = 0

    def __call__(self, asks: Sequence[Ask]) -> torch.Tensor:
        self.asked += len(asks)
        return torch.tensor(
            [bool(self.right[int(a.with_question), a.question.index, ORDERS.index(a.order)]) for a in asks],
            dtype=torch.bool,
        )

    def known(self, required: int) -> list[int]:
        table = self.right[1]
        return [q for q in range(N) if table[q, 0] and int(table[q].sum()) >= required]

    def guessed(self, required: int) -> set[int]:
        return {q for q in range(N) if int(self.right[0, q].sum()) >= required}


@pytest.mark.parametrize("required", [24, 22, 12, 1])
@pytest.mark.parametrize("seed", [0, 1])
def test_early_stopping_changes_no_outcome(required, seed):
    oracle = Oracle(0.5, seed)
    found = find_known(question_set(), LETTERS, oracle, required=required, target="correct")
    assert [q.index for q in found.questions] == oracle.known(required)
    blind = find_known(question_set(), LETTERS, oracle, required=required, target="correct-iff-question")
    assert [q.index for q in blind.questions] == [
        q for q in oracle.known(required) if q not in oracle.guessed(required)
    ]
    assert found.counts["correct-iff-question"] == len(blind.questions)
    assert found.counts["correct in the given order"] == int(oracle.right[1, :, 0].sum())


def test_a_model_with_one_letter_is_through_after_three_orders():
    asked = 0

    def says_a(asks: Sequence[Ask]) -> torch.Tensor:
        nonlocal asked
        asked += len(asks)
        return torch.tensor([ask.right == 0 for ask in asks], dtype=torch.bool)

    found = find_known(question_set(), LETTERS, says_a, required=24, target="correct")
    assert found.questions == ()
    assert asked == N + N // 4  # all in the given order, a quarter in the next


def test_cloze_asks_once_and_ignores_required():
    oracle = Oracle(0.5)
    found = find_known(question_set(), CLOZE, oracle, required=24, target="correct")
    assert [q.index for q in found.questions] == oracle.right[1, :, 0].nonzero()[:, 0].tolist()
    assert oracle.asked == N + len(found.questions)


def test_rotations_come_first():
    first = schedule(ORDERS)[:4]
    assert first[0] == GIVEN_ORDER
    for place in range(4):
        assert {order[place] for order in first} == {0, 1, 2, 3}
    assert sorted(schedule(ORDERS)) == sorted(ORDERS)


@pytest.mark.parametrize(
    ("choice", "trick"),
    [("A and B", True), ("Both A and C", True), ("B & D", True), ("All of the above", True), ("A and B only", False)],
)
def test_tricks(choice, trick):
    question = Question(0, "q", ("x", "y", "z", choice), 0)
    assert has_trick(question) == trick
    found = find_known(
        QuestionSet("set", "s", (question,), {}),
        LETTERS,
        lambda asks: torch.ones(len(asks), dtype=torch.bool),
        required=24,
        target="correct-no-tricks",
    )
    assert len(found.questions) == (0 if trick else 1)


def test_too_few_known_questions_are_an_error_with_counts():
    config = UnlearningEvalConfig(dataset_names=["wmdp-bio", "human_aging"])
    counts = {"questions": 9, "correct in the given order": 4, "correct": 2}
    some = KnownQuestions("wmdp-bio", "biology", question_set(2).questions, counts)
    kept = KnownQuestions("human_aging", "human aging", question_set(7).questions, {**counts, "correct": 7})
    with pytest.raises(PrerequisiteError) as caught:
        check_known([some, kept], config, model="tiny")
    text = str(caught.value)
    for part in (
        "2 of 'wmdp-bio'",
        "24 of 24 orders",
        "wmdp-bio: of 9, 4 correct in the given order, 2 correct",
        "cloze",
    ):
        assert part in text
    check_known([some, kept], replace(config, min_known_questions=2), model="tiny")


def test_given_questions_are_taken_by_their_index():
    found = given_questions(question_set(), [7, 3])
    assert [q.index for q in found.questions] == [7, 3]
    assert found.asks[0].order == GIVEN_ORDER
