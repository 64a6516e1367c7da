"""Where the rows of a dataset come from: explicit path, mirror, local Hugging Face cache, hub, in this order.

Sets of an installed package are read by `embedded`, which needs no search.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from sae_bench.datasets import hub, readers
from sae_bench.datasets.registry import stand_ins
from sae_bench.datasets.spec import DatasetSpec
from sae_bench.errors import DatasetError

_SHARD = re.compile(r"-(\d+)-of-(\d+)")
_SPLIT_NAMES = {
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "eval"),
    "train": ("train", "training"),
}


@dataclass(frozen=True)
class Request:
    """The columns of one split that are wanted from a dataset's repository."""

    spec: DatasetSpec
    split: str
    columns: tuple[str, ...]
    config: str | None
    stream: bool
    """Read in order and only as far as needed; else every row, so that no shard may be missing."""


@dataclass(frozen=True)
class Origin:
    """Where rows came from: what a result has to say about its data."""

    kind: Literal["path", "mirror", "package", "cache", "hub"]
    location: str
    revision: str | None = None

    def provenance(self) -> dict[str, str]:
        return {"source": self.kind, "location": self.location, "revision": self.revision or "not known"}


@dataclass(frozen=True)
class Found:
    """A split that was found: its origin and, unless it is on the hub, its files."""

    origin: Origin
    files: tuple[Path, ...] = ()


def find(request: Request, data_dir: str | Path | None) -> Found:
    """The first place that has the split; the hub comes last and is not asked yet.

    Raises:
        DatasetError: a given path or mirror lacks the split or a shard of it, or no place is left to look.
    """
    spec = request.spec
    if spec.path is not None:
        return _explicit(request, spec.path.expanduser())
    looked: list[str] = []
    if data_dir is not None:
        root = Path(data_dir).expanduser()
        if not root.is_dir():
            raise DatasetError(f"the data directory '{root}' does not exist.")
        folder = root / spec.repository
        looked.append(str(folder))
        if (located := _in_folder(request, folder, Origin("mirror", str(folder)))) is not None:
            return located
    if spec.on_hub:
        if (located := _in_cache(request)) is not None:
            return located
        return Found(Origin("hub", spec.repository, spec.revision))
    raise _nowhere(spec, looked)


def open_frames(request: Request, data_dir: str | Path | None) -> tuple[Origin, Iterator[pd.DataFrame]]:
    """The rows of a split as frames in order, read only as far as they are taken, and where they come from.

    Raises:
        DatasetError: as `find`; the frames raise it for a missing column or a broken file.
        PrerequisiteError: the split is only on the hub, and the `datasets` library is not installed.
    """
    located = find(request, data_dir)
    if located.origin.kind != "hub":
        return located.origin, _frames(located.files, request.columns)
    opened = hub.open_split(
        request.spec,
        config=request.config,
        split=request.split,
        columns=request.columns,
        stream=request.stream,
        elsewhere=_elsewhere(request.spec, data_dir),
    )
    return Origin("hub", request.spec.repository, opened.revision or request.spec.revision), opened.frames


def data_files(folder: Path, split: str) -> tuple[Path, ...]:
    """The data files of a split below `folder`, in order; files that name no split at all are training files.

    A file belongs to a split by its stem (`train.parquet`, `train-00000-of-00002.parquet`) or a folder (`train/..`).
    """
    files = [f for f in sorted(folder.rglob("*")) if f.is_file() and readers.format_of(f) is not None]
    splits = {file: _split_of(file.relative_to(folder), split) for file in files}
    chosen = [file for file in files if splits[file] == _canonical(split)]
    if not chosen and _canonical(split) == "train" and not any(splits.values()):
        chosen = files
    for form in readers.FORMATS:
        if same := tuple(file for file in chosen if readers.format_of(file) == form):
            return same
    return ()


def _split_of(relative: Path, wanted: str | None = None) -> str | None:
    """The split that a file's stem or a folder above it names, in its first or last word; `wanted` may be any name."""
    stem = _SHARD.sub("", relative.name.split(".")[0])
    for part in (stem, *reversed(relative.parts[:-1])):
        if part == wanted:
            return _canonical(part)
        words = re.split(r"[-_]", part)
        for word in (words[0], words[-1]):
            if (canonical := _canonical(word)) in _SPLIT_NAMES:
                return canonical
    return None


def _canonical(split: str) -> str:
    return next((name for name, words in _SPLIT_NAMES.items() if split.lower() in words), split)


def _explicit(request: Request, path: Path) -> Found:
    origin = Origin("path", str(path))
    if path.is_file():
        return Found(origin, (path,))
    located = _in_folder(request, path, origin)
    if located is None:
        raise DatasetError(f"'{path}', the path of the dataset '{request.spec.name}', does not exist or is empty.")
    return located


def _in_folder(request: Request, folder: Path, origin: Origin) -> Found | None:
    """The split in a folder that a user gave; None if the folder or the configuration is not there."""
    base = _config_folder(request, folder)
    if base is None:
        return None
    files = data_files(base, request.split)
    if not files:
        present = sorted({s for f in base.rglob("*") if readers.format_of(f) and (s := _split_of(f.relative_to(base)))})
        there = f"its splits: {', '.join(present)}" if present else "it holds no Parquet, JSON or CSV file"
        raise DatasetError(
            f"'{base}' has no files of the split '{request.split}' of '{request.spec.name}' ({there}). "
            f"Files are found by name, for example {request.split}.parquet."
        )
    if not request.stream and (lacking := _missing_shards(files)):
        raise DatasetError(f"'{base}' lacks {len(lacking)} of the shards of '{request.split}', first: {lacking[0]}.")
    return Found(origin, files)


def _config_folder(request: Request, folder: Path) -> Path | None:
    """The folder of the wanted configuration; the repository's own if it has no folders but those of splits."""
    if not folder.is_dir():
        return None
    for name in (request.config, request.spec.folder):
        if name is not None and (folder / name).is_dir():
            return folder / name
    if request.config is None:
        return folder
    others = [f for f in folder.iterdir() if f.is_dir() and f.name != "data" and _split_of(Path(f.name) / "x") is None]
    return None if any(readers.format_of(f) for other in others for f in other.rglob("*")) else folder


def _missing_shards(files: Sequence[Path]) -> list[str]:
    """Names of shards that the names of the others promise (`train-00001-of-00003`)."""
    present = {file.name for file in files}
    lacking: list[str] = []
    for file in files:
        if match := _SHARD.search(file.name):
            width, total = len(match[1]), int(match[2])
            names = (file.name.replace(match[0], f"-{i:0{width}d}-of-{match[2]}") for i in range(total))
            lacking.extend(name for name in names if name not in present and name not in lacking)
    return sorted(lacking)


def _in_cache(request: Request) -> Found | None:
    """The split in the local cache of the hub's files, if it is there as a whole."""
    snapshot = hub.cached_snapshot(request.spec.repository, request.spec.revision)
    base = _config_folder(request, snapshot) if snapshot is not None else None
    if snapshot is None or base is None:
        return None
    files = data_files(base, request.split)
    # without 'i-of-n' in their names nobody can tell whether the cache holds all files
    if not files or _missing_shards(files) or (len(files) > 1 and not _SHARD.search(files[0].name)):
        return None
    return Found(Origin("cache", str(base), snapshot.name), files)


def _frames(files: Sequence[Path], columns: Sequence[str]) -> Iterator[pd.DataFrame]:
    for file in files:
        yield from readers.iter_frames(file, columns)


def _elsewhere(spec: DatasetSpec, data_dir: str | Path | None) -> str:
    """Sentences for errors of the hub: the other places that were tried, and the sets that could be used instead."""
    mirror = "" if data_dir is None else f"{Path(data_dir).expanduser() / spec.repository} or "
    cache = f"the local Hugging Face cache ({hub.cache_folder(spec.repository)})"
    return f"It was not found in {mirror}{cache}.{_alternatives(spec)}"


def _alternatives(spec: DatasetSpec) -> str:
    names = stand_ins(spec.name)
    return f" Sets that can stand in for it: {', '.join(map(repr, names))}." if names else ""


def _nowhere(spec: DatasetSpec, looked: list[str]) -> DatasetError:
    where = f"looked at {', '.join(looked)}" if looked else "no data directory was given"
    return DatasetError(
        f"the dataset '{spec.name}' is not on the hub and was not found ({where}). Give a --data-dir that has the "
        f"folder '{spec.repository}' with its files (Parquet, JSON lines or CSV), columns "
        f"{', '.join(map(repr, spec.columns))}.{_alternatives(spec)}"
    )
