"""What the weights alone say: norms, biases and cosines of encoder and decoder directions."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sae_bench.custom_saes.interface import encoder_bias


def weight_metrics(sae: Any) -> tuple[dict[str, Float[Tensor, "F"]], dict[str, str]]:
    """Per-latent weight metrics on the CPU, and the reason for each that an SAE without an encoder matrix lacks."""
    decoder_FD = sae.W_dec.detach().float()
    metrics: dict[str, Tensor] = {"max_decoder_cosine_sim": max_cosine_to_another(decoder_FD)}
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
    return {name: value.cpu() for name, value in metrics.items()}, missing


def max_cosine_to_another(directions_FD: Float[Tensor, "F D"], *, block: int = 1024) -> Float[Tensor, "F"]:
    """Largest cosine of each direction to any other one; blocks of the symmetric matrix are computed once.

    Returns -inf for a lone direction.
    """
    unit_FD = torch.nn.functional.normalize(directions_FD, dim=-1)
    n = len(unit_FD)
    best_F = torch.full((n,), float("-inf"), device=unit_FD.device)
    for i in range(0, n, block):
        rows = unit_FD[i : i + block]
        for j in range(i, n, block):
            cosine = rows @ unit_FD[j : j + block].T
            if i == j:
                cosine.fill_diagonal_(float("-inf"))
            best_F[i : i + block] = torch.maximum(best_F[i : i + block], cosine.amax(dim=1))
            best_F[j : j + block] = torch.maximum(best_F[j : j + block], cosine.amax(dim=0))
    return best_F
