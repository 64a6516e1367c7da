"""Training meta-SAEs on decoder rows, and judging them on all rows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sae_bench.evals.meta_structure.eval_config import MetaStructureEvalConfig
from sae_bench.evals.meta_structure.meta_sae import Gradients, MetaSAEs, entries_at
from sae_bench.seeding import named_generator

LARGEST_GRADIENT = 1.0
"""The gradients of a seed, taken together, are scaled down to this norm."""
BYTES_AT_ONCE = {"cpu": 0, "cuda": 4 << 30}
"""What the seeds that train side by side may take; 0: one seed after the other (nothing is gained on a CPU)."""


@dataclass(frozen=True)
class Trained:
    """How the meta-SAE of one seed explains the decoder rows.

    Attributes:
        error_F, spread_F: squared distance of each row to its reconstruction and to the mean row, float64.
    """

    seed: int
    error_F: Float[Tensor, " F"]
    spread_F: Float[Tensor, " F"]
    d_in: int
    seconds: float

    @property
    def variance_explained(self) -> float:
        """1 - sum |d - d'|^2 / sum |d - E d|^2; 0, as published, where all rows are equal."""
        total = float(self.spread_F.sum())
        return 1 - float(self.error_F.sum()) / total if total > 0 else 0.0

    @property
    def mse(self) -> float:
        """Mean squared error of a coordinate."""
        return float(self.error_F.mean()) / self.d_in


def meta_width(d_sae: int, config: MetaStructureEvalConfig) -> int:
    """Latents of the meta-SAE."""
    return max(math.ceil(d_sae * config.width_ratio), config.k)


@torch.no_grad()
def explain_decoder(
    W_dec_FD: Float[Tensor, "F D"], seeds: Sequence[int], config: MetaStructureEvalConfig
) -> list[Trained]:
    """Train one meta-SAE per seed and judge it on all rows; a seed's result does not depend on the others."""
    found: list[Trained] = []
    for together in _groups(W_dec_FD, seeds, config):
        start = perf_counter()
        saes = train(W_dec_FD, together, config)
        if W_dec_FD.device.type == "cuda":
            torch.cuda.synchronize(W_dec_FD.device)
        seconds = (perf_counter() - start) / len(together)
        error_SF = reconstruction_errors(saes, W_dec_FD, config)
        spread_F = (W_dec_FD - W_dec_FD.mean(dim=0)).double().pow(2).sum(dim=1).cpu()
        found += [
            Trained(seed, error_F, spread_F, W_dec_FD.shape[1], seconds)
            for seed, error_F in zip(together, error_SF, strict=True)
        ]
    return found


def train(W_dec_FD: Float[Tensor, "F D"], seeds: Sequence[int], config: MetaStructureEvalConfig) -> MetaSAEs:
    """Meta-SAEs of these seeds, side by side."""
    saes = MetaSAEs.start(seeds, meta_width(len(W_dec_FD), config), W_dec_FD)
    parameters = [torch.nn.Parameter(weight) for weight in saes.weights]
    saes = MetaSAEs(*(parameter.data for parameter in parameters))  # the same memory
    optimizer = torch.optim.Adam(
        parameters, lr=config.learning_rate, weight_decay=config.weight_decay, fused=_has_fused_adam(W_dec_FD)
    )
    half = config.autocast and W_dec_FD.device.type == "cuda"
    unused_SM = torch.zeros_like(saes.b_enc_SM)
    for index_SB in _batches(len(W_dec_FD), seeds, config):
        dead_SM = unused_SM > config.dead_feature_window
        gradients, used_SM = step_gradients(saes, W_dec_FD[index_SB.to(W_dec_FD.device)], dead_SM, config.k, half=half)
        unused_SM = torch.where(used_SM, 0, unused_SM + 1)
        for parameter, gradient in zip(parameters, _clipped(gradients), strict=True):
            parameter.grad = gradient
        optimizer.step()
    return saes


def step_gradients(
    saes: MetaSAEs, x_SBD: Float[Tensor, "S B D"], dead_SM: Bool[Tensor, "S M"], k: int, *, half: bool = False
) -> tuple[Gradients, Bool[Tensor, "S M"]]:
    """Gradients of the loss on one batch, and which meta-latents it used.

    The loss is the mean over rows of |x - x'|^2; dead meta-latents add how well they reconstruct what is left.
    """
    n_rows = x_SBD.shape[1]
    u_SBM = saes.pre_codes(x_SBD, half=half)
    entries = saes.keep(u_SBM, k)
    left_SBD = x_SBD - saes.decode(entries, n_rows)
    slope_SBD = left_SBD * (-2 / n_rows)
    found = saes.gradients(x_SBD, entries, slope_SBD)
    found = found._replace(b_dec_SD=found.b_dec_SD + slope_SBD.sum(dim=1))
    used_SM = torch.zeros_like(dead_SM).flatten().index_fill_(0, entries.latent_A, 1).view_as(dead_SM)
    if bool(dead_SM.any()):
        added = _revive(saes, x_SBD, u_SBM, left_SBD, dead_SM)
        found = Gradients(*(a + b for a, b in zip(found, added, strict=True)))
    return found, used_SM


def _revive(saes: MetaSAEs, x_SBD: Tensor, u_SBM: Tensor, left_SBD: Tensor, dead_SM: Tensor) -> Gradients:
    """Gradients of the loss of dead meta-latents: per row the D / 2 largest of them reconstruct what is left.

    With fewer than D / 2 of them, all do, and the loss counts in proportion.
    """
    _, n_rows, d_in = x_SBD.shape
    acts_SBM = u_SBM * saes.norms()
    n_dead_S = dead_SM.sum(dim=1)
    places: list[Tensor] = []
    for seed in n_dead_S.nonzero()[:, 0].tolist():
        n_kept = min(d_in // 2, int(n_dead_S[seed]))
        latent_BA = acts_SBM[seed].masked_fill(~dead_SM[seed], -torch.inf).topk(n_kept, dim=1, sorted=False).indices
        row_B1 = torch.arange(n_rows, device=latent_BA.device)[:, None] + seed * n_rows
        places.append((row_B1 * u_SBM.shape[2] + latent_BA).flatten())
    entries = entries_at(u_SBM, torch.cat(places).sort().values)
    scale_S = (n_dead_S.to(x_SBD) / (d_in // 2)).clamp(max=1.0)
    missed_SBD = saes.decode(entries, n_rows) - saes.b_dec_SD[:, None] - left_SBD
    slope_SBD = missed_SBD * (2 / n_rows) * scale_S[:, None, None]
    return saes.gradients(x_SBD, entries, slope_SBD)


def reconstruction_errors(
    saes: MetaSAEs, W_dec_FD: Float[Tensor, "F D"], config: MetaStructureEvalConfig
) -> Float[Tensor, "S F"]:
    """Squared error of every decoder row, float64 on the CPU; rows of an evaluation batch share its k B entries."""
    parts = []
    for x_BD in W_dec_FD.split(config.eval_batch_size):
        x_SBD = x_BD.expand(len(saes.b_dec_SD), -1, -1)
        entries = saes.keep(saes.pre_codes(x_SBD), config.k)
        parts.append((x_SBD - saes.decode(entries, len(x_BD))).double().pow(2).sum(dim=-1).cpu())
    return torch.cat(parts, dim=1)


def _batches(n: int, seeds: Sequence[int], config: MetaStructureEvalConfig) -> Iterator[Int[Tensor, "S B"]]:
    """Rows drawn with replacement, by a generator of each seed."""
    generators = [named_generator("meta_structure", "batches", seed) for seed in seeds]
    for _ in range(config.train_steps):
        drawn = [torch.randint(n, (config.train_batch_size,), generator=generator) for generator in generators]
        yield torch.stack(drawn)


def _clipped(gradients: Gradients) -> list[Tensor]:
    """The gradients of each seed, scaled down together where they are longer than `LARGEST_GRADIENT`."""
    squares_S = sum(gradient.flatten(1).pow(2).sum(dim=1) for gradient in gradients)
    assert isinstance(squares_S, Tensor)
    scale_S = (LARGEST_GRADIENT / (squares_S.sqrt() + 1e-6)).clamp(max=1.0)
    return [gradient * scale_S.view(-1, *(1,) * (gradient.ndim - 1)) for gradient in gradients]


def _groups(W_dec_FD: Tensor, seeds: Sequence[int], config: MetaStructureEvalConfig) -> Iterator[Sequence[int]]:
    """Seeds that train side by side: as many as memory is set aside for, at least one."""
    n_latents, d_in = meta_width(len(W_dec_FD), config), W_dec_FD.shape[1]
    per_seed = 4 * (8 * n_latents * d_in + 4 * config.train_batch_size * (n_latents + d_in))
    size = max(1, BYTES_AT_ONCE.get(W_dec_FD.device.type, 0) // per_seed)
    for start in range(0, len(seeds), size):
        yield seeds[start : start + size]


def _has_fused_adam(W_dec_FD: Tensor) -> bool:
    return W_dec_FD.device.type in ("cpu", "cuda") and W_dec_FD.dtype in (torch.float32, torch.float64)
