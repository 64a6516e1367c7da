"""Latents picked at random that are like the picked ones in everything but what they mean.

An eval that picks latents and changes or reads them holds its score against the same procedure with such latents:
what is left is due to the choice. They match the picked ones in how often they are active and, where they are changed,
in how much of the activation they write.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.spatial import KDTree
from torch import Tensor

NEIGHBOURS = 20
"""Among how many latents that are nearest to a picked one its match is drawn."""

SKIP_ONLY = "the skip path alone, no latent active"
"""The floor of what a skip transcoder predicts: its latents get no credit for what the skip path explains."""
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
        taken, matches = set(picked_K.tolist()), []
        at_once = self._nearest(picked_K.numpy(force=True), 4 * neighbours)
        for latent, nearest_N in zip(picked_K.tolist(), at_once, strict=True):
            left = [other for other in nearest_N if other not in taken][:neighbours]
            while len(left) < neighbours and len(nearest_N) < len(self._live_L):
                (nearest_N,) = self._nearest(np.array([latent]), 4 * len(nearest_N))
                left = [other for other in nearest_N if other not in taken][:neighbours]
            if not left:
                break
            matches.append(left[int(torch.randint(len(left), (1,), generator=generator))])
            taken.add(matches[-1])
        return torch.tensor(matches, dtype=torch.long)

    def _nearest(self, latents_K: Int[np.ndarray, " K"], n: int) -> list[list[int]]:
        """The n nearest live latents of each, the nearest first; all of them if there are fewer."""
        if self._tree is None:
            return [[] for _ in latents_K]
        places = range(1, min(n, len(self._live_L)) + 1)
        _, found_KN = self._tree.query(self._ranks_FP[latents_K], k=places, p=np.inf)
        nearest: list[list[int]] = self._live_L[found_KN].tolist()
        return nearest


def _ranks(values_F: Float[Tensor, " F"], is_live_F: Tensor) -> Float[Tensor, " F"]:
    """Place of each value among those of the living, from 0 to 1; equal values have equal ranks."""
    sorted_L = values_F[is_live_F].sort().values
    if not len(sorted_L):
        return torch.zeros_like(values_F)
    below_F = torch.searchsorted(sorted_L, values_F, right=False)
    up_to_F = torch.searchsorted(sorted_L, values_F, right=True)
    return (below_F + up_to_F).double() / (2 * len(sorted_L))
