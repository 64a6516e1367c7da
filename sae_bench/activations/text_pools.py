"""The texts that requests share, each once, and the vectors that a pass collects of them.

A pool serves the requests that ask for the same tokens of a text: all of them, or the last alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from sae_bench.activations.batches import ActivationBatch
from sae_bench.activations.pooled import PooledActivations, PooledCodes
from sae_bench.activations.requests import PooledTexts, PooledValues, Tokens
from sae_bench.custom_saes.interface import SparseCodes
from sae_bench.custom_saes.loading import Member


def text_key(ids: Sequence[int]) -> bytes:
    """A text's token ids, four bytes each: equal texts have equal keys, and a key takes a tenth of a list's memory."""
    return np.asarray(ids, dtype=np.int32).tobytes()


def ids_of(key: bytes) -> Int[np.ndarray, " L"]:
    """The token ids behind a key."""
    return np.frombuffer(key, dtype=np.int32)


class TextPool:
    """Distinct texts of some requests in the order in which they first come, and sums over them per hook and SAE.

    Args:
        requests: those of the pass that ask for `tokens` of their texts.
        members: the SAEs that any of these requests wants; without one, nothing has to run.
    """

    def __init__(self, tokens: Tokens, requests: Sequence[PooledTexts], members: Sequence[Member]) -> None:
        self.tokens = tokens
        self.requests = list(requests)
        self.members = list(members)
        self.hooks = sorted({member.hook_name for member in members})
        self.row_of: dict[bytes, int] = {}
        self.max_texts: dict[bytes, int] = {}
        for request in self.requests:
            if request.max_texts is not None:
                for key in map(text_key, request.token_ids):
                    self.max_texts[key] = min(request.max_texts, self.max_texts.get(key, request.max_texts))
        self._rows = [
            torch.tensor([self.row_of.setdefault(text_key(ids), len(self.row_of)) for ids in r.token_ids]).long()
            for r in self.requests
        ]
        self._activations: dict[str, PooledActivations] = {}
        self._codes = {m.key: PooledCodes(len(self.row_of), int(m.sae.cfg.d_sae)) for m in self.members}

    def texts(self) -> list[bytes]:
        """The keys of the texts that have to run, in the order of their rows."""
        return list(self.row_of) if self.members else []

    def add_activations(self, batch: ActivationBatch) -> None:
        """Take in a batch whose rows are those of this pool."""
        for hook in self.hooks:
            if hook not in self._activations:
                x_BLD = batch.x_BLD[hook]
                dtype = torch.float32 if self.tokens == "all" else x_BLD.dtype  # one token needs no wider sum
                self._activations[hook] = PooledActivations(len(self.row_of), x_BLD.shape[-1], dtype=dtype)
            self._activations[hook].update(batch, hook)

    def add_codes(self, batch: ActivationBatch, member: Member, codes: SparseCodes | Tensor) -> None:
        """Take in the codes of the batch's valid tokens."""
        self._codes[member.key].update(batch, codes)

    def drop(self, member: Member) -> None:
        """An SAE failed: forget what is there of it."""
        self._codes.pop(member.key, None)

    def finish(self) -> list[PooledValues]:
        """The rows of every request, in their order; the accumulators are empty afterwards."""
        codes = {key: collected.finish() for key, collected in self._codes.items()}
        means = {hook: pooled.mean_TD for hook, pooled in self._activations.items()}
        self._activations, self._codes = {}, {}
        values = []
        for request, rows_T in zip(self.requests, self._rows, strict=True):
            in_order = torch.equal(rows_T, torch.arange(len(self.row_of)))
            wanted = codes if request.sae_keys is None else {k: codes[k] for k in codes if k in request.sae_keys}
            values.append(
                PooledValues(
                    {hook: mean_TD if in_order else mean_TD[rows_T] for hook, mean_TD in means.items()},
                    {key: matrix.select(rows_T) for key, matrix in wanted.items()},
                )
            )
        return values


def last_tokens(batch: ActivationBatch, texts: Sequence[bytes], row_of: Mapping[bytes, int]) -> ActivationBatch | None:
    """The last token of those texts of a batch that are in `row_of`, as a batch of one-token texts; None without any.

    Args:
        batch: right-padded; its row i stands for `texts[batch.rows[i]]`.
        row_of: text -> its row in the pool that the returned batch is for.
    """
    keys = [texts[row] for row in batch.rows]
    chosen = [i for i, key in enumerate(keys) if key in row_of]
    if not chosen:
        return None
    last = torch.tensor([len(ids_of(keys[i])) - 1 for i in chosen])
    return replace(
        batch,
        rows=tuple(row_of[keys[i]] for i in chosen),
        ids_BL=batch.ids_BL[chosen, last][:, None],
        valid_BL=torch.ones(len(chosen), 1, dtype=torch.bool, device=batch.valid_BL.device),
        x_BLD={hook: x_BLD[chosen, last][:, None] for hook, x_BLD in batch.x_BLD.items()},
    )
