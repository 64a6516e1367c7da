"""The published one-vs-rest probes over letters, all letters and seeds in one training loop.

The recipe: `nn.Linear` initialisation, Adam with weight decay in the gradient, a learning rate that falls
exponentially from epoch to epoch, and binary cross-entropy weighted by negatives / positives, averaged over words and
over the 26 letters of the alphabet (also where fewer are trained: the average scales the gradient against the decay).

S seeds, N training words, B batch, F features, C letters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sae_bench.errors import UsageError
from sae_bench.evals.absorption.word_codes import Batch
from sae_bench.evals.absorption.words import LETTERS
from sae_bench.seeding import named_generator


@runtime_checkable
class TrainingRows(Protocol):
    """What probes train on: one row of features per word."""

    shape: tuple[int, int]
    device: torch.device

    def take(self, rows_B: Tensor, /) -> Batch:
        """The given rows."""
        ...


@dataclass(frozen=True)
class ProbeSettings:
    """The recipe; defaults are those of the published probe on the model's activations.

    Attributes:
        lr, end_lr: learning rate of the first epoch, and the one it approaches.
        l1: times the sum of |w| of a letter, averaged over the letters of the alphabet.
    """

    batch_size: int = 64
    epochs: int = 50
    lr: float = 1e-2
    end_lr: float = 1e-5
    weight_decay: float = 1e-4
    l1: float = 0.0


@dataclass(frozen=True)
class LetterProbes:
    """Weights and biases of one probe per seed and letter; a word has the letter where `w.x + b > 0`."""

    weights_SFC: Float[Tensor, "S F C"]
    bias_SC: Float[Tensor, "S C"]


@torch.no_grad()
def train_letter_probes(
    features: TrainingRows,
    labels_W: Int[Tensor, " W"],
    letters: Sequence[int],
    train_rows: Sequence[Int[Tensor, " N"]],
    names: Sequence[tuple[object, ...]],
    *,
    settings: ProbeSettings | None = None,
) -> LetterProbes:
    """Train the probes of all letters on the words of each seed.

    Args:
        labels_W: letter of every word.
        letters: the letters (places in the alphabet) that get a probe.
        train_rows: the training words of each seed, equally many for all.
        names: what the generator of each seed's initialisation and batches is named by.
    Raises:
        UsageError: a letter without a word to train on, or activations that are not finite.
    """
    settings = settings or ProbeSettings()
    trainer = _Trainer(features, labels_W, letters, train_rows, names, settings)
    gamma = math.exp(math.log(settings.end_lr / settings.lr) / settings.epochs)
    for epoch in range(settings.epochs):
        trainer.run_epoch(settings.lr * gamma**epoch)
    if not bool(trainer.params_SJC.isfinite().all()):
        raise UsageError("the letter probes diverged; check that activations and codes are finite.")
    return LetterProbes(trainer.params_SJC[:, :-1], trainer.params_SJC[:, -1])


def initial_probes(n_features: int, n_letters: int, generator: torch.Generator) -> Float[Tensor, "J C"]:
    """Weights and, in the last row, biases as `nn.Linear(F, C)` draws them: U(-1/sqrt(F), 1/sqrt(F))."""
    bound = 1.0 / math.sqrt(n_features)
    return (torch.rand(n_features + 1, n_letters, generator=generator) * 2.0 - 1.0) * bound


class _Trainer:
    """Parameters of all seeds with the biases in the last of the J = F + 1 rows: Adam treats all alike."""

    def __init__(
        self,
        features: TrainingRows,
        labels_W: Tensor,
        letters: Sequence[int],
        train_rows: Sequence[Tensor],
        names: Sequence[tuple[object, ...]],
        settings: ProbeSettings,
    ) -> None:
        self.features = features
        self.settings = settings
        device = features.device
        self.rows_SN = torch.stack(list(train_rows)).to(device)
        self.has_SNC = labels_W.to(device)[self.rows_SN][:, :, None] == torch.tensor(letters, device=device)
        positives_S1C = self.has_SNC.sum(dim=1, keepdim=True).float()
        if not bool((positives_S1C > 0).all()):
            raise UsageError("a letter has no word to train on; raise max_words or min_words_per_letter.")
        self.positive_weight_S1C = (self.rows_SN.shape[1] - positives_S1C) / positives_S1C
        self.generators = [named_generator(*name) for name in names]
        n_features = features.shape[1]
        initial = [initial_probes(n_features, len(letters), generator) for generator in self.generators]
        self.params_SJC = torch.stack(initial).to(device)
        self.optimizer = torch.optim.Adam([self.params_SJC], weight_decay=settings.weight_decay, foreach=False)

    def run_epoch(self, lr: float) -> None:
        self.optimizer.param_groups[0]["lr"] = lr
        n_words = self.rows_SN.shape[1]
        order_SN = torch.stack([torch.randperm(n_words, generator=g) for g in self.generators]).to(self.rows_SN.device)
        for order_SB in order_SN.split(self.settings.batch_size, dim=1):
            self.params_SJC.grad = self._gradient(order_SB)
            self.optimizer.step()

    def _gradient(self, order_SB: Tensor) -> Float[Tensor, "S J C"]:
        rows_SB = self.rows_SN.gather(1, order_SB)
        has_SBC = self.has_SNC.gather(1, order_SB[:, :, None].expand(-1, -1, self.has_SNC.shape[2]))
        batches = [self.features.take(rows_B) for rows_B in rows_SB]
        logits_SBC = torch.stack(
            [batch.times(params_JC[:-1]) for batch, params_JC in zip(batches, self.params_SJC, strict=True)]
        )
        logits_SBC += self.params_SJC[:, -1:]
        # d/dz of -(p y log s(z) + (1 - y) log s(-z)) is s(z) (1 + (p - 1) y) - p y
        slope_SBC = torch.where(
            has_SBC, self.positive_weight_S1C * (torch.sigmoid(logits_SBC) - 1.0), torch.sigmoid(logits_SBC)
        ) / (rows_SB.shape[1] * len(LETTERS))
        gradient_SJC = torch.empty_like(self.params_SJC)
        for batch, slope_BC, gradient_JC in zip(batches, slope_SBC, gradient_SJC, strict=True):
            gradient_JC[:-1] = batch.transposed_times(slope_BC)
        gradient_SJC[:, -1] = slope_SBC.sum(dim=1)
        if self.settings.l1:
            gradient_SJC[:, :-1] += self.settings.l1 / len(LETTERS) * self.params_SJC[:, :-1].sign()
        return gradient_SJC
