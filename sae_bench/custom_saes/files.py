"""Reading foreign files safely: every failure becomes a `SAELoadError` that names the file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from sae_bench import text_files
from sae_bench.custom_saes.architectures import Architecture
from sae_bench.custom_saes.base_sae import MATRICES, BaseSAE
from sae_bench.custom_saes.codes import is_wide
from sae_bench.errors import PrerequisiteError, SAELoadError

SAET = TypeVar("SAET", bound=BaseSAE)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object."""
    try:
        data = text_files.read_json(path)
    except ValueError as error:
        raise SAELoadError(f"cannot read '{path}': {error}. Next: copy the SAE's files anew.") from error
    if not isinstance(data, dict):
        raise SAELoadError(f"'{path}' holds {type(data).__name__}, a JSON object is needed.")
    return data


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file, on the CPU."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path, device="cpu")
    except (OSError, SafetensorError) as error:
        raise _broken(path, error) from error


def read_torch(path: Path) -> dict[str, Tensor]:
    """The tensors of a `.pt` file; files that would run code when read are refused."""
    try:
        data = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # broken bytes fail in a dozen ways, all with the same meaning here
        raise _broken(path, error) from error
    if not isinstance(data, Mapping):
        raise SAELoadError(f"'{path}' holds {type(data).__name__}, a dictionary of tensors is needed.")
    others = [str(key) for key, value in data.items() if not isinstance(value, Tensor)]
    if others:
        raise SAELoadError(f"'{path}': {', '.join(others)} are no tensors.")
    return {str(key): value for key, value in data.items()}


def empty_sae(
    architecture: Architecture,
    *,
    d_in: int,
    d_sae: int,
    model_name: str,
    hook_name: str,
    hook_layer: int | None = None,
    k: int | None = None,
    use_threshold: bool = False,
    **others: Any,
) -> BaseSAE:
    """An SAE of a class of this package, in float32 on the CPU, to be filled with weights.

    Args:
        hook_layer: None reads it from the hook's name.
        k, use_threshold: for the classes that take them.
        others: what else its class takes, as `d_out`, `hook_name_out` and `skip` of a transcoder.
    """
    more = {"d_sae": d_sae, "k": k, "use_threshold": use_threshold, **others}
    sae: BaseSAE = architecture.load_class()(
        d_in=d_in,
        model_name=model_name,
        hook_layer=layer_of(hook_name) if hook_layer is None else hook_layer,
        device="cpu",
        dtype=torch.float32,
        hook_name=hook_name,
        **{name: more[name] for name in architecture.arguments if name in more},
    )
    return sae


def fill(sae: SAET, tensors: Mapping[str, Tensor], *, source: object) -> SAET:
    """Copy weights into an SAE, in its dtype and on its device; the matrices of a wide one become those of the file.

    Raises:
        SAELoadError: a tensor is missing, unknown, or of another shape.
    """
    own = sae.state_dict()
    missing, unknown = sorted(own.keys() - tensors.keys()), sorted(tensors.keys() - own.keys())
    if missing or unknown:
        parts = [
            f"{label} {', '.join(names)}" for label, names in (("lacks", missing), ("has unknown", unknown)) if names
        ]
        raise SAELoadError(f"'{source}' {' and '.join(parts)} for a {type(sae).__name__}.")
    for name, target in own.items():
        value = tensors[name]
        if value.shape != target.shape and value.numel() == target.numel() == 1:
            value = value.reshape(target.shape)
        if value.shape != target.shape:
            raise SAELoadError(
                f"'{source}': {name} has shape {tuple(value.shape)}, {tuple(target.shape)} is needed "
                f"(d_in {sae.cfg.d_in}, d_sae {sae.cfg.d_sae})."
            )
        if target.is_floating_point() and not value.is_floating_point():
            raise SAELoadError(
                f"'{source}': {name} is of {value.dtype}; weights that are quantised are not read. Next: convert it to "
                "float16 or wider."
            )
        if name in MATRICES and sae.casts_blocks and is_wide(int(sae.cfg.d_sae)):
            sae.matrices_as_in_file = True
            setattr(sae, name, torch.nn.Parameter(value, requires_grad=False))
            continue
        with torch.no_grad():
            target.copy_(value)
    return sae


def matrix_shape(tensors: Mapping[str, Tensor], name: str, *, source: object) -> tuple[int, int]:
    """Shape of a weight matrix. Raises `SAELoadError` if it is missing or no matrix."""
    if name not in tensors:
        raise SAELoadError(f"'{source}' lacks {name}; it has {', '.join(sorted(tensors)) or 'no tensors'}.")
    shape = tuple(tensors[name].shape)
    if len(shape) != 2:
        raise SAELoadError(f"'{source}': {name} has shape {shape}, a matrix is needed.")
    return shape


def active_latents(value: object, d_sae: int, *, source: object) -> int:
    """The k that a configuration holds. Raises `SAELoadError` unless it is a whole number from 1 to d_sae."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= d_sae:
        raise SAELoadError(f"'{source}' says k = {value!r}; a whole number from 1 to {d_sae} (d_sae) is needed.")
    return value


def find_repository(name: str, *, data_dir: Path | None) -> Path | None:
    """The local directory of a repository: the path itself, or in the mirror; None if it has to come from the hub."""
    candidates = [Path(name).expanduser()]
    if data_dir is not None:
        candidates.append(data_dir / name)
    return next((path for path in candidates if path.is_dir()), None)


def download(repo_id: str, filename: str, *, local_dir: str | Path | None = None, revision: str | None = None) -> Path:
    """One file of a hub repository, from the local cache if it is there.

    Raises:
        PrerequisiteError: no such repository or file, no access, or no network.
    """
    from huggingface_hub import hf_hub_download

    check_repo_id(repo_id)
    at: dict[str, Any] = {} if revision is None else {"revision": revision}
    try:
        return Path(hf_hub_download(repo_id=repo_id, filename=filename, local_dir=local_dir, **at))
    except Exception as error:  # the hub client, its network stack and the disk each have their own errors
        raise hub_failed(f"'{filename}' of '{repo_id}'", error) from error


def check_repo_id(repo_id: str) -> None:
    """Raise `SAELoadError` unless the name could be one on the hub."""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repo_id):
        raise SAELoadError(f"'{repo_id}' is neither an existing directory nor a hub repository (org/name).")


def hub_failed(what: str, error: Exception) -> PrerequisiteError:
    """The error for a download that failed."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return PrerequisiteError(
        f"could not get {what} from the hub: {lines[0]} Next: check the name and the network, log in for a gated "
        "repository ('hf auth login'), or give a local directory or a --data-dir that holds it."
    )


def layer_of(hook_name: str) -> int:
    """The layer in `blocks.<layer>....`; 0 for the embedding and for names of another form."""
    match = re.match(r"blocks\.(\d+)\.", hook_name)
    return int(match[1]) if match else 0


def _broken(path: Path, error: Exception) -> SAELoadError:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return SAELoadError(f"cannot read '{path}': {lines[0]} The file is missing, truncated or of another format.")
