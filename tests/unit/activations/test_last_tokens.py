"""Texts that are wanted at their last token only: what runs, what is encoded, what comes out."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from pass_samples import HOOK, ROUNDING, CountedModel, member, plain_code_mean, plain_mean, random_texts
from scipy import sparse

from sae_bench.activations import text_pools
from sae_bench.activations.one_pass import PassOptions, count_tokens, run_pass
from sae_bench.activations.pooled import CodeMatrix
from sae_bench.activations.requests import PooledTexts, PooledValues
from sae_bench.activations.store import ActivationStore
from sae_bench.custom_saes.loading import Member
from sae_bench.testing import tiny_model


@pytest.fixture
def lm():
    return tiny_model("llama")


class CountingSAE:
    """Counts the tokens that it encodes; raises from the n-th call on, if asked to."""

    def __init__(self, inner: Any, *, fails_after: int | None = None) -> None:
        self.inner, self.n_tokens, self.left = inner, 0, fails_after
        self.cfg, self.W_dec = inner.cfg, inner.W_dec

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise ValueError("planted")
        self.n_tokens += len(x)
        return self.inner.encode(x)

    def decode(self, f: torch.Tensor) -> torch.Tensor:
        return self.inner.decode(f)


def counting(**kwargs: Any) -> Member:
    return Member("tiny", "counting", CountingSAE(member("relu").sae, **kwargs), HOOK)


def rows_of(values: PooledValues, key: str) -> torch.Tensor:
    return values.codes[key].rows(torch.arange(values.codes[key].shape[0]))


def last_activation(lm, ids):
    return lm.capture(torch.tensor([ids]), [HOOK])[HOOK][0, -1]


def check(lm, texts, values, members):
    expected = torch.stack([last_activation(lm, ids) for ids in texts])
    torch.testing.assert_close(values.activations[HOOK], expected, atol=ROUNDING, rtol=0)
    for m in members:
        codes = m.sae.encode(values.activations[HOOK])
        torch.testing.assert_close(rows_of(values, m.key), codes, atol=ROUNDING, rtol=0)


def test_the_vectors_are_those_of_the_last_token_of_each_text_alone(lm):
    texts = random_texts(lm, 23)
    members = [member("topk"), member("relu", seed=1)]
    request = PooledTexts(texts, tokens="last")
    report = run_pass(lm, [request], members, PassOptions(max_texts=5, max_tokens=60))
    assert not report.failed
    assert report.n_tokens == count_tokens([request]) == sum(map(len, set(map(tuple, texts))))
    check(lm, texts, report.served[0], members)


def test_a_last_token_that_is_special_counts(lm):
    eos = lm.tokenizer.eos_token_id
    texts = [[*random_texts(lm, 1)[0], eos], [lm.bos_token_id], [eos]]
    request, m = PooledTexts(texts, tokens="last"), member("topk")
    check(lm, texts, run_pass(lm, [request], [m]).served[0], [m])


def test_only_last_tokens_are_encoded(lm):
    texts = random_texts(lm, 9)
    m = counting()
    run_pass(lm, [PooledTexts(texts, tokens="last")], [m])
    assert m.sae.n_tokens == 9


def test_texts_that_are_wanted_whole_as_well_run_once(lm, monkeypatch):
    texts = random_texts(lm, 12)
    whole = PooledTexts(texts[:8])
    last = PooledTexts([texts[10], *texts[4:8], texts[4], [lm.bos_token_id]], tokens="last")
    m = member("relu")
    counted = CountedModel(lm, monkeypatch)
    report = run_pass(lm, [last, whole], [m], PassOptions(max_texts=4))
    assert counted.n_rows == report.n_texts == 10
    assert report.n_tokens == count_tokens([last, whole])
    monkeypatch.undo()
    of_last, of_whole = report.served
    check(lm, list(last.token_ids), of_last, [m])
    expected = torch.stack([plain_mean(lm, ids) for ids in texts[:8]])
    torch.testing.assert_close(of_whole.activations[HOOK].double(), expected, atol=ROUNDING, rtol=0)
    expected = torch.stack([plain_code_mean(lm, ids, m.sae) for ids in texts[:8]])
    torch.testing.assert_close(rows_of(of_whole, m.key).double(), expected, atol=ROUNDING, rtol=0)


def test_an_sae_is_encoded_only_on_the_tokens_that_it_is_wanted_on(lm):
    texts = random_texts(lm, 6)
    ends, means = counting(), member("relu", name="means")
    last = PooledTexts(texts, frozenset({ends.key}), tokens="last")
    whole = PooledTexts(texts, frozenset({means.key}))
    of_whole, of_last = run_pass(lm, [whole, last], [ends, means]).served
    assert ends.sae.n_tokens == 6
    assert (set(of_last.codes), set(of_whole.codes)) == ({ends.key}, {means.key})
    check(lm, texts, of_last, [ends])


def test_an_sae_that_fails_is_dropped_from_both_kinds(lm):
    texts = random_texts(lm, 8)
    bad, good = counting(fails_after=3), member("topk")
    whole, last = PooledTexts(texts), PooledTexts(texts, tokens="last")
    report = run_pass(lm, [whole, last], [bad, good], PassOptions(max_texts=2))
    assert set(report.failed) == {bad.key}
    of_whole, of_last = report.served
    assert set(of_whole.codes) == set(of_last.codes) == {good.key}
    check(lm, texts, of_last, [good])


def test_a_request_without_saes_runs_nothing(lm, monkeypatch):
    request = PooledTexts(random_texts(lm, 4), frozenset(), tokens="last")
    counted = CountedModel(lm, monkeypatch)
    (values,) = run_pass(lm, [request], [member("topk")]).served
    assert counted.n_rows == 0
    assert values.codes == values.activations == {}


def test_kept_activations_are_those_of_the_last_tokens_alone(lm, tmp_path, monkeypatch):
    texts = random_texts(lm, 7)
    store, m = ActivationStore(tmp_path), member("topk")
    (first,) = run_pass(lm, [PooledTexts(texts, tokens="last")], [m], PassOptions(store=store)).served
    assert sum(path.stat().st_size for path in tmp_path.rglob("*.safetensors")) < 7 * 32 * 4 + 200
    counted = CountedModel(lm, monkeypatch)
    (again,) = run_pass(lm, [PooledTexts(texts, tokens="last")], [m], PassOptions(store=store)).served
    assert counted.n_rows == 0
    assert torch.equal(rows_of(again, m.key), rows_of(first, m.key))
    (whole,) = run_pass(lm, [PooledTexts(texts)], [m], PassOptions(store=store)).served
    assert counted.n_rows == 7
    expected = torch.stack([plain_mean(lm, ids) for ids in texts])
    torch.testing.assert_close(whole.activations[HOOK].double(), expected, atol=ROUNDING, rtol=0)


def test_they_are_kept_in_the_type_of_the_model():
    lm = tiny_model("llama")
    lm.model.to(torch.bfloat16)
    request = PooledTexts(random_texts(lm, 3), tokens="last")
    (values,) = run_pass(lm, [request], [member("topk")]).served
    assert values.activations[HOOK].dtype == torch.bfloat16


def test_codes_that_are_too_large_stay_sparse(lm, monkeypatch):
    texts = random_texts(lm, 9)
    m = member("topk")
    request = PooledTexts(texts, tokens="last")
    (dense,) = run_pass(lm, [request], [m]).served
    monkeypatch.setattr(text_pools, "PooledCodes", partial(text_pools.PooledCodes, dense_limit_bytes=0))
    (thin,) = run_pass(lm, [request], [m]).served
    assert thin.codes[m.key].is_sparse
    assert not dense.codes[m.key].is_sparse
    assert torch.equal(rows_of(thin, m.key), rows_of(dense, m.key))


@pytest.mark.parametrize("is_sparse", [False, True])
def test_column_sums(is_sparse):
    generator = torch.Generator().manual_seed(0)
    x_TF = torch.randn(20, 7, generator=generator) * (torch.rand(20, 7, generator=generator) < 0.4)
    order = torch.randperm(20, generator=generator)
    codes = CodeMatrix(sparse.csr_matrix(x_TF.numpy()) if is_sparse else x_TF, order)
    rows = torch.tensor([3, 9, 4])
    value_F, magnitude_F, active_F = codes.column_sums(rows)
    chosen = x_TF[order[rows]].double()
    torch.testing.assert_close(value_F, chosen.sum(0))
    torch.testing.assert_close(magnitude_F, chosen.abs().sum(0))
    assert active_F.tolist() == (chosen != 0).sum(0).tolist()
