"""From the codes and activations at the last tokens of texts to probe scores: the mathematics of the eval.

For every (task, seed, step) the split is drawn once and serves the residual stream, every SAE and every k, so that
differences between them are paired.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from sae_bench.activations.pooled import CodeMatrix, ColumnSums
from sae_bench.errors import UsageError
from sae_bench.evals.sparse_probing_sae_probes.cross_validation import ProbeScores, Problem, fit_cross_validated
from sae_bench.evals.sparse_probing_sae_probes.eval_config import Penalty, Setting
from sae_bench.evals.sparse_probing_sae_probes.splits import Step, draw_split, steps, validation_folds
from sae_bench.evals.sparse_probing_sae_probes.tasks import BinaryTask

RESIDUAL_STREAM_PENALTY: Penalty = "l2"
HELD_BYTES = 256 << 20
"""Inputs of probes are gathered up to this size before they are fitted together."""
_SMALL = 1e-6


@dataclass(frozen=True, eq=False)
class Draw:
    """The texts of one probe: rows among the run's texts, labels 1 and 0, and the folds within the training texts."""

    task: str
    seed: int
    step: str
    train_rows: Int[np.ndarray, " N"]
    train_labels: Int[np.ndarray, " N"]
    test_rows: Int[np.ndarray, " M"]
    test_labels: Int[np.ndarray, " M"]
    folds: tuple[Int[np.ndarray, "_"], ...]

    @property
    def seen_share(self) -> float:
        """Share of the test texts that are among the training texts as well: the package's files hold duplicates."""
        return float(np.isin(self.test_rows, self.train_rows).mean())

    def problem(self, train_NK: Float[Tensor, "N K"], test_MK: Float[Tensor, "M K"]) -> Problem:
        """The probe on these features of the drawn texts."""
        return Problem(
            train_NK,
            torch.from_numpy(self.train_labels).long(),
            test_MK,
            torch.from_numpy(self.test_labels).long(),
            tuple(torch.from_numpy(fold) for fold in self.folds),
        )


ScoreTable = dict[Draw, ProbeScores]


def draw_all(
    task: BinaryTask, row_of_text_T: Int[np.ndarray, " T"], setting: Setting, seeds: Sequence[int]
) -> list[Draw]:
    """The draws of one task, seed by seed and step by step.

    Args:
        row_of_text_T: where each text of the task stands among the texts of the run.
    Raises:
        DatasetError: the task has too few texts of a class.
    """
    return [_draw(task, row_of_text_T, step, seed) for seed in seeds for step in steps(setting, task.labels_T)]


def _draw(task: BinaryTask, row_of_text_T: np.ndarray, step: Step, seed: int) -> Draw:
    split = draw_split(task.labels_T, step, seed, name=task.name)
    labels_N, labels_M = (task.labels_T[rows].astype(np.int8) for rows in (split.train_N, split.test_M))
    rows_N, rows_M = (row_of_text_T[rows].astype(np.int32) for rows in (split.train_N, split.test_M))
    folds = tuple(validation_folds(labels_N, seed))
    return Draw(task.name, seed, step.name, rows_N, labels_N, rows_M, labels_M, folds)


# ---- which latents


def top_latents(codes: CodeMatrix, draw: Draw, k: int) -> Int[Tensor, " K"]:
    """The k latents whose means differ most between the classes of the training texts, the largest first.

    Each latent is divided by its mean absolute value over the texts where it is active before means are compared.
    Sums are float64; of latents that tie, the one with the lower index comes first.

    Raises:
        UsageError: codes that are not finite.
    """
    rows_N = torch.from_numpy(draw.train_rows).long()
    of_class = [codes.column_sums(rows_N[torch.from_numpy(draw.train_labels == label)]) for label in (1, 0)]
    counts = [int((draw.train_labels == label).sum()) for label in (1, 0)]
    return torch.sort(separation(of_class, counts), descending=True, stable=True).indices[:k]


def separation(of_class: Sequence[ColumnSums], counts: Sequence[int]) -> Float[Tensor, " F"]:
    """|mean of one class - mean of the other| of every latent, in units of its mean size where it is active."""
    magnitude_F = of_class[0].magnitude_F + of_class[1].magnitude_F
    if not bool(magnitude_F.isfinite().all()):
        raise UsageError("codes are NaN or infinite; check the activations and the weights of the SAE.")
    size_F = magnitude_F / ((of_class[0].active_F + of_class[1].active_F) + _SMALL)
    difference_F = of_class[0].value_F / counts[0] - of_class[1].value_F / counts[1]
    return (difference_F / (size_F + _SMALL)).abs()


# ---- probes


def score_codes(
    draws: Sequence[Draw], codes: CodeMatrix, ks: Sequence[int], *, penalty: Penalty, binarize: bool = False
) -> dict[int, ScoreTable]:
    """k -> draw -> scores of the probe on the top k latents; a k above the number of latents is left out.

    Raises:
        UsageError: codes that are not finite.
    """
    possible = [k for k in ks if k <= codes.shape[1]]
    tables: dict[int, ScoreTable] = {k: {} for k in possible}
    if not possible:
        return tables
    for part in _parts(draws, max(possible)):
        inputs = [_top_values(draw, codes, max(possible), binarize=binarize) for draw in part]
        for k in possible:
            problems = [
                draw.problem(train_NK[:, :k], test_MK[:, :k])
                for draw, (train_NK, test_MK) in zip(part, inputs, strict=True)
            ]
            tables[k].update(zip(part, fit_cross_validated(problems, penalty), strict=True))
    return tables


def score_stream(
    draws: Sequence[Draw], activations_TD: Float[Tensor, "T D"], *, device: torch.device | None = None
) -> ScoreTable:
    """Draw -> scores of the probe on the whole residual stream.

    Args:
        activations_TD: activations at the last tokens, in any dtype.
        device: where the probes are fitted; by default where the activations are.
    Raises:
        UsageError: activations that are not finite.
    """
    table: ScoreTable = {}
    for part in _parts(draws, activations_TD.shape[1]):
        problems = []
        for draw in part:
            train_ND, test_MD = (
                activations_TD[torch.from_numpy(rows).long()].to(device).float()
                for rows in (draw.train_rows, draw.test_rows)
            )
            problems.append(draw.problem(*rotated(train_ND, test_MD)))
        by_width: dict[int, list[int]] = {}
        for i, problem in enumerate(problems):
            by_width.setdefault(problem.train_NK.shape[1], []).append(i)
        for chosen in by_width.values():
            scores = fit_cross_validated([problems[i] for i in chosen], RESIDUAL_STREAM_PENALTY)
            table.update(zip((part[i] for i in chosen), scores, strict=True))
    return table


def rotated(
    train_ND: Float[Tensor, "N D"], test_MD: Float[Tensor, "M D"]
) -> tuple[Float[Tensor, "N K"], Float[Tensor, "M K"]]:
    """The same problem in as few features as there are training texts, for a penalty that no rotation changes.

    The weights of an L2-regularised probe lie in the span of its training inputs; in an orthonormal basis of that span
    (columns of Q, from inputs^T = Q R) inputs are x Q and the penalty is what it was.
    """
    if train_ND.shape[1] <= train_ND.shape[0]:
        return train_ND, test_MD
    if train_ND.device.type == "mps":
        train_ND, test_MD = train_ND.cpu(), test_MD.cpu()
    basis_DK, _ = torch.linalg.qr(train_ND.double().T)
    return train_ND.double() @ basis_DK, test_MD.double() @ basis_DK


def _top_values(draw: Draw, codes: CodeMatrix, k: int, *, binarize: bool) -> tuple[Tensor, Tensor]:
    latents_K = top_latents(codes, draw, k)
    train_NK, test_MK = (
        codes.columns(torch.from_numpy(rows).long(), latents_K) for rows in (draw.train_rows, draw.test_rows)
    )
    return ((train_NK != 0).float(), (test_MK != 0).float()) if binarize else (train_NK, test_MK)


def _parts(draws: Sequence[Draw], width: int) -> Iterator[list[Draw]]:
    """The draws in order, in parts whose inputs fit in memory together."""
    part: list[Draw] = []
    held = 0
    for draw in draws:
        size = 4 * width * (len(draw.train_rows) + len(draw.test_rows))
        if part and held + size > HELD_BYTES:
            yield part
            part, held = [], 0
        part.append(draw)
        held += size
    if part:
        yield part


# ---- averages


def step_means(table: Mapping[Draw, ProbeScores], metric: str) -> dict[str, dict[int, float]]:
    """Task -> seed -> mean over the steps of one attribute of `ProbeScores`."""
    values: dict[str, dict[int, list[float]]] = {}
    for draw, scores in table.items():
        values.setdefault(draw.task, {}).setdefault(draw.seed, []).append(getattr(scores, metric))
    return {task: {seed: float(np.mean(v)) for seed, v in by_seed.items()} for task, by_seed in values.items()}
