"""Results of one eval that compare with one another, by the place of their SAEs; the others are shown apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sae_bench.analysis.comparable import Group, groups_of
from sae_bench.analysis.table import Record


@dataclass(frozen=True)
class Cohort:
    """A group of results that compare, as `analysis.comparable` defines it.

    Attributes:
        members: places of their SAEs among all.
    """

    group: Group
    members: list[int]

    @property
    def first(self) -> Record:
        """The result that others are held against."""
        return self.group.first

    @property
    def title(self) -> str:
        """Definition, model and hook."""
        return self.group.title

    @property
    def differs(self) -> str | None:
        """In what it differs from the first cohort of the eval; None for that one."""
        return self.group.differs


def cohorts_of(entries: Sequence[tuple[int, Record]]) -> list[Cohort]:
    """The results of one eval, each with the place of its SAE, in groups that compare."""
    place_of = {id(record): sae for sae, record in entries}
    groups = groups_of([record for _, record in entries])
    return [Cohort(group, [place_of[id(record)] for record in group.records]) for group in groups]
