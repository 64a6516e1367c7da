"""Where the noise of a metric comes from, against what was put in."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sae_bench.results.samples import Samples, stack_draws
from sae_bench.results.statistics.noise import (
    BORROWED,
    merge_lone_units,
    noise_of,
    noise_of_difference,
    seeds_only,
    skewness_of,
    take_apart,
)
from sae_bench.testing.simulated_samples import Design, runs_of_one, simulate


def of(values: list[list[float]], weights: list[float] | None = None, groups: tuple[int, ...] | None = None) -> Samples:
    n = len(values[0])
    return Samples(torch.tensor(values), torch.tensor(weights or [1.0] * n), groups or (0,) * n, "text", "k")


def test_the_parts_add_up_to_what_was_put_in():
    design = Design(n_seeds=4, n_units=200, n_strata=2, text=0.3, cell=0.2, seed=0.02)
    found = [noise_of(take_apart(s)) for s in runs_of_one(design, 400)]
    seeds = design.seed**2 / 4 + design.cell**2 / (4 * 200)
    stratum = 0.05**2  # +-0.05 around the mean
    borrowed = BORROWED / (99 + BORROWED) * (1 + stratum / design.text**2)
    units = design.text**2 / 200 * (1 + borrowed)
    assert np.mean([n.seeds for n in found]) == pytest.approx(seeds, rel=0.1)
    assert np.mean([n.units for n in found]) == pytest.approx(units, rel=0.03)
    assert {n.seeds_df for n in found} == {3.0}
    assert all(140 < n.units_df < 198 for n in found)


def test_one_stratum_one_row_is_the_textbook_standard_error():
    rng = np.random.default_rng(0)
    values = rng.standard_normal(30)
    samples = Samples.of_equal_units(torch.from_numpy(values)[None], unit="text", key="k", random=False)
    noise = noise_of(take_apart(samples))
    assert noise.standard_error == pytest.approx(values.std(ddof=1) / np.sqrt(30), rel=1e-6)
    assert (noise.seeds, noise.seeds_df, noise.units_df) == (0.0, 0.0, 29.0)


def test_differences_between_large_strata_are_hardly_noise():
    values, groups = [0.0] * 500 + [5.0] * 500, (0,) * 500 + (1,) * 500
    apart = noise_of(take_apart(of([values] * 2, groups=groups)))
    together = noise_of(take_apart(of([values] * 2)))
    assert apart.units == pytest.approx(together.units * BORROWED / (499 + BORROWED), rel=0.01)


def test_a_small_stratum_whose_units_happen_to_agree_still_varies():
    values = [1.0] * 3 + [1.0, 0.0] * 300
    noise = noise_of(take_apart(of([values] * 2, weights=[200.0] * 3 + [1.0] * 600, groups=(0,) * 3 + (1,) * 600)))
    alone = 0.25 * 0.25 / 600  # half the weight, variance 1/4 among 600
    assert noise.units > 10 * alone


def test_undefined_units_are_left_out_and_weights_renormalised():
    nan = float("nan")
    parts = take_apart(of([[1.0, 3.0, nan], [1.0, nan, 5.0]], weights=[1.0, 1.0, 3.0]))
    assert parts.seed_values_S.tolist() == [2.0, 4.0]


def test_units_of_weight_zero_do_not_count():
    with_idle = noise_of(take_apart(of([[1.0, 2.0, 4.0, 99.0]] * 2, weights=[1.0, 1.0, 1.0, 0.0])))
    without = noise_of(take_apart(of([[1.0, 2.0, 4.0]] * 2)))
    assert with_idle == without


def test_units_that_each_seed_drew_anew_are_part_of_the_seeds():
    """Texts drawn per seed: their noise is in the spread of the seeds, and is not counted twice."""
    rng = np.random.default_rng(0)
    variances = []
    for _ in range(200):
        draws = [
            Samples.of_equal_units(torch.from_numpy(rng.standard_normal((1, 50))), unit="text", key=str(seed))
            for seed in range(3)
        ]
        noise = noise_of(take_apart(stack_draws(draws)))
        variances.append((noise.seeds, noise.units))
    seeds, units = np.mean(variances, axis=0)
    assert 0.9 / 150 < seeds < 1.4 / 150  # the larger of two estimates
    assert units < 0.15 * seeds


def test_a_pair_of_copies_leaves_the_texts_out():
    design = Design(text=0.5, cell=0.01, seed=0.05)
    rng = np.random.default_rng(0)
    text_U = rng.standard_normal(design.n_units)
    a, b = (take_apart(simulate(design, rng, text_U, mean=0.8)) for _ in range(2))
    paired = noise_of_difference(a, b, same_units=True)
    unpaired = noise_of_difference(a, b, same_units=False)
    assert paired.units < 1e-3 * unpaired.units
    assert paired.seeds == unpaired.seeds
    assert 2.0 <= paired.seeds_df <= 4.0
    assert noise_of(a.minus(a)).standard_error == 0.0


def test_seeds_alone():
    noise = noise_of(seeds_only([1.0, 2.0, 3.0]))
    assert (noise.seeds, noise.seeds_df, noise.units) == (pytest.approx(1 / 3), 2.0, 0.0)


@pytest.mark.parametrize(
    ("groups", "strata"),
    [([4, 4, 7, 7], [0, 0, 1, 1]), ([1, 2, 3, 3], [0, 0, 1, 1]), ([1, 3, 3], [0, 0, 0]), ([5], [0]), ([1, 2], [0, 0])],
)
def test_no_unit_is_alone_in_its_stratum(groups: list[int], strata: list[int]):
    assert merge_lone_units(np.array(groups)).tolist() == strata


def test_units_that_are_never_defined_do_not_count():
    nan = float("nan")
    defined = take_apart(of([[1.0, 2.0, 4.0]] * 2))
    found = take_apart(of([[1.0, nan, nan, 2.0, nan, 4.0]] * 2))
    assert found.units_df == defined.units_df == 2.0
    assert noise_of(found) == noise_of(defined)


def test_two_saes_with_other_units_undefined_subtract_unit_by_unit():
    nan = float("nan")
    a, b = take_apart(of([[1.0, 2.0, nan, 4.0]] * 2)), take_apart(of([[nan, 2.0, 3.0, 4.0]] * 2))
    assert a.unit_U[2] == b.unit_U[0] == 0.0
    assert a.minus(b).unit_U == pytest.approx(a.unit_U - b.unit_U)
    assert a.minus(b).n_clusters == 2


def test_units_of_one_cluster_count_as_one():
    rows = torch.randn(2, 5).repeat_interleave(4, dim=1)
    clustered = Samples(rows, torch.ones(20), (0,) * 20, "row", "k", clusters_U=torch.arange(20) // 4 * 1000 - 7)
    documents = Samples.of_equal_units(rows[:, ::4], unit="document", key="k")
    one, other = noise_of(take_apart(clustered)), noise_of(take_apart(documents))
    assert one.units == pytest.approx(other.units)
    assert one.units_df == other.units_df == 4.0


def test_a_cluster_in_two_strata_is_one():
    """What a document adds to both strata is one error, not two that average out."""
    rng = np.random.default_rng(0)
    effect_C = torch.from_numpy(rng.standard_normal(400)).float()
    values = torch.cat([effect_C, effect_C])[None]
    groups = (0,) * 400 + (1,) * 400
    both = Samples(values, torch.ones(800), groups, "row", "k", random=False, clusters_U=torch.arange(800) % 400)
    alone = Samples.of_equal_units(effect_C[None], unit="row", key="k", random=False)
    borrowed = 1.0 + BORROWED / (399 + BORROWED) / 2.0  # the total variance, once per cell
    assert noise_of(take_apart(both)).units == pytest.approx(noise_of(take_apart(alone)).units * borrowed, rel=0.01)


def test_a_document_that_every_draw_cuts_anew_is_drawn_once():
    """Rows of other draws share no id, but their document is the same: the seeds do not average it out."""
    rng = np.random.default_rng(1)
    effect_C = np.repeat(rng.standard_normal(60), 4)
    draws = [
        Samples(
            torch.from_numpy(effect_C + 0.1 * rng.standard_normal(240)).float()[None],
            torch.ones(240),
            (0,) * 240,
            "row",
            str(seed),
            ids_U=torch.arange(240) + 1000 * seed,
            clusters_U=torch.arange(240) // 4,
        )
        for seed in range(3)
    ]
    noise = noise_of(take_apart(stack_draws(draws)))
    assert noise.units == pytest.approx(effect_C.var() / 60, rel=0.1)
    assert noise.seeds < 0.1 * noise.units


def test_few_units_show_less_skewness_than_there_is():
    """More is assumed, except where the range of the metric allows no more."""
    rng = np.random.default_rng(0)
    skewed = Samples.of_equal_units(
        torch.from_numpy(np.exp(rng.standard_normal((1, 20)))), unit="u", key="k", random=False
    )
    parts = take_apart(skewed)
    seen = float((parts.cubes_U * parts.unit_U**3).sum() / np.square(parts.unit_U).sum())
    assert skewness_of(parts).slope == pytest.approx((1 + 8.5 / 20) * seen)
    answers = torch.tensor([[1.0] * 18 + [0.0] * 2])
    wrong = take_apart(Samples.of_equal_units(answers, unit="u", key="k", random=False))
    assert skewness_of(wrong, (0.0, 1.0)).slope == pytest.approx((1 - 2 * 0.9) / 20, rel=0.06)  # Wilson's own
    assert abs(skewness_of(wrong).slope) > 0.055
