"""Rows whose tokens form trees: texts that begin alike share the tokens of their beginning.

Every token has its own depth as position and sees its ancestors and itself, so its hidden state is that of the text
that ends there. Shared beginnings are computed once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

_WINDOWS = ("sliding_window", "attention_chunk_size", "window_size")
"""Settings by which layers of some models see only so many tokens back; a mask of one's own would undo that."""


@dataclass(frozen=True)
class TokenLayout:
    """Where tokens stand and what they see.

    Attributes:
        position_BL: position of each token in its text.
        sees_BLL: whether the token of the second place attends to that of the third.
    """

    position_BL: Int[Tensor, "B L"]
    sees_BLL: Bool[Tensor, "B L L"]

    def mask(self, dtype: torch.dtype, device: torch.device) -> Float[Tensor, "B 1 L L"]:
        """What is added to attention scores: 0 where a token sees another, the lowest number elsewhere."""
        hidden_BLL = ~self.sees_BLL.to(device)
        return torch.zeros(hidden_BLL.shape, dtype=dtype, device=device).masked_fill(
            hidden_BLL, torch.finfo(dtype).min
        )[:, None]

    def select(self, rows: Int[Tensor, " R"]) -> TokenLayout:
        """The layout of some of the rows."""
        return TokenLayout(self.position_BL[rows], self.sees_BLL[rows])


@dataclass(frozen=True)
class TokenTree:
    """Texts laid over one another.

    Attributes:
        ids: the tokens, parents before children.
        parents: place of each token's predecessor, -1 where a text begins.
        paths: for each text, the places of its tokens.
    """

    ids: tuple[int, ...]
    parents: tuple[int, ...]
    paths: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, texts: Sequence[Sequence[int]]) -> TokenTree:
        """The tree of some texts, given as token ids."""
        ids: list[int] = []
        parents: list[int] = []
        place_of: dict[tuple[int, int], int] = {}
        paths: list[tuple[int, ...]] = []
        for text in texts:
            path: list[int] = []
            for token in text:
                parent = path[-1] if path else -1
                node = place_of.setdefault((parent, token), len(ids))
                if node == len(ids):
                    ids.append(token)
                    parents.append(parent)
                path.append(node)
            paths.append(tuple(path))
        return cls(tuple(ids), tuple(parents), tuple(paths))


def lay_out(trees: Sequence[TokenTree]) -> TokenLayout:
    """The layout of trees in the rows of one batch, padded on the right; padding sees itself alone.

    A token never sees what comes after it, so that texts with a common beginning write the same into its rows.
    """
    length = max((len(tree.ids) for tree in trees), default=0)
    position_BL = torch.zeros(len(trees), length, dtype=torch.long)
    sees_BLL = torch.eye(length, dtype=torch.bool).repeat(len(trees), 1, 1)
    for b, tree in enumerate(trees):
        for path in tree.paths:
            nodes_N = torch.tensor(path, dtype=torch.long)
            position_BL[b, nodes_N] = torch.arange(len(path))
            sees_BLL[b, nodes_N[:, None], nodes_N] = torch.ones(len(path), len(path), dtype=torch.bool).tril()
    return TokenLayout(position_BL, sees_BLL)


def attention_window(config: object) -> int | None:
    """The shortest window of attention that the configuration of a model names, None if it names none."""
    windows = [getattr(config, name, None) for name in _WINDOWS]
    return min((window for window in windows if isinstance(window, int) and window > 0), default=None)
