"""What a judge is: something that answers questions and says what its answers depend on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypedDict, runtime_checkable

from sae_bench.errors import PrerequisiteError

CUT_OFF = "cut off by the token limit"
_NO_ANSWER = {
    "content_filter": "held back by a content filter",
    "tool_calls": "the judge called a tool instead of answering",
    "function_call": "the judge called a tool instead of answering",
}
_LIMITS = ("length", "max_tokens")


class JudgeError(PrerequisiteError):
    """A judge that cannot go on: a wrong key, an endpoint that is not there. Replies so far are kept."""


class Message(TypedDict):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True)
class NumberList:
    """An answer that lists numbers from 1 to `most`, each at most once, or says None.

    A judge that can be held to a form writes nothing else, whatever `max_tokens` says; others are asked for it by the
    question alone.
    """

    most: int
    kind: Literal["numbers"] = "numbers"


@dataclass(frozen=True)
class YesOrNo:
    """An answer of which only this counts: how much likelier its first word is yes than no."""

    kind: Literal["yes or no"] = "yes or no"


@dataclass(frozen=True)
class Question:
    """A conversation that the judge is to go on with.

    Attributes:
        max_tokens: most tokens of the reply.
        form: what the reply may be; None is any text.
    """

    messages: tuple[Message, ...]
    max_tokens: int
    form: NumberList | YesOrNo | None = None


@dataclass(frozen=True)
class Reply:
    """What came back.

    Attributes:
        content: the text, None if there is none.
        tokens_in, tokens_out: as the judge counts them, 0 if it does not.
        finish_reason: why it ends, in the words of OpenAI's chat completions (stop, length, content_filter, ...);
            None if the judge does not say.
        refusal: the judge's own words for not answering.
        log_odds: of a question for yes or no: log of the probability of yes over that of no.
        error: why this one question could not be asked or came to nothing; such a reply is not kept.
    """

    content: str | None
    tokens_in: int = 0
    tokens_out: int = 0
    finish_reason: str | None = None
    refusal: str | None = None
    log_odds: float | None = None
    error: str | None = None

    @property
    def no_answer(self) -> str | None:
        """Why the judge has not answered; None if it has, however badly."""
        if self.error is not None:
            return self.error
        if self.refusal:
            return f"refused: {self.refusal}"
        if self.finish_reason in _NO_ANSWER:
            return _NO_ANSWER[self.finish_reason]
        if self.log_odds is None and not (self.content or "").strip():
            return f"an empty reply, {CUT_OFF}" if self.is_cut_off else "an empty reply"
        return None

    @property
    def is_cut_off(self) -> bool:
        """Whether the token limit ended the text."""
        return self.finish_reason in _LIMITS


Deliver = Callable[[int, Reply], None]
"""Takes the reply to the question of this index as soon as it is there."""


@runtime_checkable
class Judge(Protocol):
    """Answers questions."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """What a reply depends on besides the question: kind, model, address, temperature. No credentials."""

    def answer(self, questions: Sequence[Question], deliver: Deliver) -> None:
        """Deliver a reply to every question, in any order.

        Raises:
            JudgeError: it cannot go on; what was delivered stands.
        """
