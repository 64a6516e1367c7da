"""Training of masks: Adam on the cross-entropy of the first token that the model should write after the change.

The masks of all attributes, seeds and SAEs take their steps together, in one pass over the model; none of them sees
another's pairs. Only layers after the hook run, and only from the entity on.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from sae_bench.activations.device_limits import tokens_at_once
from sae_bench.custom_saes.interface import HALF_PRECISION
from sae_bench.evals.ravel.states import PromptStates
from sae_bench.evals.ravel.swaps import Swap
from sae_bench.language_models import LanguageModel

FIRST_TEMPERATURE, LAST_TEMPERATURE = 1.0, 1e-4
TOKENS_ON_CPU = 512
"""Tokens that go through the layers together with what their gradients need."""


@dataclass(frozen=True)
class TrainPairs:
    """The training pairs of one mask, as rows of the prompts' states.

    Attributes:
        target_B: the token to be written: the source's first for cause pairs, the base's for isolation pairs.
    """

    base_B: Int[Tensor, " B"]
    source_B: Int[Tensor, " B"]
    target_B: Int[Tensor, " B"]


@dataclass(frozen=True)
class Schedule:
    """How masks are trained.

    Attributes:
        pairs_per_step: pairs of one step; the last step of an epoch may have fewer.
    """

    pairs_per_step: int
    n_epochs: int
    learning_rate: float

    def steps_per_epoch(self, n_pairs: int) -> int:
        """Steps that use every pair once."""
        return -(-n_pairs // self.pairs_per_step)

    def temperatures(self, n_pairs: int) -> list[float]:
        """The temperature of every step, falling geometrically."""
        n_steps = self.n_epochs * self.steps_per_epoch(n_pairs)
        first, last = torch.tensor([FIRST_TEMPERATURE, LAST_TEMPERATURE]).log10().tolist()
        return torch.logspace(first, last, n_steps).tolist()


class _Learner:
    """One mask on its way through its pairs, which come in the same order in every epoch."""

    def __init__(self, swap: Swap, pairs: TrainPairs, schedule: Schedule) -> None:
        self.swap = swap
        self.pairs = pairs
        self.schedule = schedule
        self.temperatures = schedule.temperatures(len(pairs.base_B))
        self.optimizer = torch.optim.Adam(swap.parameters, lr=schedule.learning_rate)

    def batch(self, step: int) -> slice:
        step_in_epoch = step % self.schedule.steps_per_epoch(len(self.pairs.base_B))
        return slice(step_in_epoch * self.schedule.pairs_per_step, (step_in_epoch + 1) * self.schedule.pairs_per_step)

    def update(self) -> None:
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.swap.project()


def train(swaps: Sequence[Swap], pairs: Sequence[TrainPairs], states: PromptStates, schedule: Schedule) -> list[float]:
    """Train every swap on its own pairs; returns the mean loss of each over its last epoch."""
    learners = [_Learner(swap, own, schedule) for swap, own in zip(swaps, pairs, strict=True)]
    losses: list[list[float]] = [[] for _ in learners]
    for step in range(max((len(learner.temperatures) for learner in learners), default=0)):
        active = [number for number, learner in enumerate(learners) if step < len(learner.temperatures)]
        for number, loss in zip(active, _step([learners[p] for p in active], step, states), strict=True):
            losses[number].append(loss)
    last = [schedule.steps_per_epoch(len(own.base_B)) for own in pairs]
    return [sum(of[-n:]) / n for of, n in zip(losses, last, strict=True)]


def _step(learners: Sequence[_Learner], step: int, states: PromptStates) -> list[float]:
    """One step of every learner; returns their losses."""
    batches = [(learner, learner.batch(step)) for learner in learners]
    bases = [learner.pairs.base_B[part] for learner, part in batches]
    with torch.enable_grad():
        mixed = [
            learner.swap.mixed(base_B, learner.pairs.source_B[part], learner.temperatures[step])
            for (learner, part), base_B in zip(batches, bases, strict=True)
        ]
        value_BW = torch.cat(mixed)
    target_B = torch.cat([learner.pairs.target_B[part] for learner, part in batches])
    weight_B = torch.cat([torch.full((len(base_B),), 1 / len(base_B)) for base_B in bases])
    gradient_BW, loss_B = _gradient(torch.cat(bases).tolist(), value_BW, target_B, weight_B, states)
    value_BW.backward(gradient_BW)
    for learner in learners:
        learner.update()
    sizes = [len(base_B) for base_B in bases]
    return [float(part.mean()) for part in loss_B.split(sizes)]


def _gradient(
    rows: Sequence[int], value_BW: Tensor, target_B: Tensor, weight_B: Tensor, states: PromptStates
) -> tuple[Tensor, Tensor]:
    """Gradient of the weighted losses with respect to the changed activations, and the losses of the pairs.

    The pairs go through the model in parts that fit, those of like length together; every part adds its own gradient.
    """
    device = value_BW.device
    gradient_BW = torch.zeros_like(value_BW)
    loss_B = torch.zeros(len(rows))
    for part in _parts(rows, states):
        index = torch.tensor(part, device=device)
        value_PW = value_BW.detach()[index].requires_grad_()
        with torch.enable_grad(), _attention(states.lm):
            logits_PV = states.changed_logits([rows[pair] for pair in part], value_PW).float()
            losses_P = torch.nn.functional.cross_entropy(logits_PV, target_B[part].to(device), reduction="none")
            (losses_P * weight_B[part].to(device)).sum().backward()
        assert value_PW.grad is not None
        gradient_BW[index] = value_PW.grad
        loss_B[part] = losses_P.detach().cpu()
    return gradient_BW, loss_B


def _attention(lm: LanguageModel) -> AbstractContextManager[None]:
    """In half precision a CPU's fused attention takes as long to go backwards as all else; the plain one does not."""
    is_slow = lm.device.type == "cpu" and lm.dtype in HALF_PRECISION
    return sdpa_kernel(SDPBackend.MATH) if is_slow else nullcontext()


def _parts(rows: Sequence[int], states: PromptStates) -> list[list[int]]:
    """Split pairs into parts of similar length that fit in memory together."""
    budget = tokens_at_once(states.lm.device, TOKENS_ON_CPU)
    lengths = [len(states.tails.ids(row)) for row in rows]
    parts: list[list[int]] = [[]]
    for pair in sorted(range(len(rows)), key=lambda p: lengths[p]):
        if parts[-1] and lengths[pair] * (len(parts[-1]) + 1) > budget:
            parts.append([])
        parts[-1].append(pair)
    return parts
