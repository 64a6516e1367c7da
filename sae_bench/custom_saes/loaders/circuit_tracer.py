"""Sets of transcoders as circuit-tracer reads them: one `layer_<L>.safetensors` per layer, or a cross-layer transcoder.

`config.yaml` says the kind, the hooks and the model, and may name files of other repositories (`hf://...`). Sets
without it that hold `wandb-config.yaml` read the MLP's input and predict its output (those of mwhanna).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sae_bench.custom_saes.base_sae import BaseSAE
from sae_bench.custom_saes.files import read_safetensors
from sae_bench.custom_saes.loaders import gemma_scope, gemma_scope_2
from sae_bench.custom_saes.loaders import repository as of
from sae_bench.custom_saes.loaders.cross_layer import LayerWeights, hooks_up_to, written_at
from sae_bench.custom_saes.loaders.module_hooks import Hooks
from sae_bench.custom_saes.loaders.repository import Format, Repository
from sae_bench.custom_saes.loaders.tensor_layout import Entry, Layout, Weights, arrange, build, check_layout
from sae_bench.custom_saes.spec import SAEHandle, unusable
from sae_bench.custom_saes.transcoder import CROSS_LAYER as CROSS_LAYER_REASON
from sae_bench.errors import SAELoadError, UsageError
from sae_bench.text_files import read_yaml

CONFIG = "config.yaml"
_TRAINING_CONFIGS = ("wandb-config.yaml", "wanb-config.yaml")
"""Of mwhanna's sets; the second is a slip that some of them have."""
_DEFAULT_HOOKS = {"feature_input_hook": "mlp.hook_in", "feature_output_hook": "hook_mlp_out"}
SET, CROSS_LAYER = "transcoder_set", "cross_layer_transcoder"
LAYOUT: Layout = {
    "W_enc": Entry("W_enc", "FD"),
    "b_enc": Entry("b_enc", "F"),
    "W_dec": Entry("W_dec", "FO"),
    "b_dec": Entry("b_dec", "O"),
    "activation_function.threshold": Entry("threshold", "F", optional=True),
    "W_skip": Entry("W_skip", "OD", optional=True),
}


def handles(repository: Repository) -> list[SAEHandle]:
    """One handle per layer; a configuration that cannot be read is told when they are loaded."""
    if CONFIG not in repository.files and not any(name in repository.files for name in _TRAINING_CONFIGS):
        return []
    try:
        config = _config(repository)
    except SAELoadError as error:
        return [unusable(repository.name, of.DEFAULT_ID, error)]
    if config is None:
        return []
    if config.get("model_kind") == CROSS_LAYER and not config.get("transcoders"):
        layers = [int(m["layer"]) for m in repository.matching(r"W_enc_(?P<layer>\d+)\.safetensors")]
        whole = [
            _up_to_layer(repository, layer, config) for layer in layers if layers[: layer + 1] == [*range(layer + 1)]
        ]
        return [*(_cross_layer(repository, layer, config) for layer in layers), *whole]
    return [_one(repository, layer, file, config) for layer, file in _files(repository, config)]


def load(weights: Path, hooks: Hooks, model_name: str | None) -> BaseSAE:
    """The transcoder of one layer, in float32 on the CPU: JumpReLU where the file has thresholds, else ReLU.

    Raises:
        SAELoadError: broken or contradictory files, thresholds below 0.
    """
    arranged = arrange(read_safetensors(weights), LAYOUT, source=weights)
    return _build(arranged, weights, hooks, model_name)


def load_cross_layer(encoder: Path, decoder: Path, layer: int, hooks: Hooks, model_name: str | None) -> BaseSAE:
    """One layer of a cross-layer transcoder for its codes: its decoder is the sum over the layers that it writes to.

    Args:
        encoder, decoder: `W_enc_<L>.safetensors` and `W_dec_<L>.safetensors`.
    """
    arranged = _read_layer(encoder, decoder, layer)
    arranged.tensors.pop("W_skip", None)
    arranged.tensors["W_dec"] = arranged.tensors.pop("W_dec_FLO").sum(dim=1)
    transcoder = _build(arranged, encoder, hooks, model_name)
    transcoder.codes_only = CROSS_LAYER_REASON
    return transcoder


def load_up_to_layer(paths: Sequence[Path], hooks: Hooks, model_name: str | None) -> BaseSAE:
    """What a cross-layer transcoder writes at a layer, of the latents of all layers up to it.

    Args:
        paths: `W_enc_<L>.safetensors` and `W_dec_<L>.safetensors` of layer 0, then of layer 1, and so on.
    Raises:
        SAELoadError: broken or contradictory files, thresholds below 0.
    """
    last = len(paths) // 2 - 1
    layers, of_last = [], Weights({}, {})
    for layer in range(last + 1):
        encoder, decoder = paths[2 * layer : 2 * layer + 2]
        of_last = _read_layer(encoder, decoder, layer)
        tensors = of_last.tensors
        if of_last.sizes["L"] <= last - layer:
            raise SAELoadError(f"'{decoder}' writes to {of_last.sizes['L']} layers, {last - layer + 1} are needed.")
        W_dec = tensors.pop("W_dec_FLO")[:, last - layer].clone()
        threshold_F = _thresholds(of_last, encoder)
        threshold_F = torch.zeros_like(tensors["b_enc"]) if threshold_F is None else threshold_F
        layers.append(LayerWeights(tensors["W_enc"], tensors["b_enc"], threshold_F, W_dec))
    last_layer = of_last.tensors
    return written_at(layers, last_layer["b_dec"], last_layer.get("W_skip"), hooks, model_name, source=paths[-2])


def _read_layer(encoder: Path, decoder: Path, layer: int) -> Weights:
    """The tensors of one layer of a cross-layer transcoder; decoder rows are W_dec_FLO, L the layers from it on."""
    entries = {f"{name}_{layer}": entry for name, entry in LAYOUT.items() if name in ("W_enc", "b_enc", "b_dec")}
    entries[f"threshold_{layer}"] = Entry("threshold", "F", optional=True)
    entries[f"W_skip_{layer}"] = Entry("W_skip", "DO", optional=True)
    rows: Layout = {f"W_dec_{layer}": Entry("W_dec_FLO", "FLO")}
    read, written = read_safetensors(encoder), read_safetensors(decoder)
    sizes = check_layout(read, entries, source=encoder)
    check_layout(written, rows, source=decoder, sizes=sizes, told_by=f"'{encoder}'")
    return arrange({**read, **written}, {**entries, **rows}, source=encoder)


def _thresholds(arranged: Weights, weights: Path) -> Tensor | None:
    """One for each latent, if there are any. Raises `SAELoadError` for some below 0."""
    threshold_F = arranged.tensors.get("threshold")
    if threshold_F is None:
        return None
    if bool((threshold_F < 0).any()):
        raise SAELoadError(f"'{weights}': some thresholds are below 0, where latents would have negative values.")
    return threshold_F.flatten()


def _build(arranged: Weights, weights: Path, hooks: Hooks, model_name: str | None) -> BaseSAE:
    threshold_F = _thresholds(arranged, weights)
    if threshold_F is not None:
        arranged.tensors["threshold"] = threshold_F
    return build(
        "transcoder" if threshold_F is None else "jumprelu_transcoder",
        arranged,
        source=weights,
        hook_name=hooks.read,
        hook_name_out=hooks.written,
        model_name=model_name,
    )


def _config(repository: Repository) -> dict[str, Any] | None:
    """What `config.yaml` says, with mwhanna's hooks where it is missing; None for a file of another purpose."""
    config: dict[str, Any] = {}
    if CONFIG in repository.files:
        try:
            read = read_yaml(repository.get(CONFIG))
        except UsageError as error:
            raise SAELoadError(str(error)) from error
        if not isinstance(read, Mapping) or not {"model_kind", "model_name", "transcoders"} & read.keys():
            return None
        config = dict(read)
    elif match := re.search(r"qwen3-(\d+(?:\.\d+)?)b", repository.name.lower()):
        config["model_name"] = f"Qwen/Qwen3-{match[1]}B"
    kind = config.get("model_kind", SET)
    if kind not in (SET, CROSS_LAYER):
        raise SAELoadError(f"'{repository.name}/{CONFIG}': model_kind is '{kind}'; {SET} and {CROSS_LAYER} are read.")
    return {**_DEFAULT_HOOKS, **config}


def _files(repository: Repository, config: Mapping[str, Any]) -> list[tuple[int, str]]:
    """The file of each layer: those that the configuration lists, or `layer_<L>.safetensors`."""
    listed = config.get("transcoders")
    if listed:
        return [(layer, str(name)) for layer, name in enumerate(listed)]
    return [(int(m["layer"]), m[0]) for m in repository.matching(r"layer_(?P<layer>\d+)\.safetensors")]


def _one(repository: Repository, layer: int, name: str, config: Mapping[str, Any]) -> SAEHandle:
    hooks, model_name = _hooks(layer, config), _model(config)

    def load_file(paths: list[Path]) -> BaseSAE:
        if paths[0].suffix == ".npz":
            arranged = arrange(gemma_scope.read_npz(paths[0]), gemma_scope.TRANSCODER_LAYOUT, source=paths[0])
            return _build(arranged, paths[0], hooks, model_name)
        raw = read_safetensors(paths[0])
        if "w_enc" in raw:  # a transcoder of Gemma Scope 2, where it lies
            arranged = arrange(raw, gemma_scope_2.TRANSCODER_LAYOUT, source=paths[0])
            return _build(arranged, paths[0], hooks, model_name)
        return load(paths[0], hooks, model_name)

    return of.handle(repository, f"layer_{layer}", [name], load_file, hook_name=hooks.read, model_name=model_name)


def _cross_layer(repository: Repository, layer: int, config: Mapping[str, Any]) -> SAEHandle:
    hooks, model_name = _hooks(layer, config), _model(config)
    return of.handle(
        repository,
        f"layer_{layer}",
        [f"W_enc_{layer}.safetensors", f"W_dec_{layer}.safetensors"],
        lambda paths: load_cross_layer(paths[0], paths[1], layer, hooks, model_name),
        hook_name=hooks.read,
        model_name=model_name,
    )


def _up_to_layer(repository: Repository, layer: int, config: Mapping[str, Any]) -> SAEHandle:
    hooks, model_name = hooks_up_to(layer, _hooks(layer, config)), _model(config)
    return of.handle(
        repository,
        f"up_to_layer_{layer}",
        [f"W_{part}_{i}.safetensors" for i in range(layer + 1) for part in ("enc", "dec")],
        lambda paths: load_up_to_layer(paths, hooks, model_name),
        hook_name=hooks.read,
        model_name=model_name,
    )


def _hooks(layer: int, config: Mapping[str, Any]) -> Hooks:
    read, written = (f"blocks.{layer}.{config[name]}" for name in _DEFAULT_HOOKS)
    return Hooks(read, written)


def _model(config: Mapping[str, Any]) -> str | None:
    return str(config.get("model_name") or "") or None


FORMAT = Format(
    "circuit_tracer",
    "circuit-tracer",
    f"{CONFIG} with model_kind, and layer_<L>.safetensors or W_enc_<L>.safetensors + W_dec_<L>.safetensors",
    handles,
)
resolve = FORMAT.resolve
