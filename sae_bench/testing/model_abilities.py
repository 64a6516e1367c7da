"""What a language model can do here, found by trying: hooks, going on from a layer, shared beginnings, generation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sae_bench.errors import HookError
from sae_bench.language_models import LanguageModel, Resume
from sae_bench.language_models.generation import generate
from sae_bench.language_models.hooks import RESIDUAL_KINDS

HOOKS = (
    *RESIDUAL_KINDS, "hook_attn_out", "hook_mlp_out", "mlp.hook_in", "ln2.hook_normalized", "attn.hook_z",
    "mlp.hook_post",
)  # fmt: skip
N_TOKENS = 4
TOLERANCE = 1e-4
"""How far equal hidden states may lie apart, relative to the largest."""


@dataclass(frozen=True)
class ModelAbilities:
    """What was found.

    Attributes:
        layers_with: kind of hook -> the layers whose value there can be read.
        n_layers: of the model.
        goes_on: whether going on from the stream of every layer gives what the whole pass gives.
        replaces: whether a copy of the value at a hook, put there, changes nothing, and another value something.
        shares_beginnings: whether texts can be laid over one another.
        reads_on: whether a text can be read in parts.
        generates: whether greedy continuations are the model's own.
    """

    layers_with: dict[str, tuple[int, ...]]
    n_layers: int
    goes_on: bool
    replaces: bool
    shares_beginnings: bool
    reads_on: bool
    generates: bool


@torch.no_grad()
def model_abilities(lm: LanguageModel) -> ModelAbilities:
    """Try everything on two short texts."""
    ids_BL = (torch.arange(20).view(2, 10) * 7 + 11).remainder(lm.d_vocab)
    whole_BLD = lm.final_hidden(ids_BL)
    layers_with = {
        kind: tuple(at for at in range(lm.n_layers) if _has(lm, f"blocks.{at}.{kind}", ids_BL)) for kind in HOOKS
    }
    return ModelAbilities(
        layers_with=layers_with,
        n_layers=lm.n_layers,
        goes_on=all(_alike(_from_layer(lm, layer, ids_BL), whole_BLD) for layer in range(lm.n_layers)),
        replaces=all(
            _replaces(lm, f"blocks.{layers[-1]}.{kind}", ids_BL, whole_BLD)
            for kind, layers in layers_with.items()
            if layers and kind != "ln2.hook_normalized"
        ),
        shares_beginnings=lm.shares_beginnings(),
        reads_on=lm.reads_on(),
        generates=generate(lm, ids_BL, n_tokens=N_TOKENS, stop=()) == _continued(lm, ids_BL),
    )


def _has(lm: LanguageModel, hook: str, ids_BL: Tensor) -> bool:
    try:
        return lm.capture(ids_BL, [hook])[hook].shape[:2] == ids_BL.shape
    except HookError:
        return False


def _from_layer(lm: LanguageModel, layer: int, ids_BL: Tensor) -> Tensor:
    hook = f"blocks.{layer}.hook_resid_pre"
    return lm.final_hidden(ids_BL, resume=Resume(layer, lm.capture(ids_BL, [hook])[hook]))


def _replaces(lm: LanguageModel, hook: str, ids_BL: Tensor, whole_BLD: Tensor) -> bool:
    same_BLD = lm.final_hidden(ids_BL, replace={hook: lambda value: value.clone()})
    other_BLD = lm.final_hidden(ids_BL, replace={hook: lambda value: 2 * value.flip(1) + 1})
    return _alike(same_BLD, whole_BLD) and not _alike(other_BLD, whole_BLD)


def _continued(lm: LanguageModel, ids_BL: Tensor) -> list[list[int]]:
    """The most likely next tokens by the model's own logits, each from a pass over the whole text."""
    for _ in range(N_TOKENS):
        logits_BV = lm.model(input_ids=ids_BL, use_cache=False).logits[:, -1]
        ids_BL = torch.cat([ids_BL, logits_BV.argmax(dim=-1, keepdim=True)], dim=1)
    return ids_BL[:, -N_TOKENS:].tolist()


def _alike(one_BLD: Tensor, other_BLD: Tensor) -> bool:
    return bool((one_BLD - other_BLD).abs().max() <= TOLERANCE * other_BLD.abs().max())
