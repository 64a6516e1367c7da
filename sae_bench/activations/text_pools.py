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
from sae_bench.custom_saes.interface import SparseCodes, reads_rows
from sae_bench.custom_saes.loading import Member
from sae_bench.language_models import TokenTexts


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
        self.hooks = sorted({m.hook_name for m in members} | {h for r in requests for h in r.extra_hooks})
        self.reads_rows = any(reads_rows(member.sae) for member in members)
        self.texts = TokenTexts()
        self.row_of: dict[bytes, int] = {}
        self.max_texts: dict[bytes, int] = {}
        self._rows = [self._place(TokenTexts.of(request.token_ids), request.max_texts) for request in self.requests]
        self._activations: dict[str, PooledActivations] = {}
        self._codes = {m.key: PooledCodes(len(self.row_of), int(m.sae.cfg.d_sae)) for m in self.members}

    def _place(self, texts: TokenTexts, max_texts: int | None) -> Int[Tensor, " T"]:
        """The rows of some texts, of which `max_texts` may run at once; those that are new get the next rows."""
        n_before, digests = len(self.row_of), texts.digests()
        if max_texts is not None:
            self.max_texts |= {d: min(max_texts, self.max_texts.get(d, max_texts)) for d in digests}
        rows = [self.row_of.setdefault(digest, len(self.row_of)) for digest in digests]
        if len(self.row_of) == n_before + len(texts):
            self.texts.extend(texts)
        else:
            first_of = {row: text for text, row in reversed(list(enumerate(rows))) if row >= n_before}
            self.texts.extend(texts.select(first_of[row] for row in sorted(first_of)))
        return torch.tensor(rows).long()

    @property
    def digests(self) -> list[bytes]:
        """Hashes of the texts that have to run, in the order of their rows; none where no SAE wants them."""
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
        """Forget everything collected for an SAE that has failed."""
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


def last_tokens(
    batch: ActivationBatch,
    digests: Sequence[bytes],
    lengths: np.ndarray,
    row_of: Mapping[bytes, int],
    *,
    with_text: bool = False,
) -> ActivationBatch | None:
    """The last token of those texts of a batch that are in `row_of`, as a batch of one-token texts; None without any.

    Args:
        batch: right-padded.
        digests, lengths: hash and number of tokens of the text that each row of the batch stands for.
        row_of: hash of a text -> its row in the pool that the returned batch is for.
        with_text: give the whole texts, of which the last token alone is valid, for SAEs that read rows.
    """
    keys = [digests[row] for row in batch.rows]
    chosen = [i for i, key in enumerate(keys) if key in row_of]
    if not chosen:
        return None
    rows = tuple(row_of[keys[i]] for i in chosen)
    last = torch.from_numpy(lengths[[batch.rows[i] for i in chosen]]) - 1
    if with_text:
        valid_BL = torch.zeros_like(batch.valid_BL[chosen])
        valid_BL[torch.arange(len(chosen)), last] = True
        x_BLD = {hook: x_BLD[chosen] for hook, x_BLD in batch.x_BLD.items()}
        return replace(
            batch, known_token_N=None, rows=rows, ids_BL=batch.ids_BL[chosen], valid_BL=valid_BL, x_BLD=x_BLD
        )
    return replace(
        batch,
        known_token_N=torch.arange(len(chosen), device=batch.valid_BL.device),
        rows=rows,
        ids_BL=batch.ids_BL[chosen, last][:, None],
        valid_BL=torch.ones(len(chosen), 1, dtype=torch.bool, device=batch.valid_BL.device),
        x_BLD={hook: x_BLD[chosen, last][:, None] for hook, x_BLD in batch.x_BLD.items()},
    )
