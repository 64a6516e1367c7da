"""The test texts behind the scores: what each of them adds to every headline number, seed by seed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sae_bench.evals.families.reported import of_uneven_units, strata
from sae_bench.evals.scr_and_tpp.eval_output import scr_key, tpp_key
from sae_bench.evals.scr_and_tpp.scr import PairScores, balanced
from sae_bench.evals.scr_and_tpp.texts import QUADRANTS
from sae_bench.evals.scr_and_tpp.tpp import DatasetScores
from sae_bench.results.samples import Samples, units_key

UNIT = "test text"


def scr_samples(
    results: Sequence[PairScores], sizes: Sequence[int], text_ids_T: Int[Tensor, " T"]
) -> dict[str, Samples]:
    """Path of every `scr_metric_threshold_<N>` -> its samples: the balanced test texts of all pairs.

    Strata are the quadrants. A ratio is linearised: the score of a pair is the mean of its texts' values; a pair
    without a direction is NaN.
    """
    rows = [balanced(result.pair.test) for result in results]
    weights_U = torch.cat([torch.full((len(rows_U),), 1.0 / len(rows_U)) for rows_U in rows])
    groups = strata(len(rows_U) // len(QUADRANTS) for rows_U in rows for _ in QUADRANTS)
    ids_U = text_ids_T[torch.cat(rows)]
    key = units_key("scr", [*(result.pair.name for result in results), *map(str, ids_U.tolist())])
    return {
        f"scr_metrics.{scr_key('metric', n)}": Samples(
            _scr_values(results, n), weights_U, groups, UNIT, key, ids_U=ids_U
        )
        for n in sizes
    }


def _scr_values(results: Sequence[PairScores], n: int) -> Float[Tensor, "S U"]:
    rows = []
    for seed in results[0].by_seed:
        parts = []
        for result in results:
            chosen = result.metric_direction(seed)
            direction = result.by_seed[seed][chosen or 1]
            values_U = direction.units_NU[list(direction.changed).index(n)]
            parts.append(values_U if chosen is not None else torch.full_like(values_U, torch.nan))
        rows.append(torch.cat(parts))
    return torch.stack(rows)


def tpp_samples(results: Sequence[DatasetScores], text_ids_T: Int[Tensor, " T"]) -> dict[str, Samples]:
    """Path of every `tpp_threshold_<N>_total_metric` -> its samples: the test texts of all data sets.

    Strata are data set and class. A text is measured by the probe of its own class and, as a negative, by some of the
    others, as `of_uneven_units` says.
    """
    n_sets = len(results)
    of_class = [rows_T for result in results for rows_T in _rows_by_class(result)]
    n_classes = [len(result.dataset.classes) for result in results for _ in result.dataset.classes]
    weights = [
        torch.full((len(r),), 1.0 / (n_sets * c * len(r)), dtype=torch.float64)
        for r, c in zip(of_class, n_classes, strict=True)
    ]
    groups = strata(map(len, of_class))
    ids_U = text_ids_T[torch.cat(of_class)]
    names = [part for result in results for part in (result.dataset.name, *result.dataset.classes)]
    key = units_key("tpp", [*names, *map(str, ids_U.tolist())])
    weights_U = torch.cat(weights)
    return {
        f"tpp_metrics.{tpp_key('total_metric', n)}": Samples(
            _tpp_values(results, n, weights_U).float(), weights_U.float(), groups, UNIT, key, ids_U=ids_U
        )
        for n in results[0].sizes
    }


def _tpp_values(results: Sequence[DatasetScores], n: int, weights_U: Float[Tensor, " U"]) -> Float[Tensor, "S U"]:
    num_rows, den_rows = [], []
    for seed in results[0].units:
        added, shares = [], []
        for result in results:
            values_CV, places_CV = result.units[seed][result.sizes.index(n)].double(), result.texts[seed]
            share = 1.0 / (len(results) * values_CV.numel())
            n_texts = sum(map(len, _rows_by_class(result)))
            empty_U = torch.zeros(n_texts, dtype=torch.float64)
            added.append(empty_U.index_add(0, places_CV.flatten(), share * values_CV.flatten()))
            shares.append(empty_U.index_add(0, places_CV.flatten(), torch.full_like(values_CV.flatten(), share)))
        num_rows.append(torch.cat(added))
        den_rows.append(torch.cat(shares))
    return of_uneven_units(torch.stack(num_rows), torch.stack(den_rows), weights_U)


def _rows_by_class(result: DatasetScores) -> list[Tensor]:
    return [result.dataset.test_rows[name] for name in result.dataset.classes]
