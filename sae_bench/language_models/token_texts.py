"""Many texts as token ids in one flat array: what goes from the tokenizer to the model.

A list of lists takes about ten times the memory: every id is an object of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain
from typing import SupportsIndex, overload

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from sae_bench.language_models.token_choice import ALL_TOKENS, TokenChoice


class TokenTexts(Sequence[list[int]]):
    """T texts of different lengths, four bytes per token; reads like a list of lists of token ids.

    Args:
        texts: token ids of each text.
    """

    def __init__(self, texts: Iterable[Sequence[int]] = ()) -> None:
        self._parts: list[np.ndarray] = []
        self._lengths: list[np.ndarray] = []
        self._starts: np.ndarray | None = None
        self.extend(texts)

    @classmethod
    def of(cls, texts: Iterable[Sequence[int]]) -> TokenTexts:
        """These texts, without a copy where they are such already."""
        return texts if isinstance(texts, cls) else cls(texts)

    def extend(self, texts: Iterable[Sequence[int]]) -> None:
        """Put texts behind those that are there."""
        if isinstance(texts, TokenTexts):
            self._parts += texts._parts
            self._lengths += texts._lengths
        else:
            listed = list(texts)
            lengths = np.array([len(ids) for ids in listed], dtype=np.int64)
            self._parts.append(np.fromiter(chain.from_iterable(listed), np.int32, int(lengths.sum())))
            self._lengths.append(lengths)
        self._starts = None

    def __len__(self) -> int:
        return sum(map(len, self._lengths))

    @overload
    def __getitem__(self, index: SupportsIndex) -> list[int]: ...
    @overload
    def __getitem__(self, index: slice) -> TokenTexts: ...
    def __getitem__(self, index: SupportsIndex | slice) -> list[int] | TokenTexts:
        if isinstance(index, slice):
            return self.select(range(*index.indices(len(self))))
        return self.ids(range(len(self))[index]).tolist()

    def __iter__(self) -> Iterator[list[int]]:
        return (self.ids(row).tolist() for row in range(len(self)))

    def __eq__(self, other: object) -> bool:
        """Equal to any sequence of the same ids, text by text."""
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(a == list(b) for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]  # it can be extended

    def __repr__(self) -> str:
        return f"TokenTexts({len(self)} texts, {self.n_tokens} tokens)"

    @property
    def n_tokens(self) -> int:
        """Tokens of all texts."""
        return sum(map(len, self._parts))

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(part.nbytes for part in (*self._parts, *self._lengths))

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each text, (T,) int64."""
        self._join()
        return self._lengths[0]

    def ids(self, row: int) -> np.ndarray:
        """Token ids of one text, (L,) int32, over the same memory."""
        starts = self._join()
        return self._parts[0][starts[row] : starts[row + 1]]

    def select(self, rows: Iterable[int]) -> TokenTexts:
        """The given texts in the given order, copied."""
        chosen = list(rows)
        selected = TokenTexts()
        if chosen:
            selected._parts = [np.concatenate([self.ids(row) for row in chosen])]
            selected._lengths = [self.lengths[chosen]]
        return selected

    def digests(self) -> list[bytes]:
        """A hash of each text, 16 bytes: equal for equal texts."""
        return [hashlib.blake2b(self.ids(row).tobytes(), digest_size=16).digest() for row in range(len(self))]

    def n_besides(self, token_ids: Collection[int], choice: TokenChoice = ALL_TOKENS) -> np.ndarray:
        """How many tokens of each text are none of the given and belong to a choice, (T,)."""
        starts = self._join()
        left_out = {*token_ids, *choice.excluded}
        counted = ~np.isin(self._parts[0], np.array(sorted(left_out), dtype=np.int32))
        counted &= choice.at(np.arange(len(counted)) - np.repeat(starts[:-1], self.lengths))
        return np.diff(np.concatenate([[0], np.cumsum(counted)])[starts])

    def padded(self, rows: Sequence[int], pad_id: int) -> tuple[Int[Tensor, "B L"], Bool[Tensor, "B L"]]:
        """Some texts as one batch, padded on the right.

        Args:
            rows: which texts, in their order in the batch.
            pad_id: what stands where a text has ended.
        Returns:
            token ids (B, L), int64, and which of them are the texts' own.
        """
        lengths_B = torch.from_numpy(self.lengths[list(rows)])
        real_BL = torch.arange(int(lengths_B.max()) if len(lengths_B) else 0) < lengths_B[:, None]
        ids_BL = torch.full(real_BL.shape, pad_id, dtype=torch.long)
        if bool(real_BL.any()):
            ids_BL[real_BL] = torch.from_numpy(np.concatenate([self.ids(row) for row in rows])).long()
        return ids_BL, real_BL

    def _join(self) -> np.ndarray:
        """Bring the parts together; returns where each text starts, and where the last one ends."""
        if self._starts is None:
            if len(self._parts) != 1:
                self._parts = [np.concatenate([np.empty(0, np.int32), *self._parts])]
                self._lengths = [np.concatenate([np.empty(0, np.int64), *self._lengths])]
            self._starts = np.concatenate([[0], np.cumsum(self._lengths[0])])
        return self._starts


def text_key(ids: Sequence[int]) -> bytes:
    """A text's token ids, four bytes each: equal texts have equal keys, and a key takes a tenth of a list's memory."""
    return np.asarray(ids, dtype=np.int32).tobytes()
