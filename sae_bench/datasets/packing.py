"""Packing a corpus into rows of equal length."""

from __future__ import annotations

import hashlib
import random
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Int
from torch import Tensor

from sae_bench.errors import DatasetError

_TOKENIZE_AT_ONCE = 256


@runtime_checkable
class TextEncoder(Protocol):
    """What packing needs of a language model."""

    tokenizer: Any
    bos_token_id: int | None
    prepend_bos: bool


@dataclass(frozen=True)
class PackedDocuments:
    """Rows of a corpus, and where their tokens come from.

    Attributes:
        rows_NL: token ids.
        document_NL: number of the document that each token (or the token that BOS took the place of) comes from.
        hashes_C: hash of each of the C documents' texts, equal in every draw of the corpus.
    """

    rows_NL: Int[Tensor, "N L"]
    document_NL: Int[Tensor, "N L"]
    hashes_C: Int[Tensor, " C"]


def pack_corpus(
    texts: Iterable[str],
    lm: TextEncoder,
    *,
    n_rows: int,
    context_length: int,
    seed: int | None = None,
    shuffle_buffer: int = 10_000,
) -> Int[Tensor, "n_rows context_length"]:
    """Join documents by token ids and cut them into rows, BOS at position 0 of each row and nowhere else.

    Documents are separated by one EOS token (BOS where the tokenizer has no EOS, or where the two are one token, as
    in GPT-2: there the separators inside rows are BOS). The first token of every row is
    replaced by BOS, as the published suite does, if the model takes one.

    Args:
        texts: documents, read only as far as needed.
        seed: shuffle the documents through a buffer of `shuffle_buffer`; None keeps their order.
    Raises:
        DatasetError: the corpus is too short for `n_rows` rows.
    """
    return pack_documents(
        texts, lm, n_rows=n_rows, context_length=context_length, seed=seed, shuffle_buffer=shuffle_buffer
    ).rows_NL


def pack_documents(
    texts: Iterable[str],
    lm: TextEncoder,
    *,
    n_rows: int,
    context_length: int,
    seed: int | None = None,
    shuffle_buffer: int = 10_000,
) -> PackedDocuments:
    """As `pack_corpus`, with the document that each token comes from.

    Args:
        texts: documents, read only as far as needed.
        lm: its tokenizer and BOS.
        n_rows, context_length: rows, and tokens in each.
        seed, shuffle_buffer: as in `pack_corpus`.
    Raises:
        DatasetError: the corpus is too short for `n_rows` rows.
    """
    needed = n_rows * context_length
    tokens = array("i")
    lengths: list[int] = []
    hashes: list[int] = []
    for text, ids in document_tokens(shuffled(texts, seed, shuffle_buffer), lm):
        tokens.extend(ids)
        lengths.append(len(ids))
        hashes.append(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little", signed=True))
        if len(tokens) >= needed:
            break
    if len(tokens) < needed:
        raise DatasetError(
            f"the corpus has {len(tokens):,} tokens, {needed:,} are needed ({n_rows:,} rows of {context_length}). "
            "Ask for fewer batches or a shorter context, or name a larger corpus."
        )
    rows = torch.tensor(tokens[:needed], dtype=torch.long).view(n_rows, context_length)
    if lm.prepend_bos and lm.bos_token_id is not None:
        rows[:, 0] = lm.bos_token_id
    document_N = torch.arange(len(lengths), dtype=torch.int32).repeat_interleave(torch.tensor(lengths))[:needed]
    return PackedDocuments(rows, document_N.view(n_rows, context_length), torch.tensor(hashes, dtype=torch.int64))


def shuffled(texts: Iterable[str], seed: int | None, buffer_size: int) -> Iterator[str]:
    """The texts in an order drawn through a buffer: reproducible from the seed, whatever the corpus's length."""
    source = iter(texts)
    if seed is None:
        yield from source
        return
    generator = random.Random(seed)
    buffer = list(islice(source, buffer_size))
    for text in source:
        slot = generator.randrange(len(buffer))
        yield buffer[slot]
        buffer[slot] = text
    generator.shuffle(buffer)
    yield from buffer


def document_tokens(texts: Iterable[str], lm: TextEncoder) -> Iterator[tuple[str, list[int]]]:
    """Each document and its token ids, its separator at the end."""
    eos = lm.tokenizer.eos_token_id
    separator = eos if eos is not None else lm.bos_token_id
    source = iter(texts)
    while batch := list(islice(source, _TOKENIZE_AT_ONCE)):
        encoded = lm.tokenizer(batch, add_special_tokens=False, padding=False)["input_ids"]
        for text, ids in zip(batch, encoded, strict=True):
            yield text, [*ids, separator] if separator is not None else list(ids)
