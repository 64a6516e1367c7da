"""Sparse probing from pooled features: planted truths, and the whole procedure against plain scikit-learn."""

import math
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from sae_bench.errors import DatasetError, UsageError
from sae_bench.evals.families.labelled import PooledDataset
from sae_bench.evals.sparse_probing.eval_config import SparseProbingEvalConfig
from sae_bench.evals.sparse_probing.probing import (
    Accuracies,
    detail_row,
    draw_texts,
    mean_over_seeds,
    prepare_dataset,
    score_sae,
    seed_metrics,
    top_features,
    unstructured_results,
)
from sae_bench.probes import DenseFeatures, FeatureMatrix

N_TRAIN, N_TEST, D = 40, 20, 6
CONFIG = SparseProbingEvalConfig(k_values=[1, 3], dataset_names=["toy"])


def toy(n_classes=3, name="toy"):
    """Rows in order of class: N_TRAIN training texts, then N_TEST test texts, of each."""
    classes = tuple(f"class {c}" for c in range(n_classes))
    per_class = N_TRAIN + N_TEST
    starts = {label: c * per_class for c, label in enumerate(classes)}
    return PooledDataset(
        name=name,
        classes=classes,
        train_rows={label: torch.arange(start, start + N_TRAIN) for label, start in starts.items()},
        test_rows={label: torch.arange(start + N_TRAIN, start + per_class) for label, start in starts.items()},
    )


def class_of_rows(n_classes=3):
    return torch.arange(n_classes * (N_TRAIN + N_TEST)) // (N_TRAIN + N_TEST)


def activations(n_classes=3, seed=0, d=D):
    generator = torch.Generator().manual_seed(seed)
    shift_CD = torch.randn(n_classes, d, generator=generator)
    return shift_CD[class_of_rows(n_classes)] + torch.randn(len(class_of_rows(n_classes)), d, generator=generator)


def planted_codes(n_classes=3, n_noise=20, seed=1):
    """Latent c fires on class c and nowhere else; the others are noise."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.relu(torch.randn(len(class_of_rows(n_classes)), n_noise, generator=generator)) * 0.2
    indicator = torch.nn.functional.one_hot(class_of_rows(n_classes), n_classes).float()
    return torch.cat([indicator, noise], dim=1)


@pytest.fixture(scope="module")
def prepared():
    return prepare_dataset(toy(), activations(), CONFIG, seeds=[0, 1])


# ---- draws


def test_a_draw_holds_all_texts_of_its_class_and_as_many_of_the_others():
    dataset = toy(4)
    draw = draw_texts(dataset, "class 1", seed=3)
    for rows, labels, own, n in (
        (draw.train_rows, draw.train_labels, dataset.train_rows, N_TRAIN),
        (draw.test_rows, draw.test_labels, dataset.test_rows, N_TEST),
    ):
        assert sorted(rows[labels == 1].tolist()) == own["class 1"].tolist()
        negative = rows[labels == 0].tolist()
        assert len(set(negative)) == len(negative) == n
        for name in ("class 0", "class 2", "class 3"):
            taken = len(set(negative) & set(own[name].tolist()))
            assert math.ceil(n / 3) - 2 <= taken <= math.ceil(n / 3)
        assert not set(negative) & set(own["class 1"].tolist())


def test_what_is_drawn_too_much_is_dropped_at_random():
    last = set(toy(4).train_rows["class 3"].tolist())
    taken = {len(last & set(draw_texts(toy(4), "class 0", seed).train_rows.tolist())) for seed in range(12)}
    assert taken == {12, 13, 14}


def test_each_of_two_classes_is_the_others_negatives():
    draw = draw_texts(toy(2), "class 0", seed=0)
    assert sorted(draw.train_rows[draw.train_labels == 0].tolist()) == toy(2).train_rows["class 1"].tolist()


def test_draws_differ_by_seed_class_and_data_set_and_repeat_by_name():
    def negatives(dataset, name, seed):
        draw = draw_texts(dataset, name, seed)
        return tuple(draw.train_rows[draw.train_labels == 0].tolist())

    first = negatives(toy(), "class 0", 0)
    assert negatives(toy(), "class 0", 0) == first
    assert negatives(toy(), "class 0", 1) != first
    assert negatives(toy(name="another"), "class 0", 0) != first


def test_too_few_texts_are_named():
    dataset = toy(3)
    short = PooledDataset(
        "short", dataset.classes, {**dataset.train_rows, "class 2": torch.arange(2)}, dataset.test_rows
    )
    with pytest.raises(DatasetError, match="'short': the training texts of class 'class 0' number 40"):
        prepare_dataset(short, activations(), CONFIG, seeds=[0])
    with pytest.raises(DatasetError, match="at least two"):
        draw_texts(toy(1), "class 0", 0)


# ---- choice of features


def test_top_features_rank_as_the_published_argsort():
    codes = torch.relu(activations(d=60))
    draw = draw_texts(toy(), "class 1", 0)
    mean = [codes[draw.train_rows[draw.train_labels == label]].mean(dim=0) for label in (1, 0)]
    published = torch.argsort((mean[0] - mean[1]).abs(), descending=True)
    assert top_features(DenseFeatures(codes), draw, 10).tolist() == published[:10].tolist()
    assert top_features(DenseFeatures(planted_codes()), draw, 1).tolist() == [1]


def test_a_latent_that_is_quiet_on_the_class_counts_as_much():
    codes = 1.0 - planted_codes()
    assert top_features(DenseFeatures(codes), draw_texts(toy(), "class 2", 0), 1).tolist() == [2]


def test_ties_go_to_the_lower_index():
    assert top_features(DenseFeatures(torch.zeros(180, 7)), draw_texts(toy(), "class 0", 0), 3).tolist() == [0, 1, 2]


# ---- planted truths


def test_a_latent_that_marks_the_class_is_found(prepared):
    result = score_sae(prepared, DenseFeatures(planted_codes()), CONFIG)
    for key in ("sae_top_1_test_accuracy", "sae_top_3_test_accuracy"):
        assert result.means(0)[key] == result.means(1)[key] == 1.0
    assert result.means(0)["sae_test_accuracy"] > 0.9


def test_permuted_codes_score_chance(prepared):
    generator = torch.Generator().manual_seed(5)
    codes = planted_codes()
    scores = [
        score_sae(prepared, DenseFeatures(codes[torch.randperm(len(codes), generator=generator)]), CONFIG).means(seed)
        for _ in range(6)
        for seed in (0, 1)
    ]
    for key in ("sae_top_1_test_accuracy", "sae_top_3_test_accuracy"):
        assert np.mean([score[key] for score in scores]) == pytest.approx(0.5, abs=0.06)


def test_fewer_alive_latents_than_k_work(prepared):
    codes = torch.zeros(180, 10)
    codes[:, 0] = class_of_rows() == 0
    result = score_sae(prepared, DenseFeatures(codes), CONFIG)
    assert result.table["sae_top_3_test_accuracy"][0]["class 0"] == 1.0
    dead = score_sae(prepared, DenseFeatures(torch.zeros(180, 10)), CONFIG)
    assert dead.means(0)["sae_top_3_test_accuracy"] == 0.5


def test_two_classes(prepared):
    two = prepare_dataset(toy(2), activations(2), CONFIG, seeds=[0])
    result = score_sae(two, DenseFeatures(planted_codes(2)), CONFIG)
    assert result.means(0)["sae_top_1_test_accuracy"] == 1.0
    assert two.llm.means(0)["llm_test_accuracy"] > 0.7


def test_classes_of_different_size_share_a_batch():
    dataset = toy(3)
    small = {**dataset.train_rows, "class 0": dataset.train_rows["class 0"][:25]}
    ragged = PooledDataset("toy", dataset.classes, small, dataset.test_rows)
    result = prepare_dataset(ragged, activations(), CONFIG, seeds=[0])
    draw = draw_texts(ragged, "class 0", 0)
    assert len(draw.train_rows) == 50
    expected = plain_accuracy(activations(), draw, 3)
    assert result.llm.table["llm_top_3_test_accuracy"][0]["class 0"] == expected


# ---- the whole procedure


def plain_accuracy(x_TF, draw, k):
    """Top k by difference of means and scikit-learn's logistic regression, for one draw."""
    x, y = x_TF[draw.train_rows].numpy(), draw.train_labels.numpy()
    top = np.argsort(-np.abs(x[y == 1].mean(0) - x[y == 0].mean(0)), kind="stable")[:k]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = LogisticRegression(tol=1e-8, max_iter=1000).fit(x[:, top].astype(float), y)
    return model.score(x_TF[draw.test_rows].numpy()[:, top].astype(float), draw.test_labels.numpy())


@pytest.mark.parametrize("k", [1, 3])
def test_sparse_accuracies_are_those_of_the_plain_procedure(prepared, k):
    generator = torch.Generator().manual_seed(2)
    codes = torch.relu(torch.cat([activations(seed=4), torch.randn(180, 30, generator=generator)], dim=1) - 0.3)
    result = score_sae(prepared, DenseFeatures(codes), CONFIG)
    for draw in prepared.draws:
        llm = prepared.llm.table[f"llm_top_{k}_test_accuracy"][draw.seed][draw.class_name]
        sae = result.table[f"sae_top_{k}_test_accuracy"][draw.seed][draw.class_name]
        assert llm == plain_accuracy(activations(), draw, k)
        assert sae == plain_accuracy(codes, draw, k)
    assert result.warnings == ()


def test_the_order_of_saes_does_not_matter(prepared):
    one, other = DenseFeatures(planted_codes(seed=8)), DenseFeatures(activations(seed=9, d=15))
    forth = [score_sae(prepared, codes, CONFIG) for codes in (one, other)]
    back = [
        score_sae(prepare_dataset(toy(), activations(), CONFIG, seeds=[0, 1]), codes, CONFIG) for codes in (other, one)
    ]
    assert forth == back[::-1]


def test_a_seed_gives_the_same_whatever_other_seeds_run(prepared):
    alone = prepare_dataset(toy(), activations(), CONFIG, seeds=[1])
    assert alone.llm.means(1) == prepared.llm.means(1)
    assert prepared.llm.means(0) != prepared.llm.means(1)


def test_selection_on_validation_changes_only_the_probe_on_all_features():
    honest = replace(CONFIG, probe_selection="validation")
    noise = torch.randn(180, 40, generator=torch.Generator().manual_seed(0))
    published = prepare_dataset(toy(), noise, CONFIG, seeds=range(4)).llm
    validated = prepare_dataset(toy(), noise, honest, seeds=range(4)).llm
    means = [mean_over_seeds(seed_metrics([result])) for result in (published, validated)]
    assert means[0]["llm_test_accuracy"] > means[1]["llm_test_accuracy"]
    assert published.table["llm_top_3_test_accuracy"] == validated.table["llm_top_3_test_accuracy"]


# ---- what cannot be computed


def test_k_beyond_the_number_of_features_is_left_out_with_a_reason(prepared):
    config = replace(CONFIG, k_values=[1, 10])
    result = prepare_dataset(toy(), activations(), config, seeds=[0]).llm
    assert "llm_top_10_test_accuracy" not in result.table
    assert result.not_computed == {"llm_top_10_test_accuracy": "k = 10 is more than the 6 features there are."}
    only = replace(CONFIG, k_values=[10])
    assert list(score_sae(prepared, DenseFeatures(activations()), only).table) == ["sae_test_accuracy"]


@pytest.mark.parametrize("setting", [{"lower_vram_usage": True}, {"compute_all_latents_probe": False}])
def test_the_probe_on_all_latents_can_be_left_out(prepared, setting):
    result = score_sae(prepared, DenseFeatures(planted_codes()), replace(CONFIG, **setting))
    assert list(result.table) == ["sae_top_1_test_accuracy", "sae_top_3_test_accuracy"]
    assert next(iter(setting)) in result.not_computed["sae_test_accuracy"]


@pytest.mark.parametrize("row", [0, N_TRAIN])
def test_codes_that_are_not_finite_are_refused(prepared, row):
    codes = planted_codes()
    codes[row] = float("nan")
    with pytest.raises(UsageError, match="NaN or infinite"):
        score_sae(prepared, DenseFeatures(codes), CONFIG)


def test_seeds_must_differ():
    with pytest.raises(UsageError, match=r"\[1, 1\]"):
        prepare_dataset(toy(), activations(), CONFIG, seeds=[1, 1])


def test_features_too_large_to_be_dense_give_the_same(prepared, monkeypatch):
    class NotDense:
        def __init__(self, x_TF):
            self.inner = DenseFeatures(x_TF)
            self.shape = self.inner.shape
            self.rows, self.columns, self.mean = self.inner.rows, self.inner.columns, self.inner.mean

    dense = score_sae(prepared, NotDense(planted_codes()), CONFIG)
    monkeypatch.setattr("sae_bench.evals.sparse_probing.probing.DENSE_BYTES", 0)
    assert score_sae(prepared, NotDense(planted_codes()), CONFIG) == dense


@pytest.mark.parametrize("sparse_inside", [False, True])
def test_code_matrices_score_as_the_dense_tensor_they_hold(prepared, sparse_inside):
    from scipy.sparse import csr_matrix

    from sae_bench.activations.pooled import CodeMatrix

    codes = planted_codes()
    matrix = CodeMatrix(csr_matrix(codes.numpy())) if sparse_inside else CodeMatrix(codes)
    assert isinstance(matrix, FeatureMatrix)
    assert score_sae(prepared, matrix, CONFIG) == score_sae(prepared, DenseFeatures(codes), CONFIG)


# ---- averages


def result(name, offset):
    table = {
        "llm_test_accuracy": {0: {"a": 0.5 + offset, "b": 0.7 + offset}, 1: {"a": 0.6 + offset, "b": 0.8 + offset}},
        f"only_{name}": {0: {"a": 1.0, "b": 1.0}, 1: {"a": 1.0, "b": 1.0}},
    }
    return Accuracies(name, table)


def test_averages_run_over_classes_then_data_sets_then_seeds():
    results = [result("x", 0.0), result("y", 0.2)]
    per_seed = seed_metrics(results)
    assert per_seed[0] == {"llm_test_accuracy": pytest.approx(0.7)}
    assert per_seed[1] == {"llm_test_accuracy": pytest.approx(0.8)}
    assert mean_over_seeds(per_seed) == {"llm_test_accuracy": pytest.approx(0.75)}
    assert detail_row(results[1])["llm_test_accuracy"] == pytest.approx(0.85)
    unstructured = unstructured_results(results)
    assert list(unstructured) == ["x_results", "y_results"]
    assert unstructured["x_results"]["llm_test_accuracy"] == {"a": pytest.approx(0.55), "b": pytest.approx(0.75)}
