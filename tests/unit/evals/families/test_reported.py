"""What an eval says of an SAE, said in one way."""

from __future__ import annotations

import pytest
import torch

from sae_bench.evals.families.reported import columns, linearised, report, strata, unit_ids
from sae_bench.results.model import BaseMetricCategories, BaseMetrics
from sae_bench.results.samples import Samples


class _Numbers(BaseMetrics):
    share: float | None = None
    count: int | None = None
    spread: float | None = None


class _Categories(BaseMetricCategories):
    own: _Numbers


def _samples(values: list[list[float]], *, random: bool = True) -> Samples:
    return Samples.of_equal_units(torch.tensor(values), unit="text", key="k", random=random)


def test_values_and_seeds_come_from_samples_unless_they_are_given():
    scores = report(
        _Categories,
        (1, 2),
        samples={"own.share": _samples([[0.0, 1.0], [1.0, 1.0]])},
        seed_values={"own.spread": [None, 3.0]},
        values={"own.count": 7},
    )
    assert scores.metrics.model_dump() == {"own": {"share": 0.75, "count": 7, "spread": 3.0}}
    assert [(r.seed, r.metrics) for r in scores.seed_results] == [
        (1, {"own.share": 0.5, "own.spread": None}),
        (2, {"own.share": 1.0, "own.spread": 3.0}),
    ]


def test_without_seeds_there_are_values_and_no_results_per_seed():
    scores = report(_Categories, samples={"own.share": _samples([[0.0, 1.0]], random=False)})
    assert scores.metrics.own.share == 0.5
    assert scores.seed_results == []


def test_a_null_has_its_reason_under_its_path_from_the_root():
    scores = report(
        _Categories,
        (1,),
        seed_values={"own.share": [float("nan")], "own.spread": [1.0]},
        reasons={"own.share": "no texts", "own.spread": "never"},
        detail_reasons={"row.share": "no row"},
        warnings=["a", "b", "a"],
    )
    assert scores.metrics.own.share is None
    assert scores.not_computed == {
        "eval_result_metrics.own.share": "no texts",
        "eval_result_details.row.share": "no row",
    }
    assert scores.warnings == ["a", "b"]


def test_a_field_that_the_categories_lack_is_an_error():
    with pytest.raises(ValueError, match="other"):
        report(_Categories, values={"own.other": 1.0})


def test_linearised_values_have_the_ratio_as_their_mean():
    num_U, den_U = torch.tensor([1.0, 2.0, 6.0]), torch.tensor([2.0, 4.0, 6.0])
    metric = float(num_U.sum() / den_U.sum())
    values_U = linearised(metric, num_U, den_U)
    assert values_U.mean().item() == pytest.approx(metric)
    assert values_U.tolist() == pytest.approx([0.75 + (1 - 1.5) / 4, 0.75 + (2 - 3) / 4, 0.75 + (6 - 4.5) / 4])


def test_columns_strata_and_ids():
    assert columns([{"a": 1.0}, {"a": None}], "own") == {"own.a": [1.0, None]}
    assert columns([]) == {}
    assert strata([2, 0, 1]) == (0, 0, 2)
    ids_U = unit_ids(["x", "y", b"x"])
    assert ids_U[0] == ids_U[2] != ids_U[1]
