"""What a judge is: something that answers questions and says what its answers depend on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypedDict, runtime_checkable

from sae_bench.errors import PrerequisiteError


class JudgeError(PrerequisiteError):
    """A judge that cannot go on: a wrong key, an endpoint that is not there. Replies so far are kept."""


class Message(TypedDict):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True)
class Question:
    """A conversation that the judge is to go on with.

    Attributes:
        max_tokens: most tokens of the reply.
        only: the characters that the reply may consist of, for judges that can be held to them; None is any.
    """

    messages: tuple[Message, ...]
    max_tokens: int
    only: str | None = None


@dataclass(frozen=True)
class Reply:
    """What came back.

    Attributes:
        text: None if this one question could not be answered, for the reason in `error`.
        tokens_in, tokens_out: as the judge counts them, 0 if it does not.
    """

    text: str | None
    tokens_in: int = 0
    tokens_out: int = 0
    error: str | None = None


Deliver = Callable[[int, Reply], None]
"""Takes the reply to the question of this place as soon as it is there."""


@runtime_checkable
class Judge(Protocol):
    """Answers questions."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """What a reply depends on besides the question: kind, model, place, temperature."""

    def answer(self, questions: Sequence[Question], deliver: Deliver) -> None:
        """Deliver a reply to every question, in any order.

        Raises:
            JudgeError: it cannot go on; what was delivered stands.
        """
