"""Temporary changes to a model's forward pass: read or replace a value at a hook, start from a layer.

Both are context managers that leave the modules as they found them, also after an exception.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sae_bench.errors import HookError, UsageError
from sae_bench.language_models.hooks import HookPoint, HookSite

Replacement = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Resume:
    """Where a forward pass starts: `hidden_BLD` is the residual stream that enters `layer`."""

    layer: int
    hidden_BLD: Float[Tensor, "B L D"]

    def reaches(self, hook: HookPoint) -> bool:
        """Whether the value at `hook` is computed after this start (or is the start itself)."""
        is_start = hook.kind == "hook_resid_post" and hook.layer == self.layer - 1
        return is_start or hook.layer >= self.layer


@contextmanager
def intervene(
    site: HookSite, function: Replacement, *, batch_shape: torch.Size, device: torch.device | None = None
) -> Iterator[None]:
    """While open, the value at `site` passes through `function` as a (B, L, d) tensor.

    Where a skip connection carries the value on beside the module, the change is added to what it arrives at.

    Args:
        batch_shape: (B, L); some modules (the MLP of OPT) see their tokens as one row of B * L.
        device: where the function works; what it returns goes back to where the module is. None: there.
    """

    changes: list[Tensor] = []

    def apply(own: Tensor) -> Tensor:
        value = own if device is None else own.to(device)
        new = changed(value)
        return own if new is value else new.to(own.device)

    def changed(value: Tensor) -> Tensor:
        if site.view is not None:
            shown = site.view(value).unflatten(0, batch_shape) if value.ndim == 2 else site.view(value)
            if function(shown) is not shown:
                raise HookError("what a norm gives before its weights can be read and not replaced.")
            return value
        new = function(value.unflatten(0, batch_shape)).flatten(0, 1) if value.ndim == 2 else function(value)
        if site.carrier is not None and new is not value:
            changes.append(new - value)
        return new

    def add_change(_module: nn.Module, _args: object, output: Any) -> Any:
        if not changes:
            return output
        change = changes.pop()
        if isinstance(output, tuple | list):
            return (output[0] + change.to(output[0].device).view_as(output[0]), *output[1:])
        return output + change.to(output.device).view_as(output)

    def on_output(_module: nn.Module, _args: object, output: Any) -> Any:
        if isinstance(output, tuple | list):
            return (apply(output[0]), *output[1:])
        return apply(output)

    def on_input(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if args:
            return (apply(args[0]), *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": apply(kwargs["hidden_states"])}

    if site.side == "output":
        handle = site.module.register_forward_hook(on_output)
    else:
        handle = site.module.register_forward_pre_hook(on_input, with_kwargs=True)
    carried = site.carrier.register_forward_hook(add_change) if site.carrier is not None else None
    try:
        yield
    finally:
        handle.remove()
        if carried is not None:
            carried.remove()


@contextmanager
def start_from(resume: Resume, layers: nn.ModuleList, *, beside_stream: int | None) -> Iterator[None]:
    """While open, layers before `resume.layer` hand on the given residual stream instead of computing.

    Args:
        beside_stream: how many values a layer hands on beside the stream, as a tuple; None if it is the stream alone.
    """
    hidden = resume.hidden_BLD
    if resume.layer == 0:  # nothing to skip: the stream that enters layer 0 is put there directly
        with intervene(HookSite(layers[0], "input"), lambda _value: hidden, batch_shape=hidden.shape[:2]):
            yield
        return
    output: Any = hidden if beside_stream is None else (hidden, *[None] * beside_stream)
    skipped = list(layers[: resume.layer])
    patched_before = [vars(layer).get("forward") for layer in skipped]
    for layer in skipped:
        layer.forward = lambda *_args, **_kwargs: output
    try:
        yield
    finally:
        for layer, forward in zip(skipped, patched_before, strict=True):
            if forward is None:
                del layer.forward
            else:  # another library (accelerate's offloading, say) had put its own forward on the instance
                layer.forward = forward


def check_resume(resume: Resume, hooks: Sequence[HookPoint], *, n_layers: int, batch_shape: torch.Size) -> None:
    """Refuse a start that the model does not have, or hooks that a pass from there never computes.

    Raises:
        HookError: the layer is beyond the model's depth, or a hook lies before the start.
        UsageError: the residual stream is not that of this batch.
    """
    if not 0 <= resume.layer <= n_layers:
        raise HookError(f"cannot start from layer {resume.layer}: the model has {n_layers} layers (0 to {n_layers}).")
    if resume.hidden_BLD.shape[:2] != batch_shape:
        raise UsageError(
            f"the residual stream to start from has (batch, sequence) {tuple(resume.hidden_BLD.shape[:2])}, "
            f"the token ids have {tuple(batch_shape)}."
        )
    before = [hook.name for hook in hooks if not resume.reaches(hook)]
    if before:
        raise HookError(f"a pass that starts from layer {resume.layer} does not compute {', '.join(before)}.")
