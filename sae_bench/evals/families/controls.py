"""Latents picked at random that are like the picked ones in everything but what they mean.

An eval that picks latents and changes or reads them holds its score against the same procedure with such latents:
what is left is due to the choice. They match the picked ones in how often they are active and, where they are changed,
in how much of the activation they write.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

NEIGHBOURS = 20
"""Among how many latents that are nearest to a picked one its match is drawn."""

CONTROL = "random latents that are as active"
"""What a control is called in results."""


def matched_latents(
    picked_K: Int[Tensor, " K"],
    *properties_F: Float[Tensor, " F"],
    generator: torch.Generator,
    neighbours: int = NEIGHBOURS,
) -> Int[Tensor, " M"]:
    """For each picked latent one that was not picked and has about its firing rate and other properties.

    Latents are compared by their ranks in each property, among those that are ever active; each match is drawn from
    the nearest ones, and none is taken twice.

    Args:
        picked_K: the latents to match.
        properties_F: what must match, of all latents; the first is the firing rate, and a latent whose rate is 0 is no
            match.
        generator: draws the matches; on the CPU.
        neighbours: among how many of the nearest a match is drawn.

    Returns:
        As many latents, in the order of the picked ones; fewer if there are not enough that are alive.
    """
    picked_K = picked_K.cpu()
    rate_F = properties_F[0].cpu()
    is_free_F = rate_F > 0
    is_free_F[picked_K] = False
    free_C = is_free_F.nonzero()[:, 0]
    ranks_PF = torch.stack([_ranks(values_F.cpu().double(), rate_F > 0) for values_F in properties_F])
    matches: list[int] = []
    for latent in picked_K.tolist():
        if not len(free_C):
            break
        distance_C = (ranks_PF[:, free_C] - ranks_PF[:, latent, None]).abs().amax(dim=0)
        nearest_N = distance_C.topk(min(neighbours, len(free_C)), largest=False).indices
        drawn = nearest_N[torch.randint(len(nearest_N), (1,), generator=generator)]
        matches.append(int(free_C[drawn]))
        free_C = torch.cat([free_C[:drawn], free_C[drawn + 1 :]])
    return torch.tensor(matches, dtype=torch.long)


def firing_rates(codes: Sequence[Float[Tensor, "T F"]]) -> Float[Tensor, " F"]:
    """Share of rows in which each latent is active (not 0)."""
    active_F = torch.stack([(codes_TF != 0).sum(dim=0) for codes_TF in codes]).sum(dim=0)
    return active_F.double() / sum(len(codes_TF) for codes_TF in codes)


def _ranks(values_F: Float[Tensor, " F"], is_live_F: Tensor) -> Float[Tensor, " F"]:
    """Place of each value among those of the living, from 0 to 1; equal values have equal ranks."""
    sorted_L = values_F[is_live_F].sort().values
    if not len(sorted_L):
        return torch.zeros_like(values_F)
    below_F = torch.searchsorted(sorted_L, values_F, right=False)
    up_to_F = torch.searchsorted(sorted_L, values_F, right=True)
    return (below_F + up_to_F).double() / (2 * len(sorted_L))
