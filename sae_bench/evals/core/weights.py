"""What the weights alone say: norms, biases and cosines of encoder and decoder directions."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from sae_bench.custom_saes.codes import is_wide
from sae_bench.custom_saes.interface import SAE, decoder_constant, encoder_bias
from sae_bench.evals.core.cosines import cosines_to_others, max_cosine_to_another

PROJECTIONS = 2**24
"""At most so many projections of tokens on decoder rows are sorted."""

LATENTS_AT_ONCE = 1 << 14
"""Of a wide SAE, the directions of so many latents are worked on at a time."""

PAIRWISE = (
    "max_decoder_cosine_sim",
    "max_encoder_cosine_sim",
    "mean_abs_decoder_cosine_sim",
    "opposite_decoder_pairs",
    "frac_with_opposite_decoder",
)
"""What compares all pairs of directions."""
PAIRWISE_OFF = "compute_pairwise_cosines is off"
OTHER_SPACE = "encoder and decoder directions of a transcoder are of two hooks"


class WeightMetrics(NamedTuple):
    """What the weights say of each latent (on the CPU), of all together, and why something is missing."""

    latents: dict[str, Float[Tensor, "F"]]
    summary: dict[str, float]
    missing: dict[str, str]


def weight_metrics(sae: Any, *, pairwise: bool = True, writes_elsewhere: bool = False) -> WeightMetrics:
    """Numbers of the latents and of the dictionary; an SAE without an encoder matrix lacks some.

    Args:
        sae: what holds the weights; `W_dec` at least.
        pairwise: whether to compare all pairs of directions, which is quadratic in their number.
        writes_elsewhere: whether the decoder directions are of another hook than the encoder directions.
    """
    decoder_FD = sae.W_dec.detach()
    metrics: dict[str, Tensor] = {}
    summary: dict[str, float] = {}
    missing: dict[str, str] = {}
    if pairwise:
        cosines = cosines_to_others(decoder_FD)
        metrics["max_decoder_cosine_sim"] = cosines.max_F
        summary["mean_abs_decoder_cosine_sim"] = cosines.mean_absolute
        summary["opposite_decoder_pairs"] = cosines.n_opposite
        summary["frac_with_opposite_decoder"] = float(cosines.has_opposite_F.float().mean())
    else:
        missing |= dict.fromkeys(PAIRWISE, PAIRWISE_OFF)
    bias = encoder_bias(sae)
    metrics["encoder_bias"] = torch.zeros(len(decoder_FD)) if bias is None else bias.detach().float()
    encoder = getattr(sae, "W_enc", None)
    if encoder is None:
        reason = "the SAE has no encoder matrix W_enc"
        missing |= dict.fromkeys(("encoder_norm", "encoder_decoder_cosine_sim", "max_encoder_cosine_sim"), reason)
    else:
        encoder_FD = encoder.detach().T
        metrics |= _norms_and_cosines(encoder_FD, None if writes_elsewhere else decoder_FD)
        if writes_elsewhere:
            missing["encoder_decoder_cosine_sim"] = OTHER_SPACE
        if pairwise:
            metrics["max_encoder_cosine_sim"] = max_cosine_to_another(encoder_FD)
    for side in ("encoder", "decoder"):
        if (cosine := metrics.get(f"max_{side}_cosine_sim")) is not None:
            summary[f"average_max_{side}_cosine_sim"] = float(cosine.double().cpu().mean())
    return WeightMetrics({name: value.cpu() for name, value in metrics.items()}, summary, missing)


def _norms_and_cosines(encoder_FD: Float[Tensor, "F D"], decoder_FD: Float[Tensor, "F D"] | None) -> dict[str, Tensor]:
    """Length of each encoder direction and its cosine with the decoder direction, of so many latents at a time."""
    block = LATENTS_AT_ONCE if is_wide(len(encoder_FD)) else len(encoder_FD)
    of_latents = {"encoder_norm": torch.cat([part_BD.float().norm(dim=-1) for part_BD in encoder_FD.split(block)])}
    if decoder_FD is not None:
        pairs = zip(decoder_FD.split(block), encoder_FD.split(block), strict=True)
        cosines = [torch.nn.functional.cosine_similarity(d.float(), e.float(), dim=-1) for d, e in pairs]
        of_latents["encoder_decoder_cosine_sim"] = torch.cat(cosines)
    return of_latents


@torch.no_grad()
def nth_decoder_projection(sae: SAE, x_ND: Float[Tensor, "N D"]) -> float:
    """How far a quarter of all latents' directions reach into activations they should mostly be orthogonal to.

    The (n N)-th largest of the N F projections of `x - decode(0)` on the unit decoder rows, n = F / 4
    (arXiv 2508.16560, appendix A.9): lowest where the L0 is right, among SAEs of one hook and width.

    Args:
        sae: one whose decoder is linear.
        x_ND: activations; of many, `PROJECTIONS // F` evenly spaced ones are read.
    """
    n_latents = len(sae.W_dec)
    step = max(1, -(-len(x_ND) * n_latents // PROJECTIONS))
    zero_D = decoder_constant(sae).float()
    centred_ND = x_ND[::step].float() - zero_D
    block = LATENTS_AT_ONCE if is_wide(n_latents) else n_latents
    units = (torch.nn.functional.normalize(part.float(), dim=-1) for part in sae.W_dec.detach().split(block))
    projections = torch.cat([centred_ND @ unit_BD.T for unit_BD in units], dim=1).flatten()
    rank = max(1, n_latents // 4) * (projections.numel() // n_latents)
    return float(projections.kthvalue(projections.numel() - rank + 1).values)
