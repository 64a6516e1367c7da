"""Consistency of SAEs of one hook: planted agreement, none, and what lies between."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from sae_bench.analysis.consistency import MIN_RUNS, consistency_of
from sae_bench.analysis.matching import calibrated, match_directions, null_score
from sae_bench.custom_saes.loading import Member
from sae_bench.testing import tiny_sae

HOOK = "blocks.1.hook_resid_post"


def unit(n: int, d: int = 24, *, seed: int) -> Tensor:
    rows = torch.randn(n, d, generator=torch.Generator().manual_seed(seed))
    return rows / rows.norm(dim=1, keepdim=True)


def member(name: str, sae: Any) -> Member:
    return Member("runs", name, sae, HOOK)


def tokens(n: int = 600, d: int = 32) -> list[Tensor]:
    return list(torch.randn(n, d, generator=torch.Generator().manual_seed(9)).split(250))


def permuted(sae: Any, *, seed: int) -> Any:
    """The same SAE with its latents in another order."""
    other = tiny_sae("relu", hook_name=HOOK)
    order = torch.randperm(len(sae.W_dec), generator=torch.Generator().manual_seed(seed))
    other.W_dec.copy_(sae.W_dec[order])
    other.W_enc.copy_(sae.W_enc[:, order])
    other.b_enc.copy_(sae.b_enc[order])
    return other


def test_permuted_rows_with_flipped_signs_match_completely():
    rows = unit(40, seed=0)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(1))
    signs = torch.where(torch.arange(40) % 3 == 0, -1.0, 1.0)[:, None]
    matching = match_directions(rows, 3 * signs * rows[order])
    assert matching.score == pytest.approx(1.0, abs=1e-6)
    assert order[torch.as_tensor(matching.second_M)].tolist() == matching.first_M.tolist()


def test_random_dictionaries_are_calibrated_to_nothing():
    for seed in range(3):
        score = match_directions(unit(60, seed=2 * seed + 10), unit(60, seed=2 * seed + 11)).score
        assert score > 0.3  # which is why it needs a null
        assert calibrated(score, null_score(60, 60, 24)) == pytest.approx(0.0, abs=0.03)


@pytest.mark.parametrize(("n", "m"), [(30, 50), (50, 30)])
def test_dictionaries_of_different_widths_match_the_smaller_one(n: int, m: int):
    first, second = unit(n, seed=3), unit(m, seed=4)
    second[: min(n, m)] = first[: min(n, m)]
    matching = match_directions(first, second)
    assert len(matching.first_M) == len(set(matching.first_M)) == len(set(matching.second_M)) == 30
    assert matching.score == pytest.approx(1.0, abs=1e-6)


def test_wide_dictionaries_are_matched_within_candidates():
    """A matching, at most as good as the full one and nearly so; with all candidates it is the full one."""
    first = unit(70, seed=5)
    second = (first + 0.15 * torch.randn(70, 24, generator=torch.Generator().manual_seed(6)))[torch.randperm(70)]
    cosine = np.abs((first @ (second / second.norm(dim=1, keepdim=True)).T).numpy())
    best = cosine[linear_sum_assignment(-cosine)].mean()
    for candidates, least in ((70, best - 1e-6), (5, best - 0.02), (1, best - 0.2)):
        matching = match_directions(first, second, exact=10, candidates=candidates)
        assert len(set(matching.second_M)) == 70
        assert least <= matching.score <= best + 1e-6
        np.testing.assert_allclose(np.abs(matching.cosine_M), cosine[matching.first_M, matching.second_M], atol=1e-6)


def test_one_sae_in_another_order_agrees_in_everything():
    sae = tiny_sae("relu", hook_name=HOOK)
    found = consistency_of([member("a", sae), member("b", permuted(sae, seed=1))], tokens(), model="tiny")
    assert found.pw_mcc == pytest.approx(1.0, abs=1e-6)
    assert found.calibrated == pytest.approx(1.0, abs=1e-6)
    assert found.shared == 1.0
    assert found.code_correlation == pytest.approx(1.0, abs=1e-6)
    assert found.activity_iou == 1.0
    assert found.n_tokens == 600
    (pair,) = found.pairs
    assert sum(band.n_latents for band in pair.by_frequency) + pair.n_silent == pair.n_matched == len(sae.W_dec)


def test_unrelated_saes_agree_in_nothing():
    found = consistency_of(
        [member("a", tiny_sae("relu", hook_name=HOOK, seed=1)), member("b", tiny_sae("relu", hook_name=HOOK, seed=2))],
        tokens(), model="tiny",
    )  # fmt: skip
    assert found.calibrated == pytest.approx(0.0, abs=0.05)
    assert found.code_correlation is not None
    assert found.code_correlation < 0.7
    assert "no more alike than random dictionaries" in found.sentence


def test_codes_and_activity_equal_their_plain_formulas():
    a, b = tiny_sae("topk", hook_name=HOOK, seed=1), tiny_sae("relu", hook_name=HOOK, seed=2)
    found = consistency_of([member("a", a), member("b", b)], tokens(), model="tiny")
    matching, x = match_directions(a.W_dec, b.W_dec), torch.cat(tokens())
    correlations, overlaps = [], []
    for i, j, cosine in zip(*matching[:3], strict=True):
        u, v = a.encode(x)[:, i].double(), b.encode(x)[:, j].double() * (1.0 if cosine >= 0 else -1.0)
        on = ((u != 0) & (v != 0)).sum(), ((u != 0) | (v != 0)).sum()
        if on[1] > 0:
            overlaps.append(float(on[0] / on[1]))
            varies = u.std() > 0 and v.std() > 0
            correlations.append(float(torch.corrcoef(torch.stack([u, v]))[0, 1]) if varies else 0.0)
    assert found.code_correlation == pytest.approx(np.mean(correlations), abs=1e-6)
    assert found.activity_iou == pytest.approx(np.mean(overlaps), abs=1e-9)


def test_an_interval_needs_runs_of_one_setting():
    runs = [member(f"run {n}", tiny_sae("relu", hook_name=HOOK, seed=n)) for n in range(MIN_RUNS)]
    few = consistency_of(runs[:3], tokens(), model="tiny")
    assert few.ci_low is None
    assert few.reason is not None
    assert "3 runs" in few.reason
    enough = consistency_of(runs, tokens(), model="tiny")
    assert enough.ci_low is not None
    assert enough.ci_high is not None
    assert enough.ci_low <= enough.calibrated <= enough.ci_high
    assert len(enough.pairs) == 10
    mixed = consistency_of([*runs[1:], member("k", tiny_sae("topk", hook_name=HOOK))], tokens(), model="tiny")
    assert mixed.reason is not None
    assert "not runs of one setting" in mixed.reason
