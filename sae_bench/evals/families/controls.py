"""Latents picked at random that are like the picked ones in everything but what they mean.

An eval that picks latents and changes or reads them holds its score against the same procedure with such latents:
what is left is due to the choice. They match the picked ones in how often they are active and, where they are changed,
in how much of the activation they write.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.spatial import KDTree
from torch import Tensor

from sae_bench.results.references import Reference

NEIGHBOURS = 20
"""Among how many latents that are nearest to a picked one its match is drawn."""

SKIP_ONLY = "the skip path alone, no latent active"
"""The floor of what a skip transcoder predicts: its latents get no credit for what the skip path explains."""


def highest_first(skip_path: Reference, mean: Reference) -> tuple[Reference, Reference]:
    """The floor of what has a skip path, then what stands beside it: undoing a bad skip path earns nothing.

    Args:
        skip_path: the metric of the skip path alone.
        mean: that of the mean activation.
    """
    return (mean, skip_path) if mean.value > skip_path.value else (skip_path, mean)


MOST_KEPT = 2000
"""Longer lists of neighbours are not kept."""

CONTROL = "random latents that are as active"
"""What a control is called in results."""


class LatentMatcher:
    """Finds latents that are like others in firing rate and further properties.

    Latents are compared by their ranks in each property, among those that are ever active; the greatest difference of
    ranks counts.

    Args:
        properties_F: what must match, of all latents; the first is the firing rate, and a latent whose rate is 0 is no
            match.
    """

    def __init__(self, *properties_F: Float[Tensor, " F"]) -> None:
        is_live_F = properties_F[0].cpu() > 0
        self._live_L = is_live_F.nonzero()[:, 0].numpy()
        self._ranks_FP = torch.stack([_ranks(of_F.cpu().double(), is_live_F) for of_F in properties_F], dim=1).numpy()
        self._tree = KDTree(self._ranks_FP[self._live_L]) if len(self._live_L) else None
        self._found: dict[int, dict[int, Int[np.ndarray, " N"]]] = {}

    def draw(
        self, picked_K: Int[Tensor, " K"], *, generator: torch.Generator, neighbours: int = NEIGHBOURS
    ) -> Int[Tensor, " M"]:
        """For each picked latent one that was not picked, drawn from the nearest ones; none is taken twice.

        Args:
            picked_K: the latents to match.
            generator: draws the matches; on the CPU.
            neighbours: among how many of the nearest that are left a match is drawn.

        Returns:
            As many latents, in the order of the picked ones; fewer if there are not enough that are alive.
        """
        matches: list[int] = []
        free_F = np.ones(len(self._ranks_FP), dtype=bool)
        free_F[picked_K.numpy(force=True)] = False
        n_live = len(self._live_L)
        for latent, nearest_N in zip(picked_K.tolist(), self._nearest(picked_K.tolist(), 4 * neighbours), strict=True):
            left_N = nearest_N[free_F[nearest_N]][:neighbours]
            while len(left_N) < neighbours and len(nearest_N) < n_live:
                (nearest_N,) = self._nearest([latent], 4 * len(nearest_N))
                left_N = nearest_N[free_F[nearest_N]][:neighbours]
            if not len(left_N):
                break
            matches.append(int(left_N[int(torch.randint(len(left_N), (1,), generator=generator))]))
            free_F[matches[-1]] = False
        return torch.tensor(matches, dtype=torch.long)

    def _nearest(self, latents: Sequence[int], n: int) -> list[Int[np.ndarray, " N"]]:
        """The n nearest live latents of each, the nearest first; all of them if there are fewer.

        What was found is kept: the draws of an SAE pick the same latents again and again.
        """
        if self._tree is None:
            return [self._live_L for _ in latents]
        found = self._found.setdefault(n, {})
        new = [latent for latent in dict.fromkeys(latents) if latent not in found]
        if new:
            places = range(1, min(n, len(self._live_L)) + 1)
            _, found_KN = self._tree.query(self._ranks_FP[new], k=places, p=np.inf)
            found |= zip(new, self._live_L[found_KN], strict=True)
        nearest = [found[latent] for latent in latents]
        if n > MOST_KEPT:
            found.clear()
        return nearest


def _ranks(values_F: Float[Tensor, " F"], is_live_F: Tensor) -> Float[Tensor, " F"]:
    """Place of each value among those of the living, from 0 to 1; equal values have equal ranks."""
    sorted_L = values_F[is_live_F].sort().values
    if not len(sorted_L):
        return torch.zeros_like(values_F)
    below_F = torch.searchsorted(sorted_L, values_F, right=False)
    up_to_F = torch.searchsorted(sorted_L, values_F, right=True)
    return (below_F + up_to_F).double() / (2 * len(sorted_L))
