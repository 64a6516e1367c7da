"""Matching pursuit SAE: latents are chosen one after the other, each for what those before left over (2506.03093)."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sae_bench.custom_saes.base_sae import BaseSAE

MOST_ITERATIONS = 1024
"""Each is a dense product of all tokens with the whole decoder; more are refused rather than waited for."""


class MatchingPursuitSAE(BaseSAE):
    """Matching pursuit SAE with unit decoder rows, which encode too (`W_enc` is `W_dec.T`).

    A token is done when a step has changed none of its active latents, when what is left is shorter than
    `residual_threshold`, or after `max_iterations` steps.
    """

    architecture = "matching_pursuit"

    def __init__(
        self,
        d_in: int,
        d_sae: int,
        model_name: str,
        hook_layer: int,
        device: torch.device | str,
        dtype: torch.dtype,
        hook_name: str | None = None,
        *,
        residual_threshold: float = 1e-2,
        max_iterations: int | None = None,
        stop_on_duplicate_support: bool = True,
    ) -> None:
        super().__init__(d_in, d_sae, model_name, hook_layer, device, dtype, hook_name)
        del self.W_enc, self.b_enc
        self.residual_threshold = residual_threshold
        self.max_iterations = d_in if max_iterations is None else max_iterations
        self.stop_on_duplicate_support = stop_on_duplicate_support
        self.caveats = (
            (f"at most {MOST_ITERATIONS} latents are chosen for a token; its file allows {self.max_iterations}",)
            if self.max_iterations > MOST_ITERATIONS
            else ()
        )

    def __getattr__(self, name: str) -> Any:
        return self.W_dec.T if name == "W_enc" else super().__getattr__(name)

    def encode(self, x: Float[Tensor, "*N D"]) -> Float[Tensor, "*N F"]:
        left_ND = (x - self.b_dec).reshape(-1, x.shape[-1])
        f_NF = left_ND.new_zeros(left_ND.shape[0], self.W_dec.shape[0])
        # tokens that are done leave the batch: the products are of those that go on
        index_T, left_TD = torch.arange(len(left_ND), device=x.device), left_ND
        for _ in range(min(self.max_iterations, MOST_ITERATIONS)):
            if not len(index_T):
                break
            latent_T = (left_TD @ self.W_dec.T).argmax(dim=1)
            row_TD = self.W_dec[latent_T]
            value_T = (left_TD * row_TD).sum(dim=1).relu()
            before_T = f_NF[index_T, latent_T]
            f_NF[index_T, latent_T] = before_T + value_T
            left_TD = left_TD - value_T[:, None] * row_TD
            done_T = torch.zeros_like(index_T, dtype=torch.bool)
            if self.stop_on_duplicate_support:
                done_T |= (before_T != 0) | (value_T == 0)
            if self.residual_threshold > 0:
                done_T |= left_TD.norm(dim=1) < self.residual_threshold
            index_T, left_TD = index_T[~done_T], left_TD[~done_T]
        return f_NF.view(*x.shape[:-1], f_NF.shape[-1])
