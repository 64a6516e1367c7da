"""Packed rows that several requests read alike: the model reads them once, what it made of them is kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sae_bench.activations.requests import TokenRows

MAX_BYTES = 1 << 30
"""Main memory for activations that are kept; rows beyond it are read again."""


class SharedRows:
    """Activations of rows, from the first request that reads them to the last.

    Args:
        requests: all of a pass. Rows are shared by requests of one `max_rows`: others ask for other batches.
    """

    def __init__(self, requests: Sequence[TokenRows]) -> None:
        self._n_left = Counter(key for request in requests for key in keys_of(request, request.rows_NL))
        self._kept: dict[bytes, dict[str, Tensor]] = {}
        self._n_bytes = 0

    def take(
        self, request: TokenRows, ids_BL: Int[Tensor, "B L"], hooks: Sequence[str]
    ) -> dict[str, Float[Tensor, "B L _"]] | None:
        """The activations of a batch of a request that was read before; None if some of them are not there."""
        keys = keys_of(request, ids_BL)
        kept = [self._kept.get(key, {}) for key in keys]
        self._n_left.subtract(keys)
        for key in keys:
            if self._n_left[key] == 0:
                self._drop(key)
        if any(hook not in of_row for of_row in kept for hook in hooks):
            return None
        return {hook: torch.stack([of_row[hook] for of_row in kept]) for hook in hooks}

    def keep(self, request: TokenRows, ids_BL: Int[Tensor, "B L"], x_BLD: Mapping[str, Float[Tensor, "B L _"]]) -> None:
        """Keep of a batch that was read what will be read again, as far as there is room."""
        for row, key in enumerate(keys_of(request, ids_BL)):
            if self._n_left[key] > 0 and key not in self._kept and self._n_bytes < MAX_BYTES:
                self._kept[key] = {hook: x[row].cpu().clone() for hook, x in x_BLD.items()}
                self._n_bytes += sum(x_LD.nbytes for x_LD in self._kept[key].values())

    def _drop(self, key: bytes) -> None:
        self._n_bytes -= sum(x_LD.nbytes for x_LD in self._kept.pop(key, {}).values())


def keys_of(request: TokenRows, ids_BL: Int[Tensor, "B L"]) -> list[bytes]:
    """What tells rows from those that are read otherwise."""
    start = f"{request.max_rows} {ids_BL.shape[1]} ".encode()
    return [start + ids_L.tobytes() for ids_L in ids_BL.cpu().numpy()]


def n_tokens_of(requests: Sequence[TokenRows]) -> int:
    """Tokens of the rows that are read for some requests: whole batches, but those whose rows were all read before."""
    n_tokens, read = 0, set[bytes]()
    for request in requests:
        for ids_BL in request.rows_NL.split(request.batch_rows):
            keys = set(keys_of(request, ids_BL))
            n_tokens += 0 if keys <= read else ids_BL.numel()
            read |= keys
    return n_tokens
