"""A short hash of a model: the key of anything that is kept of what it computed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor


def hash_of_model(config: Mapping[str, Any], described: str, weights: Iterable[tuple[str, Tensor]]) -> str:
    """Sixteen hex digits that change with the configuration, the description and any single weight.

    Args:
        config: the model's configuration; the place that it was loaded from does not count.
        described: what else tells it from other models of the same weights.
        weights: name and values of every weight, in a fixed order; quantised ones as `plain_weights` gives them.
    """
    digest = hashlib.sha256()
    counted = {key: value for key, value in config.items() if key != "_name_or_path"}
    digest.update(json.dumps(counted, sort_keys=True, default=str).encode())
    digest.update(described.encode())
    for key, weight in weights:
        digest.update(f"{key} {tuple(weight.shape)}".encode())
        for sums in _bit_sums(weight):
            digest.update(sums.cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def plain_weights(weights: Iterable[tuple[str, Tensor]]) -> Iterator[tuple[str, Tensor]]:
    """The weights, and in the place of quantised ones (torchao's) the tensors that they consist of."""
    for name, weight in weights:
        if hasattr(weight, "__tensor_flatten__"):
            parts, _ = weight.__tensor_flatten__()
            yield from plain_weights((f"{name}.{part}", getattr(weight, part)) for part in parts)
        else:
            yield name, weight


def _bit_sums(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Sums over rows and over columns of the bit patterns as integers: exact in any order, on any device.

    They change with any single weight, and with the place of the change.
    """
    if weight.is_floating_point():
        weight = weight.view({1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[weight.element_size()])
    table = weight.reshape(weight.shape[0] if weight.ndim > 1 else 1, -1)
    return table.sum(0, dtype=torch.int64), table.sum(1, dtype=torch.int64)
