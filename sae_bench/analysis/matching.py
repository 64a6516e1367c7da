"""Which latent of one dictionary is which of another: one-to-one matching of decoder directions by |cosine|.

F and G are the latents of the two dictionaries, M = min(F, G) the matched pairs.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching
from torch import Tensor

from sae_bench.seeding import named_generator

EXACT = 4096
"""Dictionaries up to so many latents are matched over all pairs; wider ones within candidates."""

CANDIDATES = 32
"""Of a wide dictionary, each latent's most similar ones of the other dictionary."""

_BLOCK = 2048
_NULL_DRAWS = 3


class Matching(NamedTuple):
    """Matched pairs, no latent in two of them.

    Attributes:
        first_M, second_M: the latents of each pair.
        cosine_M: their cosine, signed.
        n_left: latents of the smaller dictionary that no candidate was free for; matched among what was left.
    """

    first_M: Int[np.ndarray, " M"]
    second_M: Int[np.ndarray, " M"]
    cosine_M: Float[np.ndarray, " M"]
    n_left: int = 0

    @property
    def score(self) -> float:
        """Mean |cosine| of the matched pairs."""
        return float(np.abs(self.cosine_M).mean())


@torch.no_grad()
def match_directions(
    first_FD: Float[Tensor, "F D"], second_GD: Float[Tensor, "G D"], *, exact: int = EXACT, candidates: int = CANDIDATES
) -> Matching:
    """The one-to-one matching of the largest total |cosine| (Hungarian method), of every latent of the smaller one.

    Args:
        first_FD, second_GD: decoder directions of any length.
        exact: beyond so many latents pairs are looked for within the candidates alone.
        candidates: how many of the most similar directions each may be matched with then.
    """
    if len(first_FD) > len(second_GD):
        swapped = match_directions(second_GD, first_FD, exact=exact, candidates=candidates)
        return Matching(swapped.second_M, swapped.first_M, swapped.cosine_M, swapped.n_left)
    first, second = (torch.nn.functional.normalize(x.detach().float(), dim=-1) for x in (first_FD, second_GD))
    if len(second) <= exact:
        cosine_FG = (first @ second.T).cpu().numpy()
        rows, columns = linear_sum_assignment(-np.abs(cosine_FG))
        return Matching(rows, columns, cosine_FG[rows, columns])
    return _within_candidates(first, second, min(candidates, len(second)))


def _within_candidates(first_FD: Tensor, second_GD: Tensor, k: int) -> Matching:
    """Sparse matching; each latent may also stay alone, and those that do are matched with what is left, best first."""
    n, m = len(first_FD), len(second_GD)
    found = [(part @ second_GD.T).abs().topk(k, dim=1) for part in first_FD.split(_BLOCK)]
    size_FK = torch.cat([top.values for top in found]).cpu().double().numpy()
    index_FK = torch.cat([top.indices for top in found]).cpu().numpy()
    cost = np.concatenate([2.0 - size_FK.ravel(), np.full(n, 3.0)])  # staying alone costs more than any candidate
    rows = np.concatenate([np.repeat(np.arange(n), k), np.arange(n)])
    columns = np.concatenate([index_FK.ravel(), m + np.arange(n)])
    _, chosen_F = min_weight_full_bipartite_matching(coo_array((cost, (rows, columns)), shape=(n, m + n)).tocsr())
    alone = np.flatnonzero(chosen_F >= m)
    if len(alone):
        free = np.setdiff1d(np.arange(m), chosen_F[chosen_F < m])
        chosen_F[alone] = free[_greedy(first_FD[alone], second_GD[free])]
    cosine_F = (first_FD * second_GD[torch.as_tensor(chosen_F, device=second_GD.device)]).sum(dim=1)
    return Matching(np.arange(n), chosen_F, cosine_F.cpu().numpy(), len(alone))


def _greedy(first_AD: Tensor, second_BD: Tensor) -> Int[np.ndarray, " A"]:
    """For each row in turn the most similar one that is free."""
    taken = torch.zeros(len(second_BD), dtype=torch.bool, device=second_BD.device)
    chosen = []
    for row in first_AD:
        best = int((second_BD @ row).abs().masked_fill(taken, -1.0).argmax())
        taken[best] = True
        chosen.append(best)
    return np.asarray(chosen)


@lru_cache(maxsize=64)
def null_score(n_first: int, n_second: int, d_in: int) -> float:
    """The score of two random dictionaries of these shapes: mean over a few pairs, for wide ones over one."""
    scores = []
    for draw in range(_NULL_DRAWS if max(n_first, n_second) <= EXACT // 2 else 1):
        generator = named_generator("random dictionaries", n_first, n_second, d_in, draw)
        first, second = (torch.randn(n, d_in, generator=generator) for n in (n_first, n_second))
        scores.append(match_directions(first, second).score)
    return float(np.mean(scores))


def calibrated(score: float, null: float) -> float:
    """1 for equal dictionaries, 0 for random ones."""
    return (score - null) / (1.0 - null)
