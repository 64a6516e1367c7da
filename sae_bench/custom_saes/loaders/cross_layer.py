"""From the files of a cross-layer transcoder to what it writes at one layer.

Latents of layer i write to layer i and all later ones: `y_l = b_dec_l + sum_{i <= l} f_i @ W_dec_i[l]`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from sae_bench.custom_saes.architectures import ARCHITECTURES
from sae_bench.custom_saes.base_sae import BaseSAE
from sae_bench.custom_saes.files import empty_sae, fill
from sae_bench.custom_saes.loaders.module_hooks import Hooks
from sae_bench.errors import SAELoadError


class LayerWeights(NamedTuple):
    """What one layer brings to the layer that is written.

    Attributes:
        threshold: zeros for a ReLU.
        W_dec: its latents' rows for the layer that is written, (F, O).
    """

    W_enc: Tensor
    b_enc: Tensor
    threshold: Tensor
    W_dec: Tensor


def hooks_up_to(layer: int, hooks: Hooks) -> Hooks:
    """The values of all layers up to one, side by side, for what is read; what is written stays that of the layer."""
    first = f"blocks.{layer}."
    several = first if layer == 0 else f"blocks.0-{layer}."
    return Hooks(hooks.read.replace(first, several), hooks.written)


def written_at(
    layers: Sequence[LayerWeights],
    b_dec: Tensor,
    W_skip: Tensor | None,
    hooks: Hooks,
    model_name: str | None,
    *,
    source: Path,
) -> BaseSAE:
    """All that is written at the last of some layers, decoder rows of unit length, in float32 on the CPU.

    Args:
        layers: from the first layer on.
        b_dec, W_skip: of the layer that is written; W_skip (O, D) is of what is read there.
        hooks: as `hooks_up_to` gives them.
    Raises:
        SAELoadError: layers differ in their shapes.
    """
    shapes = {tuple(layer.W_enc.shape) for layer in layers}
    if len(shapes) > 1:
        raise SAELoadError(
            f"'{source}': the layers up to this one have encoders of different shapes: {sorted(shapes)}."
        )
    d_in, n_latents = shapes.pop()
    W_dec = torch.cat([layer.W_dec for layer in layers])
    norm_F = W_dec.norm(dim=1)
    norm_F = torch.where(norm_F == 0, 1.0, norm_F)
    norm_I1F = norm_F.view(len(layers), 1, n_latents)
    tensors = {
        "encoders_IDF": torch.stack([layer.W_enc for layer in layers]) * norm_I1F,
        "b_enc": torch.cat([layer.b_enc for layer in layers]) * norm_F,
        "W_dec": W_dec / norm_F[:, None],
        "b_dec": b_dec,
        "threshold": torch.cat([layer.threshold for layer in layers]) * norm_F,
    }
    if W_skip is not None:  # of the last layer alone
        tensors["W_skip"] = torch.nn.functional.pad(W_skip, (d_in * (len(layers) - 1), 0))
    sae = empty_sae(
        ARCHITECTURES["cross_layer_transcoder"], d_in=d_in * len(layers), d_sae=len(W_dec), d_out=W_dec.shape[1],
        model_name=model_name or "", hook_name=hooks.read, hook_name_out=hooks.written, skip=W_skip is not None,
        n_layers=len(layers),
    )  # fmt: skip
    return fill(sae, tensors, source=source)
