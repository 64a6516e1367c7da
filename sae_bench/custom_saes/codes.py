"""Codes of tokens: the active latents alone, made block of latents by block where an SAE is wide.

Shapes: N tokens, D d_in, F latents, B latents of a block, K active latents of a token, A active entries of all tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

WIDE = 1 << 16
"""An SAE of so many latents or more is worked on in blocks of latents: nothing has a number per token and latent."""

VALUES_AT_ONCE = 1 << 23
"""So many codes of a wide SAE exist as a dense block, at least."""
FIRST_ENTRIES = 1 << 14
"""Room for so many active entries of some tokens is made at first."""
SHARE_OF_FREE_MEMORY = 64
"""On a GPU such a part of its free memory is taken by a block, if that is more."""


class SparseCodes(NamedTuple):
    """The active latents of each token; a slot that is not used holds the value 0 (its index means nothing)."""

    values_NK: Float[Tensor, "N K"]
    indices_NK: Int[Tensor, "N K"]
    d_sae: int

    def to_dense(self) -> Float[Tensor, "N F"]:
        """The same codes with a column for every latent."""
        dense_NF = self.values_NK.new_zeros(self.values_NK.shape[0], self.d_sae)
        return dense_NF.scatter_add(1, self.indices_NK, self.values_NK)  # slots that are not used add 0

    def entries(self) -> tuple[Int[Tensor, "A"], Int[Tensor, "A"], Float[Tensor, "A"]]:
        """Token, latent and value of what is active, token after token."""
        token_A, slot_A = self.values_NK.nonzero().unbind(dim=1)
        return token_A, self.indices_NK[token_A, slot_A], self.values_NK[token_A, slot_A]


def is_wide(n_latents: int) -> bool:
    """Whether an SAE of so many latents is worked on in blocks of them."""
    return n_latents >= WIDE


def values_at_once(device: torch.device, at_least: int) -> int:
    """How many float32 values of something that is made part by part may exist together on a device."""
    free_bytes = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0
    return max(at_least, free_bytes // (4 * SHARE_OF_FREE_MEMORY))


def latent_blocks(x_ND: Float[Tensor, "N D"], n_latents: int) -> Iterator[slice]:
    """Consecutive latents, as many at a time as there is memory for, codes of all tokens and float32 weights alike."""
    size = max(256, values_at_once(x_ND.device, VALUES_AT_ONCE) // max(1, *x_ND.shape))
    for start in range(0, n_latents, size):
        yield slice(start, min(start + size, n_latents))


def codes_by_blocks(
    encode_latents: Callable[[Tensor, slice], Tensor], x_ND: Float[Tensor, "N D"], n_latents: int
) -> SparseCodes:
    """The codes of some tokens, a dense block of latents at a time.

    Args:
        encode_latents: the codes (N, B) of a slice of the latents, which depend on no others.
        x_ND: activations.
        n_latents: F, of all blocks.
    """
    active = _Entries()
    for part in latent_blocks(x_ND, n_latents):
        codes_NB = encode_latents(x_ND, part)
        token_A, latent_A = codes_NB.nonzero().unbind(dim=1)
        active.add(token_A, latent_A + part.start, codes_NB[token_A, latent_A])
    return padded(*active.columns(), (len(x_ND), n_latents))


class _Entries:
    """Token, latent and value of what is active, in memory that doubles when it is full.

    Many small pieces that stay, each made between large ones that go, would leave the memory of the latter in parts
    that nothing large fits into (measured: 350 MB of a process that encodes 262k latents).
    """

    def __init__(self) -> None:
        self._n = 0
        self._columns: list[Tensor] = []

    def add(self, *new: Tensor) -> None:
        """Take in a part of each column."""
        begin, self._n = self._n, self._n + len(new[0])
        if not self._columns or self._n > len(self._columns[0]):
            larger = [values_A.new_empty(max(2 * self._n, FIRST_ENTRIES)) for values_A in new]
            for column_A, old_A in zip(larger, self._columns, strict=False):
                column_A[:begin] = old_A[:begin]
            self._columns = larger
        for column_A, values_A in zip(self._columns, new, strict=True):
            column_A[begin : self._n] = values_A

    def columns(self) -> tuple[Tensor, Tensor, Tensor]:
        """All of each."""
        token_A, latent_A, value_A = (column_A[: self._n] for column_A in self._columns)
        return token_A, latent_A, value_A


def padded(
    token_A: Int[Tensor, "A"], latent_A: Int[Tensor, "A"], value_A: Float[Tensor, "A"], shape: tuple[int, int]
) -> SparseCodes:
    """Active entries, whose latents ascend within each token, as codes with as many slots as the busiest token needs.

    Args:
        token_A, latent_A, value_A: which token, which latent, how strong.
        shape: number of tokens and of latents.
    """
    n_tokens, n_latents = shape
    count_N = torch.bincount(token_A, minlength=n_tokens)
    n_slots = max(1, int(count_N.max())) if n_tokens else 1
    order = torch.argsort(token_A, stable=True)
    token_A = token_A[order]
    slot_A = torch.arange(len(order), device=order.device) - (count_N.cumsum(0) - count_N)[token_A]
    values_NK = value_A.new_zeros(n_tokens, n_slots)
    indices_NK = latent_A.new_zeros(n_tokens, n_slots)
    values_NK[token_A, slot_A] = value_A[order]
    indices_NK[token_A, slot_A] = latent_A[order]
    return SparseCodes(values_NK, indices_NK, n_latents)


def joined(parts: list[SparseCodes]) -> SparseCodes:
    """Codes of all tokens with equally many slots; an unused one holds 0."""
    n_slots = max(part.values_NK.shape[1] for part in parts)
    values = [torch.nn.functional.pad(part.values_NK, (0, n_slots - part.values_NK.shape[1])) for part in parts]
    indices = [torch.nn.functional.pad(part.indices_NK, (0, n_slots - part.indices_NK.shape[1])) for part in parts]
    return SparseCodes(torch.cat(values), torch.cat(indices), parts[0].d_sae)


def largest(pre_NF: Float[Tensor, "N F"], k: int) -> SparseCodes:
    """The k largest pre-activations as codes; those that are not positive become 0, as after a ReLU."""
    top = pre_NF.topk(k, dim=-1, sorted=False)
    return SparseCodes(torch.relu(top.values), top.indices, pre_NF.shape[-1])


def largest_by_blocks(
    pre_activations: Callable[[Tensor, slice], Tensor], x_ND: Float[Tensor, "N D"], n_latents: int, k: int
) -> SparseCodes:
    """The k largest pre-activations of some tokens, a dense block of latents at a time.

    Args:
        pre_activations: those (N, B) of a slice of the latents.
        x_ND: activations.
        n_latents: F, of all blocks.
        k: how many of a token are active.
    """
    best: SparseCodes | None = None
    for part in latent_blocks(x_ND, n_latents):
        pre_NB = pre_activations(x_ND, part)
        top = pre_NB.topk(min(k, pre_NB.shape[1]), dim=-1, sorted=False)
        values_NK, indices_NK = top.values, top.indices + part.start
        if best is not None:
            values_NK = torch.cat([best.values_NK, values_NK], dim=1)
            indices_NK = torch.cat([best.indices_NK, indices_NK], dim=1)
            top = values_NK.topk(min(k, values_NK.shape[1]), dim=-1, sorted=False)
            values_NK, indices_NK = top.values, indices_NK.gather(1, top.indices)
        best = SparseCodes(values_NK, indices_NK, n_latents)
    assert best is not None
    return best._replace(values_NK=torch.relu(best.values_NK))


def sums_of_rows(
    codes: SparseCodes, W_FD: Float[Tensor, "F D"], *, entries_at_once: int | None = None
) -> Float[Tensor, "N D"]:
    """`codes @ W`, which reads the rows of active latents alone and holds no copy of W, in the dtype of the codes.

    Args:
        codes: of N tokens.
        W_FD: in any dtype, on any device.
        entries_at_once: how many rows may be copied at a time; None takes as many as a block of codes has values.
    """
    token_A, latent_A, value_A = codes.entries()
    n_tokens, dtype, device = len(codes.values_NK), value_A.dtype, value_A.device
    if W_FD.dtype == dtype and W_FD.device == device:
        return _bags(token_A, latent_A, value_A, W_FD, n_tokens)
    out_ND = torch.zeros(n_tokens, W_FD.shape[1], dtype=dtype, device=device)
    at_once = entries_at_once or max(1, VALUES_AT_ONCE // W_FD.shape[1])
    for entry in torch.arange(len(token_A), device=device).split(at_once):
        rows_AD = W_FD[latent_A[entry].to(W_FD.device)].to(device, dtype)
        out_ND.index_add_(0, token_A[entry], rows_AD * value_A[entry, None])
    return out_ND


def _bags(token_A: Tensor, latent_A: Tensor, value_A: Tensor, W_FD: Tensor, n_tokens: int) -> Tensor:
    count_N = torch.bincount(token_A, minlength=n_tokens)
    return torch.nn.functional.embedding_bag(
        latent_A, W_FD, count_N.cumsum(0) - count_N, per_sample_weights=value_A, mode="sum"
    )
