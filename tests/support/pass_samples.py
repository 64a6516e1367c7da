"""Texts, SAEs and the slow way to pool them: one text at a time, one token set at a time."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sae_bench.activations.batches import ActivationBatch, pad
from sae_bench.custom_saes.loading import Member
from sae_bench.language_models import LanguageModel
from sae_bench.testing import tiny_sae

HOOK = "blocks.1.hook_resid_post"
ROUNDING = 2e-5
"""Batches of other shapes sum in other orders: a few float32 steps on values of size 1 to 10."""


def member(architecture: str = "topk", *, hook: str = HOOK, seed: int = 0, name: str = "", **changes: Any) -> Member:
    sae = tiny_sae(architecture, hook_name=hook, seed=seed, **changes)
    return Member("tiny", name or f"{architecture}_{seed}", sae, hook)


def random_texts(lm: LanguageModel, n: int, *, seed: int = 0, longest: int = 20) -> list[list[int]]:
    """Token ids of different lengths, BOS first, no other special token."""
    generator = torch.Generator().manual_seed(seed)
    assert lm.bos_token_id is not None
    texts = []
    for _ in range(n):
        length = int(torch.randint(1, longest, (1,), generator=generator))
        texts.append([lm.bos_token_id, *torch.randint(10, lm.d_vocab, (length,), generator=generator).tolist()])
    return texts


def valid_activations(lm: LanguageModel, ids: list[int], hook: str = HOOK) -> Tensor:
    """(N, D) activations of one text run alone, special tokens left out."""
    keep = [i not in lm.special_token_ids for i in ids]
    return lm.capture(torch.tensor([ids]), [hook])[hook][0][torch.tensor(keep)]


def plain_mean(lm: LanguageModel, ids: list[int], hook: str = HOOK) -> Tensor:
    return valid_activations(lm, ids, hook).double().mean(0)


def plain_code_mean(lm: LanguageModel, ids: list[int], sae: Any, hook: str = HOOK) -> Tensor:
    return sae.encode(valid_activations(lm, ids, hook)).double().mean(0)


def activation_batch(lm: LanguageModel, texts: list[list[int]], rows: list[int], hook: str = HOOK) -> ActivationBatch:
    ids, valid = pad([texts[r] for r in rows], lm)
    return ActivationBatch(tuple(rows), ids, valid, lm.capture(ids, [hook]))


class CountedModel:
    """Counts what `LanguageModel.capture` is asked for while it is in place of it."""

    def __init__(self, lm: LanguageModel, monkeypatch: Any, *, largest: int | None = None) -> None:
        self.batches: list[Tensor] = []
        self.hooks: list[tuple[str, ...]] = []
        plain = lm.capture

        def capture(ids: Tensor, hooks: Any, **kwargs: Any) -> dict[str, Tensor]:
            if largest is not None and len(ids) > largest:
                raise torch.OutOfMemoryError(f"no room for {len(ids)} texts")
            self.batches.append(ids)
            self.hooks.append(tuple(hooks))
            return plain(ids, hooks, **kwargs)

        monkeypatch.setattr(lm, "capture", capture)

    @property
    def n_rows(self) -> int:
        return sum(len(ids) for ids in self.batches)
