"""What a metric is a mean of: the values behind one headline number, kept for intervals and paired comparison."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Samples:
    """The values of one metric for S seeds and U units (test texts, letters, pairs, latents), NaN where undefined.

    The metric of a seed is sum_u weights_U[u] values_SU[s, u] over its defined units, weights renormalised. A metric
    that is no weighted mean (a ratio of sums, say) gives linearised values: metric + (num_u - metric * den_u) / den.

    Attributes:
        values_SU: float32 values, one row per seed in the order of the run's seeds.
        weights_U: non-negative weights of the units, any scale.
        groups_U: number of the stratum (data set, class) that a unit belongs to; units are resampled within strata.
        unit: what a unit is, in the singular ("test text").
        key: equal for two SAEs if and only if their units are the same in the same order, so that they can be paired.
    """

    values_SU: Float[Tensor, "S U"]
    weights_U: Float[Tensor, " U"]
    groups_U: tuple[int, ...]
    unit: str
    key: str

    @classmethod
    def of_equal_units(cls, values_SU: Float[Tensor, "S U"], *, unit: str, key: str) -> Samples:
        """Units of one stratum that all weigh the same."""
        n_units = values_SU.shape[1]
        return cls(values_SU.float(), torch.ones(n_units), (0,) * n_units, unit, key)
