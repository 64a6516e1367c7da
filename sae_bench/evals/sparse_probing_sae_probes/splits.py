"""Which texts train and test a probe, and which validate it: the draws of the package sae-probes, number for number.

The package names its draws by an integer seed and numpy's legacy generator; splits that are to be the same have to
come from that generator, made anew for each draw (the global state is neither read nor changed).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Int
from sklearn.model_selection import StratifiedKFold

from sae_bench.errors import DatasetError
from sae_bench.evals.sparse_probing_sae_probes.eval_config import Setting

MAX_TRAIN = 1024
MIN_TEST = 100
TRAIN_SIZES: tuple[int, ...] = tuple(np.unique(np.logspace(1, 10, num=20, base=2).round().astype(int)).tolist())
"""Numbers of training texts in the setting 'scarcity': 20 steps from 2 to 1024, equal on a logarithmic scale."""
POSITIVE_SHARES: tuple[float, ...] = tuple(np.linspace(0.05, 0.95, num=19).tolist())
"""Shares of positive texts in the setting 'imbalance'."""

LEAVE_PAIRS_OUT = 12
"""Up to so many training texts, every pair is left out in turn."""
ONE_FOLD_FROM = 128
"""From so many training texts on, the last of them (a fifth, at most 100) are the only fold."""
N_FOLDS = 6
NO_VALIDATION = 3
"""So few training texts cannot be cross-validated."""


@dataclass(frozen=True)
class Step:
    """One size and balance of a training set; `name` says what it varies."""

    name: str
    n_train: int
    n_test: int
    positive_share: float = 0.5


@dataclass(frozen=True)
class Split:
    """Rows of a task in the order in which they were drawn."""

    train_N: Int[np.ndarray, " N"]
    test_M: Int[np.ndarray, " M"]


def steps(setting: Setting, labels_T: Int[np.ndarray, " T"]) -> list[Step]:
    """The training sets of one task in a setting."""
    n = len(labels_T)
    if setting == "normal":
        n_train = min(n - MIN_TEST, MAX_TRAIN)
        return [Step("normal", n_train, n - n_train - 1)]
    if setting == "scarcity":
        return [Step(str(size), size, n - size - 1) for size in TRAIN_SIZES if size <= n - MIN_TEST]
    n_positive = int(labels_T.sum())
    most = int(min((n - n_positive) / (1 - min(POSITIVE_SHARES)), n_positive / max(POSITIVE_SHARES)))
    n_train = min(most - MIN_TEST, MAX_TRAIN)
    n_test = max(MIN_TEST, most - n_train - 1)
    return [Step(f"{share:.2f}", n_train, n_test, share) for share in POSITIVE_SHARES]


def draw_split(labels_T: Int[np.ndarray, " T"], step: Step, seed: int, *, name: str = "task") -> Split:
    """Training and test rows: positives and negatives are drawn apart, for training first, then both sets shuffled.

    The share of positives is rounded up in either set.

    Raises:
        DatasetError: a class has too few texts.
    """
    rng = np.random.RandomState(seed)
    rows = {label: np.flatnonzero(labels_T == label) for label in (1, 0)}
    counts = {
        part: _of_each_class(n, step.positive_share) for part, n in (("train", step.n_train), ("test", step.n_test))
    }
    for label, of_class in rows.items():
        needed = counts["train"][label] + counts["test"][label]
        if min(counts["train"][label], counts["test"][label]) < 1 or needed > len(of_class):
            raise DatasetError(
                f"'{name}' has {len(of_class)} texts of class {label}; {step.n_train} texts to train on and "
                f"{step.n_test} to test on, {step.positive_share:.0%} of them positive, take {needed}, at least one "
                "of each class in either set. Next: raise max_texts, or leave the task out."
            )
    drawn: dict[str, list[np.ndarray]] = {}
    for part in ("train", "test"):
        drawn[part] = [rng.choice(rows[label], size=counts[part][label], replace=False) for label in (1, 0)]
        rows = {label: np.setdiff1d(rows[label], taken) for label, taken in zip((1, 0), drawn[part], strict=True)}
    train_N, test_M = (rng.permutation(np.concatenate(drawn[part])) for part in ("train", "test"))
    return Split(train_N.astype(np.int32), test_M.astype(np.int32))


def validation_folds(labels_N: Int[np.ndarray, " N"], seed: int) -> list[Int[np.ndarray, "_"]]:
    """Places among the N training texts of the texts that each fold is validated on.

    A fold without both classes is left out, unless it is the only one. Up to 3 texts there is no fold.
    """
    n = len(labels_N)
    if n <= NO_VALIDATION:
        return []
    if n >= ONE_FOLD_FROM:
        return [np.arange(n - min(int(0.2 * n), 100), n)]
    return [fold for fold in _folds(labels_N, seed) if len(np.unique(labels_N[fold])) == 2]


def _folds(labels_N: np.ndarray, seed: int) -> Iterator[np.ndarray]:
    n = len(labels_N)
    if n <= LEAVE_PAIRS_OUT:
        yield from (np.array(pair) for pair in combinations(range(n), 2))
    else:
        folds = StratifiedKFold(n_splits=N_FOLDS, shuffle=True, random_state=seed)
        yield from (validation for _, validation in folds.split(np.zeros(n), labels_N))


def _of_each_class(n: int, positive_share: float) -> dict[int, int]:
    n_positive = math.ceil(positive_share * n)
    return {1: n_positive, 0: n - n_positive}
