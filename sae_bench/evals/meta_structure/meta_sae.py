"""BatchTopK meta-SAEs of several seeds side by side: weights, codes, reconstructions and gradients.

With x a decoder row, u = (x - b_dec) W_enc + b_enc and n the norms of the meta decoder's rows d, a batch keeps the k B
largest of relu(u n) and decodes x' = b_dec + sum over the kept of u d: the norms decide what is kept and cancel in the
code. So a step has one dense product (u); decoding and all gradients touch one row of D numbers per kept entry.

S seeds (their rows follow one another in flat tensors), B rows of a batch, D d_in, M meta-latents, A kept entries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import embedding_bag, normalize

from sae_bench.seeding import named_generator

NORM_AT_START = 0.1
"""Norm of the meta decoder's rows before training."""


class Entries(NamedTuple):
    """Kept entries of codes, row after row; rows and latents count on over the seeds."""

    row_A: Int[Tensor, " A"]
    latent_A: Int[Tensor, " A"]
    value_A: Float[Tensor, " A"]


class Gradients(NamedTuple):
    """Gradients of the weights, in the order of `MetaSAEs.weights`."""

    W_enc_SMD: Float[Tensor, "S M D"]
    b_enc_SM: Float[Tensor, "S M"]
    W_dec_SMD: Float[Tensor, "S M D"]
    b_dec_SD: Float[Tensor, "S D"]


@dataclass
class MetaSAEs:
    """The weights of S meta-SAEs."""

    W_enc_SMD: Float[Tensor, "S M D"]
    b_enc_SM: Float[Tensor, "S M"]
    W_dec_SMD: Float[Tensor, "S M D"]
    b_dec_SD: Float[Tensor, "S D"]

    @classmethod
    def start(cls, seeds: Sequence[int], n_latents: int, W_dec_FD: Float[Tensor, "F D"]) -> MetaSAEs:
        """Random directions of norm 0.1, the encoder equal to the decoder, biases 0; dtype and device of `W_dec_FD`."""
        d_in = W_dec_FD.shape[1]
        drawn = [
            torch.empty(n_latents, d_in).uniform_(-1, 1, generator=named_generator("meta_structure", "weights", seed))
            for seed in seeds
        ]
        W_dec_SMD = (normalize(torch.stack(drawn), dim=-1) * NORM_AT_START).to(W_dec_FD)
        zeros = W_dec_SMD.new_zeros
        return cls(W_dec_SMD.clone(), zeros(len(seeds), n_latents), W_dec_SMD, zeros(len(seeds), d_in))

    @property
    def weights(self) -> tuple[Tensor, ...]:
        """All weights."""
        return (self.W_enc_SMD, self.b_enc_SM, self.W_dec_SMD, self.b_dec_SD)

    def pre_codes(self, x_SBD: Float[Tensor, "S B D"], *, half: bool = False) -> Float[Tensor, "S B M"]:
        """u; with `half` its product is made in bfloat16."""
        centred_SBD = x_SBD - self.b_dec_SD[:, None]
        if half:
            product_SBM = centred_SBD.bfloat16() @ self.W_enc_SMD.bfloat16().mT
            return product_SBM.to(x_SBD.dtype) + self.b_enc_SM[:, None]
        return torch.baddbmm(self.b_enc_SM[:, None], centred_SBD, self.W_enc_SMD.mT)

    def norms(self) -> Float[Tensor, "S 1 M"]:
        """n, to stand beside u."""
        return self.W_dec_SMD.norm(dim=-1)[:, None]

    def keep(self, u_SBM: Float[Tensor, "S B M"], k: int) -> Entries:
        """The k B largest of relu(u n) of every seed; those that are 0 are no entries."""
        acts_SBM = torch.relu(u_SBM * self.norms())
        top = acts_SBM.flatten(1).topk(k * u_SBM.shape[1], dim=1, sorted=False)
        seed_S1 = torch.arange(len(u_SBM), device=u_SBM.device)[:, None]
        place_SA = top.indices + seed_S1 * acts_SBM[0].numel()
        return entries_at(u_SBM, place_SA[top.values > 0].sort().values)

    def decode(self, entries: Entries, n_rows: int) -> Float[Tensor, "S B D"]:
        """Reconstructions of `n_rows` rows per seed."""
        n_seeds, _, d_in = self.W_dec_SMD.shape
        summed = _weighted_sums(entries.row_A, entries.latent_A, entries.value_A, self._rows(), n_seeds * n_rows)
        return summed.view(n_seeds, n_rows, d_in) + self.b_dec_SD[:, None]

    def gradients(
        self, x_SBD: Float[Tensor, "S B D"], entries: Entries, slope_SBD: Float[Tensor, "S B D"]
    ) -> Gradients:
        """Gradients by way of the codes, for a loss whose derivative by sum u d is `slope_SBD`.

        That of b_dec is the part that enters through x - b_dec; the decoder's own part is the caller's.
        """
        n_seeds, n_latents, _ = self.W_dec_SMD.shape
        slope_flat, centred_flat = slope_SBD.flatten(0, 1), (x_SBD - self.b_dec_SD[:, None]).flatten(0, 1)
        u_slope_A = _dots(entries, slope_flat, self._rows())
        order = entries.latent_A.argsort(stable=True)
        latent_A, row_A = entries.latent_A[order], entries.row_A[order]
        n = n_seeds * n_latents
        W_dec = _weighted_sums(latent_A, row_A, entries.value_A[order], slope_flat, n)
        W_enc = _weighted_sums(latent_A, row_A, u_slope_A[order], centred_flat, n)
        b_enc_SM = W_enc.new_zeros(n).index_add_(0, entries.latent_A, u_slope_A).view(n_seeds, n_latents)
        b_dec_SD = -torch.einsum("sm,smd->sd", b_enc_SM, self.W_enc_SMD)
        return Gradients(W_enc.view_as(self.W_enc_SMD), b_enc_SM, W_dec.view_as(self.W_dec_SMD), b_dec_SD)

    def _rows(self) -> Float[Tensor, "SM D"]:
        return self.W_dec_SMD.flatten(0, 1)


def entries_at(u_SBM: Float[Tensor, "S B M"], place_A: Int[Tensor, " A"]) -> Entries:
    """The entries at ascending places of the flat u."""
    _, n_rows, n_latents = u_SBM.shape
    row_A = place_A // n_latents
    latent_A = place_A % n_latents + row_A // n_rows * n_latents
    return Entries(row_A, latent_A, u_SBM.flatten()[place_A])


def _weighted_sums(to_A: Tensor, from_A: Tensor, weight_A: Tensor, x_ND: Tensor, n: int) -> Tensor:
    """Row i of the result is the sum of weight x[from] over the entries whose `to`, ascending, is i."""
    count = to_A.bincount(minlength=n)
    return embedding_bag(from_A, x_ND, count.cumsum(0) - count, per_sample_weights=weight_A, mode="sum")


def _dots(entries: Entries, slope_ND: Tensor, W_dec_MD: Tensor) -> Float[Tensor, " A"]:
    """slope[row] . d[latent] of every entry: the derivative of slope . x' by the entry's value."""
    value_A = entries.value_A.detach().requires_grad_()
    with torch.enable_grad():
        summed = _weighted_sums(entries.row_A, entries.latent_A, value_A, W_dec_MD, len(slope_ND))
        return torch.autograd.grad(summed, value_A, slope_ND)[0]
