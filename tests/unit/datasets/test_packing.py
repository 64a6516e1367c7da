"""Packing a corpus into rows."""

from __future__ import annotations

import itertools

import pytest
import torch

from sae_bench.datasets.packing import pack_corpus, shuffled
from sae_bench.errors import DatasetError
from sae_bench.testing.tiny_models import tiny_model

TEXTS = [f"The number {i} is in the text." for i in range(60)]


@pytest.fixture(scope="module")
def lm():
    torch.set_num_threads(1)
    return tiny_model("llama")


def _joined(tokenizer, texts, separator):
    return [i for t in texts for i in [*tokenizer(t, add_special_tokens=False)["input_ids"], separator]]


def test_rows_are_the_joined_documents_with_bos_first(lm):
    rows = pack_corpus(TEXTS, lm, n_rows=6, context_length=16)
    stream = torch.tensor(_joined(lm.tokenizer, TEXTS, lm.tokenizer.eos_token_id)[: 6 * 16]).view(6, 16)
    assert rows.dtype == torch.int64
    assert torch.equal(rows[:, 1:], stream[:, 1:])
    assert (rows[:, 0] == lm.bos_token_id).all()
    assert not (rows[:, 1:] == lm.bos_token_id).any()
    assert (rows == lm.tokenizer.eos_token_id).any()


def test_without_bos_no_token_is_replaced():
    lm = tiny_model("llama", bos=False)
    tokenizer = lm.tokenizer
    rows = pack_corpus(TEXTS, lm, n_rows=3, context_length=10)
    assert rows.flatten().tolist() == _joined(tokenizer, TEXTS, tokenizer.eos_token_id)[:30]


def test_separators_survive_where_pad_is_eos():
    lm = tiny_model("llama", bos=False)
    tokenizer = lm.tokenizer
    tokenizer.pad_token = tokenizer.eos_token
    stream = _joined(tokenizer, TEXTS, tokenizer.eos_token_id)
    rows = pack_corpus(TEXTS, lm, n_rows=4, context_length=len(stream) // 4)
    assert int((rows == tokenizer.eos_token_id).sum()) == stream[: rows.numel()].count(tokenizer.eos_token_id)


def test_only_as_many_texts_are_read_as_needed(lm):
    def endless():
        for i in itertools.count():
            assert i < 5000
            yield f"text {i} and so on"

    assert pack_corpus(endless(), lm, n_rows=2, context_length=8).shape == (2, 8)


def test_the_seed_shuffles_reproducibly(lm):
    def pack(seed):
        return pack_corpus(TEXTS, lm, n_rows=8, context_length=16, seed=seed, shuffle_buffer=20)

    assert torch.equal(pack(1), pack(1))
    assert not torch.equal(pack(1), pack(2))
    assert not torch.equal(pack(1), pack(None))


@pytest.mark.parametrize("buffer_size", [1, 7, 100])
def test_shuffling_keeps_every_text_once(buffer_size):
    assert sorted(shuffled(TEXTS, 3, buffer_size)) == sorted(TEXTS)
    assert list(shuffled([], 3, buffer_size)) == []
    assert list(shuffled(TEXTS, None, buffer_size)) == TEXTS


def test_a_short_corpus_tells_both_counts(lm):
    have = len(_joined(lm.tokenizer, TEXTS[:2], 0))
    with pytest.raises(DatasetError, match=rf"{have} tokens, 12,800 are needed \(100 rows of 128\)"):
        pack_corpus(TEXTS[:2], lm, n_rows=100, context_length=128)
