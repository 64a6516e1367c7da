"""Products of which only some entries are wanted: sums of weighted rows, and pre-activations of chosen latents.

A entries, each an (item, latent) pair; B items, N rows, D coordinates, M latents.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor


def weighted_sums(
    to_A: Int[Tensor, " A"],
    from_A: Int[Tensor, " A"],
    weight_A: Float[Tensor, " A"],
    x_ND: Float[Tensor, "N D"],
    n: int,
) -> Float[Tensor, "n D"]:
    """Row i of the n rows is the sum of weight x[from] over the entries whose `to`, ascending, is i."""
    count = to_A.bincount(minlength=n)
    return torch.nn.functional.embedding_bag(
        from_A, x_ND, count.cumsum(0) - count, per_sample_weights=weight_A, mode="sum"
    )


class ChosenPreActivations(torch.autograd.Function):
    """Gives `u_A`, the entries of x W.T + b that were computed already, a gradient that needs no dense matrix.

    Takes W (M, D), b (M,), x (B, D), the item and the latent of each entry, and u (A,); W and b get gradients.
    """

    @staticmethod
    def forward(ctx: Any, W_MD: Tensor, _: Tensor, x_BD: Tensor, item_A: Tensor, latent_A: Tensor, u_A: Tensor) -> Any:
        ctx.n_latents = len(W_MD)
        ctx.save_for_backward(x_BD, item_A, latent_A)
        return u_A

    @staticmethod
    def backward(ctx: Any, slope_A: Tensor) -> Any:
        x_BD, item_A, latent_A = ctx.saved_tensors
        order = latent_A.argsort(stable=True)
        of_W_MD = weighted_sums(latent_A[order], item_A[order], slope_A[order], x_BD, ctx.n_latents)
        return of_W_MD, slope_A.new_zeros(ctx.n_latents).index_add_(0, latent_A, slope_A), None, None, None, None
