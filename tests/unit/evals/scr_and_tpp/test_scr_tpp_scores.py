"""Scores from pooled features: planted truths, diagnostic SAEs, the definitions."""

import pytest
import torch
from scr_tpp_planted import (
    ORACLE,
    PERMUTED,
    RANDOM,
    SETTINGS,
    TEST,
    TRAIN,
    D,
    dataset_and_activations,
    pair_and_activations,
    scr_scores,
    tpp_scores,
)

from sae_bench.activations.pooled import CodeMatrix
from sae_bench.evals.families.labelled import PooledDataset
from sae_bench.evals.scr_and_tpp import scr, tpp
from sae_bench.evals.scr_and_tpp.ablation import all_shifts
from sae_bench.evals.scr_and_tpp.text_samples import scr_samples, tpp_samples
from sae_bench.evals.scr_and_tpp.texts import QUADRANTS
from sae_bench.testing.tiny_models import tiny_sae

# ---- scr


def test_removing_the_planted_spurious_latent_gives_scr_near_one(prepared_scr, source):
    (result,) = scr_scores(prepared_scr, source, ORACLE)
    for seed in (0, 1):
        assert result.metric_direction(seed) == 1  # the biased probe reads the stronger attribute
        direction = result.by_seed[seed][1]
        assert direction.clean > 0.95
        assert direction.denominator > 0.1
        assert result.value(seed, "metric", 1) == result.value(seed, "dir1", 1) > 0.9


def test_a_perfect_oracle_beats_random_and_permuted_dictionaries_in_scr(prepared_scr, source):
    by_name = {
        name: scr.seed_metrics(scr_scores(prepared_scr, source, sae), [1])
        for name, sae in (("oracle", ORACLE), ("random", RANDOM), ("permuted", PERMUTED))
    }
    for seed in (0, 1):
        values = {name: of[seed]["scr_metric_threshold_1"] for name, of in by_name.items()}
        assert values["oracle"] > values["random"] + 0.3
        assert values["oracle"] > values["permuted"] + 0.3


def test_each_direction_ablates_one_concept_and_asks_for_the_other(prepared_scr, source):
    """Against accuracies counted by hand: channel 1 (or 0) is subtracted from the biased probe's input."""
    x_TD, prepared = prepared_scr
    (result,) = scr_scores(prepared_scr, source, ORACLE)
    pair = prepared.pairs[0]
    for s, seed in enumerate((0, 1)):
        class_probe, attribute_probe, biased = range(3 * s, 3 * s + 3)
        for direction, channel, clean_probe, side in ((1, 1, class_probe, 0), (2, 0, attribute_probe, 1)):
            rows = torch.cat([pair.test[quadrant][:TEST] for quadrant in QUADRANTS])
            labels = torch.cat([torch.full((TEST,), quadrant[side] == 0) for quadrant in QUADRANTS])
            ablated = x_TD[rows].clone()
            ablated[:, channel] = 0

            def accuracy(probe, x, labels=labels):
                logits = x @ prepared.probes.weights_PF[probe] + prepared.probes.bias_P[probe]
                return ((logits > 0) == labels).double().mean().item()

            found = result.by_seed[seed][direction]
            assert found.clean == accuracy(clean_probe, x_TD[rows])
            assert found.original == accuracy(biased, x_TD[rows])
            assert found.changed[1] == accuracy(biased, ablated)
            lost = found.clean - found.original
            expected = (found.changed[1] - found.original) / lost if lost else 0.0
            assert result.value(seed, f"dir{direction}", 1) == pytest.approx(expected)


def test_biased_texts_are_those_of_two_quadrants():
    pair, _ = pair_and_activations()
    positive, negative = scr.rows_of(pair.train, "biased")
    assert positive.tolist() == pair.train[0, 0].tolist()
    assert negative.tolist() == pair.train[1, 1].tolist()
    positive, negative = scr.rows_of(pair.train, "attribute")
    assert positive.tolist() == [*pair.train[0, 0][:TRAIN].tolist(), *pair.train[1, 0].tolist()]
    assert negative.tolist() == [*pair.train[0, 1].tolist(), *pair.train[1, 1][:TRAIN].tolist()]


@pytest.mark.parametrize(
    ("changed", "original", "clean", "expected"),
    [
        (0.8, 0.6, 0.9, 2 / 3),
        (0.5, 0.6, 0.9, -1 / 3),
        (0.9, 0.6, 0.6, 0.0),
        (0.9, 0.7, 0.6, 0.0),
        (0.9, 0.9, 0.9005, 0.0),
    ],
)
def test_the_score_is_the_recovered_share(changed, original, clean, expected):
    assert scr.scr_score(changed, original=original, clean=clean) == pytest.approx(expected)


def directions(originals, *, changed=0.7, clean=0.9):
    nothing = torch.zeros(1, 4)
    return {
        d: scr.Direction(clean, original, {10: changed}, nothing) for d, original in zip((1, 2), originals, strict=True)
    }


def test_the_direction_is_what_the_biased_probe_knows_less_well():
    pair, _ = pair_and_activations()
    scores = scr.PairScores(pair, {0: directions((0.5, 0.8)), 1: directions((0.8, 0.6)), 2: directions((0.6, 0.6))})
    assert [scores.metric_direction(seed) for seed in (0, 1, 2)] == [1, 2, None]
    assert scores.value(0, "metric", 10) == scores.value(0, "dir1", 10) == pytest.approx(0.5)
    assert scores.value(1, "metric", 10) == scores.value(1, "dir2", 10) == pytest.approx(1 / 3)
    assert scores.value(2, "metric", 10) is None
    assert scr.detail_row(scores, [10])["scr_metric_threshold_10"] == pytest.approx((1 / 2 + 1 / 3) / 2)


def test_pairs_without_a_direction_are_left_out_of_the_mean():
    pair, _ = pair_and_activations()
    with_one, without = (scr.PairScores(pair, {0: directions(o)}) for o in ((0.5, 0.8), (0.6, 0.6)))
    values = scr.seed_metrics([with_one, without], [10])[0]
    assert values["scr_metric_threshold_10"] == pytest.approx(0.5)
    assert values["scr_dir1_threshold_10"] == pytest.approx((0.5 + 1 / 3) / 2)
    assert scr.seed_metrics([without], [10])[0]["scr_metric_threshold_10"] is None


def test_denominators_are_reported_and_small_ones_marked():
    pair, _ = pair_and_activations()
    fields = scr.pair_accuracies(scr.PairScores(pair, {0: directions((0.86, 0.5)), 1: directions((0.7, 0.5))}))
    assert fields["scr_dir1_denominator"] == pytest.approx(0.12)
    assert fields["scr_dir1_small_denominator"] is True
    assert fields["scr_dir2_small_denominator"] is False
    assert fields["scr_dir2_original_accuracy"] == 0.5


# ---- tpp


def test_an_indicator_latent_wins_tpp(prepared_tpp, source):
    (result,) = tpp_scores(prepared_tpp, source, ORACLE)
    for seed in (0, 1):
        for c in range(4):
            values = result.of_class(seed, c, 1)
            assert values["intended_diff_only"] > 0.1
            assert values["intended_diff_only"] > values["unintended_diff_only"] + 0.05
            assert values["total_metric"] == pytest.approx(
                values["intended_diff_only"] - values["unintended_diff_only"]
            )


def test_a_perfect_oracle_beats_random_and_permuted_dictionaries_in_tpp(prepared_tpp, source):
    oracle, random, permuted = (
        tpp.seed_metrics(tpp_scores(prepared_tpp, source, sae)) for sae in (ORACLE, RANDOM, PERMUTED)
    )
    for seed in (0, 1):
        value = oracle[seed]["tpp_threshold_1_total_metric"]
        assert value > random[seed]["tpp_threshold_1_total_metric"] + 0.1
        assert value > permuted[seed]["tpp_threshold_1_total_metric"] + 0.1


def test_drops_are_differences_of_accuracies_on_the_measuring_draw(prepared_tpp, source):
    x_TD, prepared = prepared_tpp
    (result,) = tpp_scores(prepared_tpp, source, ORACLE)
    dataset = prepared.datasets[0]
    all_rows = torch.cat([dataset.test_rows[name] for name in dataset.classes])
    for s, seed in enumerate((0, 1)):
        for ablated in range(4):
            changed = x_TD.clone()
            changed[:, ablated] = 0  # the oracle's best latent of a class is its channel
            for probe in range(4):
                weights, bias = prepared.probes.weights_PF[4 * s + probe], prepared.probes.bias_P[4 * s + probe]
                measured = prepared.measured["toy", seed]
                rows, labels = all_rows[measured.places_CV[probe]], measured.labels_CV[probe]
                drop = [((x[rows] @ weights + bias > 0) == labels).double().mean() for x in (x_TD, changed)]
                assert result.drops[seed][ablated, 0, probe].item() == pytest.approx((drop[0] - drop[1]).item())


def test_the_texts_of_a_probe_are_balanced_and_its_draws_differ(prepared_tpp):
    _, prepared = prepared_tpp
    measured = prepared.measured["toy", 0]
    assert measured.places_CV.shape == (4, 2 * TEST)
    assert measured.labels_CV.sum(dim=1).tolist() == [TEST] * 4
    for c in range(4):
        positive = measured.places_CV[c][measured.labels_CV[c]]
        assert sorted(positive.tolist()) == list(range(c * TEST, (c + 1) * TEST))
    other = prepared.measured["toy", 1]
    assert not torch.equal(measured.places_CV, other.places_CV)


def test_two_classes_are_each_others_rest(source):
    dataset, x_TD = dataset_and_activations(2)
    prepared = tpp.prepare_tpp([dataset], x_TD, seeds=[0], settings=SETTINGS)
    (result,) = tpp_scores((x_TD, prepared), source, ORACLE)
    assert result.drops[0].shape == (2, 2, 2)


# ---- both


@pytest.mark.parametrize("module", ["scr", "tpp"])
def test_a_probe_does_not_depend_on_the_others(module):
    """All pairs, classes and seeds in one loop are the probes trained one by one."""
    if module == "scr":
        pair, x_TD = pair_and_activations()
        other = scr.ScrPair("other", pair.train, pair.test)
        together = scr.prepare_scr([other, pair], x_TD, seeds=[3, 0], settings=SETTINGS).probes
        alone = scr.prepare_scr([pair], x_TD, seeds=[0], settings=SETTINGS).probes
    else:
        dataset, x_TD = dataset_and_activations()
        other = PooledDataset("other", dataset.classes, dataset.train_rows, dataset.test_rows)
        together = tpp.prepare_tpp([other, dataset], x_TD, seeds=[3, 0], settings=SETTINGS).probes
        alone = tpp.prepare_tpp([dataset], x_TD, seeds=[0], settings=SETTINGS).probes
    n = len(alone.bias_P)
    difference = x_TD @ (together.weights_PF[-n:] - alone.weights_PF).T + (together.bias_P[-n:] - alone.bias_P)
    assert difference.abs().max() < 1e-4


@pytest.mark.parametrize("sae", [ORACLE, RANDOM])
def test_the_samples_give_the_score_of_every_seed(prepared_scr, prepared_tpp, source, sae):
    results = scr_scores(prepared_scr, source, sae)
    hashes = torch.arange(1000)
    for n in (1, 2):
        samples = scr_samples(results, [1, 2], hashes)[f"scr_metrics.scr_metric_threshold_{n}"]
        expected = [of[f"scr_metric_threshold_{n}"] for of in scr.seed_metrics(results, [n]).values()]
        assert samples.seed_values() == pytest.approx(expected, abs=1e-5)
        assert samples.n_units == 4 * TEST
    results = tpp_scores(prepared_tpp, source, sae)
    for n in (1, 2):
        samples = tpp_samples(results, hashes)[f"tpp_metrics.tpp_threshold_{n}_total_metric"]
        expected = [of[f"tpp_threshold_{n}_total_metric"] for of in tpp.seed_metrics(results).values()]
        assert samples.seed_values() == pytest.approx(expected, abs=1e-5)
        assert samples.n_units == 4 * TEST
    again = tpp_samples(tpp_scores(prepared_tpp, source, RANDOM), hashes)
    assert samples.key == again["tpp_metrics.tpp_threshold_2_total_metric"].key


def test_a_pair_without_a_direction_has_no_samples_in_that_seed():
    pair, _ = pair_and_activations()
    units = torch.zeros(1, 4 * TEST)
    of_seeds = {
        seed: {d: scr.Direction(0.9, o, {10: 0.7}, units) for d, o in zip((1, 2), originals, strict=True)}
        for seed, originals in ((0, (0.5, 0.8)), (1, (0.6, 0.6)))
    }
    samples = scr_samples([scr.PairScores(pair, of_seeds)], [10], torch.arange(1000))
    values_SU = samples["scr_metrics.scr_metric_threshold_10"].values_SU
    assert not values_SU[0].isnan().any()
    assert values_SU[1].isnan().all()


def test_an_sae_of_zeros_moves_nothing(prepared_tpp, source):
    sae = tiny_sae("zero", d_in=D)
    x_TD, prepared = prepared_tpp
    codes = CodeMatrix(torch.zeros(len(x_TD), sae.W_dec.shape[0]))
    shifts, ranked = all_shifts(sae, codes, prepared.probes, prepared.ablations, [1, 2], source)
    assert not any(map(len, ranked))
    (result,) = tpp.score_tpp(prepared, shifts, [1, 2])
    assert not any(result.drops[seed].any() for seed in (0, 1))
