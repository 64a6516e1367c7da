"""Headers of GGUF files, read once: transformers reads one for configuration, tokenizer and weights each.

A header holds the whole vocabulary; reading it three times takes longer than reading the weights of a small model.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import RLock
from typing import Any

import numpy as np

_LOCK = RLock()


@contextmanager
def headers_read_once() -> Iterator[None]:
    """While a model is loaded, a GGUF file is opened once and the names of its tensors are listed once."""
    if importlib.util.find_spec("gguf") is None:
        yield
        return
    gguf: Any = importlib.import_module("gguf")
    with _LOCK:
        before = gguf.GGUFReader, gguf.get_tensor_name_map
        # transformers imports both by name whenever it needs them
        gguf.GGUFReader, gguf.get_tensor_name_map = cache(_quick(before[0])), cache(before[1])
        try:
            yield
        finally:
            gguf.GGUFReader, gguf.get_tensor_name_map = before


def _quick(plain: Any) -> Any:
    """The reader, taking strings and numbers from an array: slices of a memory map cost ten times those of an array."""

    class QuickReader(plain):
        data: Any
        _array: Any = None

        def _get(self, offset: Any, dtype: Any, count: Any = 1, override_order: Any = None) -> Any:
            mapped = self.data
            if self._array is None:
                self._array = np.asarray(mapped)
            self.data = self._array
            try:
                return super()._get(offset, dtype, count, override_order)
            finally:
                self.data = mapped

        def _get_str(self, offset: Any) -> tuple[Any, Any]:
            length = self._get(offset, np.uint64)
            return length, memoryview(self._array)[offset + 8 : offset + 8 + int(length[0])]

    return QuickReader
