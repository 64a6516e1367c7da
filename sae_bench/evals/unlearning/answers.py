"""From right and wrong answers under every setting to the unlearning score, and to what it is without optimism."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sae_bench.seeding import named_generator


@dataclass(frozen=True)
class Answers:
    """Which of Q questions are answered right under each of G settings.

    Attributes:
        forget_Q: the questions to be forgotten.
        side_Q: the questions to be kept; a question may be neither.
    """

    correct_GQ: Bool[Tensor, "G Q"]
    forget_Q: Bool[Tensor, " Q"]
    side_Q: Bool[Tensor, " Q"]

    def forget_accuracy(self) -> Float[Tensor, " G"]:
        return accuracy(self.correct_GQ, self.forget_Q)

    def side_accuracy(self) -> Float[Tensor, " G"]:
        return accuracy(self.correct_GQ, self.side_Q)


def accuracy(correct_GQ: Bool[Tensor, "G Q"], chosen_Q: Bool[Tensor, " Q"]) -> Float[Tensor, " G"]:
    """Share of the chosen questions that are answered right, float64."""
    return correct_GQ[:, chosen_Q].double().mean(dim=1)


def best_setting(answers: Answers, threshold: float) -> int | None:
    """The setting with the lowest forget accuracy among those that keep `threshold` of the rest; None if none does.

    Of several, the one with the least side effects, then the first.
    """
    forget_G, side_G = answers.forget_accuracy().tolist(), answers.side_accuracy().tolist()
    allowed = [g for g, side in enumerate(side_G) if side >= threshold]
    return min(allowed, key=lambda g: (forget_G[g], -side_G[g])) if allowed else None


def unlearning_score(answers: Answers, threshold: float) -> float:
    """1 - lowest forget accuracy over the settings with a side accuracy of at least `threshold`; 0 if there is none."""
    best = best_setting(answers, threshold)
    return 0.0 if best is None else 1.0 - float(answers.forget_accuracy()[best])


def forgotten_at_best(answers: Answers, threshold: float) -> Float[Tensor, " U"]:
    """1 for each forget question that is answered wrong under the best setting; their mean is the score."""
    return _forgotten(answers, best_setting(answers, threshold))[answers.forget_Q]


def forgotten_held_out(answers: Answers, threshold: float, halves_Q: Bool[Tensor, " Q"]) -> Float[Tensor, " U"]:
    """1 for each forget question answered wrong under the setting that the other half of the questions chooses.

    Side effects are counted on all questions to be kept: what is chosen for its low accuracy is on the forget side.

    Args:
        halves_Q: which half a forget question belongs to.
    """
    forgotten_Q = torch.zeros(len(halves_Q))
    for half_Q in (halves_Q, ~halves_Q):
        chooser = Answers(answers.correct_GQ, answers.forget_Q & ~half_Q, answers.side_Q)
        forgotten_Q[half_Q] = _forgotten(answers, best_setting(chooser, threshold))[half_Q]
    return forgotten_Q[answers.forget_Q]


def draw_halves(forget_Q: Bool[Tensor, " Q"], *, dataset: str, seed: int) -> Bool[Tensor, " Q"]:
    """A random half of the forget questions."""
    question_U = forget_Q.nonzero()[:, 0]
    order = torch.randperm(len(question_U), generator=named_generator("unlearning", dataset, "halves", seed))
    halves_Q = torch.zeros(len(forget_Q), dtype=torch.bool)
    halves_Q[question_U[order[: len(question_U) // 2]]] = True
    return halves_Q


def _forgotten(answers: Answers, setting: int | None) -> Float[Tensor, " Q"]:
    """1 where an answer is wrong; all 0 where there is no setting, which is to leave the model alone."""
    if setting is None:
        return torch.zeros(answers.correct_GQ.shape[1])
    return 1.0 - answers.correct_GQ[setting].float()
