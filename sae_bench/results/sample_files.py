"""Samples of a result beside it: `<folder of the eval>/samples/<release>_<id>.safetensors`.

Weights, strata, ids and clusters that several metrics share are stored once; what does not fit a tensor is in the
file's header.
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
    layouts: list[Samples] = []
    entries: dict[str, dict[str, Any]] = {}
    for metric, of_metric in samples.items():
        layout = _layout_of(of_metric, layouts, tensors)
        tensors[f"values/{metric}"] = of_metric.values_SU.detach().cpu().float().contiguous().clone()
        entries[metric] = {"unit": of_metric.unit, "key": of_metric.key, "random": of_metric.random, "layout": layout}
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
    except ResultError:
        raise
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise ResultError(f"'{path}' cannot be read as samples ({error}).") from error


def _layout_of(samples: Samples, layouts: list[Samples], tensors: dict[str, Tensor]) -> int:
    """The number of the units of these samples, whose weights, strata, ids and clusters are stored if they are new."""
    for number, other in enumerate(layouts):
        if _same_units(samples, other):
            return number
    layouts.append(samples)
    number = len(layouts) - 1
    tensors[f"weights/{number}"] = samples.weights_U.detach().cpu().float().contiguous().clone()
    tensors[f"groups/{number}"] = torch.tensor(samples.groups_U, dtype=torch.int32)
    for name, numbers_U in (("ids", samples.ids_U), ("clusters", samples.clusters_U)):
        if numbers_U is not None:
            tensors[f"{name}/{number}"] = numbers_U.detach().cpu().contiguous().clone()
    return number


def _same_units(a: Samples, b: Samples) -> bool:
    pairs = ((a.weights_U, b.weights_U), (a.ids_U, b.ids_U), (a.clusters_U, b.clusters_U))
    return a.groups_U == b.groups_U and all(
        one is other if one is None or other is None else torch.equal(one, other) for one, other in pairs
    )


def _read(file: Any, metric: str, entry: Mapping[str, Any]) -> Samples:
    layout = entry["layout"]
    stored = set(file.keys())

    def optional(name: str) -> Tensor | None:
        return file.get_tensor(f"{name}/{layout}") if f"{name}/{layout}" in stored else None

    return Samples(
        values_SU=file.get_tensor(f"values/{metric}"),
        weights_U=file.get_tensor(f"weights/{layout}"),
        groups_U=tuple(file.get_tensor(f"groups/{layout}").tolist()),
        unit=entry["unit"],
        key=entry["key"],
        random=entry["random"],
        ids_U=optional("ids"),
        clusters_U=optional("clusters"),
    )
