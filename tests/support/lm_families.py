"""The tiny models these tests run on: one per architecture, and variants that only a configuration tells apart."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from sae_bench.language_models import LanguageModel
from sae_bench.testing.tiny_models import tiny_model

LENGTH = 12
WINDOW = 5
"""A sliding window shorter than the rows, so that it matters."""

_VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": ("gpt2", {}),
    "gpt_neox": ("gpt_neox", {"use_parallel_residual": True}),
    "gpt_neox_sequential": ("gpt_neox", {"use_parallel_residual": False}),
    "llama": ("llama", {}),
    "mistral": ("mistral", {"sliding_window": WINDOW}),
    "qwen3": ("qwen3", {}),
    "gemma2": (
        "gemma2",
        {"sliding_window": WINDOW, "final_logit_softcapping": 2.0, "attn_logit_softcapping": 3.0},
    ),
    "gemma3": ("gemma3", {"sliding_window": WINDOW}),
    "opt": ("opt", {}),
    "opt_post_norm": ("opt", {"do_layer_norm_before": False}),
    "phi": ("phi", {}),
}
FAMILIES = tuple(_VARIANTS)
PARALLEL = ("gpt_neox", "phi")
POST_NORM = ("opt_post_norm",)
SEQUENTIAL = tuple(f for f in FAMILIES if f not in PARALLEL + POST_NORM)


@cache
def family_model(family: str) -> LanguageModel:
    """A tiny random model of the family; shared, so tests that change weights make their own."""
    base, changes = _VARIANTS[family]
    return variant(tiny_model(base), **changes) if changes else tiny_model(base)


def variant(lm: LanguageModel, **changes: Any) -> LanguageModel:
    """The same weights under a changed configuration."""
    config = copy.deepcopy(lm.config)
    for key, value in changes.items():
        assert hasattr(config, key), key
        setattr(config, key, value)
    model = AutoModelForCausalLM.from_config(config).float()
    model.load_state_dict(lm.model.state_dict(), strict=False)
    return LanguageModel(model, lm.tokenizer, name=lm.name)


def token_rows(lm: LanguageModel, *, rows: int = 3, length: int = LENGTH, seed: int = 0) -> Tensor:
    """Random token ids without special tokens, (rows, length)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(10, lm.d_vocab, (rows, length), generator=generator)


def padding_mask(side: str, *, rows: int = 3, length: int = LENGTH) -> Tensor | None:
    """1 for real tokens; row i has i * 3 tokens of padding on the given side ('none': no mask at all)."""
    if side == "none":
        return None
    mask = torch.ones(rows, length, dtype=torch.long)
    for row in range(rows):
        padded = slice(0, row * 3) if side == "left" else slice(length - row * 3, length)
        mask[row, padded] = 0
    return mask


def hf_inputs(lm: LanguageModel, ids: Tensor, mask: Tensor | None) -> dict[str, Any]:
    """What a user of transformers passes for the same batch: the mask, and positions that count real tokens."""
    inputs: dict[str, Any] = {"input_ids": ids, "use_cache": False}
    if mask is not None:
        inputs |= {"attention_mask": mask, "position_ids": (mask.cumsum(-1) - 1).clamp(min=0)}
    return inputs


def next_token_losses(lm: LanguageModel, hidden_BLD: Tensor, ids_BL: Tensor) -> Tensor:
    """Cross-entropy (B, L-1) of each next token, from whole logits."""
    logits_BVL = lm.unembed(hidden_BLD[:, :-1]).float().mT
    return torch.nn.functional.cross_entropy(logits_BVL, ids_BL[:, 1:], reduction="none")
