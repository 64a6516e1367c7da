"""What the weights alone say: norms, biases and cosines of encoder and decoder directions."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from sae_bench.custom_saes.interface import SAE, encoder_bias

OPPOSITE = -0.9
"""Two decoder directions with a smaller cosine are nearly opposite: two latents share one line (arXiv 2506.15679)."""

PROJECTIONS = 2**24
"""At most so many projections of tokens on decoder rows are sorted."""


class WeightMetrics(NamedTuple):
    """What the weights say of each latent (on the CPU), of all together, and why something is missing."""

    latents: dict[str, Float[Tensor, "F"]]
    summary: dict[str, float]
    missing: dict[str, str]


def weight_metrics(sae: Any) -> WeightMetrics:
    """Numbers of the latents and of the dictionary; an SAE without an encoder matrix lacks some."""
    decoder_FD = sae.W_dec.detach().float()
    cosines = cosines_to_others(decoder_FD)
    metrics: dict[str, Tensor] = {"max_decoder_cosine_sim": cosines.max_F}
    summary = {
        "mean_abs_decoder_cosine_sim": cosines.mean_absolute,
        "opposite_decoder_pairs": cosines.n_opposite,
        "frac_with_opposite_decoder": float((cosines.min_F < OPPOSITE).float().mean()),
    }
    bias = encoder_bias(sae)
    metrics["encoder_bias"] = torch.zeros(len(decoder_FD)) if bias is None else bias.detach().float()
    encoder = getattr(sae, "W_enc", None)
    missing: dict[str, str] = {}
    if encoder is None:
        reason = "the SAE has no encoder matrix W_enc"
        missing = dict.fromkeys(("encoder_norm", "encoder_decoder_cosine_sim", "max_encoder_cosine_sim"), reason)
    else:
        encoder_FD = encoder.detach().float().T
        metrics["encoder_norm"] = encoder_FD.norm(dim=-1)
        metrics["encoder_decoder_cosine_sim"] = torch.nn.functional.cosine_similarity(decoder_FD, encoder_FD, dim=-1)
        metrics["max_encoder_cosine_sim"] = max_cosine_to_another(encoder_FD)
    for side in ("encoder", "decoder"):
        if (cosine := metrics.get(f"max_{side}_cosine_sim")) is not None:
            summary[f"average_max_{side}_cosine_sim"] = float(cosine.double().cpu().mean())
    return WeightMetrics({name: value.cpu() for name, value in metrics.items()}, summary, missing)


def max_cosine_to_another(directions_FD: Float[Tensor, "F D"], *, block: int = 1024) -> Float[Tensor, "F"]:
    """Largest cosine of each direction to any other one.

    Returns -inf for a lone direction.
    """
    return cosines_to_others(directions_FD, block=block).max_F


class CosinesToOthers(NamedTuple):
    """How the directions of a matrix lie to one another.

    Attributes:
        max_F, min_F: largest and smallest cosine of each direction to any other; -inf and inf for a lone one.
        mean_absolute: mean |cosine| of all pairs; NaN for a lone one.
        n_opposite: pairs whose cosine is below `OPPOSITE`.
    """

    max_F: Float[Tensor, "F"]
    min_F: Float[Tensor, "F"]
    mean_absolute: float
    n_opposite: int


def cosines_to_others(directions_FD: Float[Tensor, "F D"], *, block: int = 1024) -> CosinesToOthers:
    """Extremes and sums of the cosines of all pairs; blocks of the symmetric matrix are computed once."""
    unit_FD = torch.nn.functional.normalize(directions_FD, dim=-1)
    n = len(unit_FD)
    max_F = torch.full((n,), float("-inf"), device=unit_FD.device)
    min_F = torch.full((n,), float("inf"), device=unit_FD.device)
    total, n_opposite = 0.0, 0
    for i in range(0, n, block):
        rows = unit_FD[i : i + block]
        for j in range(i, n, block):
            cosine = rows @ unit_FD[j : j + block].T
            pairs = 0.5 if i == j else 1.0  # a block on the diagonal holds every pair twice
            if i == j:
                cosine.fill_diagonal_(0.0)
            total += pairs * float(cosine.abs().sum())
            n_opposite += int(pairs * int((cosine < OPPOSITE).sum()))
            if i == j:
                cosine.fill_diagonal_(float("inf"))
            min_F[i : i + block] = torch.minimum(min_F[i : i + block], cosine.amin(dim=1))
            min_F[j : j + block] = torch.minimum(min_F[j : j + block], cosine.amin(dim=0))
            if i == j:
                cosine.fill_diagonal_(float("-inf"))
            max_F[i : i + block] = torch.maximum(max_F[i : i + block], cosine.amax(dim=1))
            max_F[j : j + block] = torch.maximum(max_F[j : j + block], cosine.amax(dim=0))
    return CosinesToOthers(max_F, min_F, total / (n * (n - 1) / 2) if n > 1 else float("nan"), n_opposite)


@torch.no_grad()
def nth_decoder_projection(sae: SAE, x_ND: Float[Tensor, "N D"]) -> float:
    """How far a quarter of all latents' directions reach into activations they should mostly be orthogonal to.

    The (n N)-th largest of the N F projections of `x - decode(0)` on the unit decoder rows, n = F / 4
    (arXiv 2508.16560, appendix A.9): lowest where the L0 is right, among SAEs of one hook and width.

    Args:
        sae: one whose decoder is linear.
        x_ND: activations; of many, `PROJECTIONS // F` evenly spaced ones are read.
    """
    unit_FD = torch.nn.functional.normalize(sae.W_dec.detach().float(), dim=-1)
    n_latents = len(unit_FD)
    step = max(1, -(-len(x_ND) * n_latents // PROJECTIONS))
    zero_D = sae.decode(sae.W_dec.new_zeros(1, n_latents)).float()
    projections = ((x_ND[::step].float() - zero_D) @ unit_FD.T).flatten()
    rank = max(1, n_latents // 4) * (projections.numel() // n_latents)
    return float(projections.kthvalue(projections.numel() - rank + 1).values)
