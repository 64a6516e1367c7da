"""SAEs trained with the dictionary_learning library: a tree of folders with `ae.pt` and `config.json`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sae_bench.custom_saes import fingerprint
from sae_bench.custom_saes.architectures import ARCHITECTURES, Architecture, Trainer
from sae_bench.custom_saes.base_sae import BaseSAE
from sae_bench.custom_saes.files import (
    active_latents,
    check_repo_id,
    download,
    empty_sae,
    fill,
    find_repository,
    hub_failed,
    matrix_shape,
    read_json,
    read_torch,
)
from sae_bench.custom_saes.folding import fold_decoder_norm
from sae_bench.custom_saes.loaders.module_hooks import Hooks, hooks_of, module_of
from sae_bench.custom_saes.loaders.tensor_layout import Entry, Layout, check_layout, subtract_b_dec_no_more
from sae_bench.custom_saes.spec import LoadContext, SAEHandle, unusable
from sae_bench.errors import SAELoadError, UnknownNameError

WEIGHTS, CONFIG = "ae.pt", "config.json"


class TrainerLayout(NamedTuple):
    """A trainer class and the kind of SAE that its checkpoints hold."""

    trainer: Trainer
    architecture: Architecture


TRAINERS: dict[str, TrainerLayout] = {
    trainer.name: TrainerLayout(trainer, row) for row in ARCHITECTURES.values() for trainer in row.trainers
}
"""`trainer_class` of a configuration -> how its checkpoints read."""
_RENAMED = {
    "encoder.weight": "W_enc",
    "encoder.bias": "b_enc",
    "decoder.weight": "W_dec",
    "bias": "b_dec",
    "decoder_bias": "b_dec",
    "decoder.bias": "b_dec",
    "mag_bias": "b_mag",
}
_TRAINING_ONLY = ("group_sizes",)
_ENTRIES: Layout = {
    "encoder.weight": Entry("W_enc", "FD"),
    "W_enc": Entry("W_enc", "DF"),
    "encoder.bias": Entry("b_enc", "F"),
    "b_enc": Entry("b_enc", "F"),
    "gate_bias": Entry("gate_bias", "F"),
    "r_mag": Entry("r_mag", "F"),
    "mag_bias": Entry("b_mag", "F"),
    "decoder.weight": Entry("W_dec", "DF"),
    "W_dec": Entry("W_dec", "FD"),
    "bias": Entry("b_dec", "D"),
    "decoder_bias": Entry("b_dec", "D"),
    "decoder.bias": Entry("b_dec", "D"),
    "b_dec": Entry("b_dec", "D"),
    "threshold": Entry("threshold", "F"),
}
"""Under which names files have our tensors, with their axes."""
_LINEAR = ("encoder.weight", "encoder.bias", "decoder.weight")
_OF_ALL = ("W_enc", "b_enc", "W_dec", "b_dec")
_TENSORS = {
    "gated": ("W_enc", "gate_bias", "r_mag", "b_mag", "W_dec", "b_dec"),
    "jumprelu": (*_OF_ALL, "threshold"),
}
"""Kind of SAE -> its tensors, where they are not those of all, without scalars."""
_B_DEC = {"relu": "bias", "p_anneal": "bias", "gated": "decoder_bias"}
"""Kind of SAE -> what its files usually call b_dec, where it is not that."""
_TRANSCODERS = {
    "relu": "transcoder",
    "p_anneal": "transcoder",
    "topk": "topk_transcoder",
    "jumprelu": "jumprelu_transcoder",
    "batch_topk": "jumprelu_transcoder",
    "matryoshka_batch_topk": "jumprelu_transcoder",
}
"""Kind of SAE -> the kind of transcoder that computes the same from another module's input."""
_DEFAULT_KIND = "resid_post"
_DIRECTIONS = ("in", "out", "in_and_out")


def resolve(rest: str, *, data_dir: Path | None = None) -> list[SAEHandle]:
    """One handle per folder of the repository or directory that holds an SAE."""
    root = find_repository(rest, data_dir=data_dir)
    if root is None:
        return _handles(_download_configs(rest), name=rest.rsplit("/", 1)[-1], repo_id=rest)
    return local_handles(root)


def local_handles(root: Path) -> list[SAEHandle]:
    """One handle per SAE folder under a directory."""
    return _handles(root, name=root.resolve().name, repo_id=None)


def hook_from_config(config: Mapping[str, Any], *, source: object) -> str:
    """The hook an SAE was trained at, from the content of its `config.json`.

    `trainer.submodule_name` names a module: as the library's scripts do (`resid_post_layer_8`), or by its path in the
    model (`transformer.h.8`); without a name it is the layer. `buffer.io` says whether the SAE reads the module's
    output (the default) or its input, or is a transcoder from the input to the output.

    Args:
        config: the whole configuration.
        source: the file, for messages.
    Raises:
        SAELoadError: no layer, a module that is not known or is named with another layer, an input that has no hook
            here.
    """
    return hooks_from_config(config, source=source).read


def hooks_from_config(config: Mapping[str, Any], *, source: object) -> Hooks:
    """What is read and what is reconstructed: the same, unless `buffer.io` is `in_and_out`. As `hook_from_config`."""
    trainer = trainer_of(config, source=source)
    io = str((config.get("buffer") or {}).get("io") or "out")
    if io not in _DIRECTIONS:
        raise SAELoadError(f"'{source}': buffer.io is '{io}'; known are {', '.join(_DIRECTIONS)}.")
    kind, layer_in_name = module_of(str(trainer.get("submodule_name") or _DEFAULT_KIND), source=source)
    layer = trainer.get("layer", layer_in_name)
    layer = layer_in_name if layer is None else layer
    try:
        number = int(layer)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise SAELoadError(f"'{source}' names no layer (trainer.layer is {layer!r}).") from error
    if layer_in_name is not None and number != layer_in_name:
        raise SAELoadError(f"'{source}' names layer {number} and, in trainer.submodule_name, layer {layer_in_name}.")
    return hooks_of(kind, number, io, source=source)


def load_folder(
    weights: Path,
    config: Mapping[str, Any],
    *,
    device: torch.device | str,
    dtype: torch.dtype,
    use_threshold: bool = False,
    model_name: str | None = None,
) -> BaseSAE:
    """One SAE from its `ae.pt` and the content of its `config.json`, decoder norms folded where that is exact.

    Raises:
        SAELoadError: broken files, missing or unknown tensors, NaN or infinite weights.
        UnknownNameError: a trainer class this version does not know.
    """
    trainer = trainer_of(config, source=weights)
    layout = layout_of(trainer)
    raw = read_torch(weights)
    check_layout(raw, _entries_in(raw, layout), source=weights, ignored=("k", "threshold", *_TRAINING_ONLY))
    tensors = _to_our_layout(raw, layout, trainer, keep_threshold=use_threshold)
    d_in, d_sae = matrix_shape(tensors, "W_enc", source=weights)
    hooks = hooks_from_config(config, source=weights)
    row, name = layout.architecture, layout.trainer.architecture
    if hooks.read != hooks.written:
        row = _as_transcoder(tensors, row, source=weights)
        name = row.name
    k = None
    if "k" in row.arguments:
        k = _k_of(tensors, trainer, source=weights)
        tensors["k"] = torch.tensor(k)
    empty = empty_sae(
        row,
        d_in=d_in,
        d_sae=d_sae,
        model_name=model_name or str(trainer.get("lm_name", "")),
        hook_name=hooks.read,
        hook_name_out=hooks.written,
        k=k,
        use_threshold=use_threshold,
    )
    sae = fill(empty, tensors, source=weights)
    buffer = config.get("buffer") or {}
    sae.cfg = replace(sae.cfg, architecture=name, context_size=buffer.get("ctx_len"))
    fold_decoder_norm(sae)
    return sae.to(device=device, dtype=dtype)


def _as_transcoder(tensors: dict[str, Tensor], row: Architecture, *, source: object) -> Architecture:
    """The row of the transcoder that computes what this class computes; its tensors are changed to that one's.

    Raises:
        SAELoadError: there is none, or a threshold was never set.
    """
    if row.name not in _TRANSCODERS:
        raise SAELoadError(f"'{source}' is a transcoder of the class {row.title}, which is not read.")
    if row.name != "jumprelu":  # the others subtract b_dec, of the output, from the input
        subtract_b_dec_no_more(tensors, sign=-1.0)
    if row.sae_class.endswith("BatchTopKSAE"):
        tensors.pop("k", None)
        if "threshold" not in tensors or float(tensors["threshold"]) < 0:
            raise SAELoadError(f"'{source}' encodes with a threshold that was never set. Take a later checkpoint.")
        tensors["threshold"] = tensors["threshold"].float().expand(tensors["W_enc"].shape[1]).clone()
    return ARCHITECTURES[_TRANSCODERS[row.name]]


def layout_of(trainer: Mapping[str, Any]) -> TrainerLayout:
    """The layout of a trainer class. Raises `UnknownNameError` for one that is not in `TRAINERS`."""
    name = str(trainer.get("trainer_class"))
    if name not in TRAINERS:
        raise UnknownNameError("trainer class", name, TRAINERS)
    return TRAINERS[name]


def _handles(root: Path, *, name: str, repo_id: str | None) -> list[SAEHandle]:
    handles = []
    for config_path in sorted(root.rglob(CONFIG), key=_natural):
        if repo_id is None and not (config_path.parent / WEIGHTS).is_file():
            continue
        location = config_path.parent.relative_to(root).as_posix()
        handle = _handle(config_path, release=name, location=location, repo_id=repo_id)
        if handle is not None:
            handles.append(handle)
    if not handles:
        raise SAELoadError(
            f"found no SAE in '{repo_id or root}': looked for folders with {WEIGHTS} and a {CONFIG} that has 'trainer'."
        )
    return handles


def _handle(config_path: Path, *, release: str, location: str, repo_id: str | None) -> SAEHandle | None:
    """The SAE of one folder; one whose configuration is unusable fails when it is loaded. None if it is no SAE."""
    sae_id = "custom_sae" if location == "." else location
    try:
        config = read_json(config_path)
        if not isinstance(config.get("trainer"), dict):
            return None
        hook_name = hook_from_config(config, source=config_path)
    except SAELoadError as error:
        return unusable(release, sae_id, error)

    def weights() -> Path:
        if repo_id is None:
            return config_path.parent / WEIGHTS
        return download(repo_id, WEIGHTS if location == "." else f"{location}/{WEIGHTS}")

    def load(context: LoadContext) -> BaseSAE:
        return load_folder(weights(), config, device=context.device, dtype=context.dtype)

    def identify(_context: LoadContext) -> str:
        return fingerprint.of_files(weights(), config_path)

    return SAEHandle(release, sae_id, hook_name, str(config["trainer"].get("lm_name") or "") or None, load, identify)


def _entries_in(raw: Mapping[str, Tensor], layout: TrainerLayout) -> Layout:
    """How a file has the tensors that its kind of SAE needs; those that it lacks under their usual names."""
    kind, entries = layout.architecture.name, {}
    for ours in _TENSORS.get(kind, _OF_ALL):
        names = [name for name, entry in _ENTRIES.items() if entry.name == ours]
        usual = [name for name in names if name in _LINEAR] if layout.trainer.linear else []
        usual = usual or [_B_DEC[kind] if ours == "b_dec" and kind in _B_DEC else ours]
        name = next((name for name in names if name in raw), {"b_mag": "mag_bias"}.get(usual[0], usual[0]))
        entries[name] = _ENTRIES[name]
    return entries


def _to_our_layout(
    raw: dict[str, Tensor], layout: TrainerLayout, trainer: Mapping[str, Any], *, keep_threshold: bool
) -> dict[str, Tensor]:
    """Our tensor names and orientation, training-only tensors left out."""
    tensors = {_RENAMED.get(key, key): value for key, value in raw.items() if key not in _TRAINING_ONLY}
    if "use_threshold" in layout.architecture.arguments and not keep_threshold:
        tensors.pop("threshold", None)
    if layout.trainer.linear and "encoder.weight" in raw:
        for name in ("W_enc", "W_dec"):
            if name in tensors and tensors[name].ndim == 2:
                tensors[name] = tensors[name].T
    if trainer.get("dict_class") == "AutoEncoderNew" or "decoder.bias" in raw:
        # this class does not subtract b_dec before encoding; ReluSAE does, so the encoder's bias takes it back
        tensors["b_enc"] = (tensors["b_enc"].double() + tensors["b_dec"].double() @ tensors["W_enc"].double()).float()
    return tensors


def _k_of(tensors: Mapping[str, Tensor], trainer: Mapping[str, Any], *, source: object) -> int:
    from_config = trainer.get("k")
    from_weights = int(tensors["k"].item()) if "k" in tensors else None
    if from_config is not None and from_weights is not None and from_config != from_weights:
        raise SAELoadError(f"'{source}': k is {from_weights} in the weights and {from_config} in {CONFIG}.")
    k = from_config if from_weights is None else from_weights
    return active_latents(k, tensors["W_enc"].shape[1], source=source)


def trainer_of(config: Mapping[str, Any], *, source: object) -> Mapping[str, Any]:
    """What a configuration says of the training. Raises `SAELoadError` if it has no such part."""
    trainer = config.get("trainer")
    if not isinstance(trainer, Mapping):
        raise SAELoadError(f"the {CONFIG} of '{source}' has no object 'trainer'.")
    return trainer


def _download_configs(repo_id: str) -> Path:
    from huggingface_hub import snapshot_download

    check_repo_id(repo_id)
    try:
        return Path(snapshot_download(repo_id, allow_patterns=[f"*{CONFIG}"]))
    except Exception as error:  # see `download`
        raise hub_failed(f"the list of SAEs of '{repo_id}'", error) from error


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sort key under which trainer_2 comes before trainer_10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path.as_posix())]
