"""Gemma Scope: JumpReLU SAEs and transcoders as `layer_20/width_16k/average_l0_71/params.npz`.

Gemma Scope 2, which has the same scheme in a spec, is read in `gemma_scope_2`.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sae_bench.custom_saes import fingerprint
from sae_bench.custom_saes.base_sae import BaseSAE
from sae_bench.custom_saes.files import download, fill, find_repository, layer_of, matrix_shape
from sae_bench.custom_saes.folding import fold_decoder_norm
from sae_bench.custom_saes.jumprelu_sae import JumpReluSAE
from sae_bench.custom_saes.loaders import gemma_scope_2
from sae_bench.custom_saes.loaders.repository import DEFAULT_ID, Format, Repository
from sae_bench.custom_saes.loaders.tensor_layout import Entry, arrange, build
from sae_bench.custom_saes.spec import LoadContext, SAEHandle, malformed, unusable
from sae_bench.errors import SAELoadError

PARAMS = "params.npz"
_CONTEXT_SIZE = 1024
TRANSCODER_LAYOUT = {
    "W_enc": Entry("W_enc", "DF"),
    "b_enc": Entry("b_enc", "F"),
    "threshold": Entry("threshold", "F"),
    "W_dec": Entry("W_dec", "FO"),
    "b_dec": Entry("b_dec", "O"),
}
_HOOKS = {
    "res": "blocks.{layer}.hook_resid_post",
    "att": "blocks.{layer}.attn.hook_z",
    "mlp": "blocks.{layer}.hook_mlp_out",
    "transcoders": "blocks.{layer}.ln2.hook_normalized",
}
_REPOSITORY = re.compile(r"gemma-scope-(?P<size>\d+b)-(?P<tuning>pt|it)-(?P<kind>res|att|mlp|transcoders)(?:[-/]|$)")


def resolve(rest: str, *, data_dir: Path | None = None) -> list[SAEHandle]:
    """The SAEs of `<repository or directory>[:<path>]`, of Gemma Scope 1 or 2.

    A path names one SAE (`/params.npz` may be left out); of Gemma Scope 2, a folder or a regular expression, too.
    """
    name, colon, filename = rest.partition(":")
    folder = find_repository(name, data_dir=data_dir)
    if not name or (colon and not filename) or (not colon and folder is None and "/" not in name):
        raise malformed(f"gemma_scope:{rest}", "gemma_scope")
    if _is_second(name, folder):
        return gemma_scope_2.resolve(rest, data_dir=data_dir)
    if not colon:
        return FORMAT.resolve(rest, data_dir=data_dir)
    if not filename.endswith(".npz"):
        filename = f"{filename.rstrip('/')}/{PARAMS}"
    release = name.rstrip("/").rsplit("/", 1)[-1]
    one = _handle(release, filename, lambda at: fetch(name, filename, data_dir=data_dir or at.data_dir))
    return [replace(one, format=FORMAT.title)]


def handles(repository: Repository) -> list[SAEHandle]:
    """One handle per `params.npz`; one whose path does not name its layer fails when it is loaded."""
    listed = []
    for match in repository.matching(rf"(?:.+/)?{re.escape(PARAMS)}"):
        try:
            listed.append(_handle_in(repository, match[0]))
        except SAELoadError as error:
            sae_id = match[0].removesuffix(PARAMS).rstrip("/") or DEFAULT_ID
            listed.append(unusable(repository.name, sae_id, error))
    return listed


def _is_second(name: str, folder: Path | None) -> bool:
    """Whether a repository is of Gemma Scope 2, by its name or its files."""
    if folder is None:
        return "gemma-scope-2-" in name
    has_several_layers = any((folder / kind).is_dir() for kind in ("clt", "crosscoder"))
    return has_several_layers or next(folder.rglob(gemma_scope_2.PARAMS), None) is not None


def _handle_in(repository: Repository, filename: str) -> SAEHandle:
    where = repository.full_name(filename)
    listed = _handle(where, where, lambda _context: repository.get(filename))
    return replace(listed, release=repository.name, sae_id=filename.removesuffix(PARAMS).rstrip("/") or DEFAULT_ID)


def _handle(release: str, filename: str, params: Callable[[LoadContext], Path]) -> SAEHandle:
    """The SAE of one file, which `params` fetches."""
    hook_name, model_name = hook_of(release, filename), model_of(release)

    def identify(context: LoadContext) -> str:
        return fingerprint.of_files(params(context))

    def load(context: LoadContext) -> BaseSAE:
        path = params(context)
        if hook_name.endswith("ln2.hook_normalized"):
            return _read_transcoder(path, hook_name, model_name, context)
        sae = read_params(
            path,
            model_name=model_name or "",
            hook_layer=layer_of(hook_name),
            hook_name=hook_name,
            device="cpu",
            dtype=torch.float32,
        )
        if hook_name == "hook_embed":
            _read_scaled_embedding(sae)
        return sae.to(device=context.device, dtype=context.dtype)

    return SAEHandle(release, filename.removesuffix(f"/{PARAMS}"), hook_name, model_name, load, identify)


def _read_transcoder(path: Path, hook_name: str, model_name: str | None, context: LoadContext) -> BaseSAE:
    """A transcoder from what the norm before the MLP gives, before its weights, to what the MLP adds to the stream."""
    transcoder = build(
        "jumprelu_transcoder",
        arrange(read_npz(path), TRANSCODER_LAYOUT, source=path),
        source=path,
        hook_name=hook_name,
        hook_name_out=f"blocks.{layer_of(hook_name)}.hook_mlp_out",
        model_name=model_name,
        context_size=_CONTEXT_SIZE,
    )
    fold_decoder_norm(transcoder)
    return transcoder.to(device=context.device, dtype=context.dtype)


@torch.no_grad()
def _read_scaled_embedding(sae: BaseSAE) -> None:
    """Make an SAE of embeddings as they are stored one of what the model makes of them, `sqrt(d)` times as large."""
    scale = sae.cfg.d_in**0.5
    sae.W_enc.div_(scale)
    sae.W_dec.mul_(scale)
    sae.b_dec.mul_(scale)
    fold_decoder_norm(sae)


def hook_of(release: str, filename: str) -> str:
    """The hook from the kind in the repository's name and the layer in the path.

    Raises:
        SAELoadError: the path names no layer.
    """
    if re.search(r"(?:^|/)embedding/", filename):
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
    tensors = read_npz(path)
    d_in, d_sae = matrix_shape(tensors, "W_enc", source=path)
    sae = JumpReluSAE(d_in, d_sae, model_name, hook_layer, "cpu", torch.float32, hook_name)
    fill(sae, tensors, source=path)
    sae.cfg = replace(sae.cfg, context_size=_CONTEXT_SIZE)
    fold_decoder_norm(sae)
    return sae.to(device=device, dtype=dtype)


def read_npz(path: Path) -> dict[str, Tensor]:
    """The arrays of a `.npz` file as tensors. Raises `SAELoadError` if it cannot be read without running code."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: torch.from_numpy(np.asarray(archive[name])) for name in archive.files}
    except (OSError, ValueError, TypeError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise SAELoadError(f"cannot read '{path}': {error} The file is missing, truncated or no .npz.") from error


FORMAT = Format("gemma_scope", "Gemma Scope", f"layer_<L>/width_<W>/average_l0_<N>/{PARAMS}", handles)
