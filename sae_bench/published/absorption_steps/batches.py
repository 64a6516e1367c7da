"""Batches and small turns of lists and dictionaries, under their published names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import torch
from tqdm.auto import tqdm

T = TypeVar("T")
K = TypeVar("K")

DEFAULT_DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def batchify_indices(total_items: int, batch_size: int, show_progress: bool = False) -> Iterator[tuple[int, int]]:
    """Start and end of each batch; the last end may lie behind the last item."""
    starts = range(0, total_items, batch_size)
    return ((start, start + batch_size) for start in tqdm(starts, disable=not show_progress))


def batchify(data: Any, batch_size: int, show_progress: bool = False) -> Iterator[Any]:
    """Slices of a list or tensor."""
    return (data[start:end] for start, end in batchify_indices(len(data), batch_size, show_progress))


def flip_dict(d: dict[T, K]) -> dict[K, T]:
    """Value -> key."""
    return dict(zip(d.values(), d.keys(), strict=True))


def listify(item: T | list[T]) -> list[T]:
    """A list as it is, anything else as a list of one."""
    return item if isinstance(item, list) else [item]


def dict_zip(*dicts: dict[T, K]) -> Iterator[tuple[T, tuple[K, ...]]]:
    """Key and the values of all dictionaries, for the keys that all have, in the order of the first."""
    shared: Sequence[T] = [key for key in dicts[0] if all(key in other for other in dicts[1:])] if dicts else []
    return ((key, tuple(each[key] for each in dicts)) for key in shared)
