"""Scores from pooled features: planted truths, diagnostic SAEs, the definitions."""

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import one_hot

from sae_bench.activations.pooled import CodeMatrix
from sae_bench.evals.families.labelled import PooledDataset
from sae_bench.evals.scr_and_tpp import scr, tpp
from sae_bench.evals.scr_and_tpp.ablation import TokenSource, all_shifts
from sae_bench.evals.scr_and_tpp.references import (
    BOTH,
    DIFFERENCE,
    PROBE,
    best_first,
    control_shifts,
    references_of,
    supervised_directions,
    supervised_shifts,
)
from sae_bench.evals.scr_and_tpp.text_samples import scr_samples, tpp_samples
from sae_bench.evals.scr_and_tpp.texts import QUADRANTS
from sae_bench.probes import AdamWSettings
from sae_bench.results.references import describe_references
from sae_bench.testing.tiny_models import tiny_sae

D = 24
TRAIN, TEST = 40, 30
SETTINGS = AdamWSettings(batch_size=16, epochs=12, lr=0.1, l1_penalty=0.03, patience=12)


def pair_and_activations(seed=0, *, strength=(1.0, 3.0)):
    """One pair; channel 0 tells the class, channel 1, stronger, the attribute, the others are noise."""
    generator = torch.Generator().manual_seed(seed)
    rows, signs, start = {"train": {}, "test": {}}, [], 0
    for split, size in (("train", TRAIN), ("test", TEST)):
        for c, b in QUADRANTS:
            n = size * (2 if c == b else 1)
            rows[split][c, b] = torch.arange(start, start + n)
            signs.append(torch.tensor([[1.0 - 2 * c, 1.0 - 2 * b]]).repeat(n, 1))
            start += n
    x_TD = 0.45 * torch.randn(start, D, generator=generator)
    x_TD[:, :2] += torch.cat(signs) * torch.tensor(strength)
    return scr.ScrPair("toy_scr_a_b", rows["train"], rows["test"]), x_TD


def dataset_and_activations(n_classes=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    per_class = TRAIN + TEST
    labels = torch.arange(n_classes * per_class) // per_class
    starts = [c * per_class for c in range(n_classes)]
    names = [f"class {c}" for c in range(n_classes)]
    dataset = PooledDataset(
        "toy",
        tuple(names),
        {name: torch.arange(s, s + TRAIN) for name, s in zip(names, starts, strict=True)},
        {name: torch.arange(s + TRAIN, s + per_class) for name, s in zip(names, starts, strict=True)},
    )
    x_TD = 0.3 * torch.randn(len(labels), D, generator=generator)
    x_TD[:, :n_classes] += one_hot(labels, n_classes).float()
    return dataset, x_TD


class Dictionary:
    """Codes x W^T for orthonormal rows W: an SAE without error whose latents are the given directions."""

    decoder_is_linear = True

    def __init__(self, W_dec, W_enc=None):
        self.W_dec = W_dec
        self.W_enc = W_dec.T if W_enc is None else W_enc
        self.cfg = None

    def encode(self, x):
        return x @ self.W_enc

    def decode(self, f):
        return f @ self.W_dec

    def codes(self, x_TD):
        return CodeMatrix(self.encode(x_TD))


ORACLE = Dictionary(torch.eye(D))
RANDOM = Dictionary(torch.linalg.qr(torch.randn(D, D, generator=torch.Generator().manual_seed(5))).Q)
PERMUTED = Dictionary(torch.eye(D).roll(5, dims=0), torch.eye(D))


@pytest.fixture(scope="module")
def prepared_scr():
    pair, x_TD = pair_and_activations()
    return x_TD, scr.prepare_scr([pair], x_TD, seeds=[0, 1], settings=SETTINGS)


@pytest.fixture(scope="module")
def prepared_tpp():
    dataset, x_TD = dataset_and_activations()
    return x_TD, tpp.prepare_tpp([dataset], x_TD, seeds=[0, 1], settings=SETTINGS)


@pytest.fixture(scope="module")
def source(lm):
    return TokenSource(lm, "blocks.1.hook_resid_post", [])


def scr_scores(prepared_scr, source, sae, sizes=(1, 2)):
    x_TD, prepared = prepared_scr
    shifts, _ = all_shifts(sae, sae.codes(x_TD), prepared.probes, prepared.ablations, sizes, source)
    return scr.score_scr(prepared, shifts, sizes)


def tpp_scores(prepared_tpp, source, sae, sizes=(1, 2)):
    x_TD, prepared = prepared_tpp
    shifts, _ = all_shifts(sae, sae.codes(x_TD), prepared.probes, prepared.ablations, sizes, source)
    return tpp.score_tpp(prepared, shifts, sizes)


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


# ---- floor, ceiling, control


def test_no_ablation_scores_zero_on_every_text(prepared_scr, prepared_tpp):
    for (x_TD, prepared), score, samples in (
        (prepared_scr, scr.score_scr, lambda results, ids: scr_samples(results, [1], ids)),
        (prepared_tpp, tpp.score_tpp, tpp_samples),
    ):
        nothing = [torch.zeros(1, len(a.evaluated), len(a.test_rows)) for a in prepared.ablations]
        results = score(prepared, nothing, [1])
        (of_metric,) = samples(results, torch.arange(len(x_TD))).values()
        assert not of_metric.values_SU.any()


@pytest.mark.parametrize("which", ["prepared_scr", "prepared_tpp"])
def test_a_supervised_direction_is_taken_out_of_every_text(which, request):
    """The logits move as those of texts that were changed by hand."""
    x_TD, prepared = request.getfixturevalue(which)
    shifts = supervised_shifts(x_TD, prepared.probes, prepared.ablations)
    ablation = prepared.ablations[1]
    means = [x_TD[rows].mean(dim=0) for rows in (ablation.contrast.positive_rows, ablation.contrast.negative_rows)]
    probe_D, difference_D = prepared.probes.weights_PF[ablation.probe], means[0] - means[1]
    x_UD, level_D = x_TD[ablation.test_rows], (means[0] + means[1]) / 2
    directions = {PROBE: (probe_D, probe_D), DIFFERENCE: (difference_D, difference_D), BOTH: (probe_D, difference_D)}
    assert directions.keys() == shifts.keys()
    for name, (read_D, written_D) in directions.items():
        edited_UD = x_UD - torch.outer((x_UD - level_D) @ read_D / (read_D @ written_D), written_D)
        assert ((edited_UD - level_D) @ read_D).abs().max() < 1e-4  # nothing is left to read
        weights_JD = prepared.probes.weights_PF[list(ablation.evaluated)]
        torch.testing.assert_close(shifts[name][1][0], weights_JD @ (edited_UD - x_UD).T, atol=1e-4, rtol=1e-4)


def first_seed(prepared):
    """What belongs to the first of two seeds; there is one pair or data set."""
    half = len(prepared.ablations) // 2
    rows = {
        name: getattr(prepared, name)[:half] for name in ("ablations", "base_AU", "clean_AU") if hasattr(prepared, name)
    }
    return replace(prepared, seeds=prepared.seeds[:1], **rows)


class Supervised(Dictionary):
    """One latent per ablation: how much of a supervised direction a text has, and the direction; the rest is noise."""

    def __init__(self, x_TD, prepared, name):
        of_all = [supervised_directions(x_TD, prepared.probes, a)[name] for a in prepared.ablations]
        self.read_DK, self.levels_KD = (
            torch.stack([d.read_D for d in of_all], dim=1).float(),
            [d.level_D for d in of_all],
        )
        noise_FD = 0.05 * torch.randn(len(of_all), D, generator=torch.Generator().manual_seed(3))
        super().__init__(torch.cat([torch.stack([d.written_D for d in of_all]).float(), noise_FD]))

    def encode(self, x):
        codes = [(x - level_D.float()) @ self.read_DK[:, k] for k, level_D in enumerate(self.levels_KD)]
        return torch.cat([torch.stack(codes, dim=-1), x[..., : len(codes)]], dim=-1)


def described(score, samples, path, ids_T, fixture, sae, source, sizes=(1,)):
    """References of one metric on planted data."""
    x_TD, prepared = fixture
    codes = sae.codes(x_TD)
    arguments = (sae, codes, prepared.probes, prepared.ablations)
    shifts, latents = all_shifts(*arguments, sizes, source)
    control, reasons = control_shifts(*arguments, latents, sizes)

    def of(shifts, sizes=sizes):
        return samples(score(prepared, shifts, sizes), sizes, ids_T)

    directions = supervised_shifts(x_TD, prepared.probes, prepared.ablations)
    of_one = path.format(1)
    ranked = best_first({name: of(of_name, [1])[of_one] for name, of_name in directions.items()})
    paths = {n: path.format(n) for n in sizes}
    return describe_references(references_of(paths, ranked, of(control), reasons), of(shifts), {})


def described_scr(prepared_scr, sae, source, sizes=(1,)):
    ids_T = torch.arange(len(prepared_scr[0]))
    path = "scr_metrics.scr_metric_threshold_{}"
    return described(scr.score_scr, scr_samples, path, ids_T, prepared_scr, sae, source, sizes)


def described_tpp(prepared_tpp, sae, source, sizes=(1,)):
    ids_T = torch.arange(len(prepared_tpp[0]))
    path = "tpp_metrics.tpp_threshold_{}_total_metric"

    def samples(results, _, ids_T):
        return tpp_samples(results, ids_T)

    return described(tpp.score_tpp, samples, path, ids_T, prepared_tpp, sae, source, sizes)


@pytest.mark.parametrize("which", ["prepared_scr", "prepared_tpp"])
def test_an_oracle_is_at_its_ceiling_and_random_latents_are_at_the_floor(which, request, source):
    fixture = request.getfixturevalue(which)
    described_eval = described_scr if which == "prepared_scr" else described_tpp
    (oracle,) = described_eval(fixture, ORACLE, source).values()
    assert oracle.floor.value == 0.0
    assert oracle.ceiling.value >= max(other.value for other in oracle.others)
    assert oracle.control.value == pytest.approx(0.0, abs=0.05)  # noise channels
    score = oracle.above_floor.value * oracle.ceiling.value
    assert oracle.score_minus_control.value == pytest.approx(score - oracle.control.value, abs=1e-5)
    assert oracle.score_minus_control.value > 0.2
    (permuted,) = described_eval(fixture, PERMUTED, source).values()
    assert permuted.above_floor.value < 0.3 < oracle.above_floor.value
    best = oracle.ceiling.name.removeprefix("ablating ")
    one_seed = fixture[0], first_seed(fixture[1])
    (supervised,) = described_eval(one_seed, Supervised(*one_seed, best), source).values()
    assert supervised.above_floor.value == pytest.approx(1.0, abs=1e-6)


def test_a_control_takes_as_many_of_those_that_are_left(prepared_tpp, source):
    """Of 24 latents, 12 leave 12 others and 13 leave 11."""
    x_TD, prepared = prepared_tpp
    arguments = (ORACLE, ORACLE.codes(x_TD), prepared.probes, prepared.ablations)
    _, latents = all_shifts(*arguments, [24], source)
    n = max(map(len, latents))
    assert n > 12  # more than half have an effect
    shifts, reasons = control_shifts(*arguments, latents, [1, 12, 13])
    assert list(reasons) == [13]
    assert "13 latents that are ablated, only 11" in reasons[13]
    for ablation, latents_K, shift_NJU in zip(prepared.ablations, latents, shifts, strict=True):
        if len(latents_K) < 12:
            continue
        rest_K = torch.tensor([f for f in range(D) if f not in latents_K[:12].tolist()])
        weights_JD = prepared.probes.weights_PF[list(ablation.evaluated)]
        expected_JU = -weights_JD[:, rest_K] @ x_TD[ablation.test_rows][:, rest_K].T
        torch.testing.assert_close(shift_NJU[1], expected_JU, atol=1e-4, rtol=1e-4)
    described_all = described_tpp(prepared_tpp, ORACLE, source, sizes=(1, 13))
    of_13 = described_all["tpp_metrics.tpp_threshold_13_total_metric"]
    assert of_13.control.value is None
    assert of_13.control.reason == of_13.score_minus_control.reason == reasons[13]
