"""Linear probes trained with AdamW, many problems (classes x seeds x pairs) per step.

Every problem follows the published recipe: PyTorch's default linear initialisation, AdamW, binary cross-entropy,
shuffled batches each epoch, and early stopping on accuracy with the best epoch's probe kept. A problem draws from a
generator of its own and meets the others only in shared matrix products, so its result does not depend on them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sae_bench.errors import UsageError
from sae_bench.probes.features import FeatureMatrix
from sae_bench.seeding import named_generator

ProbeSelection = Literal["test", "validation"]
"""What chooses the epoch that is kept. `test`: the accuracy on the test set itself, the published definition, which
flatters the probe. `validation`: the accuracy on a tenth of the training set, which is then not trained on."""

GATHER_ELEMENTS = 1 << 26
"""Feature values gathered at once: a quarter of a gigabyte."""

ELEMENTS_AT_ONCE_ON_CPU = 1 << 18
"""Feature values that one product reads on a CPU, in whole problems: what fits the cache. Measured: 40 problems of
250 x 1536 values were 7 times as fast one after the other as all at once, 72 of 16 x 576 three times as slow."""


@dataclass(frozen=True)
class AdamWSettings:
    """The recipe; the defaults are those of the published all-features probe."""

    batch_size: int = 250
    epochs: int = 100
    lr: float = 1e-2
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    l1_penalty: float = 0.0
    """Times the sum of |w|, added to the mean loss of a batch."""
    patience: int = 10
    """Epochs without a new best accuracy after which a problem stops."""
    selection: ProbeSelection = "test"
    validation_share: float = 0.1


@dataclass(frozen=True)
class ProbeProblem:
    """One binary task: rows of a shared feature matrix with labels 0 and 1.

    `name` is what its generator is named by; equal names draw the same initialisation and the same batches.
    """

    name: tuple[object, ...]
    train_rows: Int[Tensor, " N"]
    train_labels: Int[Tensor, " N"]
    test_rows: Int[Tensor, " M"]
    test_labels: Int[Tensor, " M"]


@dataclass(frozen=True)
class AdamWProbes:
    """Trained probes of P problems, in the order they were given: float32 on the CPU, the kept epoch of each."""

    weights_PF: Tensor
    bias_P: Tensor
    test_accuracy_P: Tensor
    selection_accuracy_P: Tensor
    """Accuracy that chose the epoch: equal to the test accuracy under `selection="test"`."""
    best_epoch_P: Tensor
    """The kept epoch, counted from 0."""
    epochs_run_P: Tensor


def train_adamw_probes(
    features: FeatureMatrix,
    problems: Sequence[ProbeProblem],
    *,
    settings: AdamWSettings | None = None,
    device: torch.device | str | None = None,
) -> AdamWProbes:
    """Train one probe per problem on rows of `features`, in float32.

    Args:
        features: (T, F); rows are gathered batch by batch, so memory stays bounded whatever the number of problems.
        problems: tasks; those with equally many training rows share their steps.
        settings: the recipe.
        device: where to train; by default where `features.rows` puts them.
    Raises:
        UsageError: no problems, an empty or one-sided split, or labels other than 0 and 1.
    """
    settings = settings or AdamWSettings()
    if not problems:
        raise UsageError("there is no probe to train: the list of problems is empty.")
    splits = [_split(problem, settings) for problem in problems]
    groups: dict[int, list[int]] = {}
    for number, split in enumerate(splits):
        groups.setdefault(len(split.train_rows), []).append(number)
    n_features = features.shape[1]
    results = AdamWProbes(
        weights_PF=torch.empty(len(problems), n_features),
        bias_P=torch.empty(len(problems)),
        test_accuracy_P=torch.empty(len(problems), dtype=torch.float64),
        selection_accuracy_P=torch.empty(len(problems), dtype=torch.float64),
        best_epoch_P=torch.empty(len(problems), dtype=torch.long),
        epochs_run_P=torch.empty(len(problems), dtype=torch.long),
    )
    for probe_numbers in groups.values():
        _Trainer(features, [splits[p] for p in probe_numbers], settings, device).run(results, probe_numbers)
    return results


@dataclass(frozen=True)
class _Split:
    """A problem with its generator and the rows that choose the epoch."""

    generator: torch.Generator
    train_rows: Tensor
    train_labels: Tensor
    select_rows: Tensor
    select_labels: Tensor
    test_rows: Tensor
    test_labels: Tensor


def _split(problem: ProbeProblem, settings: AdamWSettings) -> _Split:
    for what, rows, labels in (
        ("training", problem.train_rows, problem.train_labels),
        ("test", problem.test_rows, problem.test_labels),
    ):
        if len(rows) == 0 or len(rows) != len(labels) or not bool(((labels == 0) | (labels == 1)).all()):
            raise UsageError(
                f"probe {problem.name}: the {what} set has {len(rows)} rows and {len(labels)} labels; it needs at "
                "least one row, as many labels, and only 0 and 1 among them."
            )
    generator = named_generator(*problem.name)
    train_rows, train_labels = problem.train_rows.cpu(), problem.train_labels.cpu().float()
    test_rows, test_labels = problem.test_rows.cpu(), problem.test_labels.cpu().float()
    if settings.selection == "test":
        return _Split(generator, train_rows, train_labels, test_rows, test_labels, test_rows, test_labels)
    n_held_out = round(settings.validation_share * len(train_rows))
    if not 0 < n_held_out < len(train_rows):
        raise UsageError(
            f"probe {problem.name}: {settings.validation_share:.0%} of {len(train_rows)} training rows leave nothing "
            'to select or to train on; use more rows or selection="test".'
        )
    order = torch.randperm(len(train_rows), generator=generator)
    held_out, fitted = order[:n_held_out], order[n_held_out:]
    return _Split(
        generator,
        train_rows[fitted],
        train_labels[fitted],
        train_rows[held_out],
        train_labels[held_out],
        test_rows,
        test_labels,
    )


def initial_probe(n_features: int, generator: torch.Generator) -> tuple[Float[Tensor, " F"], Float[Tensor, ""]]:
    """Weights and bias from U(-1/sqrt(F), 1/sqrt(F)): the distribution of PyTorch's `nn.Linear(F, 1)`."""
    bound = 1.0 / math.sqrt(n_features)
    drawn = (torch.rand(n_features + 1, generator=generator) * 2.0 - 1.0) * bound
    return drawn[:-1], drawn[-1]


class _Trainer:
    """State of the problems still training: row p of every tensor belongs to `self.splits[p]`.

    Parameters are (P, F + 1) with the bias last, for AdamW treats both alike.
    """

    def __init__(
        self,
        features: FeatureMatrix,
        splits: list[_Split],
        settings: AdamWSettings,
        device: torch.device | str | None,
    ) -> None:
        self.features = features
        self.settings = settings
        self.splits = splits
        self.device = features.rows(splits[0].train_rows[:1]).device if device is None else torch.device(device)
        probes = [initial_probe(features.shape[1], split.generator) for split in splits]
        self.params_PJ = torch.stack([torch.cat([w, b[None]]) for w, b in probes]).to(self.device)
        self.momentum_PJ = torch.zeros_like(self.params_PJ)
        self.square_PJ = torch.zeros_like(self.params_PJ)
        self.n_steps = 0
        self.labels_PN = torch.stack([split.train_labels for split in splits]).to(self.device)
        n_problems = len(splits)
        self.best_PJ = self.params_PJ.clone()
        self.best_accuracy_P = torch.full((n_problems,), -1.0, dtype=torch.float64)
        self.best_epoch_P = torch.zeros(n_problems, dtype=torch.long)

    @torch.no_grad()
    def run(self, results: AdamWProbes, probe_numbers: list[int]) -> None:
        """Train until every problem has stopped; write each into `results` at its number when it does."""
        number_P = torch.tensor(probe_numbers)
        last = self.settings.epochs - 1
        for epoch in range(self.settings.epochs):
            self._train_epoch()
            self._keep_better(epoch)
            stop_P = (epoch - self.best_epoch_P >= self.settings.patience) | (epoch == last)
            if not bool(stop_P.any()):
                continue
            self._write(results, number_P, stop_P.nonzero()[:, 0], epoch + 1)
            left = (~stop_P).nonzero()[:, 0]
            if len(left) == 0:
                return
            number_P = number_P[left]
            self._select(left)

    def _select(self, left: Tensor) -> None:
        self.splits = [self.splits[p] for p in left.tolist()]
        self.best_accuracy_P, self.best_epoch_P = self.best_accuracy_P[left], self.best_epoch_P[left]
        on_device = left.to(self.device)
        for name in ("params_PJ", "momentum_PJ", "square_PJ", "best_PJ", "labels_PN"):
            setattr(self, name, getattr(self, name)[on_device])

    def _train_epoch(self) -> None:
        orders = [torch.randperm(len(split.train_rows), generator=split.generator) for split in self.splits]
        order_PN = torch.stack(orders)
        rows_PN = torch.stack([split.train_rows[order] for split, order in zip(self.splits, orders, strict=True)])
        labels_PN = self.labels_PN.gather(1, order_PN.to(self.device))
        for rows_PB, labels_PB in zip(
            rows_PN.split(self.settings.batch_size, dim=1),
            labels_PN.split(self.settings.batch_size, dim=1),
            strict=True,
        ):
            self._update(self._gradient(rows_PB, labels_PB))

    def _gradient(self, rows_PB: Tensor, labels_PB: Tensor) -> Float[Tensor, "P J"]:
        """Gradient of the mean cross-entropy of each problem's batch, plus the L1 penalty's on the weights."""
        gradient_PJ = torch.empty_like(self.params_PJ)
        batch, width = rows_PB.shape[1], self.features.shape[1]
        at_once = max(1, GATHER_ELEMENTS // (batch * width))
        if self.device.type == "cpu":
            at_once = max(1, min(at_once, ELEMENTS_AT_ONCE_ON_CPU // (batch * width)))
        for start in range(0, len(rows_PB), at_once):
            part = slice(start, start + at_once)
            x_PBF = self._rows(rows_PB[part].flatten()).view(-1, batch, width)
            gradient_PJ[part] = _batch_gradient(x_PBF, labels_PB[part], self.params_PJ[part])
        if self.settings.l1_penalty:
            gradient_PJ[:, :-1] += self.settings.l1_penalty * self.params_PJ[:, :-1].sign()
        return gradient_PJ

    def _update(self, gradient_PJ: Tensor) -> None:
        """One step of AdamW (Loshchilov and Hutter 2019): decay decoupled, on the bias too."""
        settings = self.settings
        beta1, beta2 = settings.betas
        self.n_steps += 1
        self.params_PJ.mul_(1.0 - settings.lr * settings.weight_decay)
        self.momentum_PJ.lerp_(gradient_PJ, 1.0 - beta1)
        self.square_PJ.mul_(beta2).addcmul_(gradient_PJ, gradient_PJ, value=1.0 - beta2)
        scale = math.sqrt(1.0 - beta2**self.n_steps)
        denominator_PJ = self.square_PJ.sqrt().div_(scale).add_(settings.eps)
        self.params_PJ.addcdiv_(self.momentum_PJ, denominator_PJ, value=-settings.lr / (1.0 - beta1**self.n_steps))

    def _keep_better(self, epoch: int) -> None:
        accuracy_P = self._accuracy(
            self.params_PJ,
            [split.select_rows for split in self.splits],
            [split.select_labels for split in self.splits],
        )
        better_P = accuracy_P > self.best_accuracy_P
        self.best_accuracy_P = torch.where(better_P, accuracy_P, self.best_accuracy_P)
        self.best_epoch_P = torch.where(better_P, torch.full_like(self.best_epoch_P, epoch), self.best_epoch_P)
        self.best_PJ = torch.where(better_P.to(self.device)[:, None], self.params_PJ, self.best_PJ)

    def _write(self, results: AdamWProbes, number_P: Tensor, stopped: Tensor, epochs_run: int) -> None:
        stopped_P = number_P[stopped]
        best_PJ = self.best_PJ[stopped.to(self.device)]
        splits = [self.splits[p] for p in stopped.tolist()]
        results.weights_PF[stopped_P] = best_PJ[:, :-1].cpu()
        results.bias_P[stopped_P] = best_PJ[:, -1].cpu()
        results.selection_accuracy_P[stopped_P] = self.best_accuracy_P[stopped]
        results.best_epoch_P[stopped_P] = self.best_epoch_P[stopped]
        results.epochs_run_P[stopped_P] = epochs_run
        if self.settings.selection == "test":
            results.test_accuracy_P[stopped_P] = self.best_accuracy_P[stopped]
        else:
            results.test_accuracy_P[stopped_P] = self._accuracy(
                best_PJ, [split.test_rows for split in splits], [split.test_labels for split in splits]
            )

    def _accuracy(self, params_PJ: Tensor, rows: list[Tensor], labels: list[Tensor]) -> Float[Tensor, " P"]:
        """Accuracy of each probe on its own rows; a row that several problems test is read once for all of them."""
        union_U, where = torch.unique(torch.cat(rows), return_inverse=True)
        weights_FP, bias_P = params_PJ[:, :-1].T.contiguous(), params_PJ[:, -1]
        at_once = max(1, GATHER_ELEMENTS // self.features.shape[1])
        parts = [self._rows(index) @ weights_FP + bias_P for index in union_U.split(at_once)]
        positive_UP = (torch.cat(parts) > 0).cpu()
        accuracies = [
            (positive_UP[own, p] == (label > 0)).double().mean()
            for p, (own, label) in enumerate(
                zip(where.split([len(r) for r in rows]), labels, strict=True),
            )
        ]
        return torch.stack(accuracies)

    def _rows(self, index: Tensor) -> Float[Tensor, "N F"]:
        return self.features.rows(index).to(device=self.device, dtype=torch.float32)


def _batch_gradient(x_PBF: Tensor, labels_PB: Tensor, params_PJ: Tensor) -> Float[Tensor, "P J"]:
    """Gradient of the mean binary cross-entropy of each problem's batch, the bias's last."""
    weights_PF, bias_P1 = params_PJ[:, :-1], params_PJ[:, -1:]
    if len(x_PBF) == 1:
        slope_B = (torch.sigmoid(torch.mv(x_PBF[0], weights_PF[0]) + bias_P1[0]) - labels_PB[0]) / x_PBF.shape[1]
        return torch.cat([torch.mv(x_PBF[0].T, slope_B), slope_B.sum()[None]])[None]
    logits_PB = torch.bmm(x_PBF, weights_PF[:, :, None])[:, :, 0] + bias_P1
    slope_PB = (torch.sigmoid(logits_PB) - labels_PB) / x_PBF.shape[1]
    return torch.cat([torch.bmm(slope_PB[:, None, :], x_PBF)[:, 0], slope_PB.sum(dim=1, keepdim=True)], dim=1)
