"""The test texts behind the accuracies: what each of them adds to every headline number, seed by seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from sae_bench.datasets import LabelledTexts
from sae_bench.evals.families.reported import of_uneven_units, strata, unit_ids
from sae_bench.evals.sparse_probing import probing
from sae_bench.evals.sparse_probing.eval_output import all_features_key, metric_path
from sae_bench.evals.sparse_probing.probing import Accuracies, PreparedDataset
from sae_bench.results.samples import Samples, units_key

UNIT = "test text"


@dataclass(frozen=True)
class ProbedTexts:
    """The test texts of all data sets, by data set and class: the units of the samples."""

    key: str
    ids_U: Int[Tensor, " U"]

    @classmethod
    def of(cls, labelled: Sequence[LabelledTexts]) -> ProbedTexts:
        """The units of these data sets."""
        classes = [(texts, name) for texts in labelled for name in texts.classes]
        parts = (part for texts, name in classes for part in (texts.name, name, *texts.test[name]))
        return cls(
            units_key("sparse_probing", parts), unit_ids(text for texts, name in classes for text in texts.test[name])
        )


def text_samples(
    prepared: Sequence[PreparedDataset], results: Sequence[Accuracies], units: ProbedTexts
) -> dict[str, Samples]:
    """Path of a metric -> its samples, for the probes on latents and the one on the whole residual stream."""
    return {
        metric_path(key): accuracy_samples(key, prepared, results, units)
        for key in next(iter(probing.seed_metrics(results).values()), {})
        if key.startswith("sae_") or key == all_features_key("llm")
    }


def accuracy_samples(
    key: str, prepared: Sequence[PreparedDataset], results: Sequence[Accuracies], units: ProbedTexts
) -> Samples:
    """What each test text adds to one accuracy.

    Args:
        key: name of the accuracy in the tables of `results`.
        prepared, results: what was drawn, and the accuracies, one per data set.
        units: the test texts of all data sets.
    """
    of_class = [(one, len(one.dataset.test_rows[name])) for one in prepared for name in one.dataset.classes]
    shares = [1.0 / (len(prepared) * len(one.dataset.classes) * n) for one, n in of_class for _ in range(n)]
    weights_U, groups = torch.tensor(shares, dtype=torch.float64), strata(n for _, n in of_class)
    metric_S = torch.tensor([of[key] for of in probing.seed_metrics(results).values()], dtype=torch.float64)
    values_SU = _values(prepared, results, key, metric_S, weights_U)
    return Samples(values_SU.float(), weights_U.float(), groups, UNIT, units.key, ids_U=units.ids_U)


def _values(
    prepared: Sequence[PreparedDataset], results: Sequence[Accuracies], key: str, metric_S: Tensor, weights_U: Tensor
) -> Tensor:
    share_SU = torch.zeros(len(metric_S), len(weights_U), dtype=torch.float64)
    right_SU = torch.zeros_like(share_SU)
    start = 0
    for one, result in zip(prepared, results, strict=True):
        n_classes = len(one.dataset.classes)
        order = torch.cat([one.dataset.test_rows[name].cpu() for name in one.dataset.classes])
        place_of_row = torch.zeros(int(order.max()) + 1, dtype=torch.long)
        place_of_row[order] = torch.arange(start, start + len(order))
        seeds = list(dict.fromkeys(draw.seed for draw in one.draws))
        for draw, correct_N in zip(one.draws, result.correct[key], strict=True):
            units_N, seed = place_of_row[draw.test_rows.cpu()], seeds.index(draw.seed)
            share = 1.0 / (len(prepared) * n_classes * len(units_N))
            share_SU[seed, units_N] += share
            right_SU[seed, units_N] += share * correct_N
        start += len(order)
    return of_uneven_units(right_SU, share_SU, weights_U, metric_S)  # a decision at zero may be rounded otherwise
