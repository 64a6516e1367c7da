"""The one pass: what runs how often, what it gives, and what happens when an SAE fails."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from pass_samples import HOOK, ROUNDING, CountedModel, member, plain_code_mean, plain_mean, random_texts
from torch import Tensor

from sae_bench.activations.device_limits import capture_with_halving, encode_with_halving
from sae_bench.activations.one_pass import PassOptions, count_tokens, run_pass
from sae_bench.activations.requests import PooledTexts, PooledValues, TokenRows, only
from sae_bench.custom_saes.interface import SparseCodes
from sae_bench.custom_saes.loading import Member
from sae_bench.errors import ModelError, SAEMismatchError
from sae_bench.language_models import LanguageModel
from sae_bench.testing import tiny_model

OTHER_HOOKS = ("blocks.0.hook_resid_pre", "blocks.1.hook_mlp_out")


@pytest.fixture
def lm():
    return tiny_model("llama")


class Recorder:
    """A consumer that writes down what it is given, and raises for one SAE in one batch."""

    def __init__(self, failing: str = "", at: int = 0) -> None:
        self.failing, self.at = failing, at
        self.batches: list[Any] = []
        self.codes: dict[str, list[Tensor]] = {}
        self.dropped: list[str] = []
        self.ended = 0

    def on_activations(self, batch: Any) -> None:
        self.batches.append(batch)

    def on_codes(self, batch: Any, member: Member, codes: Any) -> None:
        if member.key == self.failing and len(self.batches) > self.at:
            raise ValueError("no use for these codes")
        self.codes.setdefault(member.key, []).append(codes.to_dense() if isinstance(codes, SparseCodes) else codes)

    def on_batch_end(self, batch: Any) -> None:
        self.ended += 1

    def drop(self, member: Member) -> None:
        self.dropped.append(member.key)


class FailingSAE:
    """An SAE that raises in `encode` from the n-th call on."""

    def __init__(self, inner: Any, error: Exception, *, calls: int = 0) -> None:
        self.inner, self.error, self.calls = inner, error, calls
        self.cfg, self.W_dec = inner.cfg, inner.W_dec

    def encode(self, x: Tensor) -> Tensor:
        self.calls -= 1
        if self.calls < 0:
            raise self.error
        return self.inner.encode(x)

    def decode(self, f: Tensor) -> Tensor:
        return self.inner.decode(f)


def failing(error: Exception, *, calls: int = 0) -> Member:
    return Member("tiny", "failing", FailingSAE(member("relu").sae, error, calls=calls), HOOK)


def rows_of(values: PooledValues, key: str) -> Tensor:
    return values.codes[key].rows(torch.arange(values.codes[key].shape[0]))


def test_pooled_texts_equal_each_text_alone(lm):
    texts = random_texts(lm, 23)
    members = [member("topk"), member("relu", seed=1)]
    report = run_pass(lm, [PooledTexts(texts)], members, PassOptions(max_texts=5, max_tokens=60))
    assert not report.failed
    (values,) = report.served
    expected = torch.stack([plain_mean(lm, ids) for ids in texts])
    torch.testing.assert_close(values.activations[HOOK].double(), expected, atol=ROUNDING, rtol=0)
    for m in members:
        expected = torch.stack([plain_code_mean(lm, ids, m.sae) for ids in texts])
        torch.testing.assert_close(rows_of(values, m.key).double(), expected, atol=ROUNDING, rtol=0)


def test_texts_that_requests_share_run_once(lm, monkeypatch):
    texts = random_texts(lm, 12)
    first, second = PooledTexts(texts[:8]), PooledTexts([texts[10], *texts[4:8], texts[4], texts[9]])
    counted = CountedModel(lm, monkeypatch)
    report = run_pass(lm, [first, second], [member("topk")], PassOptions(max_texts=4))
    assert counted.n_rows == report.n_texts == 10
    assert report.n_tokens == sum(len(texts[i]) for i in (*range(8), 9, 10)) == count_tokens([first, second])
    of_first, of_second = (rows_of(values, "tiny_topk_0") for values in report.served)
    assert torch.equal(of_first[4:], of_second[1:5])
    (alone,) = run_pass(lm, [PooledTexts(second.token_ids)], [member("topk")]).served
    torch.testing.assert_close(rows_of(alone, "tiny_topk_0"), of_second, atol=ROUNDING, rtol=0)


def test_every_request_gets_what_was_made_of_it_and_stays_as_it_is(lm):
    texts, rows, consumer = random_texts(lm, 5), torch.randint(10, 300, (2, 8)), Recorder()
    requests = [
        PooledTexts(texts[:2], tokens="last"),
        TokenRows(rows, 2, consumer),
        PooledTexts(texts[2:]),
        PooledTexts(texts[4:], tokens="last"),
    ]
    before = [replace(request) for request in requests]
    served = run_pass(lm, requests, [member("topk")]).served
    assert requests == before
    assert served[1] is consumer
    shapes = [one.codes["tiny_topk_0"].shape for one in served if isinstance(one, PooledValues)]
    assert shapes == [(2, 64), (3, 64), (1, 64)]
    for place, request in ((0, requests[0]), (2, requests[2]), (3, requests[3])):
        (alone,) = run_pass(lm, [request], [member("topk")]).served
        torch.testing.assert_close(
            rows_of(alone, "tiny_topk_0"), rows_of(served[place], "tiny_topk_0"), atol=ROUNDING, rtol=0
        )


def test_only_takes_the_one_thing_of_the_class_expected():
    values, consumer = PooledValues({}, {}), Recorder()
    assert only([values], PooledValues) is values
    for served in ([], [consumer], [values, values]):
        with pytest.raises(TypeError, match="one PooledValues"):
            only(served, PooledValues)


def test_several_hooks_at_once(lm, monkeypatch):
    texts = random_texts(lm, 6)
    members = [member("topk"), *(member("relu", hook=hook, name=hook) for hook in OTHER_HOOKS)]
    counted = CountedModel(lm, monkeypatch)
    (values,) = run_pass(lm, [PooledTexts(texts)], members, PassOptions(max_texts=3)).served
    assert counted.n_rows == 6
    assert all(set(hooks) == {HOOK, *OTHER_HOOKS} for hooks in counted.hooks)
    monkeypatch.undo()
    for m in members:
        means = torch.stack([plain_mean(lm, ids, m.hook_name) for ids in texts])
        codes = torch.stack([plain_code_mean(lm, ids, m.sae, m.hook_name) for ids in texts])
        torch.testing.assert_close(values.activations[m.hook_name].double(), means, atol=ROUNDING, rtol=0)
        torch.testing.assert_close(rows_of(values, m.key).double(), codes, atol=ROUNDING, rtol=0)


def test_hooks_of_different_widths(lm):
    wide = "blocks.0.mlp.hook_post"
    request = PooledTexts(random_texts(lm, 3))
    members = [member("topk"), member("relu", hook=wide, name="wide", d_in=64)]
    (values,) = run_pass(lm, [request], members).served
    assert {hook: x.shape[1] for hook, x in values.activations.items()} == {HOOK: 32, wide: 64}


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("calls", [0, 1])
def test_an_sae_that_raises_is_left_out_and_the_others_go_on(lm, place: int, calls: int):
    error = RuntimeError("broken weights")
    texts, rows = random_texts(lm, 6), torch.randint(10, 300, (4, 8), generator=torch.Generator().manual_seed(1))
    good = [member("topk"), member("relu", seed=1)]
    alone, together = (PooledTexts(texts), Recorder()), (PooledTexts(texts), Recorder())
    options = PassOptions(max_texts=3)
    of_alone = run_pass(lm, [alone[0], TokenRows(rows, 2, alone[1])], good, options).served[0]
    mixed = [*good[:place], failing(error, calls=calls), *good[place:]]
    report = run_pass(lm, [together[0], TokenRows(rows, 2, together[1])], mixed, options)
    assert report.failed == {"tiny_failing": error}
    of_together = report.served[0]
    assert set(of_together.codes) == {m.key for m in good}
    for m in good:
        assert torch.equal(rows_of(of_alone, m.key), rows_of(of_together, m.key))
        assert torch.equal(torch.cat(alone[1].codes[m.key]), torch.cat(together[1].codes[m.key]))


def test_an_sae_that_fails_on_packed_rows_is_dropped_by_the_consumer(lm):
    rows, consumer = torch.randint(10, 300, (6, 8)), Recorder()
    report = run_pass(lm, [TokenRows(rows, 2, consumer)], [failing(ValueError("x"), calls=1), member("topk")])
    assert consumer.dropped == list(report.failed) == ["tiny_failing"]
    assert len(consumer.codes["tiny_failing"]) == 1
    assert len(consumer.codes["tiny_topk_0"]) == consumer.ended == 3


def test_a_consumer_that_fails_on_one_sae_serves_the_others(lm):
    rows, consumer = torch.randint(10, 300, (6, 8)), Recorder(failing="tiny_relu_0", at=1)
    report = run_pass(lm, [TokenRows(rows, 2, consumer)], [member("relu"), member("topk")])
    assert consumer.dropped == list(report.failed) == ["tiny_relu_0"]
    assert isinstance(report.failed["tiny_relu_0"], ValueError)
    assert len(consumer.codes["tiny_topk_0"]) == 3


def test_codes_of_a_wrong_width_are_the_fault_of_their_sae(lm):
    narrow = member("relu", name="narrow")
    narrow.sae.encode = lambda x: x[:, :7]
    request = PooledTexts(random_texts(lm, 3))
    report = run_pass(lm, [request], [narrow, member("topk")])
    assert isinstance(report.failed["tiny_narrow"], SAEMismatchError)
    assert set(only(report.served, PooledValues).codes) == {"tiny_topk_0"}


def test_the_traceback_of_a_failure_is_kept(lm):
    report = run_pass(lm, [PooledTexts(random_texts(lm, 2))], [failing(RuntimeError("x"))])
    names = []
    trace = report.failed["tiny_failing"].__traceback__
    while trace is not None:
        names.append(trace.tb_frame.f_code.co_name)
        trace = trace.tb_next
    assert names[-1] == "encode"


def test_the_pass_ends_when_no_sae_is_left(lm, monkeypatch):
    counted = CountedModel(lm, monkeypatch)
    run_pass(lm, [TokenRows(torch.randint(10, 300, (20, 8)), 2, Recorder())], [failing(ValueError("x"))])
    assert len(counted.batches) == 1


def test_requests_that_want_some_saes_get_those(lm):
    rows, consumer = torch.randint(10, 300, (2, 8)), Recorder()
    texts = random_texts(lm, 4)
    request = PooledTexts(texts, frozenset({"tiny_relu_0"}))
    only_topk = TokenRows(rows, 2, consumer, sae_keys=frozenset({"tiny_topk_0"}))
    report = run_pass(lm, [request, only_topk], [member("relu"), member("topk")])
    assert not report.failed
    assert set(report.served[0].codes) == {"tiny_relu_0"}
    assert set(consumer.codes) == {"tiny_topk_0"}


def test_an_sae_scores_the_same_in_any_company(lm):
    texts, rows = random_texts(lm, 9), torch.randint(10, 300, (4, 8))
    results = []
    for members in (["a"], ["a", "b"], ["b", "a"]):
        request, consumer = PooledTexts(texts), Recorder()
        saes = {"a": member("batch_topk", name="a"), "b": member("relu", name="b", seed=3)}
        served = run_pass(lm, [request, TokenRows(rows, 2, consumer)], [saes[name] for name in members]).served
        results.append(torch.cat([rows_of(served[0], "tiny_a"), *consumer.codes["tiny_a"]]))
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


def test_packed_rows_keep_their_batches(lm):
    rows = torch.randint(3, 300, (5, 8), generator=torch.Generator().manual_seed(0))
    rows[:, 0], rows[1, 3] = lm.bos_token_id, lm.tokenizer.eos_token_id
    consumer = Recorder()
    extra = "blocks.0.hook_resid_post"
    report = run_pass(lm, [TokenRows(rows, 2, consumer, (extra,))], [member("topk")])
    assert [batch.rows for batch in consumer.batches] == [(0, 1), (2, 3), (4,)]
    assert torch.equal(torch.cat([batch.ids_BL for batch in consumer.batches]), rows)
    valid = torch.cat([batch.valid_BL for batch in consumer.batches])
    assert torch.equal(valid, (rows > 2))
    assert [len(codes) for codes in consumer.codes["tiny_topk_0"]] == [13, 14, 7]
    expected = lm.capture(rows[2:4], [HOOK, extra])
    assert all(torch.equal(consumer.batches[1].x_BLD[hook], expected[hook]) for hook in expected)
    assert report.n_tokens == 40


def test_progress_adds_up_to_the_announced_tokens(lm):
    seen: list[int] = []
    empty = [[lm.bos_token_id], []]
    texts, rows = [*random_texts(lm, 9), *empty], torch.randint(10, 300, (3, 8))
    rows[2] = lm.tokenizer.eos_token_id
    requests = [PooledTexts(texts), PooledTexts(texts[3:5]), TokenRows(rows, 1, Recorder())]
    run_pass(lm, requests, [member("topk")], PassOptions(max_texts=2, on_progress=seen.append))
    assert len(seen) > 5
    assert sum(seen) == count_tokens(requests) == sum(map(len, texts)) + 24


@pytest.mark.parametrize("max_texts", [1, 256])
def test_texts_without_a_token_of_their_own_are_zero(lm, max_texts: int, caplog):
    eos = lm.tokenizer.eos_token_id
    texts = [[], random_texts(lm, 1)[0], [lm.bos_token_id], [lm.bos_token_id, eos, eos]]
    request, consumer = PooledTexts(texts), Recorder()
    rows = torch.tensor([[lm.bos_token_id, eos], [20, 21]])
    requests = [request, TokenRows(rows, 1, consumer)]
    report = run_pass(lm, requests, [member("topk")], PassOptions(max_texts=max_texts))
    assert not report.failed
    values = report.served[0]
    assert rows_of(values, "tiny_topk_0").abs().sum(1).gt(0).tolist() == [False, True, False, False]
    assert values.activations[HOOK].abs().sum(1).gt(0).tolist() == [False, True, False, False]
    assert [batch.rows for batch in consumer.batches] == [(1,)]
    assert "3 texts" in caplog.text


def test_out_of_memory_halves_the_batch(lm, monkeypatch, caplog):
    texts = random_texts(lm, 13)
    (plain,) = run_pass(lm, [PooledTexts(texts)], [member("topk")]).served
    counted = CountedModel(lm, monkeypatch, largest=4)
    (halved,) = run_pass(lm, [PooledTexts(texts)], [member("topk")]).served
    assert [len(ids) for ids in counted.batches] == [4, 3, 3, 3]
    assert "out of memory" in caplog.text
    torch.testing.assert_close(plain.activations[HOOK], halved.activations[HOOK], atol=ROUNDING, rtol=0)
    torch.testing.assert_close(rows_of(plain, "tiny_topk_0"), rows_of(halved, "tiny_topk_0"), atol=ROUNDING, rtol=0)


def test_out_of_memory_on_one_text_is_an_error(lm, monkeypatch):
    CountedModel(lm, monkeypatch, largest=0)
    with pytest.raises(torch.OutOfMemoryError):
        capture_with_halving(lm, torch.ones(4, 3, dtype=torch.long), [HOOK])


@pytest.mark.parametrize("name", ["topk", "relu"])
def test_out_of_memory_in_an_sae_halves_its_tokens(name: str, monkeypatch):
    sae, x_ND = member(name).sae, torch.randn(11, 32, generator=torch.Generator().manual_seed(0))
    method = "encode_sparse" if name == "topk" else "encode"
    plain, sizes = getattr(sae, method), []

    def limited(x: Tensor) -> Any:
        if len(x) > 3:
            raise torch.OutOfMemoryError
        sizes.append(len(x))
        return plain(x)

    monkeypatch.setattr(sae, method, limited)
    codes = encode_with_halving(sae, x_ND)
    found = codes.to_dense() if isinstance(codes, SparseCodes) else codes
    expected = plain(x_ND)
    expected = expected.to_dense() if isinstance(expected, SparseCodes) else expected
    assert sizes == [3, 3, 3, 2]
    torch.testing.assert_close(found, expected, atol=ROUNDING, rtol=0)


def test_nothing_keeps_a_gradient_and_the_mode_is_left_alone(lm):
    request = PooledTexts(random_texts(lm, 2))
    m = member("relu")
    m.sae.W_enc.requires_grad_(True)
    with torch.enable_grad():
        (values,) = run_pass(lm, [request], [m]).served
        assert torch.is_grad_enabled()
    assert not rows_of(values, m.key).requires_grad


@pytest.mark.parametrize("tokens", ["all", "last", "rows"])
def test_activations_that_are_no_numbers_end_the_pass_with_one_error(tokens: Any):
    lm = LanguageModel(tiny_model("llama").model.half(), tiny_model("llama").tokenizer, name="overflowing")
    lm.embedding.weight.data[7] = float("inf")
    texts = [[20, 21, 22, 7], [20, 21, 22, 23]]
    request = TokenRows(torch.tensor(texts), 2, Recorder()) if tokens == "rows" else PooledTexts(texts, tokens=tokens)
    of_all = 2 if tokens == "last" else 8
    message = (
        rf"activations at hook_embed that are NaN or infinite for 1 of {of_all} tokens .*float16\..*bfloat16 or float32"
    )
    with pytest.raises(ModelError, match=message):
        run_pass(lm, [request], [member("topk", hook="hook_embed")])


@pytest.mark.parametrize("name", ["topk", "relu"])
def test_codes_that_are_no_numbers_are_the_fault_of_their_sae(lm, name: str):
    broken = member(name, name="broken")
    broken.sae.W_enc.data[3] = float("nan")
    report = run_pass(lm, [PooledTexts(random_texts(lm, 3))], [broken, member("topk")])
    assert "'tiny_broken' encodes to codes that are NaN or infinite" in str(report.failed["tiny_broken"])
    assert set(report.served[0].codes) == {"tiny_topk_0"}
