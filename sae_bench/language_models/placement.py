"""Models whose parts are on several devices, or wait on CPU or disk until they are needed, as accelerate does it.

Accelerate wraps the forward of modules: what goes in moves to the module's device, and weights that wait come there for
as long as the module runs. Between its turns such a weight is an empty one on the device `meta`.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sae_bench.errors import ModelError, UsageError

DeviceMap = str | Mapping[str, str | int]

WAYS = ("auto", "balanced")
"""How accelerate divides a model by itself: `auto` and `balanced` over all GPUs, then the CPU, then the disk."""

_WHERE = "cpu, disk, mps, cuda:<i>, or the number of a GPU"
_ACCELERATE = ("forward", "_hf_hook", "_old_forward")


def read_device_map(value: DeviceMap) -> str | dict[str, str | int]:
    """A device map as it was asked for: `auto`, `balanced`, or where each module goes, as a mapping or as JSON.

    Raises:
        UsageError: it is neither, or it names a place that is no device.
    """
    if isinstance(value, str):
        if value in WAYS:
            return value
        try:
            parsed = json.loads(value)
        except json.JSONDecodeError:
            parsed = None
        if not isinstance(parsed, dict):
            raise UsageError(
                f"device_map: {value!r} is neither {' nor '.join(WAYS)} nor JSON that maps modules to devices, such as "
                '\'{"": "cpu"}\' or \'{"model.embed_tokens": 0, "model.layers.0": 0, "model.layers.1": "disk", ...}\'.'
            )
        value = parsed
    for module, where in value.items():
        if not _is_place(where):
            raise UsageError(f"device_map: module '{module}' cannot go to {where!r}; use {_WHERE}.")
    return dict(value)


def _is_place(where: object) -> bool:
    if isinstance(where, bool) or not isinstance(where, str | int):
        return False
    if where == "disk" or (isinstance(where, int) and where >= 0):
        return True
    try:
        return isinstance(where, str) and torch.device(where).type in ("cpu", "cuda", "mps")
    except RuntimeError:
        return False


def device_of(module: nn.Module) -> torch.device:
    """Where a module with a weight runs: the device of its weight, or the one that the weight comes to."""
    for hook in _hooks(module):
        if hook.execution_device is not None:
            return torch.device(hook.execution_device)
    return next(module.parameters()).device


def real_weights(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Name and values of every weight by name, those that wait fetched one at a time."""
    for name, weight in sorted(model.state_dict().items()):
        yield name, weight if weight.device.type != "meta" else _fetched(model, name, weight)


def _fetched(model: nn.Module, name: str, empty: Tensor) -> Tensor:
    """The values of a weight that waits, in the dtype in which it is used."""
    path, _, own_name = name.rpartition(".")
    for hook in _hooks(model.get_submodule(path)):
        if hook.offload and hook.weights_map is not None:
            values: Tensor = hook.weights_map[own_name]
            return values.to(empty.dtype)
    raise ModelError(f"the weight '{name}' has no values: it is on the device 'meta'. Next: load the model anew.")


def detached_copy(module: nn.Module) -> nn.Module:
    """A copy of a small module that runs where it is put, with weights of no set value where the module's own wait."""
    hook = vars(module).get("_hf_hook")
    made = copy.deepcopy(module, {} if hook is None else {id(hook): hook})  # a hook may hold the weights of the model
    if hook is not None:
        for name in _ACCELERATE:
            vars(made).pop(name, None)
    if any(weight.device.type == "meta" for weight in made.parameters()):
        made.to_empty(device="cpu")
    return made


def _hooks(module: nn.Module) -> list[Any]:
    """Accelerate's hooks of a module that say where it runs."""
    hook = getattr(module, "_hf_hook", None)
    return [one for one in getattr(hook, "hooks", [hook]) if hasattr(one, "execution_device")]
