"""All pairs at once against one pair at a time."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from sae_bench.results.statistics.multiple import behind_the_best, common_level, n_pairs
from sae_bench.results.statistics.paired import Evidence, difference
from sae_bench.results.statistics.pairwise import pairwise
from sae_bench.results.statistics.pooled import FEWEST, common_variance
from sae_bench.testing.simulated_samples import DESIGNS, Contest, Design, evidence, runs_of_many, simulate


def several(design: Design, n: int = 5) -> list[Evidence]:
    rng = np.random.default_rng(0)
    text_U = rng.standard_normal(len(design.groups))
    return [evidence(simulate(design, rng, text_U, mean=0.8 + 0.004 * i)) for i in range(n)]


@pytest.mark.parametrize("name", DESIGNS)
def test_every_pair_as_if_alone(name: str):
    found = pairwise(several(DESIGNS[name]))
    alone = [difference(a, b) for a, b in combinations(several(DESIGNS[name]), 2)]
    assert found.effect_C == pytest.approx([d.effect for d in alone], abs=1e-12)
    assert found.p_C == pytest.approx(as_numbers([d.p_value for d in alone]), abs=1e-9, nan_ok=True)
    wider = [max(d.high - d.effect, d.effect - d.low) if d.p_value is not None else None for d in alone]
    # the quantile is interpolated between shares of the seeds' variance
    assert found.half_C == pytest.approx(as_numbers(wider), rel=1e-4, nan_ok=True)


def as_numbers(values: list[float | None]) -> list[float]:
    return [float("nan") if value is None else value for value in values]


def test_values_that_no_seed_changes():
    of_one_seed = [
        Evidence(e.value, (), (), replace(e.samples.rows([0]), random=False)) for e in several(Design()) if e.samples
    ]
    found = pairwise(of_one_seed)
    alone = [difference(a, b) for a, b in combinations(of_one_seed, 2)]
    assert found.p_C == pytest.approx([d.p_value for d in alone], abs=1e-12)
    assert found.half_C == pytest.approx([d.high - d.effect for d in alone], rel=1e-6)


def test_equal_values_do_not_differ():
    one = several(Design(), 1)[0]
    found = pairwise([one, one])
    assert found.effect_C[0] == 0.0
    assert np.isnan(found.p_C[0])
    assert found.half_C[0] == 0.0
    assert difference(one, one).p_value is None
    alone = pairwise([one, replace(one, samples=None, seed_values=(0.5, 0.6, 0.7)), one])
    assert np.isnan(alone.p_C[1])
    assert alone.half_C[1] == 0.0
    untested = pairwise([Evidence(0.5), Evidence(0.5)])
    assert np.isnan(untested.half_C[0])


def test_without_common_samples_pairs_are_compared_one_by_one_up_to_a_number():
    three = several(Design(), 3)
    loose = [three[0], replace(three[1], samples=None), three[2]]
    found = pairwise(loose)
    alone = [difference(a, b) for a, b in combinations(loose, 2)]
    assert found.p_C == pytest.approx([d.p_value for d in alone])
    many = pairwise(loose, most_one_by_one=2)
    assert np.isnan(many.p_C).all()
    assert many.effect_C == pytest.approx([a.value - b.value for a, b in combinations(loose, 2)])
    valueless = pairwise([Evidence(0.5), Evidence(0.7)])
    assert np.isnan(valueless.p_C[0])
    assert valueless.effect_C[0] == pytest.approx(-0.2)


def test_many_saes_say_together_how_much_seeds_vary():
    """Variances that are alike are worth more degrees of freedom; those that are not, or a few SAEs, are not."""
    rng = np.random.default_rng(0)
    alike = common_variance(0.1 * rng.standard_normal((200, 3)))
    assert alike.df > 8
    assert alike.variance == pytest.approx(0.01, rel=0.21)  # three standard errors of 400 degrees of freedom
    uneven = common_variance(10.0 ** rng.normal(0, 1.5, (200, 1)) * rng.standard_normal((200, 3)))
    assert uneven.df < 2
    assert common_variance(rng.standard_normal((FEWEST - 1, 3))).df == 0.0
    on_a_grid = (rng.random((200, 3)) < 0.05).astype(float)  # most SAEs the same in all seeds
    assert common_variance(on_a_grid).df < 2
    assert common_variance(np.zeros((200, 3))).df == 0.0


def test_the_best_of_many_can_be_told_with_three_seeds():
    contest = Contest(40, Design(), spread=0.3)
    evidence_P = next(runs_of_many(contest, 1))
    scores_P = np.asarray([e.value for e in evidence_P])
    n_candidates = []
    for pooled in (False, True):
        found = pairwise(evidence_P, level=common_level(0.05, n_pairs(40)), pooled=pooled)
        n_candidates.append(int(behind_the_best(scores_P, found.square(found.half_C, 40)).could_be_best_P.sum()))
    assert n_candidates[0] == 40
    assert n_candidates[1] < 25
