"""Which latents stand for a letter: ranked by an L1 probe, fitted k at a time, counted by jumps of F1.

S seeds, C letters, K latents of a letter by rank, W words, N training words, M test words, P = S * C problems.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sae_bench.evals.absorption.probe_training import LetterProbes, ProbeSettings, train_letter_probes
from sae_bench.evals.absorption.word_codes import WordCodes
from sae_bench.probes import fit_logistic

L2_DECAY = 1e-6
"""Weight decay of the probe that ranks the latents, as published."""


@dataclass(frozen=True)
class Split:
    """Training and test words of one seed."""

    seed: int
    train_N: Int[Tensor, " N"]
    test_M: Int[Tensor, " M"]


@dataclass(frozen=True)
class LetterLatents:
    """The latents of every letter.

    Attributes:
        latents_SCK: by weight in the L1 probe, the largest first.
        f1_SCK: test F1 of the logistic regression on the first 1 to K of them.
        n_split_SC: how many of them are the letter's own: its feature and its splits.
        n_unfinished: regressions that did not converge.
    """

    latents_SCK: Int[Tensor, "S C K"]
    f1_SCK: Float[Tensor, "S C K"]
    n_split_SC: Int[Tensor, "S C"]
    n_unfinished: int


def find_letter_latents(
    codes: WordCodes,
    labels_W: Int[Tensor, " W"],
    letters: Sequence[int],
    splits: Sequence[Split],
    *,
    max_k: int,
    settings: ProbeSettings,
    f1_jump: float,
) -> LetterLatents:
    """Rank, fit and count the latents of every letter and seed.

    Args:
        settings: of the L1 probe.
        max_k: K; where the SAE has fewer latents, all of them.
    """
    names = [("absorption", "sparse probe", split.seed) for split in splits]
    train_rows = [split.train_N for split in splits]
    probes = train_letter_probes(codes, labels_W, letters, train_rows, names, settings=settings)
    latents_SCK = top_latents(probes, min(max_k, codes.shape[1]))
    is_letter_WC = labels_W[:, None] == torch.tensor(letters)
    f1_SCK, n_unfinished = sparse_f1(codes, is_letter_WC.to(codes.device), splits, latents_SCK)
    return LetterLatents(latents_SCK, f1_SCK, count_splits(f1_SCK, f1_jump), n_unfinished)


def top_latents(probes: LetterProbes, k: int) -> Int[Tensor, "S C K"]:
    """The k latents with the largest (not absolute) weight of every letter; of equal ones the first."""
    order_SFC = torch.sort(probes.weights_SFC, dim=1, descending=True, stable=True).indices
    return order_SFC[:, :k].transpose(1, 2).contiguous()


def sparse_f1(
    codes: WordCodes, is_letter_WC: Bool[Tensor, "W C"], splits: Sequence[Split], latents_SCK: Int[Tensor, "S C K"]
) -> tuple[Float[Tensor, "S C K"], int]:
    """Test F1 for every k, and how many regressions did not converge."""
    n_seeds, n_letters, n_latents = latents_SCK.shape
    problems: list[_Problem] = []
    for split, latents_CK in zip(splits, latents_SCK, strict=True):
        x_WCK = codes.columns(latents_CK.flatten()).view(-1, n_letters, n_latents)
        train_N, test_M = split.train_N.to(codes.device), split.test_M.to(codes.device)
        problems += [
            _Problem(x_WCK[train_N, c], is_letter_WC[train_N, c], x_WCK[test_M, c], is_letter_WC[test_M, c])
            for c in range(n_letters)
        ]
    f1_PK = torch.empty(len(problems), n_latents, dtype=torch.float64)
    n_unfinished = 0
    for k in range(1, n_latents + 1):
        merged = [merge_inactive(p.train_NK[:, :k], p.train_labels_N) for p in problems]
        x_PNK, labels_PN, weight_PN = (
            torch.nn.utils.rnn.pad_sequence(list(parts), batch_first=True) for parts in zip(*merged, strict=True)
        )
        fit = fit_logistic(x_PNK, labels_PN, weight_PN > 0, sample_weight_PN=weight_PN)
        n_unfinished += int((~fit.converged_P).sum())
        test_PMK = torch.stack([p.test_MK[:, :k] for p in problems])
        truth_PM = torch.stack([p.test_labels_M for p in problems])
        predicted_PM = fit.decision(test_PMK) > 0
        f1_PK[:, k - 1] = f1_scores(predicted_PM, truth_PM.to(predicted_PM.device)).f1.cpu()
    return f1_PK.view(n_seeds, n_letters, n_latents), n_unfinished


@dataclass(frozen=True)
class _Problem:
    train_NK: Tensor
    train_labels_N: Tensor
    test_MK: Tensor
    test_labels_M: Tensor


def merge_inactive(
    x_NK: Float[Tensor, "N K"], labels_N: Bool[Tensor, " N"]
) -> tuple[Float[Tensor, "A K"], Int[Tensor, " A"], Float[Tensor, " A"]]:
    """The same regression with fewer samples: words on which no latent is active become one sample per class.

    Weights are those of balanced classes, n / (2 n_class), times the number of words that a sample stands for.

    Returns:
        samples, labels, and their weights: 0 for a sample that stands for no word.
    """
    n_positive = int(labels_N.sum())
    n_words = len(labels_N)
    class_weight = (n_words / (2 * (n_words - n_positive)), n_words / (2 * n_positive))
    active_N = (x_NK != 0).any(dim=1)
    kept_labels_A = labels_N[active_N].long()
    n_active_positive = int(kept_labels_A.sum())
    n_silent = (n_words - n_positive - (len(kept_labels_A) - n_active_positive), n_positive - n_active_positive)
    weights_2 = torch.tensor(class_weight, dtype=torch.float64, device=x_NK.device)
    silent_2 = torch.tensor(n_silent, dtype=torch.float64, device=x_NK.device)
    return (
        torch.cat([x_NK.new_zeros(2, x_NK.shape[1]), x_NK[active_N]]),
        torch.cat([torch.tensor([0, 1], device=x_NK.device), kept_labels_A]),
        torch.cat([weights_2 * silent_2, weights_2[kept_labels_A]]),
    )


@dataclass(frozen=True)
class Quality:
    """F1, precision and recall; 0 where they are not defined (scikit-learn's convention)."""

    f1: Tensor
    precision: Tensor
    recall: Tensor


def f1_scores(predicted_PM: Bool[Tensor, "*P M"], truth_PM: Bool[Tensor, "*P M"]) -> Quality:
    """Quality over the last dimension, in float64."""
    hits_P = (predicted_PM & truth_PM).sum(dim=-1).double()
    n_predicted_P, n_true_P = predicted_PM.sum(dim=-1).double(), truth_PM.sum(dim=-1).double()
    return Quality(
        f1=2 * hits_P / (n_predicted_P + n_true_P).clamp(min=1),
        precision=hits_P / n_predicted_P.clamp(min=1),
        recall=hits_P / n_true_P.clamp(min=1),
    )


def count_splits(f1_SCK: Float[Tensor, "S C K"], f1_jump: float) -> Int[Tensor, "S C"]:
    """How many latents stand for each letter: k grows as long as each step raises F1 by more than `f1_jump`."""
    rises_SCJ = f1_SCK[:, :, 1:] > f1_SCK[:, :, :-1] + f1_jump
    return 1 + rises_SCJ.long().cumprod(dim=2).sum(dim=2)
