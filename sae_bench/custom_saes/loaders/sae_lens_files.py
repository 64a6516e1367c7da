"""Folders that SAELens saved (`cfg.json` + `sae_weights.safetensors`), read without SAELens where they are plain.

Architectures without run-time normalisation become this package's classes, checkpoints of training too; per-token
normalisation goes through SAELens itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sae_bench.custom_saes import fingerprint
from sae_bench.custom_saes.architectures import SAE_LENS, Architecture, SAELensForm
from sae_bench.custom_saes.base_sae import BaseSAE
from sae_bench.custom_saes.files import active_latents, empty_sae, fill, matrix_shape, read_json, read_safetensors
from sae_bench.custom_saes.folding import fold_decoder_norm
from sae_bench.custom_saes.interface import SAE
from sae_bench.custom_saes.loaders import temporal
from sae_bench.custom_saes.loaders.sae_lens import UNKNOWN_SCALE, check_activation, load_from_disk
from sae_bench.custom_saes.loaders.tensor_layout import Entry, Layout, arrange, check_layout, subtract_b_dec_no_more
from sae_bench.custom_saes.matching_pursuit_sae import MatchingPursuitSAE
from sae_bench.custom_saes.spec import LoadContext, SAEHandle
from sae_bench.custom_saes.transcoder import Transcoder
from sae_bench.errors import SAELoadError

WEIGHTS, CONFIG, SCALER = "sae_weights.safetensors", "cfg.json", "activation_scaler.json"
WHITENING = "activation_whitening.safetensors"
RESCALED = "expected_average_only_in"
"""`normalize_activations` of an SAE that reads activations times one factor."""
WHITENED = "covariance_whitening"
"""`normalize_activations` of an SAE that reads whitened activations: in training; saved ones have it in the weights."""
ONE_THRESHOLD = "topk_threshold"
"""The threshold that a checkpoint of training has for all latents."""
_SIZES = {"D": "d_in", "F": "d_sae", "O": "d_out"}
"""Axes of weights -> what the configuration calls their sizes."""
_SCALES = ("scaling_factor", "finetuning_scaling_factor")
_IN_TRAINING = {"batchtopk": "jumprelu", "matryoshka_batchtopk": "jumprelu"}
"""What a checkpoint of training is called -> what the SAE is called when it is saved."""

_RENAMED = {"b_gate": "gate_bias"}
_FIRST_NAMES = {"hook_point": "hook_name", "hook_point_head_index": "hook_head_index"}


def handle(folder: Path, raw: Mapping[str, Any], *, release: str, sae_id: str) -> SAEHandle:
    """The handle of a folder whose `cfg.json` is `raw`."""
    cfg = flatten(raw)
    hook_name = cfg.get("hook_name")

    def load(context: LoadContext) -> SAE:
        return load_folder(folder, raw, device=context.device, dtype=context.dtype)

    def identify(_context: LoadContext) -> str:
        files = [folder / name for name in (WEIGHTS, CONFIG, SCALER, WHITENING)]
        return fingerprint.of_files(*(path for path in files if path.exists()))

    return SAEHandle(release, sae_id, hook_name, cfg.get("model_name"), load, identify)


def load_folder(folder: Path, raw: Mapping[str, Any], *, device: torch.device | str, dtype: torch.dtype) -> SAE:
    """The SAE in a folder, decoder norms folded where that is exact.

    Raises:
        SAELoadError: broken files, missing tensors, NaN or infinite weights.
        PrerequisiteError: it needs SAELens and that is not installed.
    """
    cfg = flatten(raw)
    check_activation(str(cfg.get("activation_fn_str", cfg.get("activation_fn")) or ""), source=folder / CONFIG)
    if cfg["architecture"] == "temporal":
        sae = temporal.of_sae_lens(read_safetensors(folder / WEIGHTS), cfg, source=folder / WEIGHTS)
        return _finished(sae, cfg, device=device, dtype=dtype)
    plain = SAE_LENS.get(cfg["architecture"])
    scale, normalization = _input_scale(folder), cfg["normalize_activations"]
    rescaled = normalization == RESCALED
    if scale is not None and not rescaled:
        raise SAELoadError(
            f"'{folder / SCALER}' holds the factor {scale:g}, but normalize_activations is '{normalization}': whether "
            "the weights have the factor in them cannot be told. Next: delete the file if they have."
        )
    tensors = read_safetensors(folder / WEIGHTS)
    if plain is None or normalization not in ("none", RESCALED, WHITENED):
        if scale is not None or _finetuning_scale(tensors, cfg, source=folder) is not None:
            raise SAELoadError(f"'{folder}' scales activations in a way that is not read for this architecture.")
        return load_from_disk(folder, device=device, dtype=dtype)
    sae = _convert(tensors, cfg, *plain, source=folder)
    if scale is not None:
        _read_scaled(sae, scale, source=folder)
    if rescaled:
        sae.caveats += (
            UNKNOWN_SCALE if scale is None else f"the SAE reads {scale:g} times the activations ({SCALER})",
        )
    return _finished(sae, cfg, device=device, dtype=dtype)


def _finished(sae: BaseSAE, cfg: Mapping[str, Any], *, device: torch.device | str, dtype: torch.dtype) -> BaseSAE:
    known = ("context_size", "prepend_bos", "dataset_path", "training_tokens", "hook_head_index", "neuronpedia_id")
    sae.cfg = replace(sae.cfg, **{name: cfg[name] for name in known if cfg.get(name) is not None})
    sae.trained_with = {name: cfg[name] for name in ("prepend_bos", "seqpos_slice") if cfg.get(name) is not None}
    fold_decoder_norm(sae)
    return sae.to(device=device, dtype=dtype)


def _input_scale(folder: Path) -> float | None:
    """The factor by which activations were multiplied in training, if the folder holds one that is not 1.

    Raises:
        SAELoadError: the file is broken, or its factor is no positive number.
    """
    if not (folder / SCALER).is_file():
        return None
    scale = read_json(folder / SCALER).get("scaling_factor")
    if scale is None or scale == 1:
        return None
    if isinstance(scale, bool) or not isinstance(scale, int | float) or not 0 < scale < float("inf"):
        raise SAELoadError(f"'{folder / SCALER}': scaling_factor is {scale!r}, a positive number is needed.")
    return float(scale)


@torch.no_grad()
def _read_scaled(sae: BaseSAE, scale: float, *, source: Path) -> None:
    """Make an SAE of `scale * x` one of x, in place: its codes are then `f(scale * x) / scale`.

    Every architecture of this file computes codes that grow with x, biases and thresholds alike, so these are divided.

    Raises:
        SAELoadError: it is a transcoder, whose output may have another factor.
    """
    if isinstance(sae, Transcoder):
        raise SAELoadError(f"'{source}' is a transcoder of scaled activations ({SCALER}), which is not read.")
    if isinstance(sae, MatchingPursuitSAE):
        sae.residual_threshold /= scale
    for name in ("b_enc", "b_dec", "gate_bias", "b_mag", "threshold"):
        value = getattr(sae, name, None)
        if isinstance(value, Tensor):
            value.div_(scale)


def _finetuning_scale(raw: Mapping[str, Tensor], cfg: Mapping[str, Any], *, source: Path) -> Tensor | None:
    """The factor (F,) of each latent that finetuning found, if there is one that is not 1.

    Raises:
        SAELoadError: the weights hold one and the configuration says that they do not.
    """
    scale_F = next((raw[name] for name in _SCALES if name in raw), None)
    if scale_F is None or bool((scale_F == 1).all()):
        return None
    if not cfg.get("finetuning_scaling_factor"):
        raise SAELoadError(f"'{source}' holds a scaling_factor and {CONFIG} says that it has none.")
    return scale_F.float()


def flatten(raw: Mapping[str, Any]) -> dict[str, Any]:
    """A `cfg.json` of any SAELens version as one flat dictionary with today's names."""
    cfg = {_FIRST_NAMES.get(key, key): value for key, value in raw.items() if key != "metadata"}
    cfg.update({k: v for k, v in (raw.get("metadata") or {}).items() if v is not None and k not in cfg})
    cfg.setdefault("architecture", "standard")
    cfg["architecture"] = _IN_TRAINING.get(cfg["architecture"], cfg["architecture"])
    cfg.setdefault("apply_b_dec_to_input", True)
    if cfg.get("activation_fn_str", cfg.get("activation_fn")) == "topk":
        cfg["architecture"] = "topk"
        cfg.setdefault("k", (cfg.get("activation_fn_kwargs") or {}).get("k"))
    normalization = cfg.get("normalize_activations") or "none"
    cfg["normalize_activations"] = RESCALED if normalization is True else normalization
    return cfg


def _convert(
    raw: dict[str, Tensor], cfg: dict[str, Any], architecture: Architecture, form: SAELensForm, *, source: Path
) -> BaseSAE:
    stated = {axis: cfg[name] for axis, name in _SIZES.items() if isinstance(cfg.get(name), int)}
    layout, ignored = _layout_in(raw, cfg, architecture), (*_SCALES, ONE_THRESHOLD)
    check_layout(raw, layout, source=source / WEIGHTS, ignored=ignored, sizes=stated, told_by=CONFIG)
    tensors = {_RENAMED.get(name, name): value.float() for name, value in raw.items() if name not in _SCALES}
    hook_name = cfg.get("hook_name")
    if not isinstance(hook_name, str):
        raise SAELoadError(f"'{source / CONFIG}' names no hook (hook_name).")
    if cfg.get("rescale_acts_by_decoder_norm"):
        _fold_topk_rescaling(tensors)
    if (scale_F := _finetuning_scale(raw, cfg, source=source)) is not None:
        tensors["W_dec"] = tensors["W_dec"] * scale_F[:, None]
    others = _of_the_architecture(tensors, cfg, architecture, source=source)
    d_sae, d_out = matrix_shape(tensors, "W_dec", source=source)
    d_in = d_out if architecture.name == "matching_pursuit" else matrix_shape(tensors, "W_enc", source=source)[0]
    if cfg["normalize_activations"] == WHITENED:
        _read_whitened(tensors, cfg, architecture, source=source)
    k = None
    if "k" in architecture.arguments:
        k = active_latents(cfg.get("k"), d_sae, source=source / CONFIG)
        tensors["k"] = torch.tensor(k)
    if "W_enc" in tensors and not architecture.is_transcoder:
        subtracted = bool(cfg["apply_b_dec_to_input"])
        if subtracted != form.subtracts_b_dec:
            subtract_b_dec_no_more(tensors, sign=-1.0 if subtracted else 1.0)
    empty = empty_sae(
        architecture,
        d_in=d_in,
        d_sae=d_sae,
        model_name=str(cfg.get("model_name") or ""),
        hook_name=hook_name,
        k=k,
        d_out=d_out,
        **others,
    )
    return fill(empty, tensors, source=source)


def _layout_in(raw: Mapping[str, Tensor], cfg: Mapping[str, Any], architecture: Architecture) -> Layout:
    """How a file has the tensors that its architecture needs."""
    output = "O" if architecture.is_transcoder else "D"
    layout = {"W_dec": Entry("W_dec", f"F{output}"), "b_dec": Entry("b_dec", output)}
    if architecture.name == "matching_pursuit":
        return {**layout, "W_enc": Entry("W_enc", "DF", optional=True)}
    of_latents = ["b_gate", "r_mag", "b_mag"] if architecture.name == "gated" else ["b_enc"]
    if "threshold" in (architecture.folds or ()) and ONE_THRESHOLD not in raw:
        of_latents.append("log_threshold" if "log_threshold" in raw else "threshold")
    if "skip" in cfg["architecture"]:
        layout["W_skip"] = Entry("W_skip", "OD")
    return {"W_enc": Entry("W_enc", "DF"), **{name: Entry(name, "F") for name in of_latents}, **layout}


def _of_the_architecture(
    tensors: dict[str, Tensor], cfg: Mapping[str, Any], architecture: Architecture, *, source: Path
) -> dict[str, Any]:
    """Tensors as our class names them, in place, and what else the class is built from."""
    if "log_threshold" in tensors:
        tensors["threshold"] = tensors.pop("log_threshold").exp()
    if ONE_THRESHOLD in tensors:  # a checkpoint of training
        tensors["threshold"] = tensors.pop(ONE_THRESHOLD).float().expand(len(tensors["W_dec"])).clone()
    if architecture.is_transcoder:
        if not isinstance(cfg.get("hook_name_out"), str):
            raise SAELoadError(f"'{source / CONFIG}' is of a transcoder and names no hook_name_out.")
        return {"hook_name_out": cfg["hook_name_out"], "skip": "skip" in cfg["architecture"]}
    if architecture.name != "matching_pursuit":
        return {}
    if not cfg["apply_b_dec_to_input"] and "b_dec" in tensors:
        tensors["b_dec"] = torch.zeros_like(tensors["b_dec"])  # neither subtracted nor added
    tensors.pop("W_enc", None)
    names = ("residual_threshold", "max_iterations", "stop_on_duplicate_support")
    return {name: cfg[name] for name in names if name in cfg}


def _read_whitened(
    tensors: dict[str, Tensor], cfg: Mapping[str, Any], architecture: Architecture, *, source: Path
) -> None:
    """Make an SAE of `(x - mean) @ M` one of x, in place: both maps are affine, so they go into its weights.

    Raises:
        SAELoadError: a checkpoint without the whitening of its training, or a class that cannot take it in.
    """
    if architecture.is_transcoder or "W_enc" not in tensors:
        raise SAELoadError(f"'{source}' is a {architecture.title} that reads whitened activations, which is not read.")
    if not (source / WHITENING).is_file():
        raise SAELoadError(
            f"'{source}' reads whitened activations ({CONFIG}) and lacks '{WHITENING}', which says how. Next: save the "
            "SAE for inference, which puts it into the weights, or copy that file too."
        )
    raw = read_safetensors(source / WHITENING)
    layout = {"mean": Entry("mean", "D"), "matrix": Entry("M", "DD"), "inverse_matrix": Entry("M_inverse", "DD")}
    whitening = arrange(raw, layout, source=source / WHITENING).tensors
    if len(whitening["mean"]) != len(tensors["W_enc"]):
        raise SAELoadError(
            f"'{source / WHITENING}' is of vectors of {len(whitening['mean'])} numbers, the SAE of "
            f"{len(tensors['W_enc'])}."
        )
    mean_D, M_DD, inverse_DD = (whitening[name].double() for name in ("mean", "M", "M_inverse"))
    W_enc_DF = M_DD @ tensors["W_enc"].double()
    if not cfg["apply_b_dec_to_input"]:  # else the mean is in b_dec, which is subtracted first
        shift_F = mean_D @ W_enc_DF
        for name in ("b_enc", "gate_bias", "b_mag"):
            if name in tensors:
                scale = tensors["r_mag"].double().exp() if name == "b_mag" else 1.0
                tensors[name] = (tensors[name].double() - shift_F * scale).float()
    tensors["W_enc"] = W_enc_DF.float()
    tensors["W_dec"] = (tensors["W_dec"].double() @ inverse_DD).float()
    tensors["b_dec"] = (tensors["b_dec"].double() @ inverse_DD + mean_D).float()


def _fold_topk_rescaling(tensors: dict[str, Tensor]) -> None:
    """TopK SAEs that rank `pre * |d|` and decode `f / |d|` are plain ones with the norms in the encoder."""
    norm_F = tensors["W_dec"].norm(dim=1).clamp(min=1e-8)
    tensors["W_dec"] = tensors["W_dec"] / norm_F[:, None]
    for name in ("W_enc", "b_enc"):
        if name in tensors:
            tensors[name] = tensors[name] * norm_F
