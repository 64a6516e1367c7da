"""A device that is none: tensors that live in main memory and say they are elsewhere, held to what a GPU would refuse.

An operation that mixes them with tensors of the CPU fails, as does NumPy; whatever the host reads of them, and whatever
is copied there, is counted by name.
"""

from __future__ import annotations

import collections
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = torch.device("meta")
"""Its name: a type that code under test knows nothing of, so that it takes the path of accelerators."""
READS = {"_local_scalar_dense", "nonzero", "bincount", "masked_select", "_unique2", "unique_dim", "equal"}
"""Operations that end when the device has answered, beside indexing with a mask and copies to the CPU."""
MOVES = {"_to_copy", "copy_"}
"""Operations that may mix devices."""
INDEXING = {"index", "index_put", "index_put_"}
"""Operations that take indices of the CPU on a tensor of the device."""
MATH_ATTENTION = 0


class OnDevice(Tensor):
    """A tensor of the device; its values are in `values`."""

    values: Tensor

    @staticmethod
    def __new__(cls, values: Tensor) -> OnDevice:
        made = Tensor._make_wrapper_subclass(
            cls, values.shape, strides=values.stride(), storage_offset=values.storage_offset(), dtype=values.dtype,
            device=DEVICE,
        )  # fmt: skip
        made.values = values
        return made

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def numpy(self, *, force: bool = False) -> np.ndarray:
        raise TypeError("a tensor of the device is no NumPy array")

    __array__ = numpy

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {})


def run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """One operation: on the device if a tensor of it takes part, or if it is told to make one there."""
    name = func.overloadpacket.__name__
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    there = any(isinstance(tensor, OnDevice) for tensor in tensors)
    assert not any(tensor.is_meta and not isinstance(tensor, OnDevice) for tensor in tensors), f"{name}: values lost"
    bound = tree_leaves((args[:1], args[2:])) if name in INDEXING and isinstance(args[0], OnDevice) else tensors
    left = [t for t in bound if isinstance(t, Tensor) and not isinstance(t, OnDevice) and t.ndim]
    target = kwargs.get("device")
    if there and left and name not in MOVES:
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in left)
        raise RuntimeError(f"{name}: tensors of shapes {shapes} are on the CPU, others on the device")
    if name == "_fused_sdp_choice":  # the kernels of the CPU are no device's
        return MATH_ATTENTION
    to_device = there if target is None else torch.device(target) == DEVICE
    if name == "copy_":
        to_device = isinstance(args[0], OnDevice)
    if target is not None:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    out = func(*tree_map(plain, args), **tree_map(plain, kwargs))
    if there and torch.Tag.inplace_view in func.tags:  # the shape of the tensor itself changes, too
        with no_dispatch():
            return func(*args, **kwargs)
    if not to_device:
        return out
    written = [(plain(t), t) for t in tensors if isinstance(t, OnDevice)]
    return tree_map(lambda leaf: wrapped(leaf, written), out)


def plain(leaf: Any) -> Any:
    """The values of a tensor of the device; anything else as it is."""
    return leaf.values if isinstance(leaf, OnDevice) else leaf


def wrapped(leaf: Any, written: list[tuple[Tensor, Tensor]]) -> Any:
    """A result as a tensor of the device: the very one that was written to, where it was."""
    if not isinstance(leaf, Tensor):
        return leaf
    return next((tensor for values, tensor in written if values is leaf), OnDevice(leaf))


class _FromNumbers(TorchFunctionMode):
    """Tensors made of Python numbers, lists of indices among them, lose them on a device of this type: made here."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in (torch.tensor, torch.as_tensor) and kwargs.get("device") is not None:
            return func(*args, **{**kwargs, "device": None}).to(kwargs["device"])
        if func in (Tensor.__getitem__, Tensor.__setitem__):
            places = args[1] if isinstance(args[1], tuple) else (args[1],)
            places = tuple(torch.tensor(place) if isinstance(place, list) else place for place in places)
            args = (args[0], places, *args[2:])
        return func(*args, **kwargs)


class Counted(TorchDispatchMode):
    """Within it the device is there; counts its operations, reads of the host and copies to the CPU by name."""

    def __init__(self) -> None:
        super().__init__()
        self.n = 0
        self.reads: collections.Counter[str] = collections.Counter()
        self._from_numbers = _FromNumbers()

    def __enter__(self) -> Counted:
        self._from_numbers.__enter__()
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._from_numbers.__exit__(*error)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        if any(isinstance(leaf, OnDevice) for leaf in tree_leaves((args, kwargs))):
            self.n += 1
            masks = name.startswith("index") and any(
                isinstance(leaf, Tensor) and leaf.dtype in (torch.bool, torch.uint8) for leaf in tree_leaves(args[1:2])
            )
            leaves = name == "_to_copy" and torch.device(kwargs.get("device") or DEVICE) != DEVICE
            leaves = leaves or (name == "copy_" and not isinstance(args[0], OnDevice))
            if name in READS or masks or leaves:
                self.reads["to the CPU" if leaves else name] += 1
        return run(func, args, kwargs)


def moved(module: nn.Module) -> nn.Module:
    """The same module with its weights on the device, in place."""
    for part in module.modules():
        for name, weight in part._parameters.items():
            if weight is not None:
                part._parameters[name] = nn.Parameter(OnDevice(weight.detach()), requires_grad=False)
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = OnDevice(buffer)
    return module
