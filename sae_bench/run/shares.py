"""A static share of a run, for machines that do not talk to one another: `--shard 2/5`, or the index of a Slurm array.

Every share is made from the same request alone, so that all machines agree on it. SAEs of one model and hook share a
pass: a share takes as many of them as fit, and whoever takes others of the same hook pays that pass again.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from sae_bench.errors import UsageError

PASS_PRICE = 3.0
"""What loading a model, preparing the evals and a pass cost, in evaluations of one SAE."""

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


def split_into_shares(
    group_sizes: Sequence[int], n_shares: int, *, pass_price: float = PASS_PRICE
) -> list[list[tuple[int, range]]]:
    """Deal SAEs out so that the longest share is about as short as it can be.

    Args:
        group_sizes: number of SAEs of each model and hook.
        n_shares: how many shares.
        pass_price: what every share pays for each group of which it has an SAE, in SAEs.

    Returns:
        Per share the groups it takes part in, each with its SAEs there; a share may be empty.
    """
    total = sum(group_sizes) + pass_price * sum(size > 0 for size in group_sizes)
    low, high = total / n_shares, total
    for _ in range(60):
        middle = (low + high) / 2
        if len(_filled(group_sizes, middle, pass_price)) <= n_shares:
            high = middle
        else:
            low = middle
    shares = _filled(group_sizes, high, pass_price)
    return shares + [[] for _ in range(n_shares - len(shares))]


def _filled(group_sizes: Sequence[int], capacity: float, pass_price: float) -> list[list[tuple[int, range]]]:
    """Fill one share after the other up to a capacity, group after group; as many shares as it takes.

    A share that begins takes one SAE at least, however small the capacity.
    """
    shares: list[list[tuple[int, range]]] = []
    left = 0.0
    for group, size in enumerate(group_sizes):
        start = 0
        while start < size:
            fit = math.floor(left - pass_price + 1e-9)
            if not shares or fit < 1:
                shares.append([])
                left = capacity
                fit = max(math.floor(left - pass_price + 1e-9), 1)
            taken = min(fit, size - start)
            shares[-1].append((group, range(start, start + taken)))
            left -= pass_price + taken
            start += taken
    return shares


def members_of_share(keys: Sequence[Hashable], share: Share) -> list[int]:
    """Places of the SAEs that a share evaluates, in order.

    Args:
        keys: of every SAE what says with which others it shares a pass (model, hook).
    """
    groups: dict[Hashable, list[int]] = {}
    for place, key in enumerate(keys):
        groups.setdefault(key, []).append(place)
    of_group = list(groups.values())
    mine = split_into_shares([len(places) for places in of_group], share.count)[share.index - 1]
    return sorted(of_group[group][n] for group, part in mine for n in part)
