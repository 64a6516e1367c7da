"""Packed rows that several requests read alike go through the model once."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pass_samples import HOOK, ROUNDING, CountedModel, member
from torch import Tensor

from sae_bench.activations import shared_rows
from sae_bench.activations.one_pass import PassOptions, count_tokens, run_pass
from sae_bench.activations.requests import TokenRows
from sae_bench.custom_saes.interface import SparseCodes
from sae_bench.custom_saes.loading import Member
from sae_bench.testing import tiny_model

OTHER_HOOK = "blocks.0.hook_resid_pre"


@pytest.fixture
def lm():
    return tiny_model("llama")


class Kept:
    """A consumer that keeps all that it is given."""

    def __init__(self) -> None:
        self.x: list[Tensor] = []
        self.rows: list[int] = []
        self.codes: dict[str, list[Tensor]] = {}

    def on_activations(self, batch: Any) -> None:
        self.x.append(batch.x_BLD[HOOK])
        self.rows += batch.rows

    def on_codes(self, _batch: Any, member: Member, codes: Any) -> None:
        self.codes.setdefault(member.key, []).append(codes.to_dense() if isinstance(codes, SparseCodes) else codes)

    def on_batch_end(self, batch: Any) -> None:
        pass

    def drop(self, member: Member) -> None:
        pass


def rows_of(n: int) -> Tensor:
    return torch.randint(10, 300, (n, 8), generator=torch.Generator().manual_seed(0))


def run_both(lm, first: TokenRows, second: TokenRows) -> tuple[int, list[int]]:
    seen: list[int] = []
    report = run_pass(lm, [first, second], [member("topk"), member("relu")], PassOptions(on_progress=seen.append))
    assert report.n_tokens == sum(seen)
    return report.n_tokens, seen


@pytest.mark.parametrize("batch_rows", [2, 4])
def test_rows_of_two_requests_are_read_once(lm, monkeypatch, batch_rows: int):
    rows_NL, wanted = rows_of(7), torch.tensor([2, 0, 1, 5, 3])
    first, second = Kept(), Kept()
    requests = TokenRows(rows_NL, 4, first), TokenRows(rows_NL[wanted], batch_rows, second)
    counted = CountedModel(lm, monkeypatch)
    n_tokens, _ = run_both(lm, *requests)
    assert counted.n_rows == 7
    assert n_tokens == count_tokens(requests) == 7 * 8
    alone = Kept()
    run_pass(lm, [TokenRows(rows_NL[wanted], batch_rows, alone)], [member("topk"), member("relu")])
    assert second.rows == alone.rows == list(range(5))
    torch.testing.assert_close(torch.cat(second.x), torch.cat(alone.x), atol=ROUNDING, rtol=0)
    assert torch.equal(torch.cat(second.x), torch.cat(first.x)[wanted])
    for key, codes in alone.codes.items():
        torch.testing.assert_close(torch.cat(second.codes[key]), torch.cat(codes), atol=ROUNDING, rtol=0)


def test_with_batches_of_the_same_rows_nothing_differs_by_a_bit(lm):
    rows_NL = rows_of(8)
    shared, alone = Kept(), Kept()
    run_both(lm, TokenRows(rows_NL, 4, Kept()), TokenRows(rows_NL[:4], 4, shared))
    run_pass(lm, [TokenRows(rows_NL[:4], 4, alone)], [member("topk"), member("relu")])
    assert torch.equal(torch.cat(shared.x), torch.cat(alone.x))
    assert all(torch.equal(torch.cat(shared.codes[key]), torch.cat(codes)) for key, codes in alone.codes.items())


@pytest.mark.parametrize("difference", ["max_rows", "hook", "a new row", "no room"])
def test_what_is_read_otherwise_is_read_again(lm, monkeypatch, difference: str):
    rows_NL = rows_of(4)
    first = TokenRows(rows_NL, 4, Kept())
    second = {
        "max_rows": TokenRows(rows_NL, 4, Kept(), max_rows=2),
        "hook": TokenRows(rows_NL, 4, Kept(), extra_hooks=(OTHER_HOOK,)),
        "a new row": TokenRows(torch.cat([rows_NL[:3], rows_of(5)[4:]]), 4, Kept()),
        "no room": TokenRows(rows_NL, 4, Kept()),
    }[difference]
    if difference == "no room":
        monkeypatch.setattr(shared_rows, "MAX_BYTES", 0)
    counted = CountedModel(lm, monkeypatch)
    run_both(lm, first, second)
    assert counted.n_rows == 8
    assert len(torch.cat(second.consumer.x)) == 4
