"""Evals that read packed rows of a corpus: the rows, where they come from, and what tells them from any others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from jaxtyping import Int
from torch import Tensor

from sae_bench.datasets import corpus_provenance, load_corpus
from sae_bench.datasets.packing import PackedDocuments, pack_documents
from sae_bench.evals.base import EvalContext
from sae_bench.results.samples import units_key


def block_unit(n_rows: int) -> str:
    """What a result calls units of so many consecutive rows, see `CorpusRows.clusters`."""
    return f"block of {n_rows} rows, of the document that most of its tokens come from"


@dataclass(frozen=True)
class CorpusRows:
    """Packed rows of a corpus.

    Attributes:
        rows_NL: token ids.
        provenance: where the corpus was taken from.
        documents: what each token comes from; None where the rows were given.
    """

    rows_NL: Int[Tensor, "N L"]
    provenance: dict[str, str] = field(default_factory=dict)
    documents: PackedDocuments | None = None

    @classmethod
    def load(
        cls, name: str, context: EvalContext, *, n_rows: int, context_length: int, seed: int | None = None
    ) -> CorpusRows:
        """Pack as many rows of a corpus as are asked for.

        Args:
            name: of the corpus, or a path.
            context: of the run.
            n_rows, context_length: rows, and tokens in each.
            seed: draws the order of the documents; None keeps that of the corpus.
        Raises:
            DatasetError: the corpus is not there, or too short.
        """
        texts = load_corpus(name, data_dir=context.data_dir)
        packed = pack_documents(texts, context.lm, n_rows=n_rows, context_length=context_length, seed=seed)
        return cls(packed.rows_NL, corpus_provenance(name, data_dir=context.data_dir), packed)

    @property
    def described(self) -> dict[str, str]:
        """The provenance, and how many rows were made of it."""
        return {**self.provenance, "rows": str(len(self.rows_NL))}

    def key(self, name: str, *parts: str, n_rows: int | None = None) -> str:
        """A `Samples.key` for units made of the first `n_rows` rows (all by default).

        Args:
            name: of what is sampled.
            parts: whatever else the units depend on.
            n_rows: how many rows were read.
        """
        return units_key(name, (*parts, self.rows_NL[:n_rows].cpu().numpy().tobytes()))

    def clusters(self, blocks: Iterable[range]) -> Int[Tensor, " U"] | None:
        """`Samples.clusters_U` of blocks of consecutive rows: the document that most of a block's tokens come from.

        Nearly every row begins in the middle of a document, so joining all rows that share one would make one cluster
        of the whole corpus.

        Returns:
            hashes of documents, equal in every draw of the corpus; None where the documents are not known.
        """
        if self.documents is None:
            return None
        of_block = [self.documents.document_NL[rows.start : rows.stop].flatten().mode().values for rows in blocks]
        chosen_U = torch.stack(of_block) if of_block else torch.zeros(0, dtype=torch.int32)
        return self.documents.hashes_C[chosen_U.long()]
