"""Texts in one flat array: they read like a list of lists, and take a tenth of its memory."""

from __future__ import annotations

import tracemalloc

import pytest
import torch

from sae_bench.language_models import TokenTexts

LISTS = [[5, 9], [], [7, 7, 7], [5, 9], [3]]


def test_they_read_like_lists():
    texts = TokenTexts(LISTS)
    assert len(texts) == 5
    assert list(texts) == LISTS
    assert texts == LISTS == texts[:]
    assert texts[-1] == [3]
    assert texts[1:4:2] == [[], [5, 9]]
    assert texts != LISTS[:4]
    assert texts != [*LISTS[:4], [4]]
    assert texts.lengths.tolist() == [2, 0, 3, 2, 1]
    assert texts.n_tokens == 8
    with pytest.raises(IndexError):
        texts[5]


def test_they_grow_from_lists_and_from_their_kind():
    texts = TokenTexts()
    assert list(texts) == []
    assert texts.lengths.tolist() == []
    texts.extend(LISTS[:2])
    assert list(texts) == LISTS[:2]
    texts.extend(TokenTexts(LISTS[2:]))
    assert texts == LISTS
    assert TokenTexts.of(texts) is texts
    assert TokenTexts.of(LISTS) == LISTS


def test_equal_texts_have_equal_digests():
    digests = TokenTexts(LISTS).digests()
    assert digests[0] == digests[3]
    assert len(set(digests)) == 4


def test_batches_are_padded_on_the_right():
    ids, real = TokenTexts(LISTS).padded([2, 0, 1], 99)
    assert ids.tolist() == [[7, 7, 7], [5, 9, 99], [99, 99, 99]]
    assert real.sum(dim=1).tolist() == [3, 2, 0]
    empty, _ = TokenTexts(LISTS).padded([], 99)
    assert empty.shape == (0, 0)


def test_tokens_besides_some_are_counted():
    assert TokenTexts(LISTS).n_besides({5, 3}).tolist() == [1, 0, 3, 1, 0]
    assert TokenTexts(LISTS).n_besides([]).tolist() == [2, 0, 3, 2, 1]


def test_they_take_a_tenth_of_the_memory_of_lists():
    def held(make) -> int:
        tracemalloc.start()
        kept = make()
        size = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert len(kept) == 500
        return size

    def rows() -> list[list[int]]:
        return (torch.arange(500 * 128) + 1000).view(500, 128).tolist()

    assert held(lambda: TokenTexts(rows())) < held(rows) / 8
