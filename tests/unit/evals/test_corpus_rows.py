"""Packed rows know their documents, and blocks of rows the document that most of their tokens come from."""

from __future__ import annotations

import pytest
import torch

from sae_bench.datasets.packing import pack_corpus, pack_documents
from sae_bench.evals.families.rows import CorpusRows
from sae_bench.testing import tiny_model

LONG = [" ".join([f"{word} river"] * 60) for word in ("old", "great", "small")]


@pytest.fixture(scope="module")
def lm():
    return tiny_model("llama")


def packed(lm, texts=LONG, **settings) -> CorpusRows:
    documents = pack_documents(texts, lm, n_rows=20, context_length=8, **settings)
    return CorpusRows(documents.rows_NL, documents=documents)


def test_every_token_knows_its_document(lm):
    texts = [f"text {i} of many" for i in range(60)]
    corpus = packed(lm, texts)
    assert torch.equal(corpus.rows_NL, pack_corpus(texts, lm, n_rows=20, context_length=8))
    joined = [n for n, text in enumerate(texts) for _ in [*lm.tokenizer(text)["input_ids"], "separator"]]
    assert corpus.documents.document_NL.flatten().tolist() == joined[:160]
    assert len(set(corpus.documents.hashes_C.tolist())) == len(corpus.documents.hashes_C)


def test_blocks_of_one_document_are_one_cluster_in_every_draw(lm):
    blocks = [range(start, start + 4) for start in range(0, 20, 4)]
    clusters_U = packed(lm).clusters(blocks)
    assert clusters_U is not None
    documents = packed(lm).documents
    assert documents is not None
    for rows, cluster in zip(blocks, clusters_U.tolist(), strict=True):
        numbers = documents.document_NL[rows.start : rows.stop].flatten().tolist()
        most = max(set(numbers), key=numbers.count)
        assert cluster == int(documents.hashes_C[most])
    whole = pack_documents(
        LONG, lm, n_rows=1, context_length=sum(len(lm.tokenizer(text)["input_ids"]) for text in LONG)
    )
    assert set(packed(lm, seed=1).clusters(blocks).tolist()) <= set(whole.hashes_C.tolist())
    assert CorpusRows(packed(lm).rows_NL).clusters(blocks) is None


def test_the_key_is_that_of_the_rows(lm):
    one, other = packed(lm), packed(lm, LONG[::-1])
    assert one.key("x", "a") == packed(lm).key("x", "a")
    assert len({one.key("x", "a"), one.key("x", "b"), one.key("x", "a", n_rows=4), other.key("x", "a")}) == 4
