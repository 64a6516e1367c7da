"""Configurations of any kind as values that JSON has."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any


def config_as_dict(cfg: Any) -> dict[str, Any]:
    """Fields of a dataclass, a pydantic model, a mapping or a plain object; values that JSON lacks become text."""
    if dataclasses.is_dataclass(cfg) and not isinstance(cfg, type):
        raw: Mapping[str, Any] = {f.name: getattr(cfg, f.name) for f in dataclasses.fields(cfg)}
    elif hasattr(cfg, "model_dump"):
        raw = cfg.model_dump()
    elif hasattr(cfg, "to_dict"):
        raw = cfg.to_dict()
    elif isinstance(cfg, Mapping):
        raw = cfg
    else:
        raw = {k: v for k, v in vars(cfg).items() if not k.startswith("_")}
    return {str(key): _plain(value) for key, value in raw.items()}


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(v) for v in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return config_as_dict(value)
    return str(value)
