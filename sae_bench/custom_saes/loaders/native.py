"""The package's own format: `<name>.safetensors` with the weights and `<name>.json` with everything else.

A folder may hold one SAE as `sae.safetensors` + `cfg.json` instead.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sae_bench.atomic import atomic_path
from sae_bench.custom_saes.architectures import ARCHITECTURES, Architecture, architecture_of_class
from sae_bench.custom_saes.base_sae import BaseSAE
from sae_bench.custom_saes.custom_sae_config import CustomSAEConfig, TranscoderConfig
from sae_bench.custom_saes.files import active_latents, empty_sae, fill, read_safetensors
from sae_bench.custom_saes.folding import fold_decoder_norm
from sae_bench.errors import SAELoadError, UsageError

FORMAT, VERSION = "sae_bench", 1
FOLDER_WEIGHTS, FOLDER_CONFIG = "sae.safetensors", "cfg.json"
CLASSES: dict[str, Architecture] = {row.class_name: row for row in ARCHITECTURES.values() if row.saved}
"""Name of a class -> its row, for those that this format holds."""


def save_sae(
    sae: BaseSAE,
    path: str | Path,
    *,
    dtype: torch.dtype | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> tuple[Path, Path]:
    """Write an SAE as safetensors and JSON; a file is there completely or not at all.

    Args:
        path: `<name>.safetensors`, or a folder.
        dtype: of the two matrices on disk (float16 halves the size); vectors and thresholds keep float32.
        metadata: anything JSON can hold, kept under `metadata` (how it was trained, say).
    Returns:
        The weights file and the JSON file.
    Raises:
        UsageError: the class is not one of `CLASSES`, or a weight overflows `dtype`.
    """
    row = architecture_of_class(sae)
    if row is None or not row.saved:
        raise UsageError(f"cannot save a {type(sae).__name__}; this format holds {', '.join(CLASSES)}.")
    weights_path, config_path = _pair(Path(path))
    config: dict[str, Any] = {"format": FORMAT, "version": VERSION, "class": type(sae).__name__, "cfg": asdict(sae.cfg)}
    config["cfg"]["device"] = "cpu"
    if "k" in row.arguments:
        config["k"], config["use_threshold"] = int(sae.state_dict()["k"]), bool(getattr(sae, "use_threshold", False))
    if "skip" in row.arguments:
        config["skip"] = sae.W_skip is not None
    if metadata is not None:
        config["metadata"] = dict(metadata)
    tensors = {name: _on_disk(name, value, dtype) for name, value in sae.state_dict().items()}
    weights_path.parent.mkdir(parents=True, exist_ok=True)
    _write_both(weights_path, tensors, config_path, json.dumps(config, indent=1) + "\n")
    return weights_path, config_path


def is_native(config: Mapping[str, Any]) -> bool:
    """Whether a JSON object describes an SAE in this format."""
    return config.get("format") == FORMAT


def load_native(weights: Path, config: Mapping[str, Any], *, device: torch.device | str, dtype: torch.dtype) -> BaseSAE:
    """The SAE that `save_sae` wrote, decoder norms folded where that is exact.

    Raises:
        SAELoadError: broken or contradictory files, NaN or infinite weights.
    """
    name = str(config.get("class"))
    if config.get("version") != VERSION or name not in CLASSES:
        raise SAELoadError(
            f"'{weights}' is of class {name}, format version {config.get('version')}; this version of sae-bench reads "
            f"version {VERSION} of {', '.join(CLASSES)}."
        )
    sae = _empty(CLASSES[name], config, source=weights)
    fill(sae, read_safetensors(weights), source=weights)
    fold_decoder_norm(sae)
    return sae.to(device=device, dtype=dtype)


def config_of(config: Mapping[str, Any], *, source: object) -> CustomSAEConfig:
    """The SAE's configuration in a JSON object of this format; unknown fields are ignored."""
    raw = config.get("cfg")
    kind = TranscoderConfig if isinstance(raw, Mapping) and "hook_name_out" in raw else CustomSAEConfig
    allowed = {field.name for field in fields(kind)}
    try:
        known = {key: value for key, value in dict(raw or {}).items() if key in allowed}
        if "seqpos_slice" in known:
            known["seqpos_slice"] = tuple(known["seqpos_slice"])  # JSON has lists only
        for name in ("d_in", "d_sae", "hook_layer"):
            known[name] = int(known[name])
        return kind(**known)
    except (KeyError, TypeError, ValueError) as error:
        raise SAELoadError(f"the JSON of '{source}' has an incomplete 'cfg': {error}.") from error


def _empty(row: Architecture, config: Mapping[str, Any], *, source: object) -> BaseSAE:
    cfg = config_of(config, source=source)
    sae = empty_sae(
        row,
        d_in=cfg.d_in,
        d_sae=cfg.d_sae,
        model_name=cfg.model_name,
        hook_name=cfg.hook_name,
        hook_layer=cfg.hook_layer,
        k=active_latents(config.get("k"), cfg.d_sae, source=source) if "k" in row.arguments else None,
        use_threshold=bool(config.get("use_threshold")),
        d_out=getattr(cfg, "d_out", None),
        hook_name_out=getattr(cfg, "hook_name_out", None),
        skip=bool(config.get("skip")),
    )
    sae.cfg = replace(cfg, dtype="float32", device="cpu")
    return sae


def _on_disk(name: str, value: Tensor, dtype: torch.dtype | None) -> Tensor:
    value = value.detach().cpu().contiguous()
    if not value.is_floating_point():
        return value
    if value.ndim < 2:
        return value.float()
    if dtype is None:
        return value
    narrowed = value.to(dtype)
    if not torch.isfinite(narrowed).all():
        raise UsageError(
            f"{name} does not fit {dtype} (largest value {float(value.abs().max()):.4g}); save it as float32."
        )
    return narrowed


def _pair(path: Path) -> tuple[Path, Path]:
    if path.suffix == ".safetensors":
        return path, path.with_suffix(".json")
    return path / FOLDER_WEIGHTS, path / FOLDER_CONFIG


def _write_both(weights_path: Path, tensors: dict[str, Tensor], config_path: Path, config: str) -> None:
    from safetensors.torch import save_file

    with atomic_path(weights_path) as partial_weights, atomic_path(config_path) as partial_config:
        save_file(tensors, partial_weights)
        partial_config.write_text(config, encoding="utf-8")
