"""SAEs and transcoders of EleutherAI's sparsify: a folder per module with `cfg.json` and `sae.safetensors`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sae_bench.custom_saes.base_sae import BaseSAE
from sae_bench.custom_saes.files import read_json, read_safetensors
from sae_bench.custom_saes.loaders import repository as of
from sae_bench.custom_saes.loaders.module_hooks import hooks_of, module_of
from sae_bench.custom_saes.loaders.repository import Format, Repository
from sae_bench.custom_saes.loaders.tensor_layout import Entry, arrange, build
from sae_bench.custom_saes.spec import SAEHandle, unusable
from sae_bench.errors import SAELoadError

WEIGHTS, CONFIG = "sae.safetensors", "cfg.json"
LAYOUT = {
    "encoder.weight": Entry("W_enc", "FD"),
    "encoder.bias": Entry("b_enc", "F"),
    "W_dec": Entry("W_dec", "FO"),
    "b_dec": Entry("b_dec", "O"),
    "W_skip": Entry("W_skip", "OD", optional=True),
}


def is_sparsify(config: Mapping[str, Any]) -> bool:
    """Whether a `cfg.json` is one of this library: the package's own format has files of the same names."""
    return "k" in config and "d_in" in config and "format" not in config


def handles(repository: Repository) -> list[SAEHandle]:
    """One handle per folder with both files; the folder's name is the module."""
    found = []
    for match in repository.matching(rf"(?P<folder>.+/)?{WEIGHTS}"):
        folder = match["folder"] or ""
        if f"{folder}{CONFIG}" in repository.files:
            found += _handle(repository, folder)
    return found


def load(weights: Path, config_path: Path, hookpoint: str, model_name: str | None) -> BaseSAE:
    """The SAE, transcoder or skip transcoder in a folder, in float32 on the CPU.

    Args:
        hookpoint: the module, as in `layers.5.mlp`.
    Raises:
        SAELoadError: broken or contradictory files, groupmax, signed codes, a skip path in an SAE.
    """
    config = read_json(config_path)
    _refuse(config, source=config_path)
    transcodes = bool(config.get("transcode"))
    module = module_of(hookpoint, source=config_path.parent)
    hooks = hooks_of(module.kind, module.layer or 0, "in_and_out" if transcodes else "out", source=config_path)
    return build(
        "topk_transcoder" if transcodes else "topk",
        arrange(read_safetensors(weights), LAYOUT, source=weights),
        source=weights,
        hook_name=hooks.read,
        hook_name_out=hooks.written,
        model_name=model_name,
        k=config.get("k"),
    )


def _handle(repository: Repository, folder: str) -> list[SAEHandle]:
    sae_id = folder.rstrip("/") or of.DEFAULT_ID
    hookpoint = folder.rstrip("/").rpartition("/")[2] or repository.name
    hook_name, model_name = None, None
    try:
        if repository.root is not None:
            config = read_json(repository.get(f"{folder}{CONFIG}"))
            if not is_sparsify(config):
                return []
            model_name = _model(repository, folder)
            module = module_of(hookpoint, source=folder or repository.repo_id)
            io = "in_and_out" if config.get("transcode") else "out"
            hook_name = hooks_of(module.kind, module.layer or 0, io, source=folder).read
    except SAELoadError as error:
        return [unusable(repository.name, sae_id, error)]

    def load_folder(paths: list[Path]) -> BaseSAE:
        return load(paths[0], paths[1], hookpoint, model_name)

    files = [f"{folder}{WEIGHTS}", f"{folder}{CONFIG}"]
    return [of.handle(repository, sae_id, files, load_folder, hook_name=hook_name, model_name=model_name)]


def _model(repository: Repository, folder: str) -> str | None:
    """The model in the training's `config.json`, which lies beside the folders of the modules."""
    parent = folder.rstrip("/").rpartition("/")[0]
    name = f"{parent}/config.json" if parent else "config.json"
    if name not in repository.files:
        return None
    return str(read_json(repository.get(name)).get("model") or "") or None


def _refuse(config: Mapping[str, Any], *, source: Path) -> None:
    activation = config.get("activation", "topk")
    if activation != "topk":
        raise SAELoadError(f"'{source}' has the activation '{activation}'; of sparsify's, topk is read.")
    if config.get("signed"):
        raise SAELoadError(f"'{source}' is of an early version with signed codes (signed is true), which is not read.")
    if config.get("skip_connection") and not config.get("transcode"):
        raise SAELoadError(f"'{source}' is an SAE with a skip path, which would reconstruct without its latents.")


FORMAT = Format(
    "sparsify", "sparsify", f"folders with {WEIGHTS} and {CONFIG}, called as the module (layers.5.mlp)", handles
)
resolve = FORMAT.resolve
