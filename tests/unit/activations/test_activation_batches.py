"""Buckets of similar length, padding and its masks."""

from __future__ import annotations

import pytest
import torch
from pass_samples import activation_batch, random_texts

from sae_bench.activations.batches import bucket_by_length, pad
from sae_bench.testing import tiny_model


@pytest.mark.parametrize(("max_tokens", "max_texts"), [(64, 256), (40, 3), (1000, 7), (1, 1)])
def test_buckets_hold_every_text_once_within_the_limits(max_tokens: int, max_texts: int):
    lengths = torch.randint(1, 40, (50,), generator=torch.Generator().manual_seed(0)).tolist()
    batches = list(bucket_by_length(lengths, max_tokens=max_tokens, max_texts=max_texts))
    assert sorted(i for batch in batches for i in batch) == list(range(50))
    for batch in batches:
        assert len(batch) <= max_texts
        assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= max_tokens


def test_buckets_go_from_short_to_long_and_fill_up():
    lengths = [5, 1, 3, 3, 1]
    assert list(bucket_by_length(lengths, max_tokens=6, max_texts=9)) == [[1, 4], [2, 3], [0]]
    order = [i for batch in bucket_by_length(lengths, max_tokens=99, max_texts=2) for i in batch]
    assert order == [1, 4, 2, 3, 0]


def test_no_texts_no_buckets():
    assert list(bucket_by_length([], max_tokens=8, max_texts=8)) == []


def test_a_text_longer_than_the_limit_goes_alone():
    assert list(bucket_by_length([2, 100, 2], max_tokens=10, max_texts=8)) == [[0, 2], [1]]


def test_pad_leaves_out_special_tokens_and_padding():
    lm = tiny_model("gpt2")
    bos, eos = lm.bos_token_id, lm.tokenizer.eos_token_id
    ids, valid = pad([[bos, 20, 21, eos, 22], [bos, 30]], lm)
    assert ids.tolist() == [[bos, 20, 21, eos, 22], [bos, 30, *[lm.tokenizer.pad_token_id] * 3]]
    assert valid.tolist() == [[False, True, True, False, True], [False, True, False, False, False]]


@pytest.mark.parametrize("pad_token", ["<eos>", None])
def test_pad_without_a_pad_token_of_its_own(pad_token: str | None):
    """Where PAD is EOS, or missing (id 0 fills up then), what is padding is known by length, not by id."""
    lm = tiny_model("gpt2", bos=False)
    lm.tokenizer.pad_token = pad_token
    ids, valid = pad([[5, 0, 6], [7]], lm)
    filler = lm.tokenizer.eos_token_id if pad_token else 0
    assert ids[1].tolist() == [7, filler, filler]
    assert valid.tolist() == [[True, True, True], [True, False, False]]


def test_pad_to_a_given_length_and_nothing():
    lm = tiny_model("gpt2")
    assert pad([[20]], lm, length=4)[1].tolist() == [[True, False, False, False]]
    assert pad([], lm)[0].shape == (0, 0)


def test_tokens_of_a_batch_stand_text_after_text():
    lm = tiny_model("llama")
    texts = random_texts(lm, 4)
    batch = activation_batch(lm, texts, [3, 1, 0])
    hook = next(iter(batch.x_BLD))
    assert batch.text_of_token_N.tolist() == [b for b, r in enumerate([3, 1, 0]) for _ in texts[r][1:]]
    assert torch.equal(batch.tokens(hook)[: len(texts[3]) - 1], batch.x_BLD[hook][0, 1 : len(texts[3])])
