"""The binary tasks of the package sae-probes: their names, texts and labels, as its data files hold them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from jaxtyping import Int

from sae_bench.datasets import embedded
from sae_bench.errors import DatasetError, PrerequisiteError, UnknownNameError

MAX_ROWS = 5000
"""The package probes the first so many rows of a file (none of its files has more)."""

SHARED_TEXTS = 0.1
"""Tasks that have more than this share of the smaller one's texts in common are made of one set of texts."""


@dataclass(frozen=True)
class BinaryTask:
    """A task: texts in the order of the file, and which of them are of the second class (1) or the first (0).

    Classes are numbered in the sorted order of their names.
    """

    name: str
    classes: tuple[str, str]
    texts: tuple[str, ...]
    labels_T: Int[np.ndarray, " T"]

    def first(self, n: int | None) -> BinaryTask:
        """The first n // 2 texts of each class, in the order of the file; all of them where n is None."""
        if n is None or n >= len(self.texts):
            return self
        rows = np.sort(np.concatenate([np.flatnonzero(self.labels_T == label)[: n // 2] for label in (0, 1)]))
        return BinaryTask(self.name, self.classes, tuple(self.texts[row] for row in rows), self.labels_T[rows])


@lru_cache(maxsize=1)
def task_names() -> tuple[str, ...]:
    """Names of all binary tasks in the package's order, such as `87_glue_cola`.

    Raises:
        PrerequisiteError: the package is not installed, or is another version that lacks its list.
    """
    path = embedded.data_folder().parent / "probing_datasets_MASTER.csv.zst"
    if not path.is_file():
        raise PrerequisiteError(f"the list of tasks, '{path.name}', is not among the files of {embedded.REQUIREMENT}.")
    listed = pd.read_csv(path, usecols=["Data type", "Dataset save name"])
    binary = listed.loc[listed["Data type"] == "Binary Classification", "Dataset save name"]
    return tuple(str(name).rsplit("/", 1)[-1].split(".", 1)[0] for name in binary)


def choose_tasks(names: Sequence[str], limit: int | None = None) -> tuple[str, ...]:
    """The named tasks (all, if none is named), the first `limit` of them.

    Raises:
        UnknownNameError: no such binary task; close names are proposed.
    """
    known = task_names()
    for name in names:
        if name not in known:
            raise UnknownNameError("sae-probes task", name, known)
    return tuple(names or known)[:limit]


def load_task(name: str, *, max_texts: int | None = None) -> BinaryTask:
    """Texts and labels of a task; `max_texts` takes the first of each class.

    Raises:
        DatasetError: a file that does not hold two classes of texts.
    """
    path = embedded.data_folder() / f"{name}.csv.zst"
    if not path.is_file():
        raise DatasetError(f"'{path.name}' is not among the data files of {embedded.REQUIREMENT} in {path.parent}.")
    frame = pd.read_csv(path, usecols=["prompt", "target"])
    classes, labels_T = np.unique(frame["target"].to_numpy(), return_inverse=True)
    texts = frame["prompt"].tolist()
    if len(classes) != 2 or not all(isinstance(text, str) and text for text in texts):
        raise DatasetError(f"'{name}' has {len(classes)} classes and {len(texts)} texts; two classes are needed.")
    task = BinaryTask(
        name,
        (str(classes[0]), str(classes[1])),
        tuple(texts[:MAX_ROWS]),
        labels_T[:MAX_ROWS].astype(np.int64),
    )
    return task.first(max_texts)


def provenance(task: BinaryTask) -> dict[str, str]:
    """Where the texts of a task come from."""
    version = embedded.installed_version()
    n_positive = int(task.labels_T.sum())
    return {
        "source": f"sae-probes=={version}" if version else embedded.REQUIREMENT,
        "file": f"{task.name}.csv.zst",
        "classes": " / ".join(task.classes),
        "texts": f"{len(task.texts) - n_positive} / {n_positive}",
    }


def sharing_texts(tasks: Sequence[BinaryTask]) -> list[int]:
    """Of every task, the first one that is made of the same set of texts, by way of others or directly."""
    texts = [frozenset(task.texts) for task in tasks]
    first = list(range(len(tasks)))
    for i, own in enumerate(texts):
        alike = {first[j] for j in range(i) if len(own & texts[j]) > SHARED_TEXTS * min(len(own), len(texts[j]))}
        if alike:
            first[i] = min(alike)
            first = [min(alike) if number in alike else number for number in first]
    return first
