"""A fact as a question with its answer, before it becomes a multiple-choice question."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fact:
    """A question with its right answer, and the answers of other facts of its kind to draw wrong ones from."""

    question: str
    answer: str
    others: tuple[str, ...]
