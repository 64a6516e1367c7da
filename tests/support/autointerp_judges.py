"""Judges that need no model: one that looks for marked words, one that talks nonsense."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import ClassVar

from sae_bench.judges import NumberList, Question, Reply, YesOrNo
from sae_bench.judges.interface import Deliver


class WordJudge:
    """Explains a latent by its most frequent marked piece of text, and finds the examples that hold it."""

    identity: ClassVar[dict[str, str]] = {"kind": "test", "model": "words"}

    def __init__(self, *, nonsense_every: int = 0, fail_every: int = 0) -> None:
        self.asked: list[Question] = []
        self.nonsense_every = nonsense_every
        self.fail_every = fail_every

    def answer(self, questions: Sequence[Question], deliver: Deliver) -> None:
        for place, question in enumerate(questions):
            self.asked.append(question)
            if self.fail_every and len(self.asked) % self.fail_every == 0:
                deliver(place, Reply(None, error="refused"))
            elif (
                isinstance(question.form, NumberList)
                and self.nonsense_every
                and len(self.asked) % self.nonsense_every == 0
            ):
                deliver(place, Reply("I think it is 3 or perhaps 4", 10, 2))
            elif isinstance(question.form, YesOrNo):
                deliver(place, Reply(None, 10, 1, "length", log_odds=log_odds_of(question)))
            else:
                deliver(place, Reply(reply_to(question), 10, 2, "stop"))


def reply_to(question: Question) -> str:
    text = question.messages[-1]["content"]
    if question.form is None:
        marked = Counter(re.findall(r"<<(.*?)>>", text))
        return f"This neuron activates on '{marked.most_common(1)[0][0]}'."
    word = re.search(r"activates on '(.*?)'", text)
    pieces = re.findall(r"^(\d+)\. (.*)$", text.split("Pieces:")[1], re.MULTILINE)
    assert word is not None
    return ", ".join(number for number, piece in pieces if word[1] in piece) or "None"


def log_odds_of(question: Question) -> float:
    text = question.messages[-1]["content"]
    word = re.search(r"activates on '(.*?)'", text)
    assert word is not None
    return 2.0 if word[1] in text.split("Piece:")[1] else -2.0
