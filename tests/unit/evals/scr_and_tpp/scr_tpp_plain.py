"""scr and tpp the plain way: one probe at a time with torch's optimiser, every token ablated, decoded, pooled."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from sae_bench.language_models import LanguageModel
from sae_bench.probes import AdamWSettings, ProbeProblem
from sae_bench.probes.adamw import initial_probe
from sae_bench.seeding import named_generator


def token_activations(lm: LanguageModel, hook: str, token_ids: list[list[int]]) -> list[Tensor]:
    """(tokens, D) of each text alone, special tokens left out."""
    kept = []
    for ids in token_ids:
        x_LD = lm.capture(torch.tensor([ids]), [hook])[hook][0]
        kept.append(x_LD[[i not in lm.special_token_ids for i in ids]])
    return kept


def train_probe(x_TD: Tensor, problem: ProbeProblem, settings: AdamWSettings) -> nn.Linear:
    """One probe by the published recipe; initialisation and batches are those of the problem's generator."""
    generator = named_generator(*problem.name)
    probe = nn.Linear(x_TD.shape[1], 1)
    with torch.no_grad():
        weights_D, bias = initial_probe(x_TD.shape[1], generator)
        probe.weight.copy_(weights_D[None])
        probe.bias.copy_(bias[None])
    optimizer = torch.optim.AdamW(probe.parameters(), lr=settings.lr)
    best, best_accuracy = probe, -1.0
    for _ in range(settings.epochs):
        for batch in torch.randperm(len(problem.train_rows), generator=generator).split(settings.batch_size):
            logits = probe(x_TD[problem.train_rows[batch]])[:, 0]
            loss = nn.functional.binary_cross_entropy_with_logits(logits, problem.train_labels[batch].float())
            loss = loss + settings.l1_penalty * probe.weight.abs().sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            right = (probe(x_TD[problem.test_rows])[:, 0] > 0) == (problem.test_labels > 0)
        if right.double().mean() > best_accuracy:
            best, best_accuracy = copy.deepcopy(probe), float(right.double().mean())
    return best.requires_grad_(False)


def rank(
    sae: Any, tokens: list[Tensor], positive: Tensor, negative: Tensor, probe: nn.Linear, *, signed: bool
) -> Tensor:
    """Latents by effect, the largest first, only as many as have one."""

    def mean_code(rows: Tensor) -> Tensor:
        return torch.stack([sae.encode(tokens[row]).double().mean(dim=0) for row in rows.tolist()]).mean(dim=0)

    difference_F = mean_code(positive) - mean_code(negative)
    pull_F = (sae.W_dec.double() @ probe.weight[0].double()).float().double()
    effect_F = difference_F.clamp(min=0) * pull_F if signed else (difference_F * pull_F).abs()
    order = sorted(range(len(effect_F)), key=lambda s: (-effect_F[s].item(), s))
    return torch.tensor(order[: int((effect_F != 0).sum())], dtype=torch.long)


def ablated(sae: Any, x_LD: Tensor, latents: Tensor) -> Tensor:
    """The pooled text after setting latents to zero in every token; the SAE's error stays."""
    f_LF = sae.encode(x_LD)
    error_LD = x_LD - sae.decode(f_LF)
    left_LF = f_LF.clone()
    left_LF[:, latents] = 0.0
    return (sae.decode(left_LF) + error_LD).mean(dim=0)


class PerTokenScaleSAE:
    """A random ReLU SAE that normalises every token and scales back what it decodes: not linear in the code."""

    decoder_is_linear = False

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.cfg = inner.cfg
        self.W_dec = inner.W_dec
        self.scale_N1 = torch.ones(1, 1)

    def encode(self, x: Tensor) -> Tensor:
        self.scale_N1 = x.norm(dim=-1, keepdim=True)
        return self.inner.encode(4.0 * x / self.scale_N1)

    def decode(self, f: Tensor) -> Tensor:
        return torch.tanh(self.inner.decode(f)) * self.scale_N1 / 4.0
