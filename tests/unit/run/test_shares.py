"""Shares of a run: every SAE in one of them, and all about equally long."""

from __future__ import annotations

import random

import pytest

from sae_bench.errors import UsageError
from sae_bench.run.shares import Share, members_of_share


def test_every_sae_is_in_one_share():
    draw = random.Random(0)
    for _ in range(10):
        keys = [(draw.randrange(2), draw.randrange(draw.randint(1, 8))) for _ in range(draw.randint(1, 60))]
        n = draw.choice([1, 2, 5, 70])
        shares = [members_of_share(keys, Share(i + 1, n)) for i in range(n)]
        assert sorted(place for share in shares for place in share) == list(range(len(keys)))
        assert all(share == sorted(share) for share in shares)


@pytest.mark.parametrize(
    ("text", "environment", "expected"),
    [
        ("2/5", {}, Share(2, 5)),
        ("slurm", {"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "4"}, Share(4, 4)),
        ("slurm", {f"SLURM_ARRAY_TASK_{k}": v for k, v in (("ID", "1"), ("COUNT", "4"), ("MIN", "1"))}, Share(1, 4)),
    ],
)  # fmt: skip
def test_shares_by_name(text: str, environment: dict[str, str], expected: Share):
    assert Share.parse(text, environment) == expected


@pytest.mark.parametrize(
    ("text", "environment", "expected"),
    [
        ("0/5", {}, "count from 1"),
        ("6/5", {}, "count from 1"),
        ("half", {}, "is no share"),
        ("1/0", {}, "count from 1"),
        ("slurm", {}, "SLURM_ARRAY_TASK_ID"),
        ("slurm", {"SLURM_ARRAY_TASK_ID": "9", "SLURM_ARRAY_TASK_COUNT": "4"}, "without gaps"),
    ],
)
def test_no_shares(text: str, environment: dict[str, str], expected: str):
    with pytest.raises(UsageError, match=expected):
        Share.parse(text, environment)
