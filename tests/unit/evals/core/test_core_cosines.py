"""The cosines of all pairs of directions against the plain matrix of them."""

import logging

import pytest
import torch
from torch import Tensor

from sae_bench.evals.core import cosines
from sae_bench.evals.core.cosines import cosines_to_others, max_cosine_to_another


def plain_max_cosine(directions: Tensor) -> Tensor:
    unit = directions.double() / directions.double().norm(dim=1, keepdim=True)
    return (unit @ unit.T).fill_diagonal_(float("-inf")).amax(dim=1)


@pytest.mark.parametrize("block", [1, 7, 32, 1024])
@pytest.mark.parametrize("n", [2, 33, 64])
def test_largest_cosine_to_another(n: int, block: int):
    directions = torch.randn(n, 6, generator=torch.Generator().manual_seed(n)) * 3
    found = max_cosine_to_another(directions, block=block)
    torch.testing.assert_close(found.double(), plain_max_cosine(directions), atol=1e-6, rtol=0)


def test_largest_cosine_of_known_directions():
    assert max_cosine_to_another(torch.eye(5), block=2).tolist() == [0.0] * 5
    twins = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    torch.testing.assert_close(max_cosine_to_another(twins, block=3), torch.tensor([1.0, 1.0, 0.0, 0.0]))
    opposite = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    assert max_cosine_to_another(opposite).tolist() == [-1.0, -1.0]
    assert max_cosine_to_another(torch.ones(1, 3)).tolist() == [float("-inf")]


@pytest.mark.parametrize("block", [1, 7, 32, 1024])
def test_cosines_of_all_pairs(block: int):
    directions = torch.randn(33, 3, generator=torch.Generator().manual_seed(1)) * 3
    directions[20], directions[31] = -2 * directions[4], -directions[4] + 0.01
    unit = directions.double() / directions.double().norm(dim=1, keepdim=True)
    pairs = [(i, j, float(unit[i] @ unit[j])) for i in range(33) for j in range(i)]
    found = cosines_to_others(directions, block=block)
    assert found.n_opposite == sum(cosine < -0.9 for *_, cosine in pairs)
    assert found.n_opposite >= 2
    assert found.mean_absolute == pytest.approx(sum(abs(cosine) for *_, cosine in pairs) / len(pairs), abs=1e-6)
    expected = [any(cosine < -0.9 for i, j, cosine in pairs if n in (i, j)) for n in range(33)]
    assert found.has_opposite_F.tolist() == expected


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("block", [32, 1024])
def test_screening_in_bfloat16_gives_the_numbers_of_float32(block: int, transposed: bool):
    """Twins, neighbours that bfloat16 cannot tell apart, and pairs just on either side of "opposite"."""
    generator = torch.Generator().manual_seed(5)
    directions = torch.randn(700, 48, generator=generator)
    directions[100:140] = directions[7] + 0.02 * torch.randn(40, 48, generator=generator)
    directions[300], directions[301] = 3 * directions[299], -directions[299]
    unit = torch.nn.functional.normalize(directions, dim=-1)
    across = torch.nn.functional.normalize(unit[401] - (unit[401] @ unit[400]) * unit[400], dim=-1)
    for row, cosine in ((402, -0.9001), (403, -0.8999)):
        directions[row] = cosine * unit[400] + (1 - cosine**2) ** 0.5 * across
    if transposed:
        directions = directions.T.contiguous().T
    plain = cosines_to_others(directions, block=block, screen=False)
    screened = cosines_to_others(directions, block=block, screen=True)
    torch.testing.assert_close(screened.max_F, plain.max_F, atol=5e-7, rtol=0)
    assert screened.n_opposite == plain.n_opposite
    assert plain.n_opposite == 3
    assert torch.equal(screened.has_opposite_F, plain.has_opposite_F)
    assert not plain.has_opposite_F.all()
    assert screened.mean_absolute == pytest.approx(plain.mean_absolute, rel=1e-4)  # few pairs: less averages out


def test_only_many_directions_are_screened_and_only_where_that_is_faster(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sae_bench.custom_saes.codes.WIDE", 64)
    directions = torch.randn(64, 16, generator=torch.Generator().manual_seed(6))
    results = []
    for fast in (False, True):
        monkeypatch.setattr(cosines, "is_fast_at_bfloat16", lambda _, fast=fast: fast)
        results.append([cosines_to_others(part, block=8).mean_absolute for part in (directions[:63], directions)])
    (narrow, wide), (narrow_fast, wide_fast) = results
    assert narrow == narrow_fast
    assert wide != wide_fast == pytest.approx(wide, rel=1e-3)


def test_long_comparisons_say_how_long_they_take(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    monkeypatch.setattr(cosines, "LINES_EVERY", -1.0)
    with caplog.at_level(logging.INFO, logger=cosines.__name__):
        cosines_to_others(torch.eye(6), block=2)
    assert [r.getMessage() for r in caplog.records][-1] == "cosines of all pairs of 6 directions: about 0 s left"
    assert len(caplog.records) == 6
