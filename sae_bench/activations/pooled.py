"""Per-text means of activations and SAE codes: all that probing needs to know of a text.

For text i with valid tokens T_i: m_i = mean over T_i of x_t, a_i = mean over T_i of f(x_t). Sums are float32, masks are
explicit (BOS, EOS and padding never count).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy import sparse
from torch import Tensor

from sae_bench.activations.batches import ActivationBatch
from sae_bench.custom_saes.codes import SparseCodes, is_wide

DENSE_LIMIT_BYTES = 1 << 30
"""Pooled codes of up to this size are kept dense; larger ones as compressed sparse rows."""

WAITING_BYTES = 64 << 20
"""Means of texts stay on an accelerator until there are so many: the host waits for a copy."""


class ColumnSums(NamedTuple):
    """Sums over some texts, one number per latent."""

    value_F: Float[Tensor, " F"]
    """Sum of the codes, float64."""
    magnitude_F: Float[Tensor, " F"]
    """Sum of their absolute values, float64."""
    active_F: Int[Tensor, " F"]
    """Number of texts where the code is not 0."""


class CodeMatrix:
    """Pooled codes of T texts and F latents in float32, dense or as compressed sparse rows inside.

    Args:
        matrix: a dense (., F) tensor or sparse rows; it may hold more rows than there are texts, in any order.
        row_of_T: which row of the matrix holds each text; None where they stand in the order of the texts.
    """

    def __init__(self, matrix: Tensor | sparse.csr_matrix, row_of_T: Int[Tensor, "T"] | None = None) -> None:
        self._matrix = matrix
        self._row_of_T = row_of_T
        n_texts = matrix.shape[0] if row_of_T is None else len(row_of_T)
        self.shape: tuple[int, int] = (int(n_texts), int(matrix.shape[1]))

    @property
    def is_sparse(self) -> bool:
        return not isinstance(self._matrix, Tensor)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        order = 0 if self._row_of_T is None else self._row_of_T.nbytes
        if isinstance(self._matrix, Tensor):
            return self._matrix.nbytes + order
        return self._matrix.data.nbytes + self._matrix.indices.nbytes + self._matrix.indptr.nbytes + order

    def select(self, texts_T: Int[Tensor, "T"]) -> CodeMatrix:
        """The given texts in the given order, over the same memory."""
        return CodeMatrix(self._matrix, self._rows_of(texts_T))

    def rows(self, index_T: Int[Tensor, "T"]) -> Float[Tensor, "T F"]:
        """Dense rows of the given texts."""
        rows_T = self._rows_of(index_T)
        if isinstance(self._matrix, Tensor):
            return self._matrix[rows_T]
        return torch.from_numpy(self._matrix[rows_T.numpy()].toarray())

    def columns(self, index_T: Int[Tensor, "T"], latents_K: Int[Tensor, "K"]) -> Float[Tensor, "T K"]:
        """Dense values of the given latents in the given texts."""
        rows_T = self._rows_of(index_T)
        if isinstance(self._matrix, Tensor):
            return self._matrix[rows_T[:, None], latents_K[None, :]]
        return torch.from_numpy(self._matrix[rows_T.numpy()][:, latents_K.numpy()].toarray())

    def mean(self, index_T: Int[Tensor, "T"]) -> Float[Tensor, "F"]:
        """float64 mean over the given texts of every latent; NaN where no text is given."""
        rows_T = self._rows_of(index_T)
        if isinstance(self._matrix, Tensor):
            return self._matrix[rows_T].mean(dim=0, dtype=torch.float64)
        rows = self._matrix[rows_T.numpy()]
        total_F = np.bincount(rows.indices, weights=rows.data, minlength=self.shape[1])  # sums in float64
        return torch.from_numpy(total_F) / len(index_T)

    def is_silent(self, *, texts_at_once: int = 256) -> bool:
        """Whether no latent is active on any text.

        Args:
            texts_at_once: of a dense matrix, so many rows are looked at together.
        """
        rows_T = self._rows_of(torch.arange(self.shape[0]))
        if isinstance(self._matrix, Tensor):
            return not any(bool(self._matrix[some_T].any()) for some_T in rows_T.split(texts_at_once))
        return not bool(np.any(self._matrix[rows_T.numpy()].data))

    def column_sums(self, index_T: Int[Tensor, "T"]) -> ColumnSums:
        """Sums over the given texts of every latent."""
        rows_T = self._rows_of(index_T)
        if isinstance(self._matrix, Tensor):
            x_TF = self._matrix[rows_T]
            magnitude_F = x_TF.abs().sum(dim=0, dtype=torch.float64)
            return ColumnSums(x_TF.sum(dim=0, dtype=torch.float64), magnitude_F, (x_TF != 0).sum(dim=0))
        rows = self._matrix[rows_T.numpy()]
        columns = [
            np.bincount(rows.indices, weights=weights, minlength=self.shape[1])
            for weights in (rows.data, np.abs(rows.data), rows.data != 0)
        ]
        value_F, magnitude_F, active_F = (torch.from_numpy(column) for column in columns)
        return ColumnSums(value_F, magnitude_F, active_F.long())

    def _rows_of(self, index_T: Int[Tensor, "T"]) -> Int[Tensor, "T"]:
        return index_T if self._row_of_T is None else self._row_of_T[index_T]


class _Waiting:
    """Vectors of texts on the device that they were made on, until it pays to fetch them: on a CPU at once."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.parts: list[Tensor] = []

    def add(self, rows: tuple[int, ...], x_BW: Float[Tensor, "B W"]) -> bool:
        """Take in the vectors of some texts; returns whether it is time to fetch them."""
        self.rows.extend(rows)
        self.parts.append(x_BW)
        return x_BW.device.type == "cpu" or sum(part.nbytes for part in self.parts) >= WAITING_BYTES

    def take(self) -> tuple[list[int], Float[Tensor, "B W"]]:
        """All of them, of which there are some; none is left."""
        rows, parts = self.rows, self.parts
        self.rows, self.parts = [], []
        return rows, parts[0] if len(parts) == 1 else torch.cat(parts)


class PooledActivations:
    """Accumulates m_i over batches; rows of texts with no valid token, or that no batch held, stay 0."""

    def __init__(self, n_texts: int, d: int, *, dtype: torch.dtype = torch.float32) -> None:
        self._mean_TD = torch.zeros(n_texts, d, dtype=dtype)
        self._waiting = _Waiting()

    def update(self, batch: ActivationBatch, hook: str) -> None:
        """Add one batch."""
        count_B = batch.valid_BL.sum(dim=1)
        sums = _sum_by_text(batch.tokens(hook), batch.text_of_token_N, len(batch.rows))
        if self._waiting.add(batch.rows, (sums / count_B.clamp(min=1)[:, None]).to(self._mean_TD.dtype)):
            self._fetch()

    def _fetch(self) -> None:
        rows, mean_BD = self._waiting.take()
        self._mean_TD[rows] = mean_BD.cpu()

    @property
    def mean_TD(self) -> Float[Tensor, "T D"]:
        """What has been added so far, in main memory."""
        if self._waiting.rows:
            self._fetch()
        return self._mean_TD


class PooledCodes:
    """Accumulates a_i of one SAE over batches; `finish` hands out the matrix. Texts that no batch held stay 0."""

    def __init__(self, n_texts: int, d_sae: int, *, dense_limit_bytes: int = DENSE_LIMIT_BYTES) -> None:
        self._shape = (n_texts, d_sae)
        dense = n_texts * d_sae * 4 <= dense_limit_bytes and not is_wide(d_sae)
        self._dense = torch.zeros(self._shape) if dense else None
        self._waiting = _Waiting()
        self._order: list[int] = []
        self._values: list[np.ndarray] = []
        self._latents: list[np.ndarray] = []
        self._counts: list[np.ndarray] = []

    def update(self, batch: ActivationBatch, codes: SparseCodes | Tensor) -> None:
        """Add the codes of the batch's valid tokens; of wide SAEs, the active latents alone leave the device."""
        if isinstance(codes, SparseCodes) and is_wide(self._shape[1]):
            self._append(batch.rows, *_sparse_means(batch, codes))
        elif self._waiting.add(batch.rows, _dense_means(batch, codes, self._shape[1])):
            self._fetch()

    def _fetch(self) -> None:
        rows, mean_BF = self._waiting.take()
        if self._dense is not None:
            self._dense[rows] = mean_BF.cpu()
            return
        text_A, latent_A = mean_BF.nonzero().unbind(dim=1)
        self._append(rows, torch.bincount(text_A, minlength=len(rows)), latent_A, mean_BF[text_A, latent_A])

    def _append(self, rows: Sequence[int], count_B: Tensor, latent_A: Tensor, value_A: Tensor) -> None:
        self._order.extend(rows)
        self._counts.append(count_B.cpu().numpy())
        self._latents.append(latent_A.to(torch.int32).cpu().numpy())
        self._values.append(value_A.cpu().numpy())

    def finish(self) -> CodeMatrix:
        """The pooled codes in the order of the texts; the accumulator is empty afterwards."""
        if self._waiting.rows:
            self._fetch()
        if self._dense is not None:
            matrix, self._dense = self._dense, None
            return CodeMatrix(matrix)
        counts = np.concatenate([*self._counts, [0]])  # one empty row at the end stands for texts never seen
        values, latents = _drain(self._values, np.float32), _drain(self._latents, np.int32)
        indptr = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        arrived = sparse.csr_matrix((values, latents, indptr), shape=(len(counts), self._shape[1]), copy=False)
        row_of_T = torch.full((self._shape[0],), len(self._order), dtype=torch.long)
        row_of_T[self._order] = torch.arange(len(self._order))
        return CodeMatrix(arrived, row_of_T)


def _dense_means(batch: ActivationBatch, codes: SparseCodes | Tensor, d_sae: int) -> Float[Tensor, "B F"]:
    """float32 means over the tokens of each text of a batch."""
    n_texts = len(batch.rows)
    if isinstance(codes, Tensor):
        sums_BF = _sum_by_text(codes, batch.text_of_token_N, n_texts)
    else:
        flat_NK = batch.text_of_token_N[:, None] * d_sae + codes.indices_NK
        sums_BF = torch.zeros(n_texts * d_sae, device=flat_NK.device)
        sums_BF.index_add_(0, flat_NK.flatten(), codes.values_NK.flatten().float())
        sums_BF = sums_BF.view(n_texts, d_sae)
    return sums_BF / batch.valid_BL.sum(dim=1).clamp(min=1)[:, None]


def _sparse_means(
    batch: ActivationBatch, codes: SparseCodes
) -> tuple[Int[Tensor, " B"], Int[Tensor, " A"], Float[Tensor, " A"]]:
    """Of each text of a batch: how many latents are active, which, ascending, and their mean; all on the device."""
    token_A, latent_A, value_A = codes.entries()
    flat_A, group_A = torch.unique(batch.text_of_token_N[token_A] * codes.d_sae + latent_A, return_inverse=True)
    sum_A = torch.zeros(len(flat_A), device=flat_A.device).index_add_(0, group_A, value_A.float())
    text_A, latent_A = flat_A // codes.d_sae, flat_A % codes.d_sae
    mean_A = sum_A / batch.valid_BL.sum(dim=1)[text_A]
    return torch.bincount(text_A, minlength=len(batch.rows)), latent_A, mean_A


def _drain(blocks: list[np.ndarray], dtype: type[np.generic]) -> np.ndarray:
    """Concatenate a list of arrays and empty the list, so that its memory is free."""
    whole = np.concatenate([np.empty(0, dtype), *blocks])
    blocks.clear()
    return whole


def _sum_by_text(x_NW: Float[Tensor, "N W"], text_N: Int[Tensor, "N"], n_texts: int) -> Float[Tensor, "B W"]:
    """float32 sums of rows that belong to the same text."""
    sums = torch.zeros(n_texts, x_NW.shape[1], device=x_NW.device)
    return sums.index_add_(0, text_N, x_NW.float())
