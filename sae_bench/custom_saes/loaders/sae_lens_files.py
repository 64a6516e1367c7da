"""Folders that SAELens saved (`cfg.json` + `sae_weights.safetensors`), read without SAELens where they are plain.

Four architectures without run-time normalisation become this package's classes; anything else goes through SAELens
itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sae_bench.custom_saes.architectures import SAE_LENS, Architecture, SAELensForm
from sae_bench.custom_saes.base_sae import BaseSAE
from sae_bench.custom_saes.files import active_latents, empty_sae, fill, matrix_shape, read_safetensors
from sae_bench.custom_saes.folding import fold_decoder_norm
from sae_bench.custom_saes.interface import SAE
from sae_bench.custom_saes.spec import LoadContext, SAEHandle
from sae_bench.errors import SAELoadError

WEIGHTS, CONFIG = "sae_weights.safetensors", "cfg.json"


_RENAMED = {"b_gate": "gate_bias"}
_FIRST_NAMES = {"hook_point": "hook_name", "hook_point_head_index": "hook_head_index"}


def handle(folder: Path, raw: Mapping[str, Any], *, release: str, sae_id: str) -> SAEHandle:
    """The handle of a folder whose `cfg.json` is `raw`."""
    cfg = flatten(raw)
    hook_name = cfg.get("hook_name")

    def load(context: LoadContext) -> SAE:
        return load_folder(folder, raw, device=context.device, dtype=context.dtype)

    return SAEHandle(release, sae_id, hook_name, cfg.get("model_name"), load)


def load_folder(folder: Path, raw: Mapping[str, Any], *, device: torch.device | str, dtype: torch.dtype) -> SAE:
    """The SAE in a folder, decoder norms folded where that is exact.

    Raises:
        SAELoadError: broken files, missing tensors, NaN or infinite weights.
        PrerequisiteError: it needs SAELens and that is not installed.
    """
    cfg = flatten(raw)
    plain = SAE_LENS.get(cfg["architecture"])
    if plain is None or cfg.get("normalize_activations", "none") != "none" or cfg.get("finetuning_scaling_factor"):
        from sae_bench.custom_saes.loaders.sae_lens import load_from_disk

        return load_from_disk(folder, device=device, dtype=dtype)
    sae = _convert(read_safetensors(folder / WEIGHTS), cfg, *plain, source=folder)
    fold_decoder_norm(sae)
    return sae.to(device=device, dtype=dtype)


def flatten(raw: Mapping[str, Any]) -> dict[str, Any]:
    """A `cfg.json` of any SAELens version as one flat dictionary with today's names."""
    cfg = {_FIRST_NAMES.get(key, key): value for key, value in raw.items() if key != "metadata"}
    cfg.update({k: v for k, v in (raw.get("metadata") or {}).items() if v is not None and k not in cfg})
    cfg.setdefault("architecture", "standard")
    cfg.setdefault("apply_b_dec_to_input", True)
    if cfg.get("activation_fn_str", cfg.get("activation_fn")) == "topk":
        cfg["architecture"] = "topk"
        cfg.setdefault("k", (cfg.get("activation_fn_kwargs") or {}).get("k"))
    normalization = cfg.get("normalize_activations") or "none"
    cfg["normalize_activations"] = "expected_average_only_in" if normalization is True else normalization
    return cfg


def _convert(
    raw: dict[str, Tensor], cfg: dict[str, Any], architecture: Architecture, form: SAELensForm, *, source: Path
) -> BaseSAE:
    tensors = {_RENAMED.get(name, name): value.float() for name, value in raw.items() if name != "scaling_factor"}
    d_in, d_sae = matrix_shape(tensors, "W_enc", source=source)
    matrix_shape(tensors, "W_dec", source=source)
    hook_name = cfg.get("hook_name")
    if not isinstance(hook_name, str):
        raise SAELoadError(f"'{source / CONFIG}' names no hook (hook_name).")
    if cfg.get("rescale_acts_by_decoder_norm"):
        _fold_topk_rescaling(tensors)
    k = None
    if "k" in architecture.arguments:
        k = active_latents(cfg.get("k"), d_sae, source=source / CONFIG)
        tensors["k"] = torch.tensor(k)
    if bool(cfg["apply_b_dec_to_input"]) != form.subtracts_b_dec:
        _move_b_dec(tensors, sign=-1.0 if cfg["apply_b_dec_to_input"] else 1.0, source=source)
    model_name = str(cfg.get("model_name") or "")
    empty = empty_sae(architecture, d_in=d_in, d_sae=d_sae, model_name=model_name, hook_name=hook_name, k=k)
    sae = fill(empty, tensors, source=source)
    known = ("context_size", "prepend_bos", "dataset_path", "training_tokens", "hook_head_index", "neuronpedia_id")
    sae.cfg = replace(sae.cfg, **{name: cfg[name] for name in known if cfg.get(name) is not None})
    return sae


def _fold_topk_rescaling(tensors: dict[str, Tensor]) -> None:
    """TopK SAEs that rank `pre * |d|` and decode `f / |d|` are plain ones with the norms in the encoder."""
    norm_F = tensors["W_dec"].norm(dim=1).clamp(min=1e-8)
    tensors["W_dec"] = tensors["W_dec"] / norm_F[:, None]
    for name in ("W_enc", "b_enc"):
        if name in tensors:
            tensors[name] = tensors[name] * norm_F


def _move_b_dec(tensors: dict[str, Tensor], *, sign: float, source: Path) -> None:
    """Write "subtract b_dec first" into the encoder's biases (sign -1), or take it back out (sign 1)."""
    if "b_dec" not in tensors:
        raise SAELoadError(f"'{source}' lacks b_dec.")
    shift_F = sign * (tensors["b_dec"].double() @ tensors["W_enc"].double())
    scales: dict[str, Callable[[], Tensor]] = {
        "b_enc": lambda: shift_F,
        "gate_bias": lambda: shift_F,
        "b_mag": lambda: shift_F * tensors["r_mag"].double().exp(),
    }
    for name, shift in scales.items():
        if name in tensors:
            tensors[name] = (tensors[name].double() + shift()).float()
