"""What stands beside the probes on latents: guessing, and a direction of the residual stream that takes no training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from sae_bench.evals.sparse_probing_sae_probes.cross_validation import ProbeScores
from sae_bench.evals.sparse_probing_sae_probes.eval_output import METRICS, llm_key, metric_path
from sae_bench.evals.sparse_probing_sae_probes.probing import Draw, ScoreTable
from sae_bench.probes import fit_mean_direction, roc_auc, weighted_f1
from sae_bench.results.references import Reference, References
from sae_bench.results.samples import Samples

NO_BASELINE = "left out: include_llm_baseline is off"


def majority_scores(draws: Sequence[Draw]) -> ScoreTable:
    """Scores of always naming the class that more training texts have, of two of one size the negative one."""
    table: ScoreTable = {}
    for draw in draws:
        says_positive = 2 * int(draw.train_labels.sum()) > len(draw.train_labels)
        predicted_M = torch.full((len(draw.test_labels),), float(says_positive) - 0.5)
        table[draw] = _scores(predicted_M, draw)
    return table


def direction_scores(draws: Sequence[Draw], activations_TD: Float[Tensor, "T D"]) -> ScoreTable:
    """Scores of the difference of class means, with the threshold that splits the training texts best.

    Args:
        activations_TD: activations at the last tokens.
    """
    table: ScoreTable = {}
    for draw in draws:
        train_ND, test_MD = (
            activations_TD[torch.from_numpy(rows).long()] for rows in (draw.train_rows, draw.test_rows)
        )
        probe = fit_mean_direction(train_ND, torch.from_numpy(draw.train_labels))
        table[draw] = _scores(probe.decision(test_MD).cpu(), draw)
    return table


def probe_references(
    samples: Mapping[str, Samples], floors: Mapping[str, Samples], directions: Mapping[str, Samples]
) -> dict[str, References]:
    """Path of a metric -> its floor, ceiling and the supervised direction.

    Args:
        samples: of the metrics, with those of the probe on the residual stream among them, if there is one.
        floors, directions: metric ("test_auc") -> samples of guessing and of the direction, if it was measured.
    """
    references: dict[str, References] = {}
    for path, metric in ((path, metric) for path in samples for metric in METRICS if path.endswith(metric)):
        stream = metric_path(llm_key(metric))
        ceiling = Reference("probe on the whole residual stream", samples.get(stream), NO_BASELINE)
        direction = Reference("difference of class means in the residual stream", directions.get(metric), NO_BASELINE)
        references[path] = References(
            floor=Reference("the larger class of the training texts", floors[metric]),
            ceiling=Reference("every text right", 1.0) if path == stream else ceiling,
            others=(direction,),
        )
    return references


def _scores(decision_M: Float[Tensor, " M"], draw: Draw) -> ProbeScores:
    labels_1M, decision_1M = torch.from_numpy(draw.test_labels).long()[None], decision_M[None]
    predicted_1M = decision_1M > 0
    return ProbeScores(
        accuracy=float((predicted_1M == (labels_1M == 1)).double().mean()),
        auc=float(roc_auc(decision_1M, labels_1M)),
        f1=float(weighted_f1(predicted_1M, labels_1M)),
        val_auc=math.nan,
        c=math.nan,
        converged=True,
    )
