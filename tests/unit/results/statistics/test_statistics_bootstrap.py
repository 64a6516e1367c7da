"""The bootstrap that stands beside an interval."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from sae_bench.results.samples import Samples
from sae_bench.results.statistics.intervals import bootstrap_interval


def samples_of(n_units: int, *, key: str, n_seeds: int = 3) -> Samples:
    values_SU = torch.randn(n_seeds, n_units, generator=torch.Generator().manual_seed(n_units))
    groups = tuple(n % 3 for n in range(n_units))
    return Samples(values_SU, torch.ones(n_units), groups, "text", key)


def test_metrics_of_the_same_units_have_the_same_draws_whatever_was_asked_before():
    samples, other = samples_of(40, key="a"), samples_of(41, key="a", n_seeds=2)
    low, high = bootstrap_interval(samples, draws=200)
    assert bootstrap_interval(replace(samples, values_SU=2 * samples.values_SU), draws=200) == (2 * low, 2 * high)
    between = bootstrap_interval(other, draws=200)
    assert bootstrap_interval(samples, draws=200) == (low, high)
    assert bootstrap_interval(other, draws=200) == between
    assert bootstrap_interval(replace(samples, key="b"), draws=200) != (low, high)


def test_strata_seeds_and_draws_count_in_what_is_drawn():
    samples = samples_of(40, key="c")
    first = bootstrap_interval(samples, draws=200)
    others = [
        bootstrap_interval(replace(samples, groups_U=tuple(n % 4 for n in range(40))), draws=200),
        bootstrap_interval(samples, draws=201),
        bootstrap_interval(replace(samples, values_SU=samples.values_SU[:2]), draws=200),
    ]
    assert len({first, *others}) == 4


def test_more_cells_than_are_kept_are_drawn_alike_each_time():
    samples = samples_of(5000, key="d")
    low, high = bootstrap_interval(samples, draws=20)
    assert bootstrap_interval(samples, draws=20) == (low, high)
    assert low < float(samples.values_SU.mean(dtype=torch.float64)) < high
    assert np.isfinite([low, high]).all()
