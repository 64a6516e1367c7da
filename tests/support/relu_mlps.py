"""Models with a ReLU MLP, which is its own exact transcoder, plain and with a skip path."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from lm_families import variant

from sae_bench.custom_saes.architectures import ARCHITECTURES
from sae_bench.custom_saes.files import empty_sae
from sae_bench.custom_saes.loading import Member
from sae_bench.language_models import LanguageModel
from sae_bench.testing import FAMILIES as TINY
from sae_bench.testing import tiny_model
from sae_bench.testing.causal_lms import tiny_causal_lm

_VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": ("gpt2", {"activation_function": "relu"}),
    "gpt_neox": ("gpt_neox", {"hidden_act": "relu", "use_parallel_residual": True}),
    "gpt_neox_sequential": ("gpt_neox", {"hidden_act": "relu", "use_parallel_residual": False}),
    "opt": ("opt", {"activation_function": "relu"}),
    "phi": ("phi", {"hidden_act": "relu"}),
    "gptj": ("gptj", {"activation_function": "relu"}),
    "starcoder2": ("starcoder2", {"hidden_act": "relu"}),
}
"""Of the kinds of models here those whose MLP is two linear maps with an activation that may be a ReLU between them."""
FAMILIES = tuple(_VARIANTS)
_PROJECTIONS = (("c_fc", "c_proj"), ("fc_in", "fc_out"), ("dense_h_to_4h", "dense_4h_to_h"), ("fc1", "fc2"))


@cache
def relu_model(family: str = "gpt2", *, bias: float = 0.0) -> LanguageModel:
    """A tiny random model whose MLPs are two linear maps with a ReLU between them; shared: leave its weights alone.

    Args:
        bias: added to what goes into the ReLUs of a gpt2.
    """
    base, changes = _VARIANTS[family]
    lm = variant(tiny_model(base) if base in TINY else _wide_awake(base), **changes)
    if bias:
        for block in lm.layers:
            mlp: Any = block.mlp
            mlp.c_fc.bias.data.add_(bias)
    return lm


@torch.no_grad()
def _wide_awake(kind: str) -> LanguageModel:
    """A tiny model of a kind with weights so large that its MLPs matter to its losses."""
    lm = tiny_causal_lm(kind)
    generator = torch.Generator().manual_seed(0)
    for weight in (one for one in lm.model.parameters() if one.ndim > 1):
        weight.normal_(0.0, 1.2 / weight.shape[-1] ** 0.5, generator=generator)
    return lm


@torch.no_grad()
def own_mlp(lm: LanguageModel, layer: int = 1, *, skip: bool = False) -> Any:
    """The MLP of a layer as a transcoder from what it reads to what it writes.

    Args:
        skip: as a skip transcoder: relu(z) = z + relu(-z), so that the latents carry relu(-z) and the skip path z.
    """
    block: Any = lm.layers[layer]
    mlp = getattr(block, "mlp", block)
    (first, second) = next((getattr(mlp, a), getattr(mlp, b)) for a, b in _PROJECTIONS if hasattr(mlp, a))
    W_in, W_out = ((m.weight if type(m).__name__ == "Conv1D" else m.weight.T) for m in (first, second))
    sae: Any = empty_sae(
        ARCHITECTURES["transcoder"], d_in=W_in.shape[0], d_sae=W_in.shape[1], model_name=lm.name,
        hook_name=f"blocks.{layer}.mlp.hook_in", k=None, d_out=W_out.shape[1],
        hook_name_out=f"blocks.{layer}.hook_mlp_out", skip=skip,
    )  # fmt: skip
    sign = -1 if skip else 1
    sae.W_enc.copy_(sign * W_in)
    sae.b_enc.copy_(sign * first.bias)
    sae.W_dec.copy_(W_out)
    sae.b_dec.copy_(second.bias)
    if skip:
        sae.W_skip.copy_((W_in @ W_out).T)
        sae.b_dec += first.bias @ W_out
    return sae


def member_of(sae: Any, name: str = "transcoder") -> Member:
    """The member of a run that an SAE or transcoder is."""
    return Member("tiny", name, sae, sae.cfg.hook_name)
