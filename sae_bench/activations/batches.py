"""Batches of texts of similar length, and what the model made of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sae_bench.language_models import LanguageModel


@dataclass(frozen=True)
class ActivationBatch:
    """Texts (or rows of a packed corpus) with their activations at one hook.

    Attributes:
        rows: index of each of the B texts in the request it belongs to.
        ids_BL: token ids, right-padded.
        valid_BL: True at real tokens that SAEs read: not BOS, EOS or PAD, nor what the run leaves out.
        x_BLD: activations, one entry per hook name; hooks may differ in width.
        known_token_N: `token_N`, if whoever made the batch knew it.
    """

    rows: tuple[int, ...]
    ids_BL: Int[Tensor, "B L"]
    valid_BL: Bool[Tensor, "B L"]
    x_BLD: dict[str, Float[Tensor, "B L _"]] = field(repr=False)
    known_token_N: Int[Tensor, "N"] | None = field(default=None, repr=False)

    @classmethod
    def on(
        cls, device: torch.device, rows: Sequence[int], ids_BL: Tensor, valid_BL: Tensor, x_BLD: dict[str, Tensor]
    ) -> ActivationBatch:
        """A batch on a device, whose ids and mask are in main memory: where its tokens are need not be asked there."""
        token_N = torch.from_numpy(np.flatnonzero(valid_BL.numpy())).to(device)
        return cls(tuple(rows), ids_BL.to(device), valid_BL.to(device), x_BLD, token_N)

    @cached_property
    def token_N(self) -> Int[Tensor, "N"]:
        """Place of each valid token among the B x L."""
        return self.valid_BL.flatten().nonzero()[:, 0] if self.known_token_N is None else self.known_token_N

    @cached_property
    def text_of_token_N(self) -> Int[Tensor, "N"]:
        """Place within the batch (0..B-1) of the text that each valid token belongs to."""
        return self.token_N // self.valid_BL.shape[1]

    def tokens(self, hook: str) -> Float[Tensor, "N D"]:
        """Activations of the valid tokens only, text after text."""
        return self.x_BLD[hook].flatten(0, 1)[self.token_N]


def pad(
    texts: Sequence[Sequence[int]], lm: LanguageModel, *, length: int | None = None
) -> tuple[Int[Tensor, "B L"], Bool[Tensor, "B L"]]:
    """Right-pad token lists; returns ids and the mask of real tokens that SAEs read."""
    length = max((len(ids) for ids in texts), default=0) if length is None else length
    pad_id = lm.tokenizer.pad_token_id or 0
    ids = torch.full((len(texts), length), pad_id, dtype=torch.long)
    real = torch.zeros((len(texts), length), dtype=torch.bool)
    for row, tokens in enumerate(texts):
        ids[row, : len(tokens)] = torch.as_tensor(tokens, dtype=torch.long)
        real[row, : len(tokens)] = True
    return ids, real & lm.is_read(ids)


def bucket_by_length(lengths: Sequence[int], *, max_tokens: int, max_texts: int) -> Iterator[list[int]]:
    """Indices of texts, shortest first, in batches of at most `max_texts` texts and `max_tokens` padded tokens.

    Sorting makes neighbours alike, so a batch pads only to the longest of its own bucket.
    """
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: (lengths[i], i)):
        longest = lengths[index]  # the newest is the longest
        if batch and (len(batch) == max_texts or (len(batch) + 1) * longest > max_tokens):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
