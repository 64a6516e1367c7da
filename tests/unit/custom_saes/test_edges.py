"""Where parity of codes lets a latent be on one side alone: at the threshold or the k-th place, and nowhere else."""

from __future__ import annotations

import torch
from edges import ALLOWED, at_an_edge

LARGEST = 10.0
NEAR, FAR = 0.5 * ALLOWED * LARGEST, 5 * ALLOWED * LARGEST
"""Differences that rounding may make, and that it may not."""


def test_only_codes_at_the_threshold_of_their_latent() -> None:
    threshold_F = torch.tensor([1.0, 2.0, 1.0, 1.0])
    ours = torch.tensor([[1.0 + NEAR, 2.0 + FAR, LARGEST, 0.0]])
    theirs = torch.tensor([[0.0, 0.0, LARGEST, 1.0 + NEAR]])
    assert at_an_edge(theirs, ours, threshold_F).tolist() == [[True, False, False, True]]
    assert at_an_edge(theirs, ours, torch.tensor(1.0)).tolist() == [[True, False, False, True]]


def test_only_codes_that_change_places_with_the_smallest_of_the_other_side() -> None:
    ours = torch.tensor([[LARGEST, 3.0, 0.0], [LARGEST, 3.0, 0.0], [LARGEST, -3.0, 0.0]])
    theirs = torch.tensor([[LARGEST, 0.0, 3.0 + NEAR], [LARGEST, 0.0, 3.0 + FAR], [LARGEST, 0.0, 3.0 + NEAR]])
    assert at_an_edge(theirs, ours, None).tolist() == [[False, True, True], [False] * 3, [False, True, True]]


def test_another_k_is_no_matter_of_rounding() -> None:
    codes = torch.randn(200, 50, generator=torch.Generator().manual_seed(0)).relu()
    one_less = codes.masked_fill(codes == codes.masked_fill(codes == 0, torch.inf).amin(1, True), 0)
    assert not at_an_edge(codes, one_less, None).any()


def test_a_difference_of_two_active_codes_is_at_no_edge() -> None:
    assert not at_an_edge(
        torch.tensor([[LARGEST, 1.0]]), torch.tensor([[LARGEST, 1.0 + NEAR]]), torch.tensor(1.0)
    ).any()
