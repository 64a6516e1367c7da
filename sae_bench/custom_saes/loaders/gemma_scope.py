"""Gemma Scope: JumpReLU SAEs as `layer_20/width_16k/average_l0_71/params.npz`."""

from __future__ import annotations

import re
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sae_bench.custom_saes import fingerprint
from sae_bench.custom_saes.files import download, fill, find_repository, layer_of, matrix_shape
from sae_bench.custom_saes.folding import fold_decoder_norm
from sae_bench.custom_saes.jumprelu_sae import JumpReluSAE
from sae_bench.custom_saes.spec import LoadContext, SAEHandle, malformed
from sae_bench.errors import SAELoadError

PARAMS = "params.npz"
_CONTEXT_SIZE = 1024
_HOOKS = {
    "res": "blocks.{layer}.hook_resid_post",
    "att": "blocks.{layer}.attn.hook_z",
    "mlp": "blocks.{layer}.hook_mlp_out",
}
_REPOSITORY = re.compile(r"gemma-scope-(?P<size>\d+b)-(?P<tuning>pt|it)-(?P<kind>res|att|mlp)(?:-|$)")


def resolve(rest: str, *, data_dir: Path | None = None) -> list[SAEHandle]:
    """The one SAE that `<repository or directory>:<path>` names; `/params.npz` may be left out."""
    repo_id, colon, filename = rest.rpartition(":")
    if not colon or not repo_id or not filename:
        raise malformed(f"gemma_scope:{rest}", "gemma_scope")
    if not filename.endswith(".npz"):
        filename = f"{filename.rstrip('/')}/{PARAMS}"
    release = repo_id.rstrip("/").rsplit("/", 1)[-1]
    hook_name = hook_of(release, filename)
    model_name = model_of(release)

    def params(context: LoadContext) -> Path:
        return fetch(repo_id, filename, data_dir=data_dir or context.data_dir)

    def identify(context: LoadContext) -> str:
        return fingerprint.of_files(params(context))

    def load(context: LoadContext) -> JumpReluSAE:
        return read_params(
            params(context),
            model_name=model_name or "",
            hook_layer=layer_of(hook_name),
            hook_name=hook_name,
            device=context.device,
            dtype=context.dtype,
        )

    return [SAEHandle(release, filename.removesuffix(f"/{PARAMS}"), hook_name, model_name, load, identify)]


def hook_of(release: str, filename: str) -> str:
    """The hook from the kind in the repository's name and the layer in the path.

    Raises:
        SAELoadError: the path names no layer.
    """
    if filename.startswith("embedding/"):
        return "hook_embed"
    layer = re.search(r"layer_(\d+)", filename)
    if layer is None:
        raise SAELoadError(
            f"'{filename}' names no layer; Gemma Scope paths look like layer_20/width_16k/average_l0_71/{PARAMS}."
        )
    match = _REPOSITORY.search(release)
    return _HOOKS[match["kind"] if match else "res"].format(layer=layer[1])


def model_of(release: str) -> str | None:
    """The model behind a repository name: gemma-scope-9b-it-res -> gemma-2-9b-it; None for other names."""
    match = _REPOSITORY.search(release)
    if match is None:
        return None
    return f"gemma-2-{match['size']}" + ("-it" if match["tuning"] == "it" else "")


def fetch(repo_id: str, filename: str, *, data_dir: Path | None = None, local_dir: str | Path | None = None) -> Path:
    """The file, from a local directory or mirror if it is there, else from the hub."""
    folder = find_repository(repo_id, data_dir=data_dir)
    if folder is None:
        return download(repo_id, filename, local_dir=local_dir)
    if not (folder / filename).is_file():
        near = [p.relative_to(folder).as_posix() for p in sorted(folder.rglob("*.npz"))[:5]]
        raise SAELoadError(f"there is no '{filename}' in '{folder}'; it has: {', '.join(near) or 'no .npz file'}.")
    return folder / filename


def read_params(
    path: Path,
    *,
    model_name: str,
    hook_layer: int,
    device: torch.device | str,
    dtype: torch.dtype,
    hook_name: str | None = None,
) -> JumpReluSAE:
    """The SAE in a `params.npz`.

    Raises:
        SAELoadError: broken file, missing or misshapen arrays, NaN or infinite weights.
    """
    tensors = _read_npz(path)
    d_in, d_sae = matrix_shape(tensors, "W_enc", source=path)
    sae = JumpReluSAE(d_in, d_sae, model_name, hook_layer, "cpu", torch.float32, hook_name)
    fill(sae, tensors, source=path)
    sae.cfg = replace(sae.cfg, context_size=_CONTEXT_SIZE)
    fold_decoder_norm(sae)
    return sae.to(device=device, dtype=dtype)


def _read_npz(path: Path) -> dict[str, Tensor]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: torch.from_numpy(np.asarray(archive[name])) for name in archive.files}
    except (OSError, ValueError, TypeError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise SAELoadError(f"cannot read '{path}': {error} The file is missing, truncated or no .npz.") from error
