"""The meta-SAE trained the plain way: dense codes, norms in and out again, gradients by autograd, one seed."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sae_bench.evals.meta_structure.eval_config import MetaStructureEvalConfig


class PlainMetaSAE(nn.Module):
    def __init__(self, W_enc_MD: Tensor, b_enc_M: Tensor, W_dec_MD: Tensor, b_dec_D: Tensor, k: int) -> None:
        super().__init__()
        self.W_enc = nn.Parameter(W_enc_MD.clone())
        self.b_enc = nn.Parameter(b_enc_M.clone())
        self.W_dec = nn.Parameter(W_dec_MD.clone())
        self.b_dec = nn.Parameter(b_dec_D.clone())
        self.k = k

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Codes and pre-codes, both times the norms."""
        pre = ((x - self.b_dec) @ self.W_enc.T + self.b_enc) * self.W_dec.norm(dim=-1)
        flat = pre.relu().flatten()
        top = flat.topk(self.k * len(x))
        return torch.zeros_like(flat).scatter(0, top.indices, top.values).view_as(pre), pre

    def directions(self, codes: Tensor) -> Tensor:
        return (codes / self.W_dec.norm(dim=-1)) @ self.W_dec

    def forward(self, x: Tensor) -> Tensor:
        return self.directions(self.encode(x)[0]) + self.b_dec

    def loss(self, x: Tensor, dead: Tensor) -> tuple[Tensor, Tensor]:
        codes, pre = self.encode(x)
        out = self.directions(codes) + self.b_dec
        loss = (out - x).pow(2).sum(-1).mean()
        n_dead = int(dead.sum())
        if n_dead:
            half = x.shape[1] // 2
            top = pre.masked_fill(~dead, -torch.inf).topk(min(half, n_dead))
            of_dead = torch.zeros_like(pre).scatter(1, top.indices, top.values)
            missed = self.directions(of_dead) - (x - out).detach()
            loss = loss + min(n_dead / half, 1.0) * missed.pow(2).sum(-1).mean()
        return loss, (codes > 0).any(0)


def train_plainly(start: PlainMetaSAE, batches: list[Tensor], config: MetaStructureEvalConfig) -> list[int]:
    """Train in place; returns how many meta-latents were dead at each step."""
    optimizer = torch.optim.Adam(start.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    unused, dead_counts = torch.zeros(len(start.W_dec)), []
    for x in batches:
        dead = unused > config.dead_feature_window
        dead_counts.append(int(dead.sum()))
        optimizer.zero_grad()
        loss, used = start.loss(x, dead)
        unused = torch.where(used, 0, unused + 1)
        loss.backward()
        nn.utils.clip_grad_norm_(start.parameters(), 1.0)
        optimizer.step()
    return dead_counts
