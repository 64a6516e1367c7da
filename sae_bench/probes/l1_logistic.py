"""L1-regularised logistic regression for many problems at once, solved until a duality gap proves it.

Each problem minimises what scikit-learn's `LogisticRegression(penalty="l1", C=C)` minimises (y in {-1, +1}):

    F(w, b) = |w|_1 + C sum_i log(1 + exp(-y_i (w.x_i + b)))

Proximal Newton: the loss is replaced by its quadratic model, the model plus |w|_1 is minimised by coordinate descent
and feature-sign search (exact zeros included), and a line search on F follows (Lee, Sun and Saunders 2014).

Any a in [0, 1]^N with sum_i a_i y_i = 0 and |C sum_i a_i y_i x_i|_inf <= 1 bounds the optimum from below by
C sum_i H(a_i), H the entropy in nats; the misclassification probabilities, scaled until they meet both, give that
bound (Koh, Kim and Boyd 2007).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sae_bench.probes.logistic import (
    LogisticFit,
    Problems,
    centred,
    checked_problems,
    chunks,
    joined,
    line_search,
    part_of,
    starting_point,
    strengths,
)

_MAX_ROUNDS = 40
_ROUND_TOLERANCE = 1e-6
_RIDGE = 1e-12
_TINY = 1e-300


def fit_l1_logistic(
    x_PNK: Float[Tensor, "P N K"],
    labels_PN: Tensor,
    mask_PN: Bool[Tensor, "P N"] | None = None,
    *,
    c: float | Float[Tensor, " P"] = 1.0,
    start: LogisticFit | None = None,
    tolerance: float = 1e-7,
    max_iter: int = 100,
) -> LogisticFit:
    """Fit P logistic regressions with an L1 penalty on the weights and a free intercept.

    Args:
        x_PNK: inputs; solved on their device, or on the CPU where the device has no float64.
        labels_PN: 0 or 1 (or False, True).
        mask_PN: which samples are real; problems of different length are padded and masked.
        c: inverse strength of the regularisation, scikit-learn's `C`; one number, or one per problem.
        start: where the iteration starts (the fit for another `c`, say).
        tolerance: a problem is converged when its duality gap is at most this share of its objective, so that the
            objective is proven to be that near to the optimum.
        max_iter: cap on Newton steps; a problem that meets it, or that rounding stops before the tolerance, comes back
            with `converged_P` False.
    Raises:
        UsageError: inputs that are not finite, labels other than 0 and 1, or a problem with one class only.
    """
    x_PNK, labels_PN, real_PN = checked_problems(x_PNK, labels_PN, mask_PN)
    c_P = strengths(c, x_PNK)
    parts = [
        _fit_chunk(
            x_PNK[at], labels_PN[at], real_PN[at], c_P[at], part_of(start, at), tolerance=tolerance, max_iter=max_iter
        )
        for at in chunks(x_PNK)
    ]
    return parts[0] if len(parts) == 1 else joined(parts)


@torch.no_grad()
def _fit_chunk(
    x_PNK: Tensor,
    labels_PN: Tensor,
    real_PN: Tensor,
    c_P: Tensor,
    start: LogisticFit | None,
    *,
    tolerance: float,
    max_iter: int,
) -> LogisticFit:
    """Centre the inputs, solve, and undo the centring."""
    x_PKN, mean_PK = centred(x_PNK, real_PN)
    problems = L1Problems(
        x_PJN=torch.cat([x_PKN, real_PN[:, None, :].double()], dim=1),
        sign_PN=1.0 - 2.0 * labels_PN.double(),
        weight_PN=c_P[:, None] * real_PN.double(),
    )
    theta_PJ = starting_point(start, mean_PK)
    if start is None:  # the optimum where the penalty leaves no weight
        positive_P = (problems.weight_PN * (problems.sign_PN < 0)).sum(dim=1)
        theta_PJ[:, -1] = (positive_P / (problems.weight_PN.sum(dim=1) - positive_P)).log()
    theta_PJ, n_iter_P, converged_P = _proximal_newton(problems, theta_PJ, tolerance=tolerance, max_iter=max_iter)
    weights_PK = theta_PJ[:, :-1]
    bias_P = theta_PJ[:, -1] - (weights_PK * mean_PK).sum(dim=1)
    return LogisticFit(weights_PK, bias_P, n_iter_P, converged_P)


@dataclass(frozen=True)
class L1Problems(Problems):
    """Problems whose penalty is the sum of absolute weights."""

    def penalty(self, weights_PK: Tensor) -> Float[Tensor, " P"]:
        return weights_PK.abs().sum(dim=1)

    def lower_bound(self, logits_PN: Tensor) -> Float[Tensor, " P"]:
        """A lower bound of the optimum: the dual objective at a feasible point made from the current probabilities."""
        wrong_PN = torch.sigmoid(self.sign_PN * logits_PN)
        positive_PN = self.sign_PN < 0
        mass_PN = self.weight_PN * wrong_PN
        of_positive_P = (mass_PN * positive_PN).sum(dim=1)
        of_negative_P = (mass_PN * ~positive_PN).sum(dim=1)
        equal_P = torch.minimum(of_positive_P, of_negative_P)
        shrink_PN = torch.where(
            positive_PN,
            (equal_P / of_positive_P.clamp(min=_TINY))[:, None],
            (equal_P / of_negative_P.clamp(min=_TINY))[:, None],
        )
        signed_PN = mass_PN * shrink_PN * self.sign_PN
        pull_PK = torch.bmm(self.x_PJN, signed_PN[:, :, None])[:, :-1, 0]
        scale_P = 1.0 / pull_PK.abs().amax(dim=1).clamp(min=1.0)
        a_PN = wrong_PN * shrink_PN * scale_P[:, None]
        entropy_PN = torch.special.entr(a_PN) - torch.special.xlog1py(1.0 - a_PN, -a_PN)
        return (self.weight_PN * entropy_PN).sum(dim=1)


def _proximal_newton(
    problems: L1Problems, theta_PJ: Tensor, *, tolerance: float, max_iter: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Steps until the gap is closed; a problem that is finished, or stuck at rounding errors, leaves the batch."""
    device = theta_PJ.device
    final_PJ = theta_PJ.clone()
    n_iter_P = torch.zeros(len(theta_PJ), dtype=torch.long, device=device)
    converged_P = torch.zeros(len(theta_PJ), dtype=torch.bool, device=device)
    left = torch.arange(len(theta_PJ), device=device)
    stuck_P = torch.zeros_like(converged_P)
    for _ in range(max_iter):
        logits_PN = problems.logits(theta_PJ)
        objective_P = problems.objective(theta_PJ, logits_PN)
        done_P = objective_P - problems.lower_bound(logits_PN) <= tolerance * objective_P
        converged_P[left] = done_P
        keep = ~(done_P | stuck_P)
        if not bool(keep.any()):
            break
        if not bool(keep.all()):
            left, theta_PJ, logits_PN, problems = left[keep], theta_PJ[keep], logits_PN[keep], problems.select(keep)
        gradient_PJ, hessian_PJJ = problems.loss_derivatives(logits_PN)
        step_PJ = _direction(gradient_PJ, hessian_PJJ, theta_PJ)
        change_P = problems.penalty(theta_PJ[:, :-1] + step_PJ[:, :-1]) - problems.penalty(theta_PJ[:, :-1])
        decrease_P = (-(gradient_PJ * step_PJ).sum(dim=1) - change_P).clamp(min=0.0)
        length_P = line_search(problems, theta_PJ, logits_PN, step_PJ, decrease_P)
        stuck_P = length_P == 0
        theta_PJ = theta_PJ + length_P[:, None] * step_PJ
        n_iter_P[left] += 1
        final_PJ[left] = theta_PJ
    return final_PJ, n_iter_P, converged_P


def _direction(
    gradient_PJ: Float[Tensor, "P J"], hessian_PJJ: Float[Tensor, "P J J"], theta_PJ: Float[Tensor, "P J"]
) -> Float[Tensor, "P J"]:
    """argmin over d of g.d + d.H d / 2 + |w + d_w|_1: the intercept eliminated, then coordinate descent on w."""
    curvature_P = hessian_PJJ[:, -1, -1].clamp(min=_TINY)
    cross_PK = hessian_PJJ[:, :-1, -1]
    slope_PK = cross_PK / curvature_P[:, None]
    reduced_PKK = hessian_PJJ[:, :-1, :-1] - slope_PK[:, :, None] * cross_PK[:, None, :]
    reduced_PK = gradient_PJ[:, :-1] - slope_PK * gradient_PJ[:, -1:]
    step_PK = lasso_step(reduced_PK, reduced_PKK, theta_PJ[:, :-1])
    bias_P = -gradient_PJ[:, -1] / curvature_P - (slope_PK * step_PK).sum(dim=1)
    return torch.cat([step_PK, bias_P[:, None]], dim=1)


def lasso_step(
    gradient_PK: Float[Tensor, "P K"], hessian_PKK: Float[Tensor, "P K K"], weights_PK: Float[Tensor, "P K"]
) -> Float[Tensor, "P K"]:
    """argmin over d of g.d + d.H d / 2 + |w + d|_1.

    In turns: a sweep of coordinate descent, which finds out what is zero, and a step towards the exact minimiser among
    points with these zeros and signs, cut where a weight becomes zero (feature-sign search, Lee et al. 2006). The
    latter makes collinear features harmless, on which coordinate descent alone creeps.
    """
    target_PK = weights_PK.clone()
    for _ in range(_MAX_ROUNDS):
        before_PK = target_PK
        target_PK = _sweep(gradient_PK, hessian_PKK, weights_PK, target_PK)
        if weights_PK.shape[1] == 1:
            break
        moved_P = _curved_size(hessian_PKK, target_PK - before_PK)
        settled_P = moved_P <= _ROUND_TOLERANCE**2 * _curved_size(hessian_PKK, target_PK - weights_PK)
        target_PK, cut_P = _step_on_face(gradient_PK, hessian_PKK, weights_PK, target_PK)
        if bool((settled_P & ~cut_P).all()):
            break
    return target_PK - weights_PK


def _sweep(gradient_PK: Tensor, hessian_PKK: Tensor, weights_PK: Tensor, target_PK: Tensor) -> Float[Tensor, "P K"]:
    """Minimise over one coordinate after the other; one without curvature stays."""
    diagonal_PK = hessian_PKK.diagonal(dim1=1, dim2=2)
    usable_PK = diagonal_PK > 1e-14 * diagonal_PK.amax(dim=1, keepdim=True).clamp(min=_TINY)
    divisor_PK = torch.where(usable_PK, diagonal_PK, torch.ones_like(diagonal_PK))
    target_PK = target_PK.clone()
    slope_PK = gradient_PK + (hessian_PKK @ (target_PK - weights_PK)[:, :, None])[:, :, 0]
    for k in range(target_PK.shape[1]):
        free_P = target_PK[:, k] - slope_PK[:, k] / divisor_PK[:, k]
        shrunk_P = free_P.sign() * (free_P.abs() - 1.0 / divisor_PK[:, k]).clamp(min=0.0)
        change_P = torch.where(usable_PK[:, k], shrunk_P - target_PK[:, k], torch.zeros_like(free_P))
        target_PK[:, k] += change_P
        slope_PK += change_P[:, None] * hessian_PKK[:, :, k]
    return target_PK


def _step_on_face(
    gradient_PK: Tensor, hessian_PKK: Tensor, weights_PK: Tensor, target_PK: Tensor
) -> tuple[Float[Tensor, "P K"], Bool[Tensor, " P"]]:
    """From `target_PK` towards the minimiser with the same zeros and signs, as far as the signs last.

    The second value says where a weight became zero on the way. A direction without curvature gets a hint of it, so
    that the step leads as far as the signs last.
    """
    on_PK = target_PK != 0
    both_PKK = on_PK[:, :, None] & on_PK[:, None, :]
    scale_P = hessian_PKK.diagonal(dim1=1, dim2=2).amax(dim=1).clamp(min=_TINY)
    eye_KK = torch.eye(target_PK.shape[1], dtype=target_PK.dtype, device=target_PK.device)
    matrix_PKK = torch.where(both_PKK, hessian_PKK, 0.0)
    matrix_PKK = matrix_PKK + torch.where(on_PK, _RIDGE * scale_P[:, None], scale_P[:, None])[:, :, None] * eye_KK
    slope_PK = gradient_PK + (hessian_PKK @ (target_PK - weights_PK)[:, :, None])[:, :, 0] + target_PK.sign()
    factor_PKK, info_P = torch.linalg.cholesky_ex(matrix_PKK)
    step_PK = -torch.cholesky_solve(torch.where(on_PK, slope_PK, 0.0)[:, :, None], factor_PKK)[:, :, 0]
    step_PK = torch.where(((info_P == 0) & step_PK.isfinite().all(dim=1))[:, None], step_PK, 0.0)
    crosses_PK = on_PK & ((target_PK + step_PK).sign() != target_PK.sign())
    reach_PK = torch.where(crosses_PK, -target_PK / torch.where(crosses_PK, step_PK, 1.0), torch.inf)
    reach_P1 = reach_PK.amin(dim=1, keepdim=True)
    moved_PK = target_PK + reach_P1.clamp(max=1.0) * step_PK
    return torch.where(crosses_PK & (reach_PK <= reach_P1), 0.0, moved_PK), crosses_PK.any(dim=1)


def _curved_size(hessian_PKK: Tensor, step_PK: Tensor) -> Float[Tensor, " P"]:
    """d.H d of each problem."""
    return (step_PK[:, None, :] @ hessian_PKK @ step_PK[:, :, None])[:, 0, 0]
