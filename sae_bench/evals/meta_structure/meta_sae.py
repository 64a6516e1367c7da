"""A BatchTopK meta-SAE on the decoder rows of an SAE: its training, and how well it reconstructs all rows.

With x a decoder row, u = (x - b_dec) W_enc + b_enc and n the norms of the meta decoder's rows d, a batch keeps the k B
largest of relu(u n) and decodes x' = b_dec + sum over the kept of u d: the norms decide what is kept and cancel in the
code. B rows of a batch, D d_in, M meta-latents, A kept entries, each at `row * M + latent`, ascending.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import Module, Parameter
from torch.nn.functional import normalize

from sae_bench.custom_saes.sparse_products import ChosenPreActivations, weighted_sums
from sae_bench.evals.meta_structure.eval_config import MetaStructureEvalConfig
from sae_bench.seeding import named_generator


class MetaSAE(Module):
    """Starts with random directions of norm 0.1, the encoder equal to the decoder, biases 0."""

    def __init__(self, seed: int, n_latents: int, W_dec_FD: Float[Tensor, "F D"]) -> None:
        super().__init__()
        generator = named_generator("meta_structure", "weights", seed)
        drawn_MD = torch.empty(n_latents, W_dec_FD.shape[1]).uniform_(-1, 1, generator=generator)
        W_MD = (normalize(drawn_MD, dim=-1) * 0.1).to(W_dec_FD)
        self.W_enc_MD, self.b_enc_M = Parameter(W_MD.clone()), Parameter(W_MD.new_zeros(n_latents))
        self.W_dec_MD, self.b_dec_D = Parameter(W_MD), Parameter(W_MD.new_zeros(W_MD.shape[1]))

    @torch.no_grad()
    def choose(self, x_BD: Float[Tensor, "B D"], k: int, *, half: bool = False) -> tuple[Tensor, Tensor]:
        """Pre-activations of all meta-latents (B, M), and which of their entries (A,) the batch keeps.

        With `half`, the encoder's product is taken in bfloat16.
        """
        centred_BD, W_DM = x_BD - self.b_dec_D, self.W_enc_MD.mT
        if half:
            u_BM = (centred_BD.bfloat16() @ W_DM.bfloat16()).to(x_BD.dtype) + self.b_enc_M
        else:
            u_BM = torch.addmm(self.b_enc_M, centred_BD, W_DM)
        top = torch.relu(u_BM * self.W_dec_MD.norm(dim=-1)).flatten().topk(k * len(x_BD), sorted=False)
        return u_BM, top.indices[top.values > 0].sort().values

    def decode(self, x_BD: Tensor, u_BM: Tensor, entry_A: Int[Tensor, " A"]) -> Float[Tensor, "B D"]:
        """Decode each row: the sum of its active decoder directions, scaled by u; b_dec is not added."""
        row_A, latent_A = entry_A // u_BM.shape[1], entry_A % u_BM.shape[1]
        bias_M = self.b_enc_M - self.W_enc_MD @ self.b_dec_D
        u_A = ChosenPreActivations.apply(self.W_enc_MD, bias_M, x_BD, row_A, latent_A, u_BM.flatten()[entry_A])
        return weighted_sums(row_A, latent_A, u_A, self.W_dec_MD, len(x_BD))

    def loss(self, x_BD: Tensor, dead_M: Bool[Tensor, " M"], k: int, *, half: bool = False) -> tuple[Tensor, Tensor]:
        """Mean over rows of |x - x'|^2, and the entries it used.

        Dead meta-latents add how well the D / 2 largest of them per row reconstruct what is left; fewer count less.
        """
        u_BM, entry_A = self.choose(x_BD, k, half=half)
        left_BD = x_BD - self.b_dec_D - self.decode(x_BD, u_BM, entry_A)
        loss, n_dead, most = left_BD.pow(2).sum(dim=1).mean(), int(dead_M.sum()), x_BD.shape[1] // 2
        if n_dead:
            acts_BM = (u_BM * self.W_dec_MD.norm(dim=-1)).masked_fill(~dead_M, -torch.inf)
            of_dead_BM = torch.zeros_like(acts_BM).scatter(1, acts_BM.topk(min(most, n_dead)).indices, 1)
            missed_BD = self.decode(x_BD, u_BM, of_dead_BM.flatten().nonzero()[:, 0]) - left_BD.detach()
            loss = loss + min(n_dead / most, 1.0) * missed_BD.pow(2).sum(dim=1).mean()
        return loss, entry_A

    @torch.no_grad()
    def errors(self, rows_FD: Float[Tensor, "F D"], config: MetaStructureEvalConfig) -> Float[Tensor, " F"]:
        """Squared error of every row, float64 on the CPU; rows of an evaluation batch share its k B entries."""
        parts = [x_BD - self.b_dec_D - self.decode(x_BD, *self.choose(x_BD, config.k))
                 for x_BD in rows_FD.split(config.eval_batch_size)]  # fmt: skip
        return torch.cat(parts).double().pow(2).sum(dim=1).cpu()


def train(rows_FD: Float[Tensor, "F D"], seed: int, config: MetaStructureEvalConfig) -> MetaSAE:
    """Train a meta-SAE on decoder rows that are drawn with replacement."""
    sae = MetaSAE(seed, max(math.ceil(len(rows_FD) * config.width_ratio), config.k), rows_FD)
    generator = named_generator("meta_structure", "batches", seed)
    half, fused = config.autocast and rows_FD.is_cuda, rows_FD.device.type in ("cpu", "cuda") and rows_FD.itemsize > 2
    optimizer = torch.optim.Adam(sae.parameters(), config.learning_rate, weight_decay=config.weight_decay, fused=fused)
    unused_M = torch.zeros_like(sae.b_enc_M.detach())
    for _ in range(config.train_steps):
        index_B = torch.randint(len(rows_FD), (config.train_batch_size,), generator=generator).to(rows_FD.device)
        dead_M = unused_M > config.dead_feature_window
        with torch.enable_grad():
            loss, entry_A = sae.loss(rows_FD[index_B], dead_M, config.k, half=half)
            optimizer.zero_grad()
            loss.backward()
        unused_M.add_(1).index_fill_(0, entry_A % len(unused_M), 0)
        torch.nn.utils.clip_grad_norm_(sae.parameters(), max_norm=1.0)
        optimizer.step()
    return sae
