"""From the tensors of a file, under its names and in its order of axes, to an SAE of this package.

A layout is one table: the file's name of a tensor -> ours, with the file's axes. D d_in, F latents, O d_out (D
where the SAE reconstructs what it reads).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sae_bench.custom_saes.architectures import ARCHITECTURES
from sae_bench.custom_saes.base_sae import BaseSAE
from sae_bench.custom_saes.files import active_latents, empty_sae, fill
from sae_bench.errors import SAELoadError

_TRANSPOSED = {"W_enc": ("FD",), "W_dec": ("OF", "DF"), "W_skip": ("DO",)}
"""Orders of axes that are not ours, (D, F), (F, O) and (O, D)."""


class Entry(NamedTuple):
    """How a file holds a tensor.

    Attributes:
        name: ours.
        axes: the file's, one letter each.
        optional: whether files may lack it.
    """

    name: str
    axes: str
    optional: bool = False


Layout = Mapping[str, Entry]


class Weights(NamedTuple):
    """Tensors under our names and in our order of axes, with the size that each axis letter stands for."""

    tensors: dict[str, Tensor]
    sizes: dict[str, int]


def arrange(raw: Mapping[str, Tensor], layout: Layout, *, source: object, ignored: Sequence[str] = ()) -> Weights:
    """The tensors of a file under our names, float ones in float32.

    Args:
        raw: the content of the file.
        ignored: names that files may hold beside the layout's and that nothing here needs.
    Raises:
        SAELoadError: a tensor is missing, unknown, quantised, or of a shape that contradicts the others.
    """
    sizes = check_layout(raw, layout, source=source, ignored=ignored)
    return Weights(
        {entry.name: _in_our_order(raw[name], entry) for name, entry in layout.items() if name in raw}, sizes
    )


def check_layout(
    raw: Mapping[str, Tensor],
    layout: Layout,
    *,
    source: object,
    ignored: Sequence[str] = (),
    sizes: Mapping[str, int] | None = None,
    told_by: str = "",
) -> dict[str, int]:
    """The size that each axis letter stands for, if a file has the tensors of a layout and no others.

    Args:
        sizes: those that are known beforehand.
        told_by: what these are known from.
    Raises:
        SAELoadError: as `arrange`.
    """
    missing = sorted(name for name, entry in layout.items() if not entry.optional and name not in raw)
    unknown = sorted(raw.keys() - layout.keys() - set(ignored))
    if missing:
        raise SAELoadError(f"'{source}' lacks {', '.join(missing)}; it has {', '.join(sorted(raw)) or 'no tensors'}.")
    if unknown:
        raise SAELoadError(f"'{source}' has {', '.join(unknown)}, which no SAE of this layout has.")
    known = dict(sizes or {})
    told = dict.fromkeys(known, told_by)
    for name, entry in layout.items():
        if name in raw:
            _check_shape(name, entry, raw[name], known, told, source)
    return known


def _check_shape(
    name: str, entry: Entry, value: Tensor, sizes: dict[str, int], told_by: dict[str, str], source: object
) -> None:
    shape = tuple(value.shape)
    if not value.is_floating_point():
        raise SAELoadError(
            f"'{source}': {name} is of {value.dtype}; weights that are quantised are not read. Next: convert it to "
            "float16 or wider."
        )
    if len(shape) != len(entry.axes):
        raise SAELoadError(f"'{source}': {name} has shape {shape}, {len(entry.axes)} axes are needed ({entry.axes}).")
    for axis, size in zip(entry.axes, shape, strict=True):
        expected = sizes.setdefault(axis, size)
        if size != expected:
            needed = tuple(sizes.get(a, "any") for a in entry.axes)
            raise SAELoadError(f"'{source}': {name} has shape {shape}; {needed} fits {told_by[axis]}.")
        told_by.setdefault(axis, name)


def _in_our_order(value: Tensor, entry: Entry) -> Tensor:
    wide = value.float()
    return wide.T.contiguous() if entry.axes in _TRANSPOSED.get(entry.name, ()) else wide


def subtract_b_dec_no_more(tensors: dict[str, Tensor], *, sign: float = 1.0) -> None:
    """Write into the encoder's biases that `b_dec` is not subtracted from the input, for a class that subtracts it.

    Args:
        sign: -1 does the opposite: for a class that does not subtract it, weights of one that does.
    """
    shift_F = sign * (tensors["b_dec"].double() @ tensors["W_enc"].double())
    for name in ("b_enc", "gate_bias", "b_mag"):
        if name in tensors:
            shift = shift_F * tensors["r_mag"].double().exp() if name == "b_mag" else shift_F
            tensors[name] = (tensors[name].double() + shift).float()


def build(
    architecture: str,
    weights: Weights,
    *,
    source: Path,
    hook_name: str,
    hook_name_out: str | None = None,
    model_name: str | None = None,
    k: object = None,
    **config: Any,
) -> BaseSAE:
    """An SAE of this package with these weights, in float32 on the CPU.

    Args:
        architecture: name of a row of the table of architectures.
        k: active latents per token, for those that take it.
        config: more fields of the configuration (`context_size`, ...); those that are None are left out.
    Raises:
        SAELoadError: k is no possible number of latents, a weight does not fit.
    """
    row, tensors, sizes = ARCHITECTURES[architecture], dict(weights.tensors), weights.sizes
    if "k" in row.arguments:
        k = active_latents(k, sizes["F"], source=source)
        tensors["k"] = torch.tensor(k)
    if not row.is_transcoder and sizes.get("O", sizes["D"]) != sizes["D"]:
        raise SAELoadError(f"'{source}' reads vectors of {sizes['D']} numbers and gives some of {sizes['O']}.")
    empty = empty_sae(
        row,
        d_in=sizes["D"],
        d_sae=sizes["F"],
        model_name=model_name or "",
        hook_name=hook_name,
        k=k if isinstance(k, int) else None,
        d_out=sizes.get("O", sizes["D"]),
        hook_name_out=hook_name_out,
        skip="W_skip" in tensors,
    )
    sae = fill(empty, tensors, source=source)
    sae.cfg = replace(sae.cfg, **{name: value for name, value in config.items() if value is not None})
    return sae
