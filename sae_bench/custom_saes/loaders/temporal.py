"""Temporal SAEs: of canrager/temporalSAEs, folders with `conf.yaml` and `latest_ckpt.safetensors`, and SAELens'."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from sae_bench.custom_saes.architectures import ARCHITECTURES
from sae_bench.custom_saes.base_sae import BaseSAE
from sae_bench.custom_saes.files import active_latents, empty_sae, fill, read_safetensors
from sae_bench.custom_saes.loaders import repository as of
from sae_bench.custom_saes.loaders.repository import Format, Repository
from sae_bench.custom_saes.loaders.tensor_layout import Entry, arrange
from sae_bench.custom_saes.spec import SAEHandle
from sae_bench.errors import SAELoadError, UsageError
from sae_bench.text_files import read_yaml

CONFIG, WEIGHTS = "conf.yaml", "latest_ckpt.safetensors"
_SAE_LENS_NAMES = {"W_dec": "W_dec", "W_enc": "W_enc", "b_dec": "b_dec"}
_NAMES = {"D": "W_dec", "E": "W_enc", "b": "b_dec"}
_AXES = {"W_dec": "FD", "W_enc": "DF", "b_dec": "D"}
_ATTENTION = {"k_ctx": "E", "q_target": "E", "v_ctx": "F", "c_proj": "F"}
"""Map of an attention layer -> the axis that it gives; all take latents."""
_MODELS = {"gemma-2-2B": "google/gemma-2-2b", "llama-3.1-8B": "meta-llama/Llama-3.1-8B"}
"""Folder of the repository -> the model as the hub calls it."""
_SMALLEST_LENGTH = 1e-6


class Settings(NamedTuple):
    """How a temporal SAE computes, beside its weights.

    Attributes:
        scale: the SAE reads so many times the activations.
        kind: `topk` or `relu`.
        k: active latents per token of `topk`; None keeps all.
        tied: whether the encoder is the decoder's transpose.
    """

    scale: float
    kind: str
    k: object
    tied: bool
    n_heads: int
    n_attn_layers: int
    bottleneck_factor: int


def handles(repository: Repository) -> list[SAEHandle]:
    """One handle per folder with both files; the path says the layer and the model."""
    folders = [match["folder"] or "" for match in repository.matching(rf"(?P<folder>.+/)?{re.escape(WEIGHTS)}")]
    return [_handle(repository, folder) for folder in folders if f"{folder}{CONFIG}" in repository.files]


def load(weights: Path, config: Path, *, hook_name: str, model_name: str | None) -> BaseSAE:
    """The SAE of a folder, in float32 on the CPU. Raises `SAELoadError` for broken or contradictory files."""
    raw = read_safetensors(weights)
    return _build(raw, _NAMES, _settings(config), source=weights, hook_name=hook_name, model_name=model_name)


def of_sae_lens(tensors: Mapping[str, Tensor], cfg: Mapping[str, Any], *, source: object) -> BaseSAE:
    """The SAE that SAELens' configuration and weights of architecture `temporal` describe.

    Raises:
        SAELoadError: contradictory files, or settings that change what is computed in a way that is not read.
    """
    normalization = cfg.get("normalize_activations") or "none"
    if normalization not in ("none", "constant_scalar_rescale"):
        raise SAELoadError(f"'{source}' is a temporal SAE of activations with {normalization}, which is not read.")
    if not cfg.get("apply_b_dec_to_input", True):
        raise SAELoadError(f"'{source}' is a temporal SAE that does not subtract b_dec, which is not read.")
    if not isinstance(cfg.get("hook_name"), str):
        raise SAELoadError(f"'{source}' names no hook (hook_name).")
    scale = cfg.get("activation_normalization_factor", 1.0) if normalization != "none" else 1.0
    sizes = (int(cfg.get(name, default)) for name, default in _SIZES.items())
    settings = Settings(
        scale, cfg.get("sae_diff_type", "topk"), cfg.get("kval_topk"), bool(cfg.get("tied_weights", True)), *sizes
    )
    names = {"source": source, "hook_name": cfg["hook_name"], "model_name": cfg.get("model_name")}
    return _build(tensors, _SAE_LENS_NAMES, settings, **names)


_SIZES = {"n_heads": 8, "n_attn_layers": 1, "bottleneck_factor": 64}
"""Names and defaults of SAELens."""


def _build(
    raw: Mapping[str, Tensor],
    names: Mapping[str, str],
    settings: Settings,
    *,
    source: object,
    hook_name: str,
    model_name: str | None,
) -> BaseSAE:
    """A temporal SAE with these weights, its scales folded into them.

    With s the factor of the activations and d_in their width, training multiplies activations by s, what is encoded by
    1 / (4 d_in), and divides reconstructions by s.

    Args:
        names: the file's names of the tensors -> ours, beside those of the attention layers.
    Raises:
        SAELoadError: a tensor is missing, unknown or mis-shaped, or a setting is impossible.
    """
    layout = {name: Entry(ours, _AXES[ours]) for name, ours in names.items() if not (settings.tied and ours == "W_enc")}
    for layer in range(settings.n_attn_layers):
        for part, axis in _ATTENTION.items():
            name = f"attn_layers.{layer}.{part}"
            layout |= {
                f"{name}.weight": Entry(f"{name}.weight", f"{axis}F"),
                f"{name}.bias": Entry(f"{name}.bias", axis),
            }
    tensors, sizes = arrange(raw, layout, source=source)
    d_in, d_sae = sizes["D"], sizes["F"]
    if settings.kind not in ("topk", "relu"):
        raise SAELoadError(f"'{source}': sae_diff_type is '{settings.kind}'; topk and relu are read.")
    if isinstance(settings.scale, bool) or not isinstance(settings.scale, int | float) or not settings.scale > 0:
        raise SAELoadError(f"'{source}': the factor of the activations is {settings.scale!r}, no positive number.")
    k = settings.k if settings.kind == "topk" else None
    if settings.tied:
        tensors["W_enc"] = tensors["W_dec"].T
    tensors["W_enc"] = tensors["W_enc"].double() * settings.scale / (4 * d_in)
    for name in ("W_dec", "b_dec"):
        tensors[name] = tensors[name].double() / settings.scale
    try:
        empty = empty_sae(
            ARCHITECTURES["temporal"], d_in=d_in, d_sae=d_sae, model_name=model_name or "", hook_name=hook_name,
            n_active=None if k is None else active_latents(k, d_sae, source=source), n_heads=settings.n_heads,
            n_attn_layers=settings.n_attn_layers, bottleneck_factor=settings.bottleneck_factor,
            smallest_length=_SMALLEST_LENGTH / settings.scale,
        )  # fmt: skip
    except UsageError as error:
        raise SAELoadError(f"'{source}': {error}") from error
    return fill(empty, tensors, source=source)


def _settings(config: Path) -> Settings:
    try:
        raw = read_yaml(config)
    except UsageError as error:
        raise SAELoadError(str(error)) from error
    of_sae = raw.get("sae") if isinstance(raw, Mapping) else None
    try:
        assert of_sae is not None
        return Settings(
            of_sae["scaling_factor"], of_sae["sae_diff_type"], of_sae["kval_topk"], bool(of_sae["tied_weights"]),
            *(int(of_sae[name]) for name in _SIZES),
        )  # fmt: skip
    except (AssertionError, KeyError, TypeError, ValueError) as error:
        raise SAELoadError(f"'{config}' lacks a setting of a temporal SAE, or has a broken one: {error}.") from error


def _handle(repository: Repository, folder: str) -> SAEHandle:
    where = repository.full_name(f"{folder}{WEIGHTS}")
    layer = re.findall(r"layer_(\d+)", where)
    hook_name = f"blocks.{layer[-1]}.hook_resid_post" if layer else None
    model_name = next((model for name, model in _MODELS.items() if name in where.split("/")), None)

    def load_files(paths: list[Path]) -> BaseSAE:
        if hook_name is None:
            raise SAELoadError(f"'{where}': no folder says the layer, as in layer_12/temporal/{WEIGHTS}.")
        return load(*paths, hook_name=hook_name, model_name=model_name)

    sae_id = folder.rstrip("/") or of.DEFAULT_ID
    files = [f"{folder}{WEIGHTS}", f"{folder}{CONFIG}"]
    return of.handle(repository, sae_id, files, load_files, hook_name=hook_name, model_name=model_name)


FORMAT = Format("temporal", "temporal SAEs", f"folders layer_<L>/... with {CONFIG} and {WEIGHTS}", handles)
resolve = FORMAT.resolve
