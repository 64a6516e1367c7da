"""Which tokens may go on with an answer that has to be a list of numbers that exist."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cache

from torch import Tensor

NONE = "None"
CHARACTERS = frozenset("0123456789, " + NONE)


class NumberListGrammar:
    """None, or numbers from 1 to `most` with commas between them, each at most once.

    Args:
        pieces: token -> its text within a text.
        ends: tokens that end a reply.
        most: the highest number.
    """

    def __init__(self, pieces: Mapping[int, str], ends: Collection[int], most: int) -> None:
        self.pieces = {token: piece for token, piece in pieces.items() if piece and set(piece) <= CHARACTERS}
        self.ends = sorted(ends)
        self.most = most
        self._after = cache(self._tokens_after)

    @property
    def longest(self) -> int:
        """Most tokens of a reply, its end included."""
        return len(" " + ", ".join(map(str, range(1, self.most + 1)))) + 1

    def allowed(self, _row: int, ids_N: Tensor) -> list[int]:
        """The tokens that may follow, in the form of transformers' `prefix_allowed_tokens_fn`."""
        ids = ids_N.tolist()
        if any(token not in self.pieces for token in ids):  # it has ended
            return self.ends
        return self._after("".join(self.pieces[token] for token in ids))

    def _tokens_after(self, text: str) -> list[int]:
        going_on = [token for token, piece in self.pieces.items() if is_beginning(text + piece, self.most)]
        return [*going_on, *self.ends] if is_whole(text, self.most) or not going_on else going_on


def is_beginning(text: str, most: int) -> bool:
    """Whether an answer can begin like this."""
    text = text.removeprefix(" ")
    if NONE.startswith(text):
        return True
    unused, last = _read(text, most)
    return unused is not None and any(number.startswith(last) for number in unused)


def is_whole(text: str, most: int) -> bool:
    """Whether this is an answer."""
    text = text.removeprefix(" ")
    unused, last = _read(text, most)
    return text == NONE or (unused is not None and last in unused)


def _read(text: str, most: int) -> tuple[set[str] | None, str]:
    """Numbers that were not named before the last one, None if the text is no list; and what there is of the last."""
    unused = {str(number) for number in range(1, most + 1)}
    first, *others = text.split(",")
    *named, last = [first, *(part.removeprefix(" ") for part in others)]
    for number in named:
        if number not in unused:
            return None, last
        unused.remove(number)
    return unused, last
