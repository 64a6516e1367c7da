"""Heads of Gemma Scope 2's crosscoders: the latents that read one of the layers, for their codes.

`crosscoder/layer_<A>_<B>_<...>_width_<...>/params_layer_<I>.safetensors` holds the latents that read the I-th of the
layers A, B, ...: w_enc (D, F), b_enc, threshold (F), w_dec (F, L, D) for all L layers, of which those before the I-th
are not in use, b_dec (D) of the I-th. Codes of a latent depend on its layer alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from sae_bench.custom_saes.loaders.tensor_layout import Entry, Layout, Weights, arrange
from sae_bench.errors import SAELoadError

FOLDER = "crosscoder"
REASON = (
    "these are the latents of a crosscoder that read one layer, and they write to all later layers too: its decoder "
    "here is what they write where they read"
)
"""Why the reconstruction of a head means nothing."""
_LAYOUT: Layout = {
    "w_enc": Entry("W_enc", "DF"),
    "b_enc": Entry("b_enc", "F"),
    "threshold": Entry("threshold", "F"),
    "w_dec": Entry("W_dec_FLD", "FLD"),
    "b_dec": Entry("b_dec", "D"),
}


class Head(NamedTuple):
    """Which of a crosscoder's layers a file's latents read: its number among them, and all of them."""

    number: int
    layers: tuple[str, ...]

    @property
    def layer(self) -> str:
        """The layer that is read."""
        return self.layers[self.number]


def head_of(where: str) -> Head:
    """The head that a path names.

    Raises:
        SAELoadError: it names none.
    """
    match = re.search(r"layer_(\d+(?:_\d+)+)[^/]*/params_layer_(\d+)\.safetensors$", where)
    layers = tuple(match[1].split("_")) if match else ()
    if match is None or int(match[2]) >= len(layers):
        raise SAELoadError(
            f"'{where}' is of a crosscoder, and its path does not say which of the layers it reads. Next: keep the "
            f"names of the repository, as in {FOLDER}/layer_7_13_17_22_width_65k_l0_medium/params_layer_0.safetensors."
        )
    return Head(int(match[2]), layers)


def arrange_head(raw: Mapping[str, Tensor], head: Head, *, source: Path) -> Weights:
    """The tensors of a head's file, with the rows that it writes where it reads as decoder.

    Raises:
        SAELoadError: a tensor is missing, unknown, or of a shape that contradicts the others or the path.
    """
    tensors, sizes = arrange(raw, _LAYOUT, source=source)
    W_dec_FLD = tensors.pop("W_dec_FLD")
    if sizes["L"] != len(head.layers):
        raise SAELoadError(
            f"'{source}': w_dec has shape {tuple(W_dec_FLD.shape)}; {len(head.layers)} layers are named in its path "
            f"({', '.join(head.layers)})."
        )
    return Weights({**tensors, "W_dec": W_dec_FLD[:, head.number].contiguous()}, sizes)
