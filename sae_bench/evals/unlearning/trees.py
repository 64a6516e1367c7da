"""Rows that begin alike, read together: the choices of a cloze share their question, questions a header."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sae_bench.activations.batches import bucket_by_length, pad
from sae_bench.activations.device_limits import tokens_at_once
from sae_bench.evals.unlearning.prompts import Row, common_prefix
from sae_bench.language_models import LanguageModel
from sae_bench.language_models.layout import TokenLayout, TokenTree, attention_window, lay_out

MAX_TREE_TOKENS = 384
"""Questions are added to a tree up to this size; attention costs grow with it."""
MIN_SHARED_TOKENS = 16
"""Questions whose prompts share fewer tokens than this are not put together."""


@dataclass(frozen=True)
class RowTree:
    """A tree of rows that begin alike, so that their shared tokens are read once.

    Attributes:
        rows, row_numbers: the rows, and where they stand among all rows.
    """

    tree: TokenTree
    rows: tuple[Row, ...]
    row_numbers: tuple[int, ...]

    @cached_property
    def reads(self) -> tuple[Int[Tensor, " U"], Int[Tensor, " N"]]:
        """Distinct tokens whose hidden states are read, and which of them each read of each row in turn is."""
        wanted = [path[token] for row, path in zip(self.rows, self.tree.paths, strict=True) for token in row.reads]
        return torch.tensor(wanted).unique(return_inverse=True)


@dataclass(frozen=True)
class TreeBatch:
    """Trees of about one size, padded on the right.

    Attributes:
        text_BL: True at real tokens but the first of each text, special ones included.
        layout: None where no tree branches, so that the rows are plain texts.
    """

    trees: tuple[RowTree, ...]
    ids_BL: Int[Tensor, "B L"]
    text_BL: Bool[Tensor, "B L"]
    layout: TokenLayout | None

    def layout_of(self, trees_P: Int[Tensor, " P"]) -> TokenLayout | None:
        """The layout of some of the trees, some of them several times perhaps."""
        return None if self.layout is None else self.layout.select(trees_P)


@dataclass(frozen=True)
class ReadStates:
    """What a reader needs of the final hidden states: U distinct tokens, and the N reads of the rows in turn."""

    hidden_UD: Float[Tensor, "U D"]
    read_N: Int[Tensor, " N"]
    rows: tuple[Row, ...]
    row_numbers: Int[Tensor, " R"]


def tree_batches(
    lm: LanguageModel, rows: Sequence[Row], *, rows_per_ask: int, max_trees: int | None = None
) -> Iterator[TreeBatch]:
    """All rows in trees, in batches of about one size; each row in a tree of its own where the model cannot share."""
    trees = [
        RowTree(TokenTree.of([rows[number].ids for number in group]), tuple(rows[number] for number in group), group)
        for group in _groups(rows, rows_per_ask if _can_share(lm, rows) else 0)
    ]
    sizes = [len(tree.tree.ids) for tree in trees]
    for batch in bucket_by_length(sizes, max_tokens=tokens_at_once(lm.device), max_texts=max_trees or len(trees) or 1):
        yield _batch(lm, tuple(trees[number] for number in batch))


def read_states(trees: Sequence[RowTree], hidden_BLD: Float[Tensor, "B L D"]) -> ReadStates:
    """The hidden states that the rows of some trees are scored by."""
    hidden: list[Tensor] = []
    reads: list[Tensor] = []
    n_distinct = 0
    for tree, hidden_LD in zip(trees, hidden_BLD, strict=True):
        distinct_U, read_N = tree.reads
        hidden.append(hidden_LD[distinct_U.to(hidden_LD.device)])
        reads.append(read_N + n_distinct)
        n_distinct += len(distinct_U)
    rows = tuple(row for tree in trees for row in tree.rows)
    row_numbers = torch.tensor([number for tree in trees for number in tree.row_numbers])
    return ReadStates(torch.cat(hidden), torch.cat(reads), rows, row_numbers)


def _can_share(lm: LanguageModel, rows: Sequence[Row]) -> bool:
    longest = max((len(row.ids) for row in rows), default=0)
    window = attention_window(lm.config)
    return lm.shares_beginnings() and (window is None or longest <= window)


def _groups(rows: Sequence[Row], rows_per_ask: int) -> Iterator[tuple[int, ...]]:
    """Places of rows that go into one tree; `rows_per_ask` 0 keeps every row by itself."""
    if rows_per_ask == 0:
        yield from ((number,) for number in range(len(rows)))
        return
    group: list[int] = []
    size = 0
    for start in range(0, len(rows), rows_per_ask):
        ask = range(start, start + rows_per_ask)
        shared = [common_prefix(rows[number].ids, rows[number - 1].ids) if number else 0 for number in ask]
        added = sum(len(rows[number].ids) - n for number, n in zip(ask, shared, strict=True))
        if group and (shared[0] < MIN_SHARED_TOKENS or size + added > MAX_TREE_TOKENS):
            yield tuple(group)
            group, size = [], shared[0]
        group += ask
        size += added
    if group:
        yield tuple(group)


def _batch(lm: LanguageModel, trees: tuple[RowTree, ...]) -> TreeBatch:
    ids_BL, _ = pad([tree.tree.ids for tree in trees], lm)
    layout = lay_out([tree.tree for tree in trees])
    lengths_B = torch.tensor([len(tree.tree.ids) for tree in trees])
    real_BL = torch.arange(ids_BL.shape[1]) < lengths_B[:, None]
    branches = any(len(tree.rows) > 1 for tree in trees)
    return TreeBatch(trees, ids_BL, real_BL & (layout.position_BL > 0), layout if branches else None)
