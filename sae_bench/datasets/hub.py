"""The Hugging Face hub: the files it has cached here, and the optional `datasets` library for what is not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd
from huggingface_hub import constants

from sae_bench.datasets import readers
from sae_bench.datasets.spec import DatasetSpec
from sae_bench.errors import DatasetError, PrerequisiteError

_COMMIT = re.compile(r"@([0-9a-f]{40})")


@dataclass(frozen=True)
class OpenedSplit:
    """Rows of a split on the hub, and the commit they belong to where it is known."""

    frames: Iterator[pd.DataFrame]
    revision: str | None


def cache_folder(repo: str) -> Path:
    """Where the hub's client keeps the files of a dataset repository."""
    return Path(constants.HF_HUB_CACHE) / ("datasets--" + repo.replace("/", "--"))


def cached_snapshot(repo: str, revision: str | None) -> Path | None:
    """The folder of a cached revision (by default what `main` was when it was fetched), None if there is none."""
    folder = cache_folder(repo)
    reference = folder / "refs" / (revision or "main")
    commit = reference.read_text(encoding="utf-8").strip() if reference.is_file() else revision
    snapshot = folder / "snapshots" / commit if commit else None
    return snapshot if snapshot is not None and snapshot.is_dir() else None


def open_split(
    spec: DatasetSpec, *, config: str | None, split: str, columns: Sequence[str], stream: bool, elsewhere: str
) -> OpenedSplit:
    """Open a split with the `datasets` library; a stream is read only as far as its frames are taken.

    Args:
        elsewhere: sentences on the places that were tried before, for the error.
    Raises:
        PrerequisiteError: `datasets` is not installed.
        DatasetError: the repository, its configuration or split cannot be had, or a column is missing.
    """
    try:
        from datasets import load_dataset
    except ImportError as error:
        raise PrerequisiteError(
            f"the dataset '{spec.name}' has to come from the hub, and the library for it is not installed: "
            f'pip install "sae-bench[hub]". {elsewhere}'
        ) from error
    # offline, a stream cannot start, but a set that was prepared earlier can be read from its cache
    streaming = stream and not constants.HF_HUB_OFFLINE
    try:
        dataset = load_dataset(spec.repository, config, split=split, revision=spec.revision, streaming=streaming)
        frames = _frames(dataset, spec.repository, columns)
        first = next(frames, None)  # connection problems of a stream show at its first rows
    except DatasetError:
        raise
    except Exception as error:  # the library and its http clients share no base class
        raise _not_to_be_had(spec, columns, error, elsewhere) from error
    frames = frames if first is None else chain([first], frames)
    return OpenedSplit(_guarded(frames, spec, columns, elsewhere), _commit(dataset))


def _frames(dataset: Any, repo: str, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
    for batch in dataset.iter(batch_size=readers.CHUNK_ROWS):
        records = (dict(zip(batch, row, strict=True)) for row in zip(*batch.values(), strict=True))
        yield readers.frame_of_records(records, columns, f"the hub's '{repo}'")


def _guarded(
    frames: Iterator[pd.DataFrame], spec: DatasetSpec, columns: Sequence[str], elsewhere: str
) -> Iterator[pd.DataFrame]:
    """The frames; a connection that breaks midway is an error, not an end."""
    try:
        yield from frames
    except DatasetError:
        raise
    except Exception as error:
        raise _not_to_be_had(spec, columns, error, elsewhere) from error


def _not_to_be_had(spec: DatasetSpec, columns: Sequence[str], error: Exception, elsewhere: str) -> DatasetError:
    text = str(error).strip()
    reason = text.splitlines()[0] if text else type(error).__name__
    offline = " The hub is switched off (HF_HUB_OFFLINE)." if constants.HF_HUB_OFFLINE else ""
    return DatasetError(
        f"could not get the dataset '{spec.name}' from the hub: {reason.rstrip('.')}.{offline} {elsewhere} "
        f"Next: check the network and the access to '{spec.repository}', or give a --data-dir that has the folder "
        f"'{spec.repository}' with its Parquet, JSON lines or CSV files, columns {', '.join(map(repr, columns))}."
    )


def _commit(dataset: Any) -> str | None:
    """The commit in the addresses of the files that were read, where the library tells them."""
    checksums = getattr(getattr(dataset, "info", None), "download_checksums", None) or {}
    match = _COMMIT.search(" ".join(map(str, checksums)))
    return match[1] if match else None
