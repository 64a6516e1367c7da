"""What made a result: versions, model, dtype, device, commit, and the configuration of the SAE."""

from __future__ import annotations

import platform
import subprocess
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from sae_bench.language_models import LanguageModel
from sae_bench.language_models.numbers import dtype_name
from sae_bench.language_models.token_choice import ALL_TOKENS
from sae_bench.plain_values import config_as_dict
from sae_bench.results.model import Provenance
from sae_bench.version import VERSION

__all__ = ["config_as_dict", "describe_run", "package_commit", "sae_lens_version"]


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
        device_map=lm.device_map,
        attn_implementation=lm.attention,
        llm_quantization=lm.quantisation,
        prepend_bos=lm.prepend_bos,
        exclude_tokens=sorted(lm.choice.excluded),
        seqpos_slice=None if lm.choice.positions == ALL_TOKENS.positions else list(lm.choice.positions),
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
