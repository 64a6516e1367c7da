"""An eval that breaks the contract is found out, by the check that is there for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from contract_worlds import WORLDS

from sae_bench.custom_saes.loading import Member
from sae_bench.errors import ContractError
from sae_bench.evals.base import EvalContext, Scores
from sae_bench.testing import check_eval

FIELD = "decoder_fraction_variance_explained"
Fault = Callable[[Scores, int], None]


def _drifts(scores: Scores, n: int) -> None:
    setattr(scores.metrics.meta_structure, FIELD, n / 100)


def _null_without_reason(scores: Scores, n: int) -> None:
    scores.metrics.mdl.explained_variance = None


def _out_of_bounds(scores: Scores, n: int) -> None:
    setattr(scores.metrics.meta_structure, FIELD, 1.5)


def _old_key(scores: Scores, n: int) -> None:
    scores.not_computed["meta_structure.mse"] = "why"


class _Faulty:
    """The job of an eval whose scores are spoilt before they are handed over."""

    def __init__(self, job: Any, fault: Fault) -> None:
        self.job, self.fault, self.n = job, fault, 0
        self.datasets = job.datasets

    def requests(self, members: Sequence[Member]) -> Any:
        return self.job.requests(members)

    def score(self, member: Member, served: Sequence[Any]) -> Scores:
        scores = self.job.score(member, served)
        self.n += 1
        self.fault(scores, self.n)
        return scores


@pytest.mark.parametrize(
    ("world_name", "fault", "name", "message"),
    [
        pytest.param(
            *("meta_structure", _drifts, "company", "alone differs from .* eval_result_metrics.meta_structure"),
            marks=pytest.mark.slow,
        ),
        ("mdl", _null_without_reason, "result[topk]", "mdl.explained_variance is null without a reason"),
        ("meta_structure", _out_of_bounds, "result[topk]", f"{FIELD} is 1.5; its range is None to 1.0"),
        ("meta_structure", _old_key, "result[topk]", "not_computed has 'meta_structure.mse'"),
    ],
)
def test_fault(world_name: str, fault: Fault, name: str, message: str, tmp_path):
    world = WORLDS[world_name](tmp_path)

    def start(context: EvalContext, config: Any) -> _Faulty:
        return _Faulty(world.spec.start(context, config), fault)

    checks = {c.name: c for c in check_eval(replace(world.spec, start=start), settings=world.settings)}
    with pytest.raises(ContractError, match=message):
        checks[name]()
