"""Logistic regression whose strength of regularisation is chosen by cross-validation, for many problems at once.

The grid, the folds and the choice are those of the package sae-probes: of ten C from 1e5 to 1e-5 the one with the best
mean validation AUC, the largest among equals; then a fit on all training texts. Where the package stops an iterative
solver early, this goes to the optimum: the C of one problem are fitted from the smallest to the largest, each from the
fit before, and the problems of a batch share every matrix product.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from sae_bench.errors import UsageError
from sae_bench.evals.sparse_probing_sae_probes.eval_config import Penalty
from sae_bench.probes import LogisticFit, fit_l1_logistic, fit_logistic, roc_auc, weighted_f1

STRENGTHS: tuple[float, ...] = tuple(np.logspace(5, -5, 10).tolist())
"""scikit-learn's C, the largest first."""
STRENGTH_WITHOUT_FOLDS = 1.0
NEUTRAL_AUC = 0.5
"""The AUC of a fold whose training texts are of one class."""

L2_TOLERANCE = 1e-3
BATCH_ELEMENTS = 1 << 20
_PADDING = 1.25
"""A batch's longest problem is at most so many times as long as its shortest."""


@dataclass(frozen=True)
class Problem:
    """One probe to fit: inputs (float), labels 1 and 0, and the training rows of each validation fold."""

    train_NK: Float[Tensor, "N K"]
    train_labels_N: Int[Tensor, " N"]
    test_MK: Float[Tensor, "M K"]
    test_labels_M: Int[Tensor, " M"]
    folds: Sequence[Tensor] = ()


@dataclass(frozen=True)
class ProbeScores:
    """A fitted probe: its scores on the test texts, and how it came about.

    Attributes:
        f1: F1 of the two classes, weighted by their sizes.
        val_auc: mean AUC over the folds at the chosen C (on the training texts where there are no folds).
        c: the chosen strength of regularisation.
        converged: whether all of its fits reached the optimum.
    """

    accuracy: float
    auc: float
    f1: float
    val_auc: float
    c: float
    converged: bool


def fit_cross_validated(problems: Sequence[Problem], penalty: Penalty) -> list[ProbeScores]:
    """Choose C for each problem, fit it on all of its training texts, score it on its test texts.

    Args:
        problems: all with the same number of features; solved on the device of their inputs.
    Raises:
        UsageError: inputs that are not finite.
    """
    choices = _choose(problems, penalty)
    results: list[ProbeScores | None] = [None] * len(problems)
    for batch in _batches([len(p.train_NK) for p in problems], _width(problems)):
        chosen = [choices[i] for i in batch]
        x_PNK, labels_PN, mask_PN = _padded([(problems[i].train_NK, problems[i].train_labels_N) for i in batch])
        c_P = torch.tensor([choice.c for choice in chosen], dtype=torch.float64, device=x_PNK.device)
        fit = _fit(penalty, x_PNK, labels_PN, mask_PN, c_P, _starts(chosen, x_PNK))
        train_auc_P = roc_auc(fit.decision(x_PNK), labels_PN, mask_PN).tolist()
        scores = _test_scores(fit, [problems[i] for i in batch])
        for row, i in enumerate(batch):
            val_auc = chosen[row].val_auc
            results[i] = ProbeScores(
                *scores[row],
                val_auc=train_auc_P[row] if val_auc is None else val_auc,
                c=chosen[row].c,
                converged=chosen[row].converged and bool(fit.converged_P[row]),
            )
    return [result for result in results if result is not None]


# ---- the choice of C


@dataclass
class _Choice:
    c: float = STRENGTH_WITHOUT_FOLDS
    val_auc: float | None = None
    converged: bool = True
    start: LogisticFit | None = None


@dataclass(frozen=True)
class _FoldFits:
    """The fits of one fold, one per C in the order of `STRENGTHS`."""

    auc_G: list[float]
    weights_GK: Tensor | None = field(default=None, repr=False)
    bias_G: Tensor | None = field(default=None, repr=False)
    converged_G: list[bool] = field(default_factory=list)


def _choose(problems: Sequence[Problem], penalty: Penalty) -> list[_Choice]:
    fits = _fit_folds(problems, penalty)
    choices: list[_Choice] = []
    for problem, of_problem in zip(problems, fits, strict=True):
        if not problem.folds:
            choices.append(_Choice())
            continue
        mean_G = np.mean([fold.auc_G for fold in of_problem], axis=0)
        best = int(np.argmax(mean_G))
        converged = all(all(fold.converged_G) for fold in of_problem)
        choices.append(_Choice(STRENGTHS[best], float(mean_G[best]), converged, _fit_at(of_problem, best)))
    return choices


def _fit_at(fits: Sequence[_FoldFits], best: int) -> LogisticFit | None:
    """The fit of the first fold at the chosen C: where the fit on all training texts starts."""
    for fold in fits:
        if fold.weights_GK is not None and fold.bias_G is not None:
            none = torch.zeros(1, dtype=torch.long)
            return LogisticFit(fold.weights_GK[best][None], fold.bias_G[best][None], none, none.bool())
    return None


def _fit_folds(problems: Sequence[Problem], penalty: Penalty) -> list[list[_FoldFits]]:
    """Fits of every fold of every problem along the grid."""
    results: list[list[_FoldFits]] = [[_FoldFits([NEUTRAL_AUC] * len(STRENGTHS)) for _ in p.folds] for p in problems]
    folds = [
        (i, fold_number)
        for i, problem in enumerate(problems)
        for fold_number, fold in enumerate(problem.folds)
        if _has_both_classes(problem.train_labels_N, fold)
    ]
    for batch in _batches([len(problems[i].train_NK) for i, _ in folds], _width(problems)):
        members = [folds[at] for at in batch]
        x_PNK, labels_PN, mask_PN = _padded([(problems[i].train_NK, problems[i].train_labels_N) for i, _ in members])
        validation_PN = torch.zeros_like(mask_PN)
        for row, (i, fold_number) in enumerate(members):
            validation_PN[row, problems[i].folds[fold_number].to(mask_PN.device)] = True
        path = _fit_path(penalty, x_PNK, labels_PN, mask_PN & ~validation_PN)
        auc_GP = torch.stack([roc_auc(fit.decision(x_PNK), labels_PN, validation_PN) for fit in path])
        weights_GPK = torch.stack([fit.weights_PK for fit in path])
        bias_GP = torch.stack([fit.bias_P for fit in path])
        converged_GP = torch.stack([fit.converged_P for fit in path])
        for row, (i, fold_number) in enumerate(members):
            results[i][fold_number] = _FoldFits(
                auc_GP[:, row].tolist(), weights_GPK[:, row], bias_GP[:, row], converged_GP[:, row].tolist()
            )
    return results


def _fit_path(penalty: Penalty, x_PNK: Tensor, labels_PN: Tensor, mask_PN: Tensor) -> list[LogisticFit]:
    """Fits for every C in the order of `STRENGTHS`, each computed from those for smaller C."""
    path: list[LogisticFit] = []
    for c in reversed(STRENGTHS):
        start = path[-1] if path else None
        if penalty == "l2" and len(path) > 1:
            start = _extrapolated(path[-2], path[-1])
        path.append(_fit(penalty, x_PNK, labels_PN, mask_PN, c, start))
    return path[::-1]


def _extrapolated(before: LogisticFit, last: LogisticFit) -> LogisticFit:
    """Where the path leads next: weights are nearly linear in log C, on separable data and where the loss rules."""
    return replace(
        last,
        weights_PK=2 * last.weights_PK - before.weights_PK,
        bias_P=2 * last.bias_P - before.bias_P,
    )


def _fit(
    penalty: Penalty, x_PNK: Tensor, labels_PN: Tensor, mask_PN: Tensor, c: float | Tensor, start: LogisticFit | None
) -> LogisticFit:
    if penalty == "l1":
        return fit_l1_logistic(x_PNK, labels_PN, mask_PN, c=c, start=start)
    return fit_logistic(x_PNK, labels_PN, mask_PN, c=c, start=start, tolerance=L2_TOLERANCE)


def _starts(choices: Sequence[_Choice], x_PNK: Tensor) -> LogisticFit | None:
    """The starting points of a batch; None unless every problem has one."""
    starts = [choice.start for choice in choices]
    given = [start for start in starts if start is not None]
    if len(given) < len(starts):
        return None
    none_P = torch.zeros(len(given), dtype=torch.long, device=x_PNK.device)
    weights_PK = torch.cat([start.weights_PK for start in given])
    return LogisticFit(weights_PK, torch.cat([start.bias_P for start in given]), none_P, none_P.bool())


def _has_both_classes(labels_N: Tensor, fold: Tensor) -> bool:
    """Whether the texts outside a fold are of both classes."""
    total, n = int(labels_N.sum()), len(labels_N)
    inside = int(labels_N[fold.to(labels_N.device)].sum())
    return 0 < total - inside < n - len(fold)


# ---- scores and batches


def _test_scores(fit: LogisticFit, problems: Sequence[Problem]) -> list[tuple[float, float, float]]:
    """Accuracy, AUC and weighted F1 of each problem on its test texts."""
    x_PMK, labels_PM, mask_PM = _padded([(p.test_MK, p.test_labels_M) for p in problems])
    if not bool(x_PMK.isfinite().all()):
        raise UsageError("features of the test texts are NaN or infinite; check the activations and the SAE's weights.")
    decision_PM = fit.decision(x_PMK)
    predicted_PM = decision_PM > 0
    hits_P = ((predicted_PM == (labels_PM == 1)) & mask_PM).sum(dim=1).double()
    accuracy_P = hits_P / mask_PM.sum(dim=1)
    auc_P = roc_auc(decision_PM, labels_PM, mask_PM)
    f1_P = weighted_f1(predicted_PM, labels_PM, mask_PM)
    return list(zip(accuracy_P.tolist(), auc_P.tolist(), f1_P.tolist(), strict=True))


def _width(problems: Sequence[Problem]) -> int:
    widths = {problem.train_NK.shape[1] for problem in problems}
    if len(widths) > 1:
        raise UsageError(f"problems of one batch read equally many features, got {sorted(widths)}.")
    return next(iter(widths), 0)


def _batches(lengths: Sequence[int], width: int) -> Iterator[list[int]]:
    """Indices of problems of similar length, few enough for a batch to stay small."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        longest = lengths[index]
        too_large = (len(batch) + 1) * longest * (width + 1) > BATCH_ELEMENTS
        if batch and (too_large or longest > _PADDING * lengths[batch[0]]):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def _padded(parts: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs (P, N, K), labels (P, N), and which samples are real."""
    x_PNK = pad_sequence([x_NK for x_NK, _ in parts], batch_first=True)
    labels_PN = pad_sequence([labels_N for _, labels_N in parts], batch_first=True)
    lengths_P1 = torch.tensor([len(labels_N) for _, labels_N in parts], device=x_PNK.device)[:, None]
    mask_PN = torch.arange(x_PNK.shape[1], device=x_PNK.device)[None, :] < lengths_P1
    return x_PNK, labels_PN.to(x_PNK.device), mask_PN
