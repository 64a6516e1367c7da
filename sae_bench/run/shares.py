"""A static share of a run, for machines that do not talk to one another: `--shard 2/5`, or the index of a Slurm array.

Every share is made from the same request alone, so that all machines agree on it (`planner.shares`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from sae_bench.errors import UsageError
from sae_bench.run import planner

SLURM = "slurm"
"""The share that Slurm's variables name."""

_FORM = re.compile(r"(\d+)/(\d+)")


@dataclass(frozen=True)
class Share:
    """Which of how many shares, from 1."""

    index: int
    count: int

    @classmethod
    def parse(cls, text: str, environment: Mapping[str, str] = os.environ) -> Share:
        """`2/5`, or `slurm`: the place of SLURM_ARRAY_TASK_ID among the tasks of its array.

        Raises:
            UsageError: neither, or no share of that number.
        """
        if text == SLURM:
            return cls._of_slurm(environment)
        match = _FORM.fullmatch(text)
        if match is None:
            raise UsageError(f"'{text}' is no share. Next: INDEX/COUNT, such as 2/5, or {SLURM}.")
        index, count = int(match[1]), int(match[2])
        if not 1 <= index <= count:
            raise UsageError(f"'{text}': shares count from 1 to {count}. Next: 1/{count} to {count}/{count}.")
        return cls(index, count)

    @classmethod
    def _of_slurm(cls, environment: Mapping[str, str]) -> Share:
        names = ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT", "SLURM_ARRAY_TASK_MIN")
        texts = [environment.get(name, "") for name in names]
        if not texts[0].isdigit() or not texts[1].isdigit():
            raise UsageError(f"--shard {SLURM} needs {names[0]} and {names[1]}. Next: sbatch --array=1-COUNT, or I/N.")
        index = int(texts[0]) - (int(texts[2]) if texts[2].isdigit() else 0)
        if index >= int(texts[1]):
            raise UsageError(f"{names[0]}={texts[0]} is not within the array. Next: an array without gaps or steps.")
        return cls(index + 1, int(texts[1]))


def members_of_share(keys: Sequence[tuple[int, Hashable]], share: Share) -> list[int]:
    """Places of the SAEs that a share evaluates, in order.

    Args:
        keys: of every SAE the number of its model and its hook: SAEs of one model share a pass.
    """
    mine = planner.shares(planner.groups_of(keys), share.count)[share.index - 1]
    return sorted(place for unit in mine for place in unit.members)
