"""Absorption of single words: how much of a letter is carried by latents that are not the letter's own.

Notation for a word with activation x and codes f, its letter's probe direction p (unit length) and own latents M:
a = p.x is the word's projection, c_j = f_j cos(p, d_j) that of latent j with decoder direction d_j.

N words, C letters, F latents, K active latents of a word.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sae_bench.evals.absorption.word_codes import WordCodes

FULL_MIN_COSINE = 0.025
"""Full absorption: least cosine of the strongest latent with the probe."""
ABSORBER_MIN_COSINE = 0.1
"""Thresholded fraction: least cosine of an absorbing latent with the probe."""
MIN_SHARE = 0.4
"""Least share of the word's projection that the absorbing latents carry."""
MAX_ABSORBERS = 3
SILENT_BELOW = 1e-8
ELEMENTS_AT_ONCE = 1 << 24


@dataclass(frozen=True)
class WordAbsorption:
    """Scores of N words."""

    fraction_N: Float[Tensor, " N"]
    thresholded_N: Float[Tensor, " N"]
    full_N: Bool[Tensor, " N"]
    active_N: Bool[Tensor, " N"]
    """Whether any latent is active."""


def probe_cosines(W_dec_FD: Float[Tensor, "F D"], directions_DC: Float[Tensor, "D C"]) -> Float[Tensor, "F C"]:
    """Cosine of every decoder direction with every letter's probe, in float32; 0 for a direction of length 0."""
    unit_FD = torch.nn.functional.normalize(W_dec_FD.float(), dim=1, eps=1e-8)
    return unit_FD @ torch.nn.functional.normalize(directions_DC.float(), dim=0, eps=1e-8)


@torch.no_grad()
def score_words(
    codes: WordCodes,
    rows_N: Int[Tensor, " N"],
    letter_N: Int[Tensor, " N"],
    projection_N: Float[Tensor, " N"],
    *,
    cosine_FC: Float[Tensor, "F C"],
    is_own_FC: Bool[Tensor, "F C"],
) -> WordAbsorption:
    """Absorption of the given words, each for its own letter.

    Args:
        rows_N: the words.
        letter_N: their letters, as columns of the matrices.
        projection_N: a of each word.
        is_own_FC: the latents of each letter.
    """
    letter_N, projection_N = letter_N.to(codes.device), projection_N.to(codes.device)
    at_once = max(1, ELEMENTS_AT_ONCE // codes.shape[1])
    parts: list[WordAbsorption] = []
    for start in range(0, len(rows_N), at_once):
        part = slice(start, start + at_once)
        values_NK, latents_NK = codes.active(rows_N[part])
        letters_N1 = letter_N[part, None]
        cosine_NK = cosine_FC[latents_NK, letters_N1]
        parts.append(absorption(values_NK, cosine_NK, is_own_FC[latents_NK, letters_N1], projection_N[part]))
    empty = torch.empty(0, device=codes.device)
    return WordAbsorption(
        fraction_N=torch.cat([empty, *(p.fraction_N for p in parts)]),
        thresholded_N=torch.cat([empty, *(p.thresholded_N for p in parts)]),
        full_N=torch.cat([empty.bool(), *(p.full_N for p in parts)]),
        active_N=torch.cat([empty.bool(), *(p.active_N for p in parts)]),
    )


def absorption(
    values_NK: Float[Tensor, "N K"],
    cosine_NK: Float[Tensor, "N K"],
    is_own_NK: Bool[Tensor, "N K"],
    projection_N: Float[Tensor, " N"],
) -> WordAbsorption:
    """Compute the three absorption scores of each word from its active latents (unused slots hold 0)."""
    share_NK = values_NK * cosine_NK
    own_N = (share_NK * is_own_NK).sum(dim=1)
    return WordAbsorption(
        fraction_N=absorption_fraction(own_N, share_NK.sum(dim=1), projection_N),
        thresholded_N=thresholded_fraction(own_N, share_NK, cosine_NK, is_own_NK, projection_N),
        full_N=is_fully_absorbed(values_NK, share_NK, cosine_NK, is_own_NK, projection_N),
        active_N=(values_NK != 0).any(dim=1),
    )


def absorption_fraction(
    own_N: Float[Tensor, " N"], all_N: Float[Tensor, " N"], projection_N: Float[Tensor, " N"]
) -> Float[Tensor, " N"]:
    """(sum_j c_j - sum_{j in M} c_j) / sum_j c_j within [0, 1]; 0 where M carries a already, or the sum is <= 0.

    The published definition up to the year of the published results (arXiv 2503.09532, section on absorption).
    """
    none_N = (own_N >= projection_N) | (all_N <= 0)
    fraction_N = ((all_N - own_N) / all_N.masked_fill(none_N, 1.0)).clamp(0.0, 1.0)
    return fraction_N.masked_fill(none_N, 0.0)


def thresholded_fraction(
    own_N: Float[Tensor, " N"],
    share_NK: Float[Tensor, "N K"],
    cosine_NK: Float[Tensor, "N K"],
    is_own_NK: Bool[Tensor, "N K"],
    projection_N: Float[Tensor, " N"],
    *,
    min_cosine: float = ABSORBER_MIN_COSINE,
    min_share: float = MIN_SHARE,
    max_absorbers: int = MAX_ABSORBERS,
) -> Float[Tensor, " N"]:
    """As sae-bench 0.6.0: b / (b + own), b the part of a - own that at most three absorbing latents carry.

    Absorbing latents are not the letter's own, point along the probe (cosine >= 0.1) and have the largest positive
    c_j. 0 where they carry less than 0.4 of a or the own latents carry a already, 1 where those carry nothing.
    """
    may_absorb_NK = ~is_own_NK & (cosine_NK >= min_cosine) & (share_NK > 0)
    candidates_NK = share_NK.masked_fill(~may_absorb_NK, 0.0)
    absorbed_N = candidates_NK.topk(min(max_absorbers, candidates_NK.shape[1]), dim=1).values.sum(dim=1)
    none_N = (own_N >= projection_N) | (projection_N <= 0) | (absorbed_N < min_share * projection_N)
    taken_N = torch.minimum(absorbed_N, projection_N - own_N)
    fraction_N = (taken_N / (taken_N + own_N).masked_fill(none_N | (own_N <= 0), 1.0)).clamp(0.0, 1.0)
    return fraction_N.masked_fill(own_N <= 0, 1.0).masked_fill(none_N, 0.0)


def is_fully_absorbed(
    values_NK: Float[Tensor, "N K"],
    share_NK: Float[Tensor, "N K"],
    cosine_NK: Float[Tensor, "N K"],
    is_own_NK: Bool[Tensor, "N K"],
    projection_N: Float[Tensor, " N"],
    *,
    min_cosine: float = FULL_MIN_COSINE,
    min_share: float = MIN_SHARE,
) -> Bool[Tensor, " N"]:
    """No own latent is on, and the latent with the largest c_j has cosine >= 0.025 and carries 0.4 of a or more."""
    silent_N = ~(is_own_NK & (values_NK >= SILENT_BELOW)).any(dim=1)
    strongest_N, slot_N = share_NK.max(dim=1)
    aligned_N = cosine_NK.gather(1, slot_N[:, None])[:, 0] >= min_cosine
    return silent_N & aligned_N & (projection_N > 0) & (strongest_N >= min_share * projection_N)
