"""The published helper functions, for scripts that call them: thin adapters over the rest of the package."""

from __future__ import annotations

import uuid

from sae_bench.results import provenance


def get_eval_uuid() -> str:
    """A new UUID, as `eval_id` of a result."""
    return str(uuid.uuid4())


def get_sae_lens_version() -> str:
    """Version of SAELens, `Unknown` if it is not installed."""
    return provenance.sae_lens_version() or "Unknown"


def get_sae_bench_version() -> str:
    """Commit of the source tree of this package, `Unknown` if it is installed without one."""
    return provenance.package_commit() or "Unknown"
