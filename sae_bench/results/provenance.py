"""What made a result: versions, model, dtype, device, commit, and the configuration of the SAE."""

from __future__ import annotations

import dataclasses
import platform
import subprocess
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from sae_bench.language_models import LanguageModel
from sae_bench.language_models.numbers import dtype_name
from sae_bench.results.model import Provenance
from sae_bench.version import VERSION


def describe_run(lm: LanguageModel, *, protocol: str, seeds: list[int], fingerprint: str) -> Provenance:
    """Provenance of results of one model; datasets, seconds, warnings and SAE dtype are added per result."""
    return Provenance(
        protocol=protocol,
        package_version=VERSION,
        commit=package_commit(),
        python_version=platform.python_version(),
        torch_version=torch.__version__,
        transformers_version=version("transformers"),
        model=lm.name,
        model_fingerprint=fingerprint,
        llm_dtype=dtype_name(lm.dtype),
        sae_dtype=dtype_name(lm.dtype),
        device=str(lm.device),
        prepend_bos=lm.prepend_bos,
        seeds=seeds,
    )


@lru_cache(maxsize=1)
def package_commit() -> str | None:
    """Commit of the source tree this package runs from; None when it is installed without one.

    Only the package's own repository counts, never that of the folder one happens to stand in.
    """
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def sae_lens_version() -> str | None:
    """Version of SAELens if it is installed."""
    try:
        return version("sae-lens")
    except PackageNotFoundError:
        return None


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
