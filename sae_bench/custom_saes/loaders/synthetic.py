"""The SAEs of the synthetic model `synthetic:small` that come with the package: `synthetic:<name regex>`."""

from __future__ import annotations

from pathlib import Path

from sae_bench.custom_saes.listing import SYNTHETIC_SUITE
from sae_bench.custom_saes.loaders.embedded import of_suite
from sae_bench.custom_saes.spec import SAEHandle


def resolve(rest: str, *, data_dir: Path | None = None) -> list[SAEHandle]:  # noqa: ARG001
    """Every SAE of the suite whose whole name matches the regular expression."""
    return of_suite(rest, SYNTHETIC_SUITE, release="synthetic")
