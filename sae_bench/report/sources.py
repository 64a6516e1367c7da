"""Where results come from: folders, single files, or a data set of results on the hub."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sae_bench.analysis.consistency import FILE_NAME as CONSISTENCY
from sae_bench.analysis.consistency import Consistencies, read_consistency
from sae_bench.analysis.table import ResultTable, Skipped, load_results
from sae_bench.analysis.validity import FILE_NAME as VALIDITY
from sae_bench.analysis.validity import Validation, read_validity
from sae_bench.errors import MissingResultError, PrerequisiteError

PUBLISHED_RESULTS = "adamkarvonen/sae_bench_results_0125"
"""The hub data set with the results of the published package."""

_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class Source:
    """Results under one label.

    Attributes:
        validation, consistency: what lies beside the results; None if it does not.
    """

    label: str
    table: ResultTable
    is_own: bool
    validation: Validation | None = None
    consistency: Consistencies | None = None

    @classmethod
    def of(cls, label: str, table: ResultTable, *, is_own: bool) -> Source:
        """With what `validate` and `compare --consistency` wrote beside the results; a broken file is named."""
        found: dict[str, Any] = {}
        skipped = list(table.skipped)
        for name, read in (("validation", read_validity), ("consistency", read_consistency)):
            try:
                found[name] = read(table.folder) if table.folder.is_dir() else None
            except ValueError as error:
                path = table.folder / {"validation": VALIDITY, "consistency": CONSISTENCY}[name]
                skipped.append(Skipped(path, f"broken or of another version ({str(error).splitlines()[0]})"))
        return cls(label, replace(table, skipped=tuple(skipped)), is_own, **found)


def load_sources(results: str | Path, others: Sequence[str | Path] = ()) -> list[Source]:
    """The results to report, and those to show beside them.

    Raises:
        ResultError: one of them does not exist or holds no result.
        PrerequisiteError: a hub data set that is not in the local cache, without network.
    """
    sources = [Source.of(_label(results), load_results(locate(results)), is_own=True)]
    labels = {sources[0].label}
    for other in others:
        label = _label(other)
        number = 2
        while label in labels:
            label, number = f"{_label(other)} ({number})", number + 1
        labels.add(label)
        sources.append(Source.of(label, load_results(locate(other)), is_own=False))
    return sources


def locate(source: str | Path) -> Path:
    """A path that exists as it is; `org/name` as the local copy of that hub data set.

    Raises:
        ResultError: it is neither.
        PrerequisiteError: the data set is not in the local cache and cannot be fetched.
    """
    path = Path(source)
    if path.exists():
        return path
    name = str(source)
    if not _HUB_NAME.fullmatch(name) or name.startswith("."):
        raise MissingResultError(
            f"'{name}' does not exist. Next: give a folder of results, a result file, or a hub data set such as "
            f"{PUBLISHED_RESULTS}."
        )
    return _from_hub(name)


def _from_hub(name: str) -> Path:
    from huggingface_hub import constants, snapshot_download

    offline = constants.HF_HUB_OFFLINE or os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on")
    try:
        snapshot = snapshot_download(name, repo_type="dataset", allow_patterns="*.json", local_files_only=offline)
    except Exception as error:  # the client has no common base for all that can go wrong (network, name, rights, disk)
        why = "HF_HUB_OFFLINE is set" if offline else f"{type(error).__name__}: {str(error).splitlines()[0]}"
        raise PrerequisiteError(
            f"'{name}' is no folder here, and the hub data set of that name is not in the local cache and could not be "
            f"fetched ({why}). Next: run where the hub can be reached, or copy its JSON files into a folder and give "
            "that."
        ) from error
    return Path(snapshot)


def _label(source: str | Path) -> str:
    name = str(source).rstrip("/")
    return name if _HUB_NAME.fullmatch(name) and not Path(name).exists() else Path(name).resolve().name or name
