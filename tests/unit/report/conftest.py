"""Folders of small synthetic results."""

from __future__ import annotations

from pathlib import Path

import pytest

from sae_bench.report.collect import Collected, collect
from sae_bench.report.sources import load_sources
from sae_bench.testing.synthetic_results import write_synthetic_results


@pytest.fixture(scope="session")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic") / "mine"
    write_synthetic_results(folder, 8, n_units=24, n_latents=80)
    return folder


@pytest.fixture(scope="session")
def collected(synthetic: Path) -> Collected:
    return collect(load_sources(synthetic))
