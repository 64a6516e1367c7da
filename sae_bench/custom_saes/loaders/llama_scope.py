"""Llama Scope and Llama Scope R1-Distill: JumpReLU SAEs of OpenMOSS, trained on activations times one factor.

Llama Scope: `<leaf>/hyperparams.json` + `<leaf>/checkpoints/final.safetensors`, one threshold for all latents.
R1-Distill: `<leaf>/config.json` + `<leaf>/sae_weights.safetensors`, a threshold per latent.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from sae_bench.custom_saes.base_sae import BaseSAE
from sae_bench.custom_saes.files import read_json, read_safetensors
from sae_bench.custom_saes.loaders import repository as of
from sae_bench.custom_saes.loaders.goodfire import layout
from sae_bench.custom_saes.loaders.repository import Format, Repository
from sae_bench.custom_saes.loaders.sae_lens import UNKNOWN_SCALE
from sae_bench.custom_saes.loaders.tensor_layout import Entry, Weights, arrange, build
from sae_bench.custom_saes.spec import SAEHandle
from sae_bench.errors import SAELoadError

HYPERPARAMS, CHECKPOINT = "hyperparams.json", "checkpoints/final.safetensors"
R1_CONFIG, R1_WEIGHTS = "config.json", "sae_weights.safetensors"
LAYOUT = layout("encoder", "decoder")
R1_LAYOUT = {**LAYOUT, "log_jumprelu_threshold": Entry("threshold", "F")}
MODEL_NAME, CONTEXT_SIZE = "meta-llama/Llama-3.1-8B", 1024


def handles(repository: Repository) -> list[SAEHandle]:
    """One handle per folder of either layout."""
    found = []
    for weights, config, load_files in ((CHECKPOINT, HYPERPARAMS, load), (R1_WEIGHTS, R1_CONFIG, load_r1)):
        for match in repository.matching(rf"(?P<folder>(?:.+/)?){weights}"):
            folder = match["folder"]
            if f"{folder}{config}" not in repository.files or f"{folder}cfg.json" in repository.files:
                continue
            hook_name = None if repository.root is None else _hook(repository.get(f"{folder}{config}"))
            found.append(
                of.handle(
                    repository,
                    folder.rstrip("/") or of.DEFAULT_ID,
                    [f"{folder}{weights}", f"{folder}{config}"],
                    lambda paths, load_files=load_files: load_files(*paths),  # type: ignore[misc]
                    hook_name=hook_name,
                    model_name=MODEL_NAME,
                )
            )
    return found


def load(weights: Path, config_path: Path) -> BaseSAE:
    """An SAE of Llama Scope, its factor in the weights, in float32 on the CPU.

    Raises:
        SAELoadError: broken or contradictory files, a transcoder, another activation function.
    """
    config = read_json(config_path)
    _refuse(config, source=config_path)
    arranged = arrange(read_safetensors(weights), LAYOUT, source=weights)
    threshold = _number(config.get("jump_relu_threshold"), "jump_relu_threshold", source=config_path)
    scale = _scale(config, arranged, source=config_path)
    if scale is None:
        raise SAELoadError(f"'{config_path}' has no dataset_average_activation_norm, by which inputs are scaled.")
    arranged.tensors["threshold"] = torch.full((arranged.sizes["F"],), threshold * scale)
    return _scaled(arranged, scale, config, source=weights)


def load_r1(weights: Path, config_path: Path) -> BaseSAE:
    """An SAE of the R1-Distill suite, in float32 on the CPU. Errors as `load`."""
    config = read_json(config_path)
    _refuse(config, source=config_path)
    arranged = arrange(read_safetensors(weights), R1_LAYOUT, source=weights)
    arranged.tensors["threshold"] = arranged.tensors["threshold"].exp()
    scale = _scale(config, arranged, source=config_path)
    sae = _scaled(arranged, 1.0 if scale is None else scale, config, source=weights)
    if scale is None:
        sae.caveats = (UNKNOWN_SCALE,)
    return sae


def _scaled(arranged: Weights, scale: float, config: Mapping[str, Any], *, source: Path) -> BaseSAE:
    """The SAE that reads `scale * x`, as one of x: what it reads and what it gives are divided in its weights."""
    tensors = arranged.tensors
    tensors["W_enc"] = tensors["W_enc"] * scale
    tensors["W_dec"], tensors["b_dec"] = tensors["W_dec"] / scale, tensors["b_dec"] / scale
    return build(
        "jumprelu",
        arranged,
        source=source,
        hook_name=str(config["hook_point_in"]),
        model_name=MODEL_NAME,
        context_size=CONTEXT_SIZE,
    )


def _scale(config: Mapping[str, Any], arranged: Weights, *, source: Path) -> float | None:
    norms = config.get("dataset_average_activation_norm")
    if norms is None:
        return None
    norm = norms.get("in") if isinstance(norms, Mapping) else norms
    return float(arranged.sizes["D"] ** 0.5 / _number(norm, "dataset_average_activation_norm.in", source=source))


def _number(value: object, name: str, *, source: Path) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise SAELoadError(f"'{source}': {name} is {value!r}, a positive number is needed.")
    return float(value)


def _refuse(config: Mapping[str, Any], *, source: Path) -> None:
    if not isinstance(config.get("hook_point_in"), str):
        raise SAELoadError(f"'{source}' names no hook (hook_point_in).")
    out = config.get("hook_point_out")
    if out not in (None, config["hook_point_in"]):
        raise SAELoadError(f"'{source}' is a transcoder of Llama Scope (hook_point_out is '{out}'), which is not read.")
    if config.get("act_fn", "jumprelu") != "jumprelu":
        raise SAELoadError(f"'{source}' has the activation '{config['act_fn']}'; of Llama Scope's, jumprelu is read.")


def _hook(config_path: Path) -> str | None:
    try:
        hook = read_json(config_path).get("hook_point_in")
    except SAELoadError:  # told when it is loaded
        return None
    return hook if isinstance(hook, str) else None


FORMAT = Format(
    "llama_scope",
    "Llama Scope",
    f"folders with {HYPERPARAMS} and {CHECKPOINT}, or {R1_CONFIG} and {R1_WEIGHTS}",
    handles,
)
resolve = FORMAT.resolve
