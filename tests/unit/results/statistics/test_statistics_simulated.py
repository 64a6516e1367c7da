"""Do intervals cover, do copies of one SAE come out alike, are differences of the stated size found?

Some constructed evals with hundreds of runs each; `scripts/simulate_statistics.py` has all with thousands.
"""

from __future__ import annotations

import pytest

from sae_bench.results.statistics.intervals import interval_of_samples
from sae_bench.results.statistics.paired import difference
from sae_bench.results.statistics.power import detectable
from sae_bench.testing.simulated_samples import DESIGNS, runs_of_one, runs_of_two, shifted, truth

RUNS = 400
THREE_SIGMA = 3 * (0.05 * 0.95 / RUNS) ** 0.5
"""How far a share of 5 % strays in this many runs."""


@pytest.mark.parametrize("name", ["balanced", "seeds dominate", "five seeds", "right or wrong"])
def test_the_interval_covers_the_truth_in_95_of_100_runs(name: str):
    mean = truth(DESIGNS[name])
    found = [interval_of_samples(samples, draws=0) for samples in runs_of_one(DESIGNS[name], RUNS)]
    covered = sum(i.low <= mean <= i.high for i in found) / RUNS
    assert 0.95 - THREE_SIGMA <= covered <= 0.98 + THREE_SIGMA / 2


@pytest.mark.parametrize(
    ("name", "same_sae"),
    [
        ("balanced", True),
        ("seeds dominate", True),
        ("right or wrong", True),
        ("balanced", False),
        ("five seeds", False),
    ],
)
def test_what_does_not_differ_is_told_apart_in_at_most_5_of_100_runs(name: str, same_sae: bool):
    pairs = runs_of_two(DESIGNS[name], RUNS, same_sae=same_sae)
    false = sum(difference(a, b).p_value <= 0.05 for a, b in pairs) / RUNS
    assert false <= 0.05 + THREE_SIGMA


@pytest.mark.parametrize("name", ["balanced", "five seeds"])
def test_a_difference_of_the_stated_size_is_found_in_80_of_100_runs(name: str):
    runs = 250
    stated = [detectable(difference(a, b).noise) for a, b in runs_of_two(DESIGNS[name], runs, seed=1)]
    size = sum(stated) / runs
    pairs = runs_of_two(DESIGNS[name], runs, seed=2)
    found = sum(difference(shifted(a, size), b).p_value <= 0.05 for a, b in pairs) / runs
    assert found >= 0.80 - 3 * (0.8 * 0.2 / runs) ** 0.5


def test_the_plain_bootstrap_is_too_narrow_with_three_seeds():
    """Why it is not what decisions rest on."""
    design = DESIGNS["seeds dominate"]
    found = [interval_of_samples(samples, draws=200) for samples in runs_of_one(design, 200)]
    assert sum(i.bootstrap_low <= truth(design) <= i.bootstrap_high for i in found) / 200 < 0.9
