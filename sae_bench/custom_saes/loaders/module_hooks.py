"""Which hooks a module of a transformers model stands for: training libraries name the module that an SAE sits at."""

from __future__ import annotations

import re
from typing import NamedTuple

from sae_bench.errors import SAELoadError


class Hooks(NamedTuple):
    """What is read, and what is reconstructed; the same unless it is a transcoder."""

    read: str
    written: str


class Module(NamedTuple):
    """A module by what its output is (`resid_post` for a whole layer), and the layer that its name has."""

    kind: str
    layer: int | None


NAMED = {
    "resid_pre": "hook_resid_pre",
    "resid_mid": "hook_resid_mid",
    "resid_post": "hook_resid_post",
    "attention_out": "hook_attn_out",
    "attn_out": "hook_attn_out",
    "mlp_out": "hook_mlp_out",
}
"""What scripts call a place, as in `resid_post_layer_8` -> what its output is here."""
_INPUTS = {"resid_post": "hook_resid_pre", "mlp_out": "mlp.hook_in"}
"""What such a module reads."""
_NAME = re.compile(rf"(?P<kind>{'|'.join(NAMED)})(?:_layer_?(?P<layer>\d+))?")
_PATH = re.compile(
    r"(?:[\w.]+\.)?(?:layers|h|blocks)\.(?P<layer>\d+)(?:\.(?:(?P<attn>attn|self_attn|attention)|(?P<mlp>mlp)))?"
)
_EMBEDDINGS = ("embed_tokens", "wte", "embed_in")


def module_of(name: str, *, source: object) -> Module:
    """What the name of a module stands for, as scripts write it or as its path in the model.

    Raises:
        SAELoadError: it is not known.
    """
    if match := _NAME.fullmatch(name):
        return Module(match["kind"], None if match["layer"] is None else int(match["layer"]))
    if match := _PATH.fullmatch(name):
        kind = "attention_out" if match["attn"] else "mlp_out" if match["mlp"] else "resid_post"
        return Module(kind, int(match["layer"]))
    if name.rpartition(".")[2] in _EMBEDDINGS:
        return Module("embed", 0)
    raise SAELoadError(
        f"'{source}': the submodule '{name}' is not known. Known: {', '.join(NAMED)}, each alone or with "
        "_layer_<number>, and paths such as model.layers.8, model.layers.8.self_attn, model.layers.8.mlp."
    )


def hooks_of(kind: str, layer: int, io: str, *, source: object) -> Hooks:
    """The hooks of an SAE at a module.

    Args:
        kind: of the module.
        io: `out` for an SAE of its output, `in` of its input, `in_and_out` for a transcoder from the one to the other.
    Raises:
        SAELoadError: the input of this module has no hook here.
    """
    written = "hook_embed" if kind == "embed" else f"blocks.{layer}.{NAMED[kind]}"
    if io == "out":
        return Hooks(written, written)
    if kind not in _INPUTS:
        raise SAELoadError(f"'{source}' reads the input of {kind} (io is {io}), which has no hook here.")
    read = f"blocks.{layer}.{_INPUTS[kind]}"
    return Hooks(read, written if io == "in_and_out" else read)
