"""Tiny mirrors with the columns of the real datasets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sae_bench.datasets import registry

Write = Callable[..., Path]

PROFESSIONS = (0, 1, 2, 6, 9, 21)
CATEGORIES = (1, 2, 3, 5, 6, 24)


@pytest.fixture(autouse=True)
def own_registry() -> Iterator[None]:
    """What a test registers is gone after it."""
    yield
    registry.forget_datasets()


@pytest.fixture(autouse=True)
def _no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty cache of hub files, and no network."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "no_cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


@pytest.fixture
def bios() -> dict[str, pd.DataFrame]:
    """bias_in_bios: 12 train and 6 test rows of every profession and gender, shuffled."""
    return {split: _grid("profession", PROFESSIONS, "gender", (0, 1), n, split) for split, n in _SIZES.items()}


@pytest.fixture
def amazon() -> dict[str, pd.DataFrame]:
    frames = {split: _grid("category", CATEGORIES, "rating", (1.0, 5.0), n, split) for split, n in _SIZES.items()}
    return {s: f.rename(columns={"hard_text": "text"}).assign(title="t", asin="a") for s, f in frames.items()}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes `{split: frame}` as a repository of the mirror `tmp_path / 'mirror'`; returns the mirror."""

    def write_repository(repo: str, splits: dict[str, pd.DataFrame], *, pattern: str = "{split}.parquet") -> Path:
        for split, frame in splits.items():
            file = tmp_path / "mirror" / repo / pattern.format(split=split)
            file.parent.mkdir(parents=True, exist_ok=True)
            if ".parquet" in file.name:
                frame.to_parquet(file, row_group_size=7)
            elif ".json" in file.name:
                frame.to_json(file, orient="records", lines=True)
            else:
                frame.to_csv(file, index=False)
        return tmp_path / "mirror"

    return write_repository


_SIZES = {"train": 12, "test": 6}


def _grid(label: str, labels: tuple, balance: str, values: tuple, per_cell: int, split: str) -> pd.DataFrame:
    rows = [
        {"hard_text": f"{split} {label} {a} {balance} {b} row {i}", label: a, balance: b}
        for a in labels
        for b in values
        for i in range(per_cell)
    ]
    order = np.random.default_rng(0).permutation(len(rows))
    return pd.DataFrame(rows).iloc[order].reset_index(drop=True)
