"""The choice of latents and the cross-validated probes against plain slow computations."""

import dataclasses
import itertools
import warnings

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score

from sae_bench.activations.pooled import CodeMatrix
from sae_bench.errors import UsageError
from sae_bench.evals.sparse_probing_sae_probes import cross_validation, probing
from sae_bench.evals.sparse_probing_sae_probes.cross_validation import STRENGTHS, Problem, fit_cross_validated
from sae_bench.evals.sparse_probing_sae_probes.probing import Draw
from sae_bench.evals.sparse_probing_sae_probes.splits import validation_folds

F = 30


def codes_and_labels(n=300, seed=0, planted=(4, 9)):
    """Sparse codes; the planted latents are active more often on positives."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % 2)
    active = rng.random((n, F)) < 0.2
    for latent in planted:
        active[:, latent] |= (rng.random(n) < 0.5) & (labels == 1)
    return (active * rng.gamma(2.0, 2.0, (n, F))).astype(np.float32), labels


def make_draw(labels, n_train, seed=42):
    train, test = np.arange(n_train, dtype=np.int32), np.arange(n_train, len(labels), dtype=np.int32)
    folds = tuple(validation_folds(labels[:n_train], seed))
    return Draw(
        "t", seed, "normal", train, labels[:n_train].astype(np.int8), test, labels[n_train:].astype(np.int8), folds
    )


def converged(penalty, c, x, y):
    """scikit-learn's probe, run until it stands still."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if penalty == "l2":
            return LogisticRegression(C=c, tol=1e-10, max_iter=10000, solver="newton-cholesky").fit(x, y)
        return LogisticRegression(C=c, penalty="l1", solver="saga", tol=1e-6, max_iter=3000, random_state=0).fit(x, y)


def plain(penalty, x, y, x_test, y_test, folds):
    """The published procedure, loop by loop."""
    best = 1.0
    if folds:
        means = []
        for c in STRENGTHS:
            aucs = []
            for fold in folds:
                rest = np.setdiff1d(np.arange(len(y)), fold)
                if len(set(y[rest])) < 2:
                    aucs.append(0.5)
                    continue
                model = converged(penalty, c, x[rest], y[rest])
                aucs.append(roc_auc_score(y[fold], model.decision_function(x[fold]).astype(np.float32)))
            means.append(np.mean(aucs))
        best = STRENGTHS[int(np.argmax(means))]
    model = converged(penalty, best, x, y)
    said = model.predict(x_test)
    auc = roc_auc_score(y_test, model.decision_function(x_test).astype(np.float32))
    return accuracy_score(y_test, said), auc, f1_score(y_test, said, average="weighted"), best


def problem(x, y, n_train, seed=0):
    folds = tuple(torch.from_numpy(f) for f in validation_folds(y[:n_train], seed))
    x, labels = torch.from_numpy(x), torch.from_numpy(y)
    return Problem(x[:n_train], labels[:n_train], x[n_train:], labels[n_train:], folds)


@pytest.mark.parametrize(
    ("penalty", "n_train"),
    [("l1", 9), ("l1", 40), ("l1", 160), ("l2", 3), ("l2", 9), ("l2", 40), ("l2", 160)],
)  # not l1 with 3 texts: SAGA stops at zero there, above the optimum
def test_the_scores_are_those_of_the_plain_procedure(penalty, n_train):
    for seed in range(1 if n_train <= 40 else 2):
        codes, labels = codes_and_labels(n=n_train + 200, seed=seed)
        labels[:2] = [0, 1]
        x = np.ascontiguousarray(codes[:, [4, 9]])
        (found,) = fit_cross_validated([problem(x, labels, n_train)], penalty)
        folds = validation_folds(labels[:n_train], 0)
        train, test = slice(0, n_train), slice(n_train, None)
        args = (x[train].astype(float), labels[train], x[test].astype(float), labels[test], folds)
        accuracy, auc, f1, c = plain(penalty, *args)
        assert found.converged
        assert found.auc == pytest.approx(auc, abs=0.002)
        assert found.accuracy == pytest.approx(accuracy, abs=0.0051)
        assert found.f1 == pytest.approx(f1, abs=0.0051)
        assert found.c == pytest.approx(c)


def test_a_problem_does_not_depend_on_its_company():
    problems = []
    for seed, n_train in enumerate((5, 20, 60, 150, 2, 150)):
        codes, labels = codes_and_labels(n=n_train + 100, seed=seed)
        labels[:2] = [0, 1]
        problems.append(problem(np.ascontiguousarray(codes[:, :3]), labels, n_train))
    together = fit_cross_validated(problems, "l1")
    for one, found in zip(problems, together, strict=True):
        (alone,) = fit_cross_validated([one], "l1")
        assert (found.c, found.val_auc) == (alone.c, alone.val_auc)
        assert found.auc == pytest.approx(alone.auc, abs=1e-3)


def test_the_largest_c_wins_among_equals():
    x = torch.cat([torch.zeros(100, 1), torch.ones(100, 1)])[
        torch.randperm(200, generator=torch.Generator().manual_seed(0))
    ]
    labels = x[:, 0].long()
    one = Problem(x[:150], labels[:150], x[150:], labels[150:], (torch.arange(120, 150),))
    (found,) = fit_cross_validated([one], "l1")
    assert (found.c, found.val_auc, found.auc, found.accuracy) == (1e5, 1.0, 1.0, 1.0)


def test_folds_that_leave_one_class_are_neutral_and_few_texts_take_the_default():
    x, labels = torch.tensor([[1.0], [0.0], [2.0], [0.5]]), torch.tensor([1, 0, 1, 0])
    fold = (torch.tensor([1, 3]),)
    (found,) = fit_cross_validated([Problem(x, labels, x, labels, fold)], "l2")
    assert (found.val_auc, found.c) == (0.5, 1e5)
    (found,) = fit_cross_validated([Problem(x[:3], labels[:3], x, labels)], "l2")
    assert (found.c, found.val_auc) == (1.0, 1.0)


def test_a_fold_of_one_class_chooses_the_largest_c():
    codes, labels = codes_and_labels(100)
    one = problem(codes[:, :2], labels, 60)
    positives = torch.from_numpy(np.flatnonzero(labels[:60])[:5])
    (found,) = fit_cross_validated([Problem(*list(vars(one).values())[:4], (positives,))], "l1")
    assert found.c == 1e5
    assert np.isnan(found.val_auc)


# ---- which latents


def plain_ranking(x, labels):
    x = torch.from_numpy(x).double()
    size = x.abs().sum(0) / ((x != 0).sum(0) + 1e-6)
    scaled = x / (size + 1e-6)
    return (scaled[labels == 1].mean(0) - scaled[labels == 0].mean(0)).abs()


@pytest.mark.parametrize("is_sparse", [False, True])
def test_latents_are_ranked_by_normalised_difference(is_sparse):
    x, labels = codes_and_labels()
    x[:, 20] *= 1000  # large, and no better for it
    x[:, 5] *= -1
    draw = make_draw(labels, 200)
    codes = CodeMatrix(sparse.csr_matrix(x) if is_sparse else torch.from_numpy(x))
    expected = torch.sort(plain_ranking(x[:200], labels[:200]), descending=True, stable=True).indices
    assert probing.top_latents(codes, draw, 8).tolist() == expected[:8].tolist()
    assert set(probing.top_latents(codes, draw, 2).tolist()) == {4, 9}


def test_of_latents_that_tie_the_first_comes_first():
    x, labels = codes_and_labels()
    x[:, 2] = x[:, 9]
    top = probing.top_latents(CodeMatrix(torch.from_numpy(x)), make_draw(labels, 200), 3).tolist()
    assert top.index(2) + 1 == top.index(9)


def test_planted_latents_win_and_k_above_the_width_is_left_out():
    x, labels = codes_and_labels(n=600)
    tables = probing.score_codes([make_draw(labels, 400)], CodeMatrix(torch.from_numpy(x)), [1, 2, F + 1], penalty="l1")
    assert sorted(tables) == [1, 2]
    (one,), (two,) = tables[1].values(), tables[2].values()
    assert one.auc > 0.6
    assert two.auc > one.auc + 0.03


def test_parts_do_not_change_the_scores(monkeypatch):
    draws, matrices = [], []
    for seed, start in enumerate((0, 300, 600)):
        x, labels = codes_and_labels(seed=seed)
        draw = make_draw(labels, 200)
        matrices.append(x)
        draws.append(Draw(f"t{seed}", 1, "normal", draw.train_rows + start, draw.train_labels, draw.test_rows + start,
                          draw.test_labels, draw.folds))  # fmt: skip
    codes = CodeMatrix(torch.from_numpy(np.concatenate(matrices)))
    whole = probing.score_codes(draws, codes, [1, 2], penalty="l1")
    monkeypatch.setattr(probing, "HELD_BYTES", 1)
    monkeypatch.setattr(cross_validation, "BATCH_ELEMENTS", 1)
    parts = probing.score_codes(draws, codes, [1, 2], penalty="l1")
    for k, draw in itertools.product((1, 2), draws):
        assert parts[k][draw].auc == pytest.approx(whole[k][draw].auc, abs=1e-3)
        assert parts[k][draw].c == whole[k][draw].c


def test_binarised_probes_read_only_whether_a_latent_is_active():
    x, labels = codes_and_labels(n=500)
    draw = make_draw(labels, 300)
    tables = [
        probing.score_codes([draw], CodeMatrix(torch.from_numpy(values)), [1], penalty="l1", binarize=True)[1][draw]
        for values in (x, x * np.random.default_rng(0).uniform(0.99, 1.01, x.shape).astype(np.float32))
    ]
    assert tables[0].auc == tables[1].auc
    active = (x[:, probing.top_latents(CodeMatrix(torch.from_numpy(x)), draw, 1)[0]] != 0).astype(float)
    assert tables[0].auc == pytest.approx(roc_auc_score(labels[300:], active[300:]))


def test_codes_that_are_not_finite_are_refused():
    x, labels = codes_and_labels()
    x[3, 1] = np.nan
    with pytest.raises(UsageError, match="NaN or infinite"):
        probing.score_codes([make_draw(labels, 200)], CodeMatrix(torch.from_numpy(x)), [1], penalty="l1")


# ---- the residual stream


def test_rotation_changes_nothing():
    generator = torch.Generator().manual_seed(0)
    x, labels = torch.randn(90, 50, generator=generator), torch.randint(0, 2, (90,), generator=generator)
    x[:, 0] += labels
    fold = (torch.arange(24, 30),)
    plain_problem = Problem(x[:30], labels[:30], x[30:], labels[30:], fold)
    train, test = probing.rotated(x[:30], x[30:])
    assert train.shape == (30, 30)
    (a,), (b,) = (
        fit_cross_validated([p], "l2") for p in (plain_problem, Problem(train, labels[:30], test, labels[30:], fold))
    )
    assert (a.c, a.accuracy) == (b.c, b.accuracy)
    assert a.auc == pytest.approx(b.auc, abs=1e-3)


def test_the_residual_stream_is_scored_as_by_the_plain_procedure():
    generator = torch.Generator().manual_seed(1)
    n, d = 260, 12
    labels = torch.randperm(n, generator=generator).numpy() % 2
    x = (
        torch.randn(n, d, generator=generator) * torch.logspace(0, -1, d)
        + 0.7 * torch.from_numpy(labels)[:, None] * 0.3
    )
    x[:, 0] = 75 + 4 * x[:, 0]
    draw = make_draw(labels, 160)
    (found,) = probing.score_stream([draw], x).values()
    values = x.double().numpy()
    accuracy, auc, f1, c = plain("l2", values[:160], labels[:160], values[160:], labels[160:], draw.folds)
    assert found.auc == pytest.approx(auc, abs=2e-3)
    assert (found.accuracy, found.f1) == (pytest.approx(accuracy, abs=0.011), pytest.approx(f1, abs=0.011))
    assert found.c == pytest.approx(c)


def test_the_share_of_seen_test_texts():
    _, labels = codes_and_labels(20)
    draw = make_draw(labels, 10)
    again = dataclasses.replace(draw, test_rows=np.array([3, 12, 4, 19]), test_labels=draw.test_labels[:4])
    assert (draw.seen_share, again.seen_share) == (0.0, 0.5)
