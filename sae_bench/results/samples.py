"""What a metric is a mean of: the values behind one headline number, kept for intervals and paired comparison."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sae_bench.errors import UsageError


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
        random: whether the seed changes anything. Where it does not, there is one row, and the units alone give the
            error bar.
        ids_U: a hash of each unit by which draws of the data that have units in common are laid over one another:
            with the same stratum and id, it is the same unit in every draw.
        clusters_U: hash or number of what a unit comes from (its document, the data set of a task), equal in all draws.
            Units of one cluster are not independent, whatever their stratum, and count as one where noise is
            estimated: rows of a document that each draw cuts anew are the same document drawn again. None: every
            unit stands alone.
    """

    values_SU: Float[Tensor, "S U"]
    weights_U: Float[Tensor, " U"]
    groups_U: tuple[int, ...]
    unit: str
    key: str
    random: bool = True
    ids_U: Int[Tensor, " U"] | None = None
    clusters_U: Int[Tensor, " U"] | None = None

    def __post_init__(self) -> None:
        n_seeds, n_units = self.values_SU.shape
        if n_seeds < 1 or len(self.weights_U) != n_units or len(self.groups_U) != n_units:
            raise UsageError(
                f"samples of a metric need one row per seed, and as many weights and strata as units; got values "
                f"{tuple(self.values_SU.shape)}, {len(self.weights_U)} weights and {len(self.groups_U)} strata."
            )
        if not bool((self.weights_U >= 0).all()):
            raise UsageError("samples of a metric need weights of 0 or more; some are negative or NaN.")
        for name in ("ids_U", "clusters_U"):
            numbers_U = getattr(self, name)
            if numbers_U is not None and numbers_U.shape != (n_units,):
                raise UsageError(f"samples of {n_units} units need as many {name}; got {tuple(numbers_U.shape)}.")
        if not self.random and n_seeds > 1:
            raise UsageError(f"samples that no seed changes have one row, not {n_seeds}.")

    @classmethod
    def of_equal_units(cls, values_SU: Float[Tensor, "S U"], *, unit: str, key: str, random: bool = True) -> Samples:
        """Units of one stratum that all weigh the same."""
        n_units = values_SU.shape[1]
        return cls(values_SU.float(), torch.ones(n_units), (0,) * n_units, unit, key, random)

    @property
    def n_units(self) -> int:
        """How many units count: those with a weight that are defined for some seed."""
        return int(self.used_U.sum())

    @property
    def used_U(self) -> Bool[Tensor, " U"]:
        """Which units count."""
        return (self.weights_U > 0) & self.values_SU.isfinite().any(dim=0)

    @property
    def n_clusters(self) -> int:
        """How many independent units count: clusters where they are known, else units."""
        return self.n_units if self.clusters_U is None else len(self.clusters_U[self.used_U].unique())

    def seed_values(self) -> list[float]:
        """The metric of each seed; NaN for a seed without a defined unit."""
        defined_SU = self.values_SU.isfinite()
        weights_SU = self.weights_U.double() * defined_SU
        total_S = (weights_SU * self.values_SU.double().masked_fill(~defined_SU, 0.0)).sum(dim=1)
        return (total_S / weights_SU.sum(dim=1)).tolist()

    def rows(self, index: Sequence[int]) -> Samples:
        """The given seeds in the given order."""
        return replace(self, values_SU=self.values_SU[list(index)])


def units_key(name: str, parts: Iterable[str | bytes]) -> str:
    """A `Samples.key` for units that `parts` describe completely and in order."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return f"{name}:{digest.hexdigest()[:16]}"


def stack_draws(draws: Sequence[Samples]) -> Samples:
    """One `Samples` from those of several seeds, each of which had its own draw of the data, one row each.

    Units that several draws share (by key or by id) stand in one column; the others are NaN in the other rows. Clusters
    keep their numbers, so that units of one document remain one cluster however each draw cut it.
    """
    first = draws[0]
    if any(draw.values_SU.shape[0] != 1 for draw in draws):
        raise UsageError("draws of one seed each have one row each.")
    if len(draws) == 1:
        return first
    if len({draw.key for draw in draws}) == 1:
        return replace(first, values_SU=torch.cat([draw.values_SU for draw in draws]), random=True)
    if len({draw.clusters_U is None for draw in draws}) > 1:
        raise UsageError("draws of one metric either all name the clusters of their units, or none does.")
    columns: dict[tuple[object, ...], int] = {}
    columns_S = [[columns.setdefault(name, len(columns)) for name in _names(draw, n)] for n, draw in enumerate(draws)]
    values_SU = torch.full((len(draws), len(columns)), float("nan"))
    weights_U = torch.zeros(len(columns))
    groups = [0] * len(columns)
    clusters_U = None if first.clusters_U is None else torch.zeros(len(columns), dtype=torch.int64)
    for seed, (draw, column_U) in enumerate(zip(draws, columns_S, strict=True)):
        values_SU[seed, column_U] = draw.values_SU[0]
        weights_U[column_U] = draw.weights_U.float() / draw.weights_U.sum()
        for column, group in zip(column_U, draw.groups_U, strict=True):
            groups[column] = group
        if clusters_U is not None and draw.clusters_U is not None:
            clusters_U[column_U] = draw.clusters_U.long()
    key = units_key("draws", (draw.key for draw in draws))
    return Samples(values_SU, weights_U, tuple(groups), first.unit, key, clusters_U=clusters_U)


def _names(draw: Samples, number: int) -> list[tuple[object, ...]]:
    """What tells a unit from all others: stratum, id and how often that id came before; or draw and place."""
    if draw.ids_U is None:
        return [(number, unit) for unit in range(draw.values_SU.shape[1])]
    seen: Counter[tuple[object, ...]] = Counter()
    names: list[tuple[object, ...]] = []
    for name in zip(draw.groups_U, draw.ids_U.tolist(), strict=True):
        names.append((*name, seen[name]))
        seen[name] += 1
    return names
