"""TransformerLens-style hook names and where they live in Hugging Face modules.

One table per question ("which module holds the attention output?"), looked up by attribute name, so that an
architecture whose modules have familiar names works without being listed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from sae_bench.errors import HookError, ModelError
from sae_bench.language_models.placement import detached_copy

Side = Literal["input", "output"]

_BLOCK_HOOK = re.compile(
    r"blocks\.(?P<layer>\d+)\."
    r"(?P<kind>hook_resid_pre|hook_resid_mid|hook_resid_post|hook_attn_out|hook_mlp_out|attn\.hook_z|mlp\.hook_post|"
    r"mlp\.hook_in|hook_mlp_in|ln2\.hook_normalized)"
)
_SEVERAL_LAYERS = re.compile(r"blocks\.(?P<first>\d+)-(?P<last>\d+)\.(?P<kind>.+)")
EMBED = "hook_embed"
RESIDUAL_KINDS = ("hook_resid_pre", "hook_resid_mid", "hook_resid_post")

_LAYER_LISTS = ("layers", "h", "decoder.layers", "language_model.layers", "blocks")
_ATTENTION = ("self_attn", "attn", "attention", "self_attention")
_ATTENTION_PROJECTION = ("o_proj", "c_proj", "out_proj", "dense")
_MLP = ("mlp", "feed_forward", "block_sparse_moe", "ffn")
_MLP_PROJECTION = ("down_proj", "c_proj", "dense_4h_to_h", "fc2", "fc_out", "w2")
_NORMS_BEFORE_MLP = (
    "pre_feedforward_layernorm", "pre_mlp_layernorm", "pre_ff_layernorm", "feedforward_layernorm", "ffn_norm",
)  # fmt: skip
_NORMS_BEHIND_MLP = ("post_feedforward_layernorm", "post_mlp_layernorm")


@dataclass(frozen=True)
class HookPoint:
    """A parsed hook name; `layer` is -1 for the embedding."""

    name: str
    layer: int
    kind: str

    @property
    def is_residual(self) -> bool:
        """Whether the hook holds the whole residual stream, so that nothing else reaches later layers."""
        return self.kind in RESIDUAL_KINDS

    @property
    def is_read_only(self) -> bool:
        """Whether nothing can be put in the place of its value: it is made for the reader, the model goes on beside."""
        return self.kind == "ln2.hook_normalized"

    @property
    def first_downstream_layer(self) -> int:
        """First layer that must run again after the value at this hook was replaced."""
        return self.layer + 1 if self.kind == "hook_resid_post" else max(self.layer, 0)


@dataclass(frozen=True)
class HookSite:
    """The module whose input or output is the value of a hook.

    `carrier` is set where the value also goes on beside the module, through a skip connection: the module at whose
    output a change has to be added as well. `view` is set where the value is not what the module is given but what this
    makes of it: such a hook can be read and not written.
    """

    module: nn.Module
    side: Side
    carrier: nn.Module | None = None
    view: Callable[[Tensor], Tensor] | None = None


def parse_hook_name(name: str) -> HookPoint:
    """Parse `blocks.8.hook_resid_post` and its kin.

    Raises:
        HookError: the name follows none of the known forms.
    """
    if name == EMBED:
        return HookPoint(name, -1, EMBED)
    match = _BLOCK_HOOK.fullmatch(name)
    if match is None:
        raise HookError(
            f"'{name}' is no hook name. Known forms: hook_embed, blocks.<layer>.hook_resid_pre|hook_resid_mid|"
            "hook_resid_post|hook_attn_out|hook_mlp_out|hook_mlp_in, blocks.<layer>.attn.hook_z, "
            "blocks.<layer>.mlp.hook_post|hook_in, blocks.<layer>.ln2.hook_normalized."
        )
    return HookPoint(name, int(match["layer"]), match["kind"])


def hooks_side_by_side(name: str) -> tuple[str, ...]:
    """The hooks whose values stand side by side under a name: those of layers 0 to 5 under `blocks.0-5.mlp.hook_in`.

    Any other name stands for itself.
    """
    match = _SEVERAL_LAYERS.fullmatch(name)
    if match is None:
        return (name,)
    layers = range(int(match["first"]), int(match["last"]) + 1)
    return tuple(f"blocks.{layer}.{match['kind']}" for layer in layers) or (name,)


def layer_hooks(layer: int) -> list[HookPoint]:
    """The hooks of a layer that hold its residual stream, what joins it, and what the MLP reads."""
    kinds = (*RESIDUAL_KINDS, "hook_attn_out", "hook_mlp_out", "mlp.hook_in")
    return [parse_hook_name(f"blocks.{layer}.{kind}") for kind in kinds]


def find_layers(base: nn.Module) -> nn.ModuleList:
    """The list of decoder layers of a Hugging Face base model.

    Raises:
        ModelError: no list of layers under any of the known names.
    """
    for path in _LAYER_LISTS:
        module = _attribute(base, path)
        if isinstance(module, nn.ModuleList) and len(module) > 0:
            return module
    raise ModelError(
        f"found no list of decoder layers in {type(base).__name__} (looked for {', '.join(_LAYER_LISTS)}). "
        "Only decoder-only transformers are supported."
    )


def find_decoder(model: Any) -> nn.Module:
    """The decoder stack without the head (for multimodal wrappers, the part that reads text)."""
    base = model.base_model
    if base is model:  # Llama 4: the text part of a wrapper by itself keeps the name that it has there
        base = getattr(model, "model", model)
    return getattr(base, "language_model", base)


def locate(hook: HookPoint, layers: nn.ModuleList, embedding: nn.Module) -> HookSite:
    """The module and side where the value of `hook` appears.

    Raises:
        HookError: the layer is beyond the model's depth, or the architecture has no such value.
    """
    if hook.kind == EMBED:
        return HookSite(embedding, "output")
    if hook.layer >= len(layers):
        raise HookError(
            f"'{hook.name}' is beyond the model's depth: it has {len(layers)} layers, so the last one is "
            f"blocks.{len(layers) - 1}."
        )
    layer = layers[hook.layer]
    if hook.kind == "hook_resid_pre":
        return HookSite(layer, "input")
    if hook.kind == "hook_resid_post":
        return HookSite(layer, "output")
    site = {
        "hook_resid_mid": _resid_mid,
        "hook_attn_out": _attention_output,
        "hook_mlp_out": _mlp_output,
        "attn.hook_z": _attention_heads,
        "mlp.hook_post": _mlp_activations,
        "mlp.hook_in": _mlp_input,
        "hook_mlp_in": _mlp_input,
        "ln2.hook_normalized": _normalised_before_weights,
    }[hook.kind](layer)
    if site is None:
        raise HookError(f"{type(layer).__name__} has no value for '{hook.name}'.")
    return site


def norm_before_mlp(layer: nn.Module) -> nn.Module | None:
    """The norm whose input is the stream after attention and whose output the MLP reads, going by its name."""
    norm = _first(layer, _NORMS_BEFORE_MLP)
    if norm is not None:
        return norm
    if hasattr(layer, "fc2"):  # OPT: it is called final_layer_norm
        return _first(layer, ("final_layer_norm",)) if getattr(layer, "do_layer_norm_before", True) else None
    if _has_sandwich_norms(layer) and not hasattr(layer, "post_self_attn_layernorm"):
        return None  # OLMo 2: its post_attention_layernorm is of what attention gives
    return _first(layer, ("post_attention_layernorm", "ln_2", "norm_2"))


def _resid_mid(layer: nn.Module) -> HookSite | None:
    if _runs_attention_and_mlp_in_parallel(layer):
        return None
    reader = norm_before_mlp(layer)
    if reader is None and _has_sandwich_norms(layer):
        reader = _first(layer, _MLP) or layer
    return HookSite(reader, "input", carrier=layer) if reader is not None else None


def _attention_output(layer: nn.Module) -> HookSite | None:
    norms = ("post_self_attn_layernorm", "post_attention_layernorm")
    module = _first(layer, norms if _has_sandwich_norms(layer) else _ATTENTION)
    return HookSite(module, "output") if module is not None else None


def _mlp_output(layer: nn.Module) -> HookSite | None:
    module = _first(layer, (*_NORMS_BEHIND_MLP, *_MLP, "fc2"))
    return HookSite(module, "output") if module is not None else None


def _attention_heads(layer: nn.Module) -> HookSite | None:
    attention = _first(layer, _ATTENTION)
    attention = _first(attention, ("attention",)) or attention  # GPT-Neo wraps one of two kinds of attention
    projection = _first(attention, _ATTENTION_PROJECTION) if attention is not None else None
    return HookSite(projection, "input") if projection is not None else None


def _mlp_activations(layer: nn.Module) -> HookSite | None:
    projection = _first(_first(layer, _MLP) or layer, _MLP_PROJECTION)
    return HookSite(projection, "input") if projection is not None else None


def _mlp_input(layer: nn.Module) -> HookSite | None:
    """What the MLP reads, its norm and the norm's weights applied: where transcoders read under either name."""
    module = _first(layer, (*_MLP, "fc1"))
    return HookSite(module, "input") if module is not None else None


def _normalised_before_weights(layer: nn.Module) -> HookSite | None:
    """What the norm before the MLP gives before its weights: where transcoders of Gemma Scope read."""
    norm = norm_before_mlp(layer)
    return None if norm is None else HookSite(norm, "input", view=_without_weights(norm))


def _without_weights(norm: nn.Module) -> Callable[[Tensor], Tensor]:
    """A copy of a norm whose weights change nothing, be they factors or, as in Gemma, what is added to factors of 1."""
    plain = detached_copy(norm)
    for hooks in (plain._forward_hooks, plain._forward_pre_hooks):
        hooks.clear()
    with torch.no_grad():
        for value in plain.parameters():
            value.zero_()
        weight = getattr(plain, "weight", None)
        if isinstance(weight, Tensor):
            trial_D = torch.arange(1, len(weight) + 1, device=weight.device, dtype=weight.dtype)
            if not bool(plain(trial_D[None, None]).any()):
                weight.fill_(1)
    return lambda value: plain.to(value.device)(value)


def _has_sandwich_norms(layer: nn.Module) -> bool:
    """Gemma 2 and 3, OLMo 2, GLM 4: attention and MLP outputs are normalised before they join the residual stream."""
    return _first(layer, _NORMS_BEHIND_MLP) is not None


def _runs_attention_and_mlp_in_parallel(layer: nn.Module) -> bool:
    """GPT-NeoX (by configuration) and Phi: there is no residual stream between attention and MLP."""
    if hasattr(layer, "use_parallel_residual"):
        return bool(layer.use_parallel_residual)
    return _first(layer, (*_NORMS_BEFORE_MLP, "post_attention_layernorm", "ln_2", "norm_2", "fc2")) is None


def _first(module: nn.Module | None, names: tuple[str, ...]) -> nn.Module | None:
    attributes = (getattr(module, name, None) for name in names)
    return next((m for m in attributes if isinstance(m, nn.Module)), None)


def _attribute(module: nn.Module, path: str) -> object:
    value: object = module
    for part in path.split("."):
        value = getattr(value, part, None)
    return value
