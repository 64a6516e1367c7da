"""Splits and folds of the tasks: their sizes and balance, that they do not overlap, and the published draws."""

import importlib.util

import numpy as np
import pandas as pd
import pytest

from sae_bench.errors import DatasetError, PrerequisiteError, UnknownNameError
from sae_bench.evals.sparse_probing_sae_probes import tasks
from sae_bench.evals.sparse_probing_sae_probes.eval_config import QUICK_TASKS
from sae_bench.evals.sparse_probing_sae_probes.splits import (
    POSITIVE_SHARES,
    TRAIN_SIZES,
    Step,
    draw_split,
    steps,
    validation_folds,
)

installed = pytest.mark.skipif(importlib.util.find_spec("sae_probes") is None, reason="sae-probes is not installed")


def balanced(n):
    return np.arange(n) % 2


def test_the_sizes_and_shares_are_the_published_ones():
    assert list(TRAIN_SIZES) == [2, 3, 4, 5, 7, 10, 14, 20, 28, 38, 53, 74, 103, 143, 198, 275, 382, 531, 737, 1024]
    assert [round(share, 2) for share in POSITIVE_SHARES] == [round(0.05 * i, 2) for i in range(1, 20)]


def test_the_normal_setting_trains_on_1024_and_tests_on_the_rest_but_one():
    assert steps("normal", balanced(5000)) == [Step("normal", 1024, 3975)]
    assert steps("normal", balanced(728)) == [Step("normal", 628, 99)]


def test_scarcity_takes_the_sizes_that_leave_a_hundred_texts():
    found = steps("scarcity", balanced(300))
    assert [step.n_train for step in found] == [size for size in TRAIN_SIZES if size <= 200]
    assert all(step.n_train + step.n_test == 299 for step in found)


def test_imbalance_keeps_the_number_of_texts_whatever_the_share():
    found = steps("imbalance", balanced(2000))
    assert {(step.n_train, step.n_test) for step in found} == {(952, 100)}
    assert [step.name for step in found][:2] == ["0.05", "0.10"]


@pytest.mark.parametrize("setting", ["normal", "scarcity", "imbalance"])
def test_training_and_test_texts_do_not_overlap_and_have_the_share_rounded_up(setting):
    labels = np.random.default_rng(0).permutation(balanced(600))
    for step in steps(setting, labels):
        split = draw_split(labels, step, 42)
        assert len(set(split.train_N) | set(split.test_M)) == step.n_train + step.n_test
        for rows, n in ((split.train_N, step.n_train), (split.test_M, step.n_test)):
            assert int(labels[rows].sum()) == int(np.ceil(step.positive_share * n))


def test_a_draw_is_that_of_numpys_legacy_generator():
    """Frozen from the published package: seed 42, 40 labels in turn, 6 texts to train on and 5 to test on."""
    split = draw_split(balanced(40), Step("normal", 6, 5), 42)
    assert (split.train_N.tolist(), split.test_M.tolist()) == (TRAIN, TEST)


TRAIN = [1, 31, 32, 38, 30, 35]
TEST = [3, 34, 7, 13, 28]


def test_the_global_generator_is_left_alone():
    np.random.seed(7)
    before = np.random.get_state()[1].copy()
    draw_split(balanced(300), Step("normal", 100, 99), 42)
    assert (np.random.get_state()[1] == before).all()


def test_another_seed_is_another_draw():
    step = Step("normal", 100, 99)
    draws = [draw_split(balanced(300), step, seed).train_N.tolist() for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]


def test_too_few_texts_of_a_class_are_named():
    labels = np.array([0] * 190 + [1] * 10)
    with pytest.raises(DatasetError, match=r"'rare' has 10 texts of class 1; .* take 100"):
        draw_split(labels, Step("normal", 100, 99), 42, name="rare")


@pytest.mark.parametrize("n", [2, 3])
def test_three_texts_cannot_be_validated(n):
    assert validation_folds(balanced(n), 0) == []


def test_up_to_twelve_texts_leave_every_mixed_pair_out():
    folds = validation_folds(balanced(8), 0)
    assert {tuple(fold) for fold in folds} == {(i, j) for i in range(8) for j in range(i + 1, 8) if (i + j) % 2}


def test_up_to_127_texts_have_six_stratified_folds():
    labels = balanced(60)
    folds = validation_folds(labels, 3)
    assert sorted(np.concatenate(folds).tolist()) == list(range(60))
    assert [(len(fold), int(labels[fold].sum())) for fold in folds] == [(10, 5)] * 6
    assert [fold.tolist() for fold in validation_folds(labels, 4)] != [fold.tolist() for fold in folds]


@pytest.mark.parametrize(("n", "size"), [(128, 25), (400, 80), (1024, 100)])
def test_from_128_texts_on_the_last_ones_validate(n, size):
    (fold,) = validation_folds(balanced(n), 0)
    assert fold.tolist() == list(range(n - size, n))


# ---- the tasks


@installed
def test_there_are_113_tasks_of_two_classes():
    names = tasks.task_names()
    assert (len(names), len(set(names)), names[0], names[-1]) == (113, 113, "5_hist_fig_ismale", "163_agnews_2")
    task = tasks.load_task("119_us_state_TX")
    assert (len(task.texts), int(task.labels_T.sum()), task.classes) == (1000, 500, ("0", "1"))
    assert set(QUICK_TASKS) <= set(names)
    assert len(set(QUICK_TASKS)) == 20


@installed
def test_unknown_tasks_are_named_with_close_ones():
    with pytest.raises(UnknownNameError, match="87_glue_cola"):
        tasks.choose_tasks(["87_glue_kola"])
    assert tasks.choose_tasks([], 2) == tasks.task_names()[:2]
    assert tasks.choose_tasks(["96_spam_is", "87_glue_cola"]) == ("96_spam_is", "87_glue_cola")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(tasks.embedded, "data_folder", lambda: tmp_path / "cleaned_data")
    (tmp_path / "cleaned_data").mkdir()
    tasks.task_names.cache_clear()
    yield tmp_path
    tasks.task_names.cache_clear()


def write(folder, name, rows):
    pd.DataFrame(rows, columns=["prompt", "target"]).to_csv(folder / "cleaned_data" / f"{name}.csv.zst", index=False)


def test_classes_are_numbered_in_sorted_order_and_texts_keep_theirs(folder):
    write(folder, "1_x", [("c", "yes"), ("a", "no"), ("b", "yes"), ("d", "no")])
    task = tasks.load_task("1_x")
    assert (task.classes, task.texts, task.labels_T.tolist()) == (("no", "yes"), ("c", "a", "b", "d"), [1, 0, 1, 0])


def test_the_first_texts_of_each_class_are_taken(folder):
    write(folder, "1_x", [(f"t{i}", int(i > 3)) for i in range(10)])
    task = tasks.load_task("1_x", max_texts=4)
    assert (task.texts, task.labels_T.tolist()) == (("t0", "t1", "t4", "t5"), [0, 0, 1, 1])


@pytest.mark.parametrize("rows", [[("a", 0), ("b", 0)], [("a", 0), ("b", 1), ("c", 2)], [("a", 0), ("", 1)]])
def test_a_file_that_is_no_binary_task_is_refused(folder, rows):
    write(folder, "1_x", rows)
    with pytest.raises(DatasetError, match="'1_x' has"):
        tasks.load_task("1_x")


def test_files_that_are_missing_are_named(folder):
    with pytest.raises(DatasetError, match=r"1_x\.csv\.zst"):
        tasks.load_task("1_x")
    with pytest.raises(PrerequisiteError, match="MASTER"):
        tasks.task_names()
