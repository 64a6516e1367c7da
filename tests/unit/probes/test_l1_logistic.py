"""Batched L1-regularised logistic regression against scikit-learn and against its own certificate."""

import math
import warnings

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from sae_bench.errors import UsageError
from sae_bench.probes import fit_l1_logistic, fit_logistic, roc_auc
from sae_bench.probes.l1_logistic import L1Problems, lasso_step

GRID = np.logspace(-5, 5, 10).tolist()


def make(kind, k, seed=0, n=160):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, k, generator=generator)
    y = (x.sum(dim=1) + 2 * torch.randn(n, generator=generator) > 0).long()
    if kind == "separable":
        y = (x[:, 0] > 0.1).long()
        x[:, 0] += 3 * y
    elif kind == "collinear":
        x = (64 * x[:, :1]).round() / 64 * torch.arange(1, k + 1)  # exactly, in float32 too
    elif kind == "far from zero":
        x[:, 0] = 75 + 4 * x[:, 0]
    elif kind == "zero column":
        x[:, -1] = 0.0
    elif kind == "unbalanced":
        y = (x[:, 0] > 1.6).long()
    elif kind == "sparse codes":
        x = torch.relu(x - 1) * 20
    assert 0 < int(y.sum()) < n
    return x, y


KINDS = ["random", "separable", "collinear", "far from zero", "zero column", "unbalanced", "sparse codes"]


def objective(x, y, weights, bias, c):
    sign = 2.0 * y.double() - 1.0
    logits = x.double() @ weights + bias
    return float(weights.abs().sum() + c * torch.nn.functional.softplus(-sign * logits).sum())


def scikit(x, y, c):
    """scikit-learn's SAGA run until it stands still, on inputs it converges on."""
    mean, scale = x.double().mean(0), x.double().std()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = LogisticRegression(
            C=c * float(scale), penalty="l1", solver="saga", tol=1e-9, max_iter=20000, random_state=0
        ).fit(((x.double() - mean) / scale).numpy(), y.numpy())
    weights = torch.from_numpy(model.coef_[0]) / scale
    return weights, float(model.intercept_[0]) - float(weights @ mean)


@pytest.mark.parametrize("c", [1e-2, 0.3, 10.0])
@pytest.mark.parametrize("kind", KINDS)
def test_the_objective_is_at_most_that_of_scikit_learn(kind, c):
    x, y = make(kind, 4)
    fit = fit_l1_logistic(x[None], y[None], c=c)
    assert bool(fit.converged_P[0])
    ours = objective(x, y, fit.weights_PK[0], fit.bias_P[0], c)
    theirs = objective(x, y, *scikit(x, y, c), c)
    assert ours <= theirs * (1 + 2e-7)
    assert ours == pytest.approx(theirs, rel=1e-3)


@pytest.mark.parametrize("kind", ["random", "sparse codes", "unbalanced"])
def test_the_auc_is_that_of_scikit_learn(kind):
    x, y = make(kind, 3)
    for c in (0.05, 1.0, 100.0):
        weights, bias = scikit(x, y, c)
        fit = fit_l1_logistic(x[None], y[None], c=c)
        theirs = roc_auc((x.double() @ weights + bias)[None], y[None])
        assert roc_auc(fit.decision(x[None]), y[None]).item() == pytest.approx(theirs.item(), abs=1e-3)


@pytest.mark.parametrize("k", [1, 2, 5, 20])
@pytest.mark.parametrize("kind", KINDS)
def test_the_optimum_is_certified_along_the_whole_grid(kind, k):
    """The optimum's conditions: |C X^T r| <= 1, with the weight's sign and size 1 for what weighs, and sum r = 0."""
    x, y = make(kind, k)
    fit = None
    for c in GRID:
        fit = fit_l1_logistic(x[None], y[None], c=c, start=fit, tolerance=1e-10)
        assert bool(fit.converged_P[0])
        weights = fit.weights_PK[0]
        residual = y - torch.sigmoid(fit.decision(x[None])[0])
        centred = x.double() - x.double().mean(0)
        pull = c * residual @ centred
        assert float(pull.abs().max()) <= 1 + 1e-3
        value = objective(x, y, weights, fit.bias_P[0], c)
        assert float(weights.abs().sum() - weights @ pull) == pytest.approx(0.0, abs=1e-4 * value)
        assert float(c * residual.sum()) == pytest.approx(0.0, abs=1e-3)


def test_no_weight_is_left_below_the_critical_strength_and_one_above_it():
    x, y = make("random", 5)
    centred = x.double() - x.double().mean(0)
    critical = 1 / float(((y - y.double().mean()) @ centred).abs().max())
    below = fit_l1_logistic(x[None], y[None], c=0.999 * critical)
    assert below.weights_PK.abs().sum() == 0
    assert below.bias_P.item() == pytest.approx(math.log(float(y.sum()) / float((1 - y).sum())))
    above = fit_l1_logistic(x[None], y[None], c=1.01 * critical, tolerance=1e-12)
    assert int((above.weights_PK != 0).sum()) == 1


def test_the_lower_bound_never_exceeds_an_objective():
    generator = torch.Generator().manual_seed(0)
    x, y = make("sparse codes", 4)
    centred = (x.double() - x.double().mean(0)).T[None]
    problems = L1Problems(
        torch.cat([centred, torch.ones(1, 1, len(y)).double()], dim=1),
        1.0 - 2.0 * y.double()[None],
        torch.full((1, len(y)), 0.7).double(),
    )
    thetas = torch.randn(200, 5, generator=generator).double()
    bounds = [float(problems.lower_bound(problems.logits(theta[None]))) for theta in thetas]
    values = [float(problems.objective(theta[None], problems.logits(theta[None]))) for theta in thetas]
    best = fit_l1_logistic(x[None], y[None], c=0.7)
    optimum = objective(x, y, best.weights_PK[0], best.bias_P[0], 0.7)
    assert max(bounds) <= optimum * (1 + 1e-12) <= min(values)


def test_a_problem_is_solved_as_if_it_were_alone():
    problems = [make(kind, 5, seed=i) for i, kind in enumerate(KINDS)]
    c = torch.tensor([0.1 * 3.0**i for i in range(len(KINDS))])
    fit = fit_l1_logistic(torch.stack([x for x, _ in problems]), torch.stack([y for _, y in problems]), c=c)
    for p, (x, y) in enumerate(problems):
        alone = fit_l1_logistic(x[None], y[None], c=float(c[p]))
        values = [objective(x, y, f.weights_PK[i], f.bias_P[i], float(c[p])) for f, i in ((fit, p), (alone, 0))]
        assert values[0] == pytest.approx(values[1], rel=2e-7)


def test_where_it_starts_does_not_matter():
    x, y = make("sparse codes", 5)
    cold = fit_l1_logistic(x[None], y[None], c=50.0, tolerance=1e-11)
    warm = fit_l1_logistic(x[None], y[None], c=50.0, tolerance=1e-11, start=fit_l1_logistic(x[None], y[None], c=0.01))
    torch.testing.assert_close(warm.weights_PK, cold.weights_PK, atol=1e-4, rtol=1e-3)


def test_masked_samples_do_not_count_even_if_they_are_nan():
    x, y = make("random", 3)
    mask = torch.arange(len(y)) < 100
    padded = torch.where(mask[:, None], x, torch.full_like(x, float("nan")))
    fit = fit_l1_logistic(padded[None], y[None], mask[None])
    expected = fit_l1_logistic(x[None, :100], y[None, :100])
    torch.testing.assert_close(fit.weights_PK, expected.weights_PK)
    torch.testing.assert_close(fit.bias_P, expected.bias_P)


def test_a_cap_on_iterations_is_reported():
    x, y = make("separable", 5)
    fit = fit_l1_logistic(x[None], y[None], c=1e5, max_iter=2)
    assert fit.n_iter_P.tolist() == [2]
    assert not bool(fit.converged_P[0])


def test_the_lasso_step_minimises_its_model():
    generator = torch.Generator().manual_seed(1)
    root = torch.randn(30, 6, 4, generator=generator).double()
    hessian, gradient = root.transpose(1, 2) @ root, 3 * torch.randn(30, 4, generator=generator).double()
    weights = torch.randn(30, 4, generator=generator).double() * (torch.rand(30, 4, generator=generator) < 0.5)
    step = lasso_step(gradient, hessian, weights)

    def model(d):
        quadratic = (gradient * d).sum(1) + 0.5 * (d[:, None] @ hessian @ d[:, :, None])[:, 0, 0]
        return quadratic + (weights + d).abs().sum(1)

    for _ in range(300):
        other = step + 0.05 * torch.randn(step.shape, generator=generator).double()
        assert bool((model(step) <= model(other) + 1e-9).all())
    assert bool(((weights + step) == 0).any())


def test_unusable_problems_are_refused():
    x, y = make("random", 2)
    with pytest.raises(UsageError, match="one class only"):
        fit_l1_logistic(x[None], torch.zeros_like(y)[None])
    with pytest.raises(UsageError, match="NaN or infinite"):
        fit_l1_logistic(x[None] * float("inf"), y[None])
    for c in (0.0, -1.0, torch.zeros(1)):
        with pytest.raises(UsageError, match="c has to be positive"):
            fit_l1_logistic(x[None], y[None], c=c)


# ---- additions to the L2 solver


def test_l2_takes_one_strength_per_problem_and_a_starting_point():
    problems = [make(kind, 3, seed=i) for i, kind in enumerate(KINDS)]
    x, y = torch.stack([x for x, _ in problems]), torch.stack([y for _, y in problems])
    c = torch.tensor([10.0 ** (i - 3) for i in range(len(KINDS))])
    together = fit_logistic(x, y, c=c)
    for p in range(len(KINDS)):
        alone = fit_logistic(x[p : p + 1], y[p : p + 1], c=float(c[p]))
        torch.testing.assert_close(together.weights_PK[p], alone.weights_PK[0], atol=1e-8, rtol=1e-8)
    again = fit_logistic(x, y, c=c, start=together)
    torch.testing.assert_close(again.weights_PK, together.weights_PK, atol=1e-8, rtol=1e-8)
    assert int(again.n_iter_P.max()) <= 2
