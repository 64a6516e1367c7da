"""Batched logistic regression against scikit-learn."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from sae_bench.errors import UsageError
from sae_bench.probes import fit_logistic


def scikit(x_NK, y_N, c=1.0):
    """scikit-learn's optimum, by whichever of two solvers gets nearer to a zero gradient."""
    x, y = x_NK.double().numpy(), y_N.numpy()
    best, best_norm = None, np.inf
    for solver in ("lbfgs", "newton-cholesky"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = LogisticRegression(C=c, tol=1e-10, max_iter=10000, solver=solver).fit(x, y)
        residual = 1 / (1 + np.exp(-model.decision_function(x))) - y
        norm = np.abs(np.append(c * residual @ x + model.coef_[0], c * residual.sum())).max()
        if norm < best_norm:
            best, best_norm = model, norm
    return torch.from_numpy(best.coef_[0]), float(best.intercept_[0])


def make(kind, k, seed=0, n=160):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, k, generator=generator)
    y = (x.sum(dim=1) + 2 * torch.randn(n, generator=generator) > 0).long()
    if kind == "separable":
        y = (x[:, 0] > 0.1).long()
        x[:, 0] += 3 * y
    elif kind == "collinear":
        x = x[:, :1] * torch.arange(1, k + 1)
    elif kind == "constant":
        x[:, 0] = 7.0
    elif kind == "zero":
        x[:, -1] = 0.0
    elif kind == "all zero":
        x = torch.zeros(n, k)
    elif kind == "unbalanced":
        y = (x[:, 0] > 1.6).long()
    elif kind == "sparse codes":
        x = torch.relu(x - 1) * 5
    assert 0 < int(y.sum()) < n
    return x, y


KINDS = ["random", "separable", "collinear", "constant", "zero", "all zero", "unbalanced", "sparse codes"]


@pytest.mark.parametrize("k", [1, 2, 5, 20])
@pytest.mark.parametrize("kind", KINDS)
def test_the_coefficients_are_those_of_scikit_learn(kind, k):
    x, y = make(kind, k)
    fit = fit_logistic(x[None], y[None])
    weights, bias = scikit(x, y)
    assert bool(fit.converged_P.all())
    torch.testing.assert_close(fit.weights_PK[0], weights, atol=1e-6, rtol=1e-6)
    assert fit.bias_P.item() == pytest.approx(bias, abs=1e-6, rel=1e-6)


def test_another_strength_of_regularisation():
    x, y = make("random", 3)
    weights, _ = scikit(x, y, c=0.03)
    torch.testing.assert_close(fit_logistic(x[None], y[None], c=0.03).weights_PK[0], weights, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-4, 1e2, 1e4])
def test_the_gradient_vanishes_whatever_the_scale_of_separable_inputs(scale):
    x, y = make("separable", 2)
    x = x.double() * scale + 5 * scale
    fit = fit_logistic(x[None], y[None])
    assert bool(fit.converged_P.all())
    residual_N = torch.sigmoid(fit.decision(x[None])[0]) - y
    gradient_K = (residual_N @ x + fit.weights_PK[0]) / scale
    assert gradient_K.abs().max() < 1e-7
    assert residual_N.sum().abs() < 1e-7


def test_a_problem_is_solved_as_if_it_were_alone():
    problems = [make(kind, 5, seed=i) for i, kind in enumerate(KINDS)]
    fit = fit_logistic(torch.stack([x for x, _ in problems]), torch.stack([y for _, y in problems]))
    for p, (x, y) in enumerate(problems):
        alone = fit_logistic(x[None], y[None])
        torch.testing.assert_close(fit.weights_PK[p], alone.weights_PK[0], atol=1e-10, rtol=1e-10)
        assert fit.n_iter_P[p] == alone.n_iter_P[0]


def test_masked_samples_do_not_count_even_if_they_are_nan():
    x, y = make("random", 3)
    mask = torch.arange(len(y)) < 100
    padded = torch.where(mask[:, None], x, torch.full_like(x, float("nan")))
    fit = fit_logistic(padded[None], y[None], mask[None])
    expected = fit_logistic(x[None, :100], y[None, :100])
    torch.testing.assert_close(fit.weights_PK, expected.weights_PK)
    torch.testing.assert_close(fit.bias_P, expected.bias_P)
    accuracy = fit.accuracy(padded[None], y[None], mask[None])
    torch.testing.assert_close(accuracy, expected.accuracy(x[None, :100], y[None, :100]))


def test_chunks_do_not_change_the_result(monkeypatch):
    problems = [make("random", 2, seed=i) for i in range(5)]
    x, y = torch.stack([x for x, _ in problems]), torch.stack([y for _, y in problems])
    whole = fit_logistic(x, y)
    monkeypatch.setattr("sae_bench.probes.logistic.MAX_ELEMENTS_AT_ONCE", 2 * 160 * 3)
    torch.testing.assert_close(fit_logistic(x, y).weights_PK, whole.weights_PK)


def test_a_cap_on_iterations_is_reported():
    x, y = make("separable", 5)
    fit = fit_logistic(x[None], y[None], max_iter=2)
    assert fit.n_iter_P.tolist() == [2]
    assert not bool(fit.converged_P[0])


def test_accuracy_counts_the_sign_of_the_decision():
    x, y = make("separable", 2)
    fit = fit_logistic(x[None], y[None])
    assert fit.accuracy(x[None], y[None]).tolist() == [1.0]
    assert fit.accuracy(x[None], 1 - y[None]).tolist() == [0.0]


def test_inputs_are_not_changed():
    x, y = make("random", 2)
    before = x.clone()
    fit_logistic(x[None], y[None])
    assert torch.equal(x, before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x, torch.zeros_like(y)), "one class only"),
        (lambda x, y: (x, y * 2), "labels 0 and 1"),
        (lambda x, y: (x * float("inf"), y), "NaN or infinite"),
        (lambda x, y: (x, y[:, :-1]), "labels and mask"),
    ],
)
def test_unusable_problems_are_refused(change, message):
    x, y = make("random", 2)
    with pytest.raises(UsageError, match=message):
        fit_logistic(*change(x[None], y[None]))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_gives_the_same():
    x, y = make("separable", 5)
    there = fit_logistic(x[None].cuda(), y[None].cuda())
    torch.testing.assert_close(there.weights_PK.cpu(), fit_logistic(x[None], y[None]).weights_PK)
