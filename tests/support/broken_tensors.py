"""Files of weights that lack a tensor, have one more, or one of another shape: what their readers say of them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from sae_bench.errors import SAELoadError


def check_that_broken_tensors_are_named(
    path: Path, load: Callable[[], object], *, optional: Collection[str] = (), of_any_shape: Collection[str] = ()
) -> None:
    """Every message names the tensor, as the file calls it, and the file.

    Args:
        path: of a good file, `.safetensors` or `.pt`, which is written anew.
        load: reads the SAE that the file is of.
        optional: tensors that it may lack.
        of_any_shape: tensors of which this file alone does not say what shape they need.
    """
    tensors = _read(path)
    load()
    for key, value in tensors.items():
        without = {name: other for name, other in tensors.items() if name != key}
        if key not in optional:
            _write(path, without)
            _refuses(load, path, f"lacks {key}")
        if value.ndim and key not in of_any_shape:
            _write(path, {**tensors, key: value[:-1].contiguous()})
            _refuses(load, path, key, "has shape")
    _write(path, {**tensors, "W_more": torch.zeros(2)})
    _refuses(load, path, "W_more")
    _write(path, tensors)
    load()


def _refuses(load: Callable[[], object], path: Path, *parts: str) -> None:
    with pytest.raises(SAELoadError) as error:
        load()
    for part in (str(path), *parts):
        assert part in str(error.value)


def _read(path: Path) -> dict[str, Tensor]:
    return load_file(path) if path.suffix == ".safetensors" else torch.load(path, weights_only=True)


def _write(path: Path, tensors: dict[str, Tensor]) -> None:
    if path.suffix == ".safetensors":
        save_file(tensors, path)
    else:
        torch.save(tensors, path)
