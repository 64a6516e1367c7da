"""Which SAE a result is of: a hash of its files, or of its weights and configuration where it has none.

It does not depend on the dtype and device of a run. Files are hashed as they are, so that no arithmetic, which machines
round differently, stands between them and the hash.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from sae_bench.atomic import write_text_atomically
from sae_bench.custom_saes.interface import weights
from sae_bench.errors import SAELoadError
from sae_bench.plain_values import config_as_dict

_OF_THE_LOADING = {"device", "dtype", "metadata", "model_from_pretrained_kwargs"}
"""Entries of a configuration that say how an SAE was loaded, not what it is."""

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_LENGTH = 16
_HEX_DIGITS = 64
_LARGE = 1 << 26
"""Bytes from which on the hash of a file is kept on disk."""


def of_files(*paths: Path) -> str:
    """A hash of the content of files in their order; their names and places do not matter.

    Raises:
        SAELoadError: one cannot be read.
    """
    return _short("files", *(_content(path) for path in paths))


def of_weights(sae: Any) -> str:
    """A hash of all weights, in float32, and of the configuration, for an SAE that is no file."""
    named = dict(weights(sae))
    named |= {name: value for name, value in vars(sae).items() if isinstance(value, torch.Tensor)}
    parts = [_config(sae.cfg)]
    for name, weight in sorted(named.items()):
        wide = weight.detach().to("cpu", torch.float32 if weight.is_floating_point() else weight.dtype).contiguous()
        parts.append(
            f"{name} {tuple(wide.shape)} "
            f"{hashlib.sha256(wide.view(-1).view(torch.uint8).numpy().tobytes()).hexdigest()}"
        )
    return _short("weights", *parts)


def of_words(*parts: object) -> str:
    """A hash of what defines an SAE that is computed."""
    return _short("words", *(str(part) for part in parts))


def _config(cfg: Any) -> str:
    settings = {key: value for key, value in config_as_dict(cfg).items() if key not in _OF_THE_LOADING}
    return _ADDRESS.sub("", json.dumps(settings, sort_keys=True))


def _content(path: Path) -> str:
    try:
        state = path.stat()
        return _content_in_state(path, state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino)
    except OSError as error:
        raise SAELoadError(f"cannot read '{path}': {error}.") from error


@lru_cache(maxsize=4096)
def _content_in_state(path: Path, *state: int) -> str:
    remembered = None if state[0] < _LARGE else _remembered(path, state)
    with suppress(OSError):
        if remembered is not None and len(content := remembered.read_text(encoding="utf-8")) == _HEX_DIGITS:
            return content
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    if remembered is not None:
        with suppress(OSError):  # a home that cannot be written to costs time only
            write_text_atomically(remembered, digest.hexdigest())
    return digest.hexdigest()


def _remembered(path: Path, state: tuple[int, ...]) -> Path:
    """Where the hash of a large file is kept, so that a sweep that is taken up again need not read all of it."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    key = hashlib.sha256(f"{path.resolve()} {state}".encode("utf-8", "surrogatepass")).hexdigest()
    return Path(cache) / "sae_bench" / "fingerprints" / key


def _short(kind: str, *parts: Iterable[str] | str) -> str:
    return hashlib.sha256("\n".join([kind, *map(str, parts)]).encode()).hexdigest()[:_LENGTH]
