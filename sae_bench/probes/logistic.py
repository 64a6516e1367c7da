"""L2-regularised logistic regression for many problems at once, solved to the optimum.

Each problem minimises what scikit-learn's `LogisticRegression(C=C)` minimises (y in {-1, +1}):

    0.5 |w|^2 + C sum_i log(1 + exp(-y_i (w.x_i + b)))

It is strictly convex once both classes are present, so Newton's method with a line search in float64 finds the one
optimum, separable data included. The problems of a batch share every matrix product and do not affect each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import logsigmoid

from sae_bench.errors import UsageError

MAX_ELEMENTS_AT_ONCE = 1 << 25
"""Problems are solved in chunks of at most this many float64 inputs (256 MB)."""

_ARMIJO = 1e-4
_MAX_HALVINGS = 40
_ROUNDING = 1e-12


@dataclass(frozen=True)
class LogisticFit:
    """Fitted probes of P problems, in float64 on the device of the solve."""

    weights_PK: Tensor
    bias_P: Tensor
    n_iter_P: Tensor
    converged_P: Tensor
    """False where the cap on iterations was met, or rounding stopped the line search, before the tolerance."""

    def decision(self, x_PNK: Float[Tensor, "P N K"]) -> Float[Tensor, "P N"]:
        """w.x + b of each sample."""
        x_PNK = x_PNK.to(device=self.weights_PK.device, dtype=torch.float64)
        return torch.einsum("pnk,pk->pn", x_PNK, self.weights_PK) + self.bias_P[:, None]

    def accuracy(
        self,
        x_PNK: Float[Tensor, "P N K"],
        labels_PN: Tensor,
        mask_PN: Bool[Tensor, "P N"] | None = None,
    ) -> Float[Tensor, " P"]:
        """Share of the samples (of those in the mask) whose label is `decision > 0`."""
        decision_PN = self.decision(x_PNK)
        correct_PN = (decision_PN > 0) == (labels_PN.to(decision_PN.device) > 0)
        if mask_PN is None:
            return correct_PN.double().mean(dim=1)
        mask_PN = mask_PN.to(decision_PN.device)
        return (correct_PN & mask_PN).sum(dim=1) / mask_PN.sum(dim=1).double()


def fit_logistic(
    x_PNK: Float[Tensor, "P N K"],
    labels_PN: Tensor,
    mask_PN: Bool[Tensor, "P N"] | None = None,
    *,
    c: float | Float[Tensor, " P"] = 1.0,
    sample_weight_PN: Float[Tensor, "P N"] | None = None,
    start: LogisticFit | None = None,
    tolerance: float = 1e-8,
    max_iter: int = 200,
) -> LogisticFit:
    """Fit P logistic regressions with a free intercept.

    Args:
        x_PNK: inputs; solved on their device, or on the CPU where the device has no float64.
        labels_PN: 0 or 1 (or False, True).
        mask_PN: which samples are real; problems of different length are padded and masked.
        c: inverse strength of the regularisation, scikit-learn's `C`; one number, or one per problem.
        sample_weight_PN: factors of the samples' losses, scikit-learn's `sample_weight`; a sample of weight w stands
            for w equal ones. 1 where it is not given.
        start: where Newton's method starts (the fit for another `c`, say); the optimum does not depend on it.
        tolerance: a problem is converged when its gradient's norm, in the metric of the inverse Hessian (the Newton
            decrement), is at most this; that norm bounds the distance of the weights from the optimum's quadratic
            model, whatever the scale of the inputs. One more full step follows.
        max_iter: cap on Newton steps; a problem that meets it comes back with `converged_P` False.
    Raises:
        UsageError: inputs that are not finite, labels other than 0 and 1, or a problem with one class only.
    """
    x_PNK, labels_PN, real_PN = checked_problems(x_PNK, labels_PN, mask_PN)
    weight_PN = strengths(c, x_PNK)[:, None] * real_PN.double()
    if sample_weight_PN is not None:
        weight_PN = weight_PN * sample_weight_PN.to(weight_PN)
    parts = [
        _fit_chunk(
            x_PNK[at],
            labels_PN[at],
            real_PN[at],
            weight_PN[at],
            part_of(start, at),
            tolerance=tolerance,
            max_iter=max_iter,
        )
        for at in chunks(x_PNK)
    ]
    return parts[0] if len(parts) == 1 else joined(parts)


def strengths(c: float | Tensor, x_PNK: Tensor) -> Float[Tensor, " P"]:
    """`c` as one positive number per problem, float64 on the device of the inputs.

    Raises:
        UsageError: it is not positive, or not one number (or one per problem).
    """
    c_P = torch.as_tensor(c, dtype=torch.float64, device=x_PNK.device)
    if c_P.ndim > 1 or (c_P.ndim == 1 and len(c_P) != len(x_PNK)) or not bool((c_P > 0).all()):
        raise UsageError(f"c has to be positive, one number or one for each of the {len(x_PNK)} problems.")
    return c_P.expand(len(x_PNK))


def chunks(x_PNK: Tensor) -> list[slice]:
    """Slices of the problems that are small enough to be solved at once."""
    n_problems, n_samples, n_features = x_PNK.shape
    at_once = max(1, MAX_ELEMENTS_AT_ONCE // (n_samples * (n_features + 1)))
    return [slice(start, start + at_once) for start in range(0, n_problems, at_once)]


def part_of(fit: LogisticFit | None, at: slice) -> LogisticFit | None:
    """The fits of some problems."""
    if fit is None:
        return None
    return LogisticFit(fit.weights_PK[at], fit.bias_P[at], fit.n_iter_P[at], fit.converged_P[at])


def joined(parts: Sequence[LogisticFit]) -> LogisticFit:
    """The fits of several chunks, one after the other."""
    return LogisticFit(
        weights_PK=torch.cat([part.weights_PK for part in parts]),
        bias_P=torch.cat([part.bias_P for part in parts]),
        n_iter_P=torch.cat([part.n_iter_P for part in parts]),
        converged_P=torch.cat([part.converged_P for part in parts]),
    )


def centred(x_PNK: Tensor, real_PN: Tensor) -> tuple[Float[Tensor, "P K N"], Float[Tensor, "P K"]]:
    """Inputs minus their mean over the real samples, transposed, padding 0; and that mean. All float64.

    Centring changes nothing but the intercept, for that is free.
    """
    padding_P1N = ~real_PN[:, None, :]
    x_PKN = x_PNK.double().transpose(1, 2).masked_fill(padding_P1N, 0.0)
    mean_PK = x_PKN.sum(dim=2) / real_PN.sum(dim=1, keepdim=True).double()
    return (x_PKN - mean_PK[:, :, None]).masked_fill(padding_P1N, 0.0), mean_PK


@torch.no_grad()
def _fit_chunk(
    x_PNK: Tensor,
    labels_PN: Tensor,
    real_PN: Tensor,
    weight_PN: Tensor,
    start: LogisticFit | None,
    *,
    tolerance: float,
    max_iter: int,
) -> LogisticFit:
    """Centre the inputs, solve, and undo the centring."""
    x_PKN, mean_PK = centred(x_PNK, real_PN)
    problem = Problems(
        x_PJN=torch.cat([x_PKN, real_PN[:, None, :].double()], dim=1),
        sign_PN=1.0 - 2.0 * labels_PN.double(),
        weight_PN=weight_PN,
    )
    theta_PJ, n_iter_P, converged_P = _newton(
        problem, starting_point(start, mean_PK), tolerance=tolerance, max_iter=max_iter
    )
    weights_PK = theta_PJ[:, :-1]
    bias_P = theta_PJ[:, -1] - (weights_PK * mean_PK).sum(dim=1)
    return LogisticFit(weights_PK, bias_P, n_iter_P, converged_P)


def starting_point(start: LogisticFit | None, mean_PK: Tensor) -> Float[Tensor, "P J"]:
    """Weights and intercept for centred inputs: those of `start`, or zeros."""
    if start is None:
        return mean_PK.new_zeros(len(mean_PK), mean_PK.shape[1] + 1)
    weights_PK = start.weights_PK.to(mean_PK)
    bias_P = start.bias_P.to(mean_PK) + (weights_PK * mean_PK).sum(dim=1)
    return torch.cat([weights_PK, bias_P[:, None]], dim=1)


ProblemsT = TypeVar("ProblemsT", bound="Problems")


@dataclass(frozen=True)
class Problems:
    """Inputs with a row of ones below (J = K + 1), -1 for label 1 and +1 for label 0, and sample weights."""

    x_PJN: Tensor
    sign_PN: Tensor
    weight_PN: Tensor

    def select(self: ProblemsT, index: Tensor) -> ProblemsT:
        return replace(self, x_PJN=self.x_PJN[index], sign_PN=self.sign_PN[index], weight_PN=self.weight_PN[index])

    def logits(self, theta_PJ: Tensor) -> Float[Tensor, "P N"]:
        return torch.bmm(theta_PJ[:, None, :], self.x_PJN)[:, 0]

    def objective(self, theta_PJ: Tensor, logits_PN: Tensor) -> Float[Tensor, " P"]:
        """The penalty on the weights and the loss."""
        return self.penalty(theta_PJ[:, :-1]) + self.loss(logits_PN)

    def penalty(self, weights_PK: Tensor) -> Float[Tensor, " P"]:
        return 0.5 * weights_PK.square().sum(dim=1)

    def loss(self, logits_PN: Tensor) -> Float[Tensor, " P"]:
        return (self.weight_PN * -logsigmoid(-self.sign_PN * logits_PN)).sum(dim=1)

    def loss_derivatives(self, logits_PN: Tensor) -> tuple[Float[Tensor, "P J"], Float[Tensor, "P J J"]]:
        """Gradient and Hessian of the loss alone."""
        z_PN = self.sign_PN * logits_PN
        wrong_PN = torch.sigmoid(z_PN)
        slope_PN = self.weight_PN * self.sign_PN * wrong_PN
        curvature_PN = self.weight_PN * wrong_PN * torch.sigmoid(-z_PN)
        gradient_PJ = torch.bmm(self.x_PJN, slope_PN[:, :, None])[:, :, 0]
        return gradient_PJ, torch.bmm(self.x_PJN * curvature_PN[:, None, :], self.x_PJN.transpose(1, 2))

    def derivatives(self, theta_PJ: Tensor, logits_PN: Tensor) -> tuple[Float[Tensor, "P J"], Float[Tensor, "P J J"]]:
        """Gradient and Hessian of the objective; the intercept is not penalised."""
        gradient_PJ, hessian_PJJ = self.loss_derivatives(logits_PN)
        penalty_J = torch.ones(theta_PJ.shape[1], dtype=theta_PJ.dtype, device=theta_PJ.device)
        penalty_J[-1] = 0.0
        return gradient_PJ + penalty_J * theta_PJ, hessian_PJJ + torch.diag(penalty_J)


def _newton(
    problems: Problems, theta_PJ: Tensor, *, tolerance: float, max_iter: int
) -> tuple[Float[Tensor, "P J"], Int[Tensor, " P"], Bool[Tensor, " P"]]:
    """Damped Newton from `theta_PJ`; a finished problem leaves the batch."""
    n_problems = len(theta_PJ)
    device = theta_PJ.device
    final_PJ = theta_PJ.clone()
    n_iter_P = torch.zeros(n_problems, dtype=torch.long, device=device)
    converged_P = torch.zeros(n_problems, dtype=torch.bool, device=device)
    left = torch.arange(n_problems, device=device)
    for _ in range(max_iter):
        logits_PN = problems.logits(theta_PJ)
        gradient_PJ, hessian_PJJ = problems.derivatives(theta_PJ, logits_PN)
        step_PJ = -_solve(hessian_PJJ, gradient_PJ)
        decrement2_P = -(gradient_PJ * step_PJ).sum(dim=1)
        done_P = decrement2_P <= tolerance**2
        length_P = line_search(problems, theta_PJ, logits_PN, step_PJ, decrement2_P).masked_fill(done_P, 1.0)
        theta_PJ = theta_PJ + length_P[:, None] * step_PJ
        n_iter_P[left] += 1
        final_PJ[left] = theta_PJ
        converged_P[left] = done_P
        going_P = ~done_P & (length_P > 0)
        if bool(going_P.all()):
            continue
        keep = going_P.nonzero()[:, 0]
        if len(keep) == 0:
            break
        left, theta_PJ, problems = left[keep], theta_PJ[keep], problems.select(keep)
    return final_PJ, n_iter_P, converged_P


def _solve(hessian_PJJ: Tensor, gradient_PJ: Tensor) -> Float[Tensor, "P J"]:
    """H^-1 g; a Hessian that rounding made singular gets the smallest ridge (a power of ten) that mends it."""
    factor_PJJ, info_P = torch.linalg.cholesky_ex(hessian_PJJ)
    if bool((info_P != 0).any()):
        scale_P = hessian_PJJ.diagonal(dim1=1, dim2=2).amax(dim=1)
        ridge_P = torch.zeros_like(scale_P)
        eye_JJ = torch.eye(hessian_PJJ.shape[1], dtype=hessian_PJJ.dtype, device=hessian_PJJ.device)
        for power in range(-14, 1):
            ridge_P = torch.where(info_P != 0, scale_P * 10.0**power, ridge_P)
            factor_PJJ, info_P = torch.linalg.cholesky_ex(hessian_PJJ + ridge_P[:, None, None] * eye_JJ)
            if bool((info_P == 0).all()):
                break
    return torch.cholesky_solve(gradient_PJ[:, :, None], factor_PJJ)[:, :, 0]


def line_search(
    problems: Problems, theta_PJ: Tensor, logits_PN: Tensor, step_PJ: Tensor, decrease_P: Tensor
) -> Float[Tensor, " P"]:
    """Per problem the longest of 1, 1/2, 1/4, ... that lowers the objective enough; 0 where none does.

    `decrease_P` is what the step promises to first order (the Newton decrement squared, say).
    """
    start_P = problems.objective(theta_PJ, logits_PN)
    slack_P = _ROUNDING * (1.0 + start_P)
    along_PN = problems.logits(step_PJ)
    length_P = torch.ones_like(start_P)
    for _ in range(_MAX_HALVINGS):
        trial_PJ = theta_PJ + length_P[:, None] * step_PJ
        value_P = problems.objective(trial_PJ, logits_PN + length_P[:, None] * along_PN)
        enough_P = value_P <= start_P - _ARMIJO * length_P * decrease_P + slack_P
        if bool(enough_P.all()):
            return length_P
        length_P = torch.where(enough_P, length_P, length_P / 2)
    return torch.where(enough_P, length_P, torch.zeros_like(length_P))


def checked_problems(x_PNK: Tensor, labels_PN: Tensor, mask_PN: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs, labels and which samples are real, on the device where they are solved (the CPU for MPS).

    Raises:
        UsageError: shapes that do not fit, labels other than 0 and 1, NaN, or problems with one class.
    """
    if x_PNK.device.type == "mps":
        x_PNK, labels_PN = x_PNK.cpu(), labels_PN.cpu()
    labels_PN = labels_PN.to(x_PNK.device)
    real_PN = torch.ones_like(labels_PN, dtype=torch.bool) if mask_PN is None else mask_PN.to(x_PNK.device)
    if x_PNK.ndim != 3 or x_PNK.shape[0] == 0 or labels_PN.shape != x_PNK.shape[:2] or real_PN.shape != labels_PN.shape:
        raise UsageError(
            f"logistic regression takes inputs (P, N, K) with P > 0, labels and mask (P, N); got {tuple(x_PNK.shape)}, "
            f"{tuple(labels_PN.shape)} and {tuple(real_PN.shape)}."
        )
    if not bool(((labels_PN == 0) | (labels_PN == 1) | ~real_PN).all()):
        raise UsageError("logistic regression takes labels 0 and 1 only.")
    if not bool((x_PNK.isfinite() | ~real_PN[:, :, None]).all()):
        raise UsageError("logistic regression got inputs that are NaN or infinite; check the activations and the SAE.")
    positives_P = ((labels_PN == 1) & real_PN).sum(dim=1)
    single = ((positives_P == 0) | (positives_P == real_PN.sum(dim=1))).nonzero()[:, 0]
    if len(single):
        raise UsageError(
            f"logistic regression needs samples of both classes; problem {int(single[0])} of {len(positives_P)} has "
            "one class only."
        )
    return x_PNK, labels_PN, real_PN
