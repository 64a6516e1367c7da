"""SAEs made worse by a known amount: level 0 is the SAE itself, bit for bit, every level is worse than the last.

What a level changes is part of what the next one changes: the dead latents of 0.25 are dead at 0.5, noise keeps its
direction.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sae_bench.custom_saes.derived.derived_sae import DerivedSAE, DerivedSAEConfig, LatentMap
from sae_bench.errors import SAEMismatchError
from sae_bench.seeding import named_generator


@torch.no_grad()
def degrade(parent: Any, cfg: DerivedSAEConfig, kind: str, level: float) -> DerivedSAE:
    """An SAE made worse in one way.

    Args:
        parent: the SAE, which has to be nobody else's.
        cfg: of what is made.
        kind: one of `listing.DEGRADING`.
        level: 0 (the SAE itself) to 1.
    Raises:
        SAEMismatchError: the SAE has no weights of the kind that is to be changed.
    """
    if level == 0:
        return DerivedSAE(parent, cfg)
    if kind == "decoder_noise":
        return DerivedSAE(parent, cfg, W_dec_FD=turned(parent.W_dec, level, kind))
    if kind == "encoder_noise":
        return DerivedSAE(_with_noisy_encoder(parent, level), cfg)
    if kind == "dead":
        return DerivedSAE(parent, cfg, latents=_without(parent, chosen_latents(parent, level, kind)))
    if kind == "merged":
        return _merged(parent, cfg, chosen_latents(parent, level, kind))
    return DerivedSAE(parent, cfg, W_dec_FD=exchanged(parent.W_dec, chosen_latents(parent, level, kind)))


def exchanged(W_dec_FD: Float[Tensor, "F D"], chosen_K: Int[Tensor, " K"]) -> Float[Tensor, "F D"]:
    """A decoder in which each chosen row stands in the place of the one chosen before it: none keeps its own."""
    rows_FD = W_dec_FD.detach().clone()
    rows_FD[chosen_K] = W_dec_FD[chosen_K.roll(1)]
    return rows_FD


def chosen_latents(sae: Any, level: float, kind: str) -> Int[Tensor, " K"]:
    """A share of the latents, at random; those of a lower level are among those of a higher one."""
    n_latents = int(sae.W_dec.shape[0])
    order_F = torch.randperm(n_latents, generator=named_generator("degraded", kind, n_latents))
    return order_F[: round(level * n_latents)].to(sae.W_dec.device)


def turned(rows_FD: Float[Tensor, "F D"], level: float, kind: str) -> Float[Tensor, "F D"]:
    """Rows turned by `level` times 90 degrees towards random directions, each of its own; lengths stay."""
    wide_FD = rows_FD.detach().float()
    noise_FD = torch.randn(wide_FD.shape, generator=named_generator("degraded", kind, *wide_FD.shape)).to(wide_FD)
    length_F1 = wide_FD.norm(dim=1, keepdim=True)
    unit_FD = wide_FD / length_F1.clamp(min=1e-12)
    noise_FD -= (noise_FD * unit_FD).sum(1, keepdim=True) * unit_FD
    noise_FD /= noise_FD.norm(dim=1, keepdim=True).clamp(min=1e-12)
    angle = level * math.pi / 2
    return (length_F1 * (math.cos(angle) * unit_FD + math.sin(angle) * noise_FD)).to(rows_FD.dtype)


def _with_noisy_encoder(parent: Any, level: float) -> Any:
    """The SAE itself, its encoder columns turned, if that is what it encodes with."""
    W_enc_DF = getattr(parent, "W_enc", None)
    if not isinstance(W_enc_DF, Tensor):
        raise SAEMismatchError("it has no W_enc, so its encoder cannot get noise.")
    if W_enc_DF.untyped_storage().data_ptr() == parent.W_dec.untyped_storage().data_ptr():
        parent.W_enc.data = W_enc_DF = W_enc_DF.detach().clone()
    x_ND = torch.randn(8, W_enc_DF.shape[0], generator=named_generator("degraded", "probe")).to(W_enc_DF)
    x_ND *= W_enc_DF.norm()
    before_NF = parent.encode(x_ND)
    W_enc_DF.copy_(turned(W_enc_DF.T, level, "encoder_noise").T)
    if torch.equal(parent.encode(x_ND), before_NF):
        raise SAEMismatchError("it does not encode with its W_enc, so its encoder cannot get noise.")
    return parent


def _without(parent: Any, dead_K: Int[Tensor, " K"]) -> LatentMap:
    n_latents = int(parent.W_dec.shape[0])
    factor_F = torch.ones(n_latents, device=parent.W_dec.device)
    factor_F[dead_K] = 0
    return LatentMap(torch.arange(n_latents, device=factor_F.device), factor_F, n_latents, in_place=True)


def _merged(parent: Any, cfg: DerivedSAEConfig, chosen_K: Int[Tensor, " K"]) -> DerivedSAE:
    """Pairs of latents become one: the sum of both along the mean of both decoder rows; the other one is dead.

    The mean row is as long as the two are on average, and the sum is scaled in its place.
    """
    pairs_P2 = chosen_K[: len(chosen_K) // 2 * 2].view(-1, 2)
    first_P, second_P = pairs_P2.unbind(1)
    W_dec_FD = parent.W_dec.detach().clone()
    n_latents = len(W_dec_FD)
    mean_PD = W_dec_FD[pairs_P2].float().mean(1)
    wanted_P = W_dec_FD[pairs_P2].float().norm(dim=2).mean(1)
    scale_P = mean_PD.norm(dim=1) / wanted_P.clamp(min=1e-12)
    W_dec_FD[first_P] = (mean_PD / scale_P.clamp(min=1e-12)[:, None]).to(W_dec_FD.dtype)
    target_F = torch.arange(n_latents, device=W_dec_FD.device)
    target_F[second_P] = first_P
    factor_F = torch.ones(n_latents, device=W_dec_FD.device)
    factor_F[first_P] = factor_F[second_P] = scale_P
    return DerivedSAE(parent, cfg, latents=LatentMap(target_F, factor_F, n_latents), W_dec_FD=W_dec_FD)
