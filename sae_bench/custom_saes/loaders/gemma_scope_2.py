"""Gemma Scope 2: JumpReLU SAEs, transcoders (affine ones too), cross-layer transcoders, heads of crosscoders.

`<kind>/<leaf>/params.safetensors` with `config.json` beside it, or `clt/<name>/<...layer_<L>...>.safetensors`, or
`crosscoder/<name>/params_layer_<I>.safetensors`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from sae_bench.custom_saes.base_sae import BaseSAE
from sae_bench.custom_saes.files import read_json, read_safetensors
from sae_bench.custom_saes.loaders import crosscoder
from sae_bench.custom_saes.loaders import repository as of
from sae_bench.custom_saes.loaders.cross_layer import LayerWeights, hooks_up_to, written_at
from sae_bench.custom_saes.loaders.module_hooks import Hooks
from sae_bench.custom_saes.loaders.repository import Format, Repository
from sae_bench.custom_saes.loaders.tensor_layout import Entry, Layout, arrange, build
from sae_bench.custom_saes.spec import SAEHandle, unusable
from sae_bench.custom_saes.transcoder import CROSS_LAYER
from sae_bench.errors import SAELoadError

PARAMS, CONFIG = "params.safetensors", "config.json"
CONTEXT_SIZE = 1024
_ENCODER: Layout = {
    "w_enc": Entry("W_enc", "DF"),
    "b_enc": Entry("b_enc", "F"),
    "threshold": Entry("threshold", "F"),
}
SAE_LAYOUT: Layout = {**_ENCODER, "w_dec": Entry("W_dec", "FD"), "b_dec": Entry("b_dec", "D")}
TRANSCODER_LAYOUT: Layout = {
    **_ENCODER,
    "w_dec": Entry("W_dec", "FO"),
    "b_dec": Entry("b_dec", "O"),
    "affine_skip_connection": Entry("W_skip", "DO", optional=True),
}
_CLT_LAYOUT: Layout = {**TRANSCODER_LAYOUT, "w_dec": Entry("W_dec_FLO", "FLO")}
"""Of one layer of a cross-layer transcoder, with decoder rows for all L layers, those before it not in use."""
_KINDS = {
    "resid_post": "hook_resid_post",
    "attn_out": "attn.hook_z",
    "mlp_out": "hook_mlp_out",
    "transcoder": "hook_mlp_in",
    "clt": "hook_mlp_in",
    crosscoder.FOLDER: "hook_resid_post",
}
"""First folder, without `_all` -> the hook that is read there."""
_POINTS = {
    "output": "hook_resid_post",
    "self_attn.o_proj.input": "attn.hook_z",
    "post_feedforward_layernorm.output": "hook_mlp_out",
    "pre_feedforward_layernorm.output": "hook_mlp_in",
}
"""What `config.json` calls a hook, below `model.layers.<L>.` -> its name here."""


def handles(repository: Repository) -> list[SAEHandle]:
    """One handle per file of weights."""
    leaves = [match[0] for match in repository.matching(rf"(?:.+/)?{re.escape(PARAMS)}")]
    layers = [m[0] for m in repository.matching(r"(?:.+/)?clt/.*layer_\d+[^/]*\.safetensors") if m[0] not in leaves]
    heads = [m[0] for m in repository.matching(rf"(?:.+/)?{crosscoder.FOLDER}/.*params_layer_\d+\.safetensors")]
    alone = (_handle(repository, filename) for filename in (*leaves, *layers, *heads))
    return [*alone, *_up_to_layers(repository, layers)]


def load(weights: Path, config: Mapping[str, Any], where: str) -> BaseSAE:
    """What one file holds, in float32 on the CPU.

    Args:
        config: the `config.json` beside it; empty where there is none.
        where: its path with the repository's name: what the configuration does not say of kind, layer and model.
    Raises:
        SAELoadError: broken or contradictory files, another architecture, a kind that is not told.
    """
    hooks = hooks_of(config, where)
    raw = read_safetensors(weights)
    head = crosscoder.head_of(where) if crosscoder.FOLDER in where.split("/") else None
    is_layer = head is None and raw.get("w_dec") is not None and raw["w_dec"].ndim == 3
    transcodes = is_layer or hooks.read != hooks.written
    if head is not None:
        arranged = crosscoder.arrange_head(raw, head, source=weights)
    else:
        layout = TRANSCODER_LAYOUT if transcodes else SAE_LAYOUT
        arranged = arrange(_summed(raw) if is_layer else raw, layout, source=weights)
    sae = build(
        "jumprelu_transcoder" if transcodes else "jumprelu",
        arranged,
        source=weights,
        hook_name=hooks.read,
        hook_name_out=hooks.written,
        model_name=model_of(config, where),
        context_size=CONTEXT_SIZE,
    )
    sae.codes_only = crosscoder.REASON if head is not None else CROSS_LAYER if is_layer else ""
    return sae


def load_up_to_layer(paths: Sequence[Path], where: str) -> BaseSAE:
    """What a cross-layer transcoder writes at a layer, of the latents of all layers up to it.

    Args:
        paths: the files of layer 0 and on.
        where: path of the last one, with the repository's name.
    Raises:
        SAELoadError: broken or contradictory files.
    """
    last, layers, tensors = len(paths) - 1, [], dict[str, Tensor]()
    for path in paths:
        tensors, sizes = arrange(read_safetensors(path), _CLT_LAYOUT, source=path)
        if sizes["L"] <= last:
            raise SAELoadError(f"'{path}' writes to {sizes['L']} layers, {last + 1} are needed.")
        W_dec = tensors.pop("W_dec_FLO")[:, last].clone()
        layers.append(LayerWeights(tensors["W_enc"], tensors["b_enc"], tensors["threshold"], W_dec))
    hooks = hooks_up_to(last, hooks_of({}, where))
    return written_at(layers, tensors["b_dec"], tensors.get("W_skip"), hooks, model_of({}, where), source=paths[-1])


def hooks_of(config: Mapping[str, Any], where: str) -> Hooks:
    """What is read and what is predicted, from the configuration and the path.

    Raises:
        SAELoadError: neither tells, or both tell and differ.
    """
    if config.get("architecture", "jump_relu") != "jump_relu":
        raise SAELoadError(f"'{where}' has the architecture '{config['architecture']}'; jump_relu is read.")
    folders = [part.removesuffix("_all") for part in reversed(where.split("/"))]
    kind = next((folder for folder in folders if folder in _KINDS), None)
    layer = _layer_of(where, kind)
    by_path = f"blocks.{layer}.{_KINDS[kind]}" if kind and layer else None
    by_config = _hook(config.get("hf_hook_point_in"), layer, where)
    if by_path is None and by_config is None:
        raise SAELoadError(
            f"'{where}': neither {CONFIG} nor the path says the hook. Next: keep the folders of the repository, as in "
            f"resid_post/layer_12_width_16k_l0_medium/{PARAMS}."
        )
    if by_path and by_config and by_path != by_config:
        raise SAELoadError(f"'{where}' is of '{by_path}' by its path and of '{by_config}' by its {CONFIG}.")
    read = by_config or by_path or ""
    written = _hook(config.get("hf_hook_point_out"), layer, where)
    if written is None:
        written = read.replace("hook_mlp_in", "hook_mlp_out") if kind in ("transcoder", "clt") else read
    return Hooks(read, written)


def model_of(config: Mapping[str, Any], where: str) -> str | None:
    """The model as the hub calls it: from the configuration, else from the repository's name in the path."""
    name = str(config.get("model_name") or "")
    if not name:
        match = re.search(r"gemma-scope-2-(\w+)-(pt|it)", where)
        if match is None:
            return None
        name = f"gemma-3-{match[1]}-{match[2]}"
    name = name.rpartition("/")[2].replace("-v3", "-3")
    return "google/" + (name.removesuffix("-pt") if "270m" in name else name)


def _handle(repository: Repository, filename: str) -> SAEHandle:
    folder, _, last = filename.rpartition("/")
    sae_id = (folder if last == PARAMS else filename.removesuffix(".safetensors")) or of.DEFAULT_ID
    config_name = f"{folder}/{CONFIG}" if folder else CONFIG
    has_config = config_name in repository.files
    where = repository.full_name(filename)
    hook_name, model_name = None, model_of({}, where)
    try:
        config = read_json(repository.get(config_name)) if has_config and repository.root is not None else {}
        if config or not has_config:
            hook_name, model_name = hooks_of(config, where).read, model_of(config, where)
    except SAELoadError as error:
        return unusable(repository.name, sae_id, error)

    def load_files(paths: list[Path]) -> BaseSAE:
        stated = read_json(paths[1]) if has_config else {}
        return load(paths[0], stated, where)

    files = [filename, config_name] if has_config else [filename]
    return of.handle(repository, sae_id, files, load_files, hook_name=hook_name, model_name=model_name)


def _up_to_layers(repository: Repository, files: Sequence[str]) -> list[SAEHandle]:
    """The whole of each cross-layer transcoder, layer by layer, as far as no file is missing."""
    by_folder: dict[str, dict[int, str]] = {}
    for name in files:
        layer = int(re.findall(r"layer_(\d+)", name)[-1])
        by_folder.setdefault(name.rpartition("/")[0], {})[layer] = name
    found = []
    for folder, by_layer in by_folder.items():
        for last in range(len(by_layer)):
            if not {*range(last + 1)} <= by_layer.keys():
                break
            where = repository.full_name(by_layer[last])
            found.append(
                of.handle(
                    repository,
                    f"{folder}/up_to_layer_{last}",
                    [by_layer[layer] for layer in range(last + 1)],
                    partial(load_up_to_layer, where=where),
                    hook_name=hooks_up_to(last, hooks_of({}, where)).read,
                    model_name=model_of({}, where),
                )
            )
    return found


def _layer_of(where: str, kind: str | None) -> str | None:
    """The layer that a path names last, or that a crosscoder's file reads."""
    if kind == crosscoder.FOLDER:
        return crosscoder.head_of(where).layer
    layers = re.findall(r"layer_(\d+)", where)
    return layers[-1] if layers else None


def _hook(point: object, layer: str | None, where: str) -> str | None:
    """Our name of a hook point; of several layers, as in `model.layers.{5,9}.output` or `{all}`, that of the path."""
    if point is None:
        return None
    match = re.fullmatch(r"model\.layers\.(\d+|\{[\d, ]+\}|\{all\})\.(.+)", str(point))
    if match is None or match[2] not in _POINTS:
        raise SAELoadError(f"'{where}': the hook point '{point}' is not known; known are {', '.join(_POINTS)}.")
    layers = re.findall(r"\d+", match[1])
    if match[1].startswith("{"):
        if layer is None or (layers and layer not in layers):
            raise SAELoadError(f"'{where}' is of layer {layer} by its path and of '{point}' by its {CONFIG}.")
        layers = [layer]
    return f"blocks.{layers[0]}.{_POINTS[match[2]]}"


def _summed(raw: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A cross-layer transcoder's layer with one decoder, the sum over the layers that it writes to."""
    kept = {name: value for name, value in raw.items() if name != "affine_skip_connection"}
    return {**kept, "w_dec": raw["w_dec"].float().sum(dim=1)}


FORMAT = Format("gemma_scope", "Gemma Scope 2", f"folders with {PARAMS} (and {CONFIG}), clt/<name>/", handles)
resolve = FORMAT.resolve
