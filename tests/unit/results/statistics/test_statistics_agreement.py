"""A verdict and the interval beside it never contradict one another, whatever the values."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from sae_bench.results.samples import Samples
from sae_bench.results.statistics.intervals import UNBOUNDED, Bounds
from sae_bench.results.statistics.multiple import behind_the_best, common_level, corrected, n_pairs
from sae_bench.results.statistics.paired import Evidence, difference
from sae_bench.results.statistics.pairwise import pairwise

KINDS = ("normal", "heavy", "right or wrong", "thirds", "sparse", "constant", "nearly constant", "one apart")


def values(kind: str, rng: np.random.Generator, n_seeds: int, n_units: int) -> np.ndarray:
    """Values of one SAE, of a kind that has given trouble somewhere."""
    shape = (n_seeds, n_units)
    if kind == "heavy":
        return 10.0 ** rng.uniform(-3, 3) * rng.standard_t(1, shape)
    if kind == "right or wrong":
        return (rng.random(shape) < rng.choice([0.02, 0.5, 0.9, 1.0])).astype(float)
    if kind == "thirds":
        return rng.integers(0, 4, shape) / 3.0
    if kind == "sparse":
        return np.where(rng.random(shape) < 0.1, rng.standard_normal(shape), 0.0)
    if kind == "constant":
        return np.full(shape, rng.choice([0.0, 0.25, 1.0]))
    if kind == "nearly constant":
        return 0.5 + 1e-7 * rng.standard_normal(shape)
    if kind == "one apart":
        return np.where(np.arange(n_units) == 0, 1.0, 0.0) * rng.standard_normal((n_seeds, 1))
    return rng.uniform(0, 3) + rng.standard_normal(shape)


def some_saes(rng: np.random.Generator, n: int) -> tuple[list[Evidence], Bounds]:
    """SAEs of any kind on the same units and seeds, or not, with values that are bounded or not."""
    n_seeds, n_units = int(rng.integers(1, 5)), int(rng.choice([1, 2, 5, 6, 9, 20, 60]))
    random = bool(rng.random() < 0.6)
    kind, several = rng.choice(KINDS), rng.random() < 0.3
    clusters_U = torch.arange(n_units) // int(rng.integers(1, 4)) if rng.random() < 0.3 else None
    groups = tuple(rng.integers(0, rng.choice([1, 3]), n_units).tolist())
    weights_U = torch.from_numpy(rng.uniform(0.5, 2.0, n_units)).float() if rng.random() < 0.3 else torch.ones(n_units)
    saes = []
    for _ in range(n):
        v_SU = values(rng.choice(KINDS) if several else kind, rng, n_seeds if random else 1, n_units)
        v_SU = v_SU + rng.choice([0.0, 0.0, 0.1, 1.0])
        if rng.random() < 0.2:
            v_SU[:, rng.random(n_units) < 0.3] = np.nan
        v_SU = np.clip(v_SU, 0.0, 1.0) if kind in ("right or wrong", "thirds") else v_SU
        key = "k" if rng.random() < 0.9 else "other"
        samples = Samples(torch.from_numpy(v_SU).float(), weights_U, groups, "text", key, random, clusters_U=clusters_U)
        seeds = tuple(range(n_seeds)) if rng.random() < 0.9 else tuple(range(1, n_seeds + 1))
        of_seeds = tuple(samples.seed_values())
        sae = Evidence(float(np.mean(of_seeds)), seeds if random else (), of_seeds if random else (), samples)
        saes.append(replace(sae, samples=None) if random and rng.random() < 0.05 else sae)
    return saes, (0.0, 1.0) if kind in (
        "right or wrong",
        "thirds",
    ) and rng.random() < 0.7 and not several else UNBOUNDED


@pytest.mark.parametrize("seed", range(20))
def test_an_interval_excludes_0_if_and_only_if_p_is_small(seed: int):
    rng, n_decided = np.random.default_rng(seed), 0
    for _ in range(25):
        (a, b), bounds = some_saes(rng, 2)
        n_comparisons = int(rng.choice([1, 3, 36, 1000]))
        found = difference(a, b, level=common_level(0.05, n_comparisons), bounds=bounds)
        if found.p_value is None:
            assert found.reason is not None
            continue
        n_decided += 1
        assert 0.0 < found.p_value <= 1.0
        assert found.low < found.high
        assert found.low <= found.effect <= found.high
        assert (found.low > 0 or found.high < 0) == (corrected(found.p_value, n_comparisons) <= 0.05)
    assert n_decided >= 3


@pytest.mark.parametrize("seed", range(10))
def test_who_could_be_the_best_and_how_far_others_are_behind_agree(seed: int):
    rng = np.random.default_rng(100 + seed)
    for _ in range(5):
        n = int(rng.integers(2, 9))
        saes, bounds = some_saes(rng, n)
        scores_P = np.asarray([sae.value for sae in saes])
        found = pairwise(saes, level=common_level(0.05, n_pairs(n)), bounds=bounds, pooled=bool(rng.random() < 0.5))
        known_C = ~np.isnan(found.p_C)
        excludes_C = np.abs(found.effect_C) > found.half_C
        small_C = found.p_C * n_pairs(n) <= 0.05
        assert (excludes_C == small_C)[known_C].all()
        half_PP, p_PP = found.square(found.half_C, n), found.square(found.p_C, n)
        behind = behind_the_best(scores_P, half_PP)
        assert (behind.low_P <= behind.high_P).all()
        aligned = len({sae.seeds for sae in saes}) == 1 and all(sae.samples is not None for sae in saes)
        if aligned and np.isfinite(scores_P).all():  # else the seeds that a pair shares may order it the other way
            better_PP = scores_P[None, :] > scores_P[:, None]
            beaten_P = (better_PP & (p_PP * n_pairs(n) <= 0.05)).any(axis=1)
            assert (behind.could_be_best_P == ~beaten_P).all()
