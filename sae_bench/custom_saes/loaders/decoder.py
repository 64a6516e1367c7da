"""`decoder:<file>[@<hook>][:<encoder>]`: a matrix of decoder rows (F, D), alone or with an encoder made for it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sae_bench.custom_saes import fingerprint
from sae_bench.custom_saes.architectures import ARCHITECTURES
from sae_bench.custom_saes.base_sae import BaseSAE
from sae_bench.custom_saes.decoder_sae import LeastSquaresSAE
from sae_bench.custom_saes.files import empty_sae, fill, read_safetensors, read_torch
from sae_bench.custom_saes.loaders.gemma_scope import read_npz
from sae_bench.custom_saes.loaders.tensor_layout import Entry, Layout, arrange
from sae_bench.custom_saes.spec import LoadContext, SAEHandle, malformed
from sae_bench.errors import SAELoadError
from sae_bench.language_models.hooks import parse_hook_name

LAYOUT: Layout = {"W_dec": Entry("W_dec", "FD"), "b_dec": Entry("b_dec", "D", optional=True)}
_ENCODER = re.compile(r"(?P<name>decoder|least_squares|matching_pursuit)(?:\((?P<k>[1-9]\d*)\))?")


@dataclass(frozen=True)
class Encoder:
    """How codes are made for a decoder; `name` is the architecture that comes of it.

    Attributes:
        k: latents per token, at most, of `matching_pursuit`.
    """

    name: str = "decoder"
    k: int | None = None

    @property
    def sae_id(self) -> str:
        """The last part of a result's name."""
        return self.name if self.k is None else f"{self.name}_{self.k}"


ALONE = Encoder()


def resolve(rest: str, *, data_dir: Path | None = None) -> list[SAEHandle]:
    """The decoder of a file; without `@<hook>` it sits where the run says (`--hook`)."""
    where, _, last = rest.rpartition(":")
    encoder = _encoder(last) if where else None
    place, at, hook_name = (rest if encoder is None else where).rpartition("@")
    if not at:
        place, hook_name = hook_name, ""
    elif not hook_name:
        raise malformed(f"decoder:{rest}", "decoder")
    else:
        parse_hook_name(hook_name)
    candidates = [Path(place).expanduser(), *([data_dir / place] if data_dir is not None else [])]
    path = next((path for path in candidates if path.is_file()), None)
    if path is None:
        raise SAELoadError(
            f"there is no file '{place}'. Next: give decoder: a file with a matrix W_dec of shape (latents, width), "
            "then :least_squares or :matching_pursuit(<latents per token>) if an encoder is to be made."
        )
    return [handle(path, hook_name or None, encoder or ALONE)]


def handle(path: Path, hook_name: str | None = None, encoder: Encoder = ALONE) -> SAEHandle:
    """The handle of a file of decoder rows."""

    def load_file(context: LoadContext) -> BaseSAE:
        sae = load(path, hook_name or context.hook_name or "", encoder)
        return sae.to(device=context.device, dtype=context.dtype)

    def identify(_context: LoadContext) -> str:
        return fingerprint.of_words("decoder", fingerprint.of_files(path), encoder.sae_id)

    sae_id = f"{encoder.sae_id}_{hook_name}" if hook_name else encoder.sae_id
    return SAEHandle(path.stem, sae_id, hook_name, None, load_file, identify, format="a decoder matrix")


def load(path: Path, hook_name: str, encoder: Encoder) -> BaseSAE:
    """A decoder with unit rows, and the encoder that is asked for, in float32 on the CPU.

    Args:
        hook_name: where it sits; empty where that is not known.
    Raises:
        SAELoadError: the file holds no matrix W_dec, or more than it and b_dec.
    """
    raw = read(path)
    if "W_dec" in raw and (more := sorted(raw.keys() - LAYOUT.keys())):
        raise SAELoadError(
            f"'{path}' has {', '.join(more)} beside its decoder, which decoder: would leave out. "
            f"Next: path:{path.parent} reads a whole SAE; a file of W_dec alone is a decoder."
        )
    tensors, sizes = arrange(raw, LAYOUT, source=path)
    sae = empty_sae(
        ARCHITECTURES[encoder.name], d_in=sizes["D"], d_sae=sizes["F"], model_name="", hook_name=hook_name,
        max_iterations=encoder.k,
    )  # fmt: skip
    sae.cfg = replace(sae.cfg, hook_name=hook_name)  # empty where the run says it
    tensors["W_dec"] = torch.nn.functional.normalize(tensors["W_dec"], dim=1)
    tensors.setdefault("b_dec", torch.zeros(sizes["D"]))
    fill(sae, {**sae.state_dict(), **tensors}, source=path)
    if isinstance(sae, LeastSquaresSAE):
        sae.fit_encoder()
    return sae


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name; the one array of a `.npy` file is W_dec.

    Raises:
        SAELoadError: it cannot be read without running code.
    """
    if path.suffix == ".safetensors":
        return read_safetensors(path)
    if path.suffix == ".npz":
        return read_npz(path)
    if path.suffix != ".npy":
        return read_torch(path)
    try:
        return {"W_dec": torch.from_numpy(np.load(path, allow_pickle=False))}
    except (OSError, ValueError, TypeError, EOFError) as error:
        raise SAELoadError(f"cannot read '{path}': {error} The file is truncated or no .npy.") from error


def is_decoder_alone(path: Path) -> bool:
    """Whether a `.safetensors` file holds W_dec, and nothing beside it but b_dec."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return {"W_dec"} <= {*file.keys()} <= LAYOUT.keys()
    except (OSError, SafetensorError):
        return False


def _encoder(text: str) -> Encoder | None:
    """What a spec says behind its last colon; None for a part of a path."""
    match = _ENCODER.fullmatch(text)
    if match is None:
        return None
    if (match["name"] == "matching_pursuit") != (match["k"] is not None):
        raise malformed(f"decoder:...:{text}", "decoder")
    return Encoder(match["name"], None if match["k"] is None else int(match["k"]))
