"""Samples of a result beside it: `<folder of the eval>/samples/<release>_<id>.safetensors`.

Weights and strata that several metrics share are stored once; what does not fit a tensor is in the file's header.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from sae_bench.atomic import atomic_path
from sae_bench.errors import ResultError
from sae_bench.results.samples import Samples

FOLDER = "samples"
FORMAT = "sae_bench samples 1"


def samples_path(eval_folder: str | Path, release: str, sae_id: str) -> Path:
    """Where the samples of a result are, with '/' written as '_'."""
    return Path(eval_folder) / FOLDER / f"{release}_{sae_id}.safetensors".replace("/", "_")


def write_samples(
    path: Path, samples: Mapping[str, Samples], *, eval_name: str, eval_id: str, seeds: Sequence[int]
) -> None:
    """Write the samples of one result whole or not at all; without any, remove what an earlier run left.

    Args:
        samples: path of a metric -> its samples.
        eval_id: the result's, by which the two are known to belong together.
    """
    if not samples:
        path.unlink(missing_ok=True)
        return
    tensors: dict[str, Tensor] = {}
    layouts: list[tuple[Tensor, tuple[int, ...]]] = []
    entries: dict[str, dict[str, Any]] = {}
    for metric, found in samples.items():
        layout = _layout_of(found, layouts, tensors)
        if found.ids_U is not None:
            tensors.setdefault(f"ids/{layout}", found.ids_U.detach().cpu().contiguous().clone())
        tensors[f"values/{metric}"] = found.values_SU.detach().cpu().float().contiguous().clone()
        entries[metric] = {"unit": found.unit, "key": found.key, "random": found.random, "layout": layout}
    header = {"format": FORMAT, "eval": eval_name, "eval_id": eval_id, "seeds": list(seeds), "metrics": entries}
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as partial:
        save_file(tensors, partial, metadata={"samples": json.dumps(header)})


def read_samples(path: Path, *, eval_id: str | None = None) -> dict[str, Samples]:
    """Path of a metric -> its samples.

    Args:
        eval_id: that of the result; None does not check.
    Raises:
        ResultError: the file is missing, broken, no samples file, or of another run than the result.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("samples", "{}"))
            if header.get("format") != FORMAT:
                raise ResultError(f"'{path}' holds no samples in the format '{FORMAT}'.")
            if eval_id is not None and header["eval_id"] != eval_id:
                raise ResultError(f"'{path}' belongs to another run than the result beside it.")
            return {metric: _read(file, metric, entry) for metric, entry in header["metrics"].items()}
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise ResultError(f"'{path}' cannot be read as samples ({error}).") from error


def _layout_of(found: Samples, layouts: list[tuple[Tensor, tuple[int, ...]]], tensors: dict[str, Tensor]) -> int:
    """The number of the weights and strata of these samples, stored now if they were not before."""
    for number, (weights_U, groups_U) in enumerate(layouts):
        if groups_U == found.groups_U and torch.equal(weights_U, found.weights_U):
            return number
    layouts.append((found.weights_U, found.groups_U))
    number = len(layouts) - 1
    tensors[f"weights/{number}"] = found.weights_U.detach().cpu().float().contiguous().clone()
    tensors[f"groups/{number}"] = torch.tensor(found.groups_U, dtype=torch.int32)
    return number


def _read(file: Any, metric: str, entry: Mapping[str, Any]) -> Samples:
    layout = entry["layout"]
    ids = f"ids/{layout}"
    return Samples(
        values_SU=file.get_tensor(f"values/{metric}"),
        weights_U=file.get_tensor(f"weights/{layout}"),
        groups_U=tuple(file.get_tensor(f"groups/{layout}").tolist()),
        unit=entry["unit"],
        key=entry["key"],
        random=entry["random"],
        ids_U=file.get_tensor(ids) if ids in file.keys() else None,  # noqa: SIM118 (it is no mapping)
    )
