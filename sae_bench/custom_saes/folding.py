"""Moving decoder norms into the encoder, so that a latent's size is its effect on the reconstruction.

A latent with decoder row d of length n is the same latent with row d / n and activation n f, if the encoder can be
scaled by n without changing when the latent is on.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sae_bench.custom_saes.architectures import architecture_of_class
from sae_bench.custom_saes.interface import HALF_PRECISION, ROWS_AT_ONCE, SAE, check_finite

WARN_TOLERANCE = 1e-2
"""Norms this close to 1 are not worth a warning (weights stored in half precision are off by up to 1/256)."""


@torch.no_grad()
def fold_decoder_norm(sae: SAE) -> list[str]:
    """Make the decoder rows unit vectors, in place, where that changes no reconstruction; calling it again is safe.

    The table of architectures says which tensors scale with the norms; a class from elsewhere names its own in an
    attribute `scaled_with_norm`. The arithmetic is float32 whatever the dtype. Rows of zeros stay as they are (the
    latent has no effect).

    Returns:
        Warnings, in plain words: a decoder that could not be folded, rows of zeros.
    Raises:
        SAELoadError: a weight is NaN or infinite.
    """
    check_finite(sae)
    norm_F = torch.cat([part_BD.float().norm(dim=1) for part_BD in sae.W_dec.split(ROWS_AT_ONCE)])
    dead_F = norm_F == 0
    warnings = []
    if dead_F.any():
        warnings.append(f"{int(dead_F.sum())} of {len(norm_F)} decoder rows are zero: those latents have no effect.")
    scale_F = torch.where(dead_F, 1.0, norm_F)
    deviation = float((scale_F - 1).abs().max())
    if deviation <= _fold_tolerance(sae.W_dec.dtype):
        return warnings
    row = architecture_of_class(sae)
    scaled = getattr(sae, "scaled_with_norm", None) if row is None else row.folds
    if scaled is not None and _untie(sae):
        _scale(sae, scale_F, scaled)
    elif deviation > WARN_TOLERANCE:
        warnings.append(
            f"decoder rows are not unit vectors (lengths {float(scale_F.min()):.4g} to {float(scale_F.max()):.4g}) and "
            f"the norms cannot be folded into the encoder of a {_architecture(sae)} SAE without changing which latents "
            "fire. Latents are compared by their activations as they are."
        )
    return warnings


def _untie(sae: Any) -> bool:
    """Give an encoder that is a view of the decoder its own memory, since the two are scaled in opposite ways.

    Returns:
        Whether they are two now; False where `W_enc` is computed from `W_dec` at every look.
    """
    if _shares_memory(sae):
        sae.W_enc.data = sae.W_enc.detach().clone()
    return not _shares_memory(sae)


def _shares_memory(sae: Any) -> bool:
    """Whether some number belongs to both; being parts of one file, which is one piece of memory, is not enough."""
    (start, end), (other_start, other_end) = (
        (matrix.data_ptr(), matrix.data_ptr() + matrix.nbytes) for matrix in (sae.W_enc, sae.W_dec)
    )
    return bool(start < other_end and other_start < end)


def _scale(sae: Any, scale_F: Float[Tensor, " F"], names: tuple[str, ...]) -> None:
    if getattr(sae, "matrices_as_in_file", False):
        _scale_matrices_as_in_file(sae, scale_F)
        for name in names:
            getattr(sae, name).mul_(scale_F)
        return
    scaled = {name: getattr(sae, name).float() * scale_F for name in ("W_enc", *names)}
    sae.W_dec.copy_(sae.W_dec.float() / scale_F[:, None])
    for name, value in scaled.items():
        getattr(sae, name).copy_(value)


def _scale_matrices_as_in_file(sae: Any, scale_F: Float[Tensor, " F"]) -> None:
    """Block by block; half precision, which would round what is scaled, becomes float32."""
    for name in ("W_enc", "W_dec"):
        matrix = getattr(sae, name).detach()
        scaled = torch.empty(matrix.shape) if matrix.dtype in HALF_PRECISION else matrix
        for part in torch.arange(len(scale_F)).split(ROWS_AT_ONCE):
            block = slice(int(part[0]), int(part[-1]) + 1)
            if name == "W_enc":
                scaled[:, block] = matrix[:, block].float() * scale_F[block]
            else:
                scaled[block] = matrix[block].float() / scale_F[block, None]
        setattr(sae, name, torch.nn.Parameter(scaled, requires_grad=False))


def _fold_tolerance(dtype: torch.dtype) -> float:
    return 1e-2 if dtype in HALF_PRECISION else 1e-5


def _architecture(sae: SAE) -> str:
    return getattr(sae.cfg, "architecture", "") or type(sae).__name__
