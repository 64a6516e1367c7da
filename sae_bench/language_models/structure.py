"""Whether a loaded model is built as `LanguageModel` takes it to be, tried on a few tokens when it is loaded."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from sae_bench.errors import HookError, ModelError
from sae_bench.language_models import trials
from sae_bench.language_models.hooks import HookSite, layer_hooks, locate, norm_before_mlp
from sae_bench.language_models.interventions import Replacement, intervene
from sae_bench.language_models.numbers import dtype_name, next_dtype


@runtime_checkable
class BuiltModel(trials.Reader, Protocol):
    """What is looked at of a language model."""

    name: str
    model: Any
    layers: nn.ModuleList
    embedding: nn.Embedding

    @property
    def device(self) -> torch.device: ...

    @property
    def d_model(self) -> int: ...

    @property
    def unembed(self) -> Callable[..., Tensor]: ...


@torch.no_grad()
def check_structure(lm: BuiltModel) -> int | None:
    """How many values a layer hands on beside the stream, None if it hands on the stream alone.

    Raises:
        ModelError: logits are no numbers, layers hand on no residual stream, or hidden states and unembedding do not
            give the model's own logits.
    """
    outputs: list[object] = []
    handle = lm.layers[0].register_forward_hook(lambda _module, _args, output: outputs.append(output))
    ids = torch.arange(4, device=lm.device).remainder(lm.d_vocab)[None]
    try:
        expected = lm.model(input_ids=ids, use_cache=False).logits
    finally:
        handle.remove()
    if not bool(expected.isfinite().all()):
        raise ModelError(
            f"'{lm.name}' gives logits that are NaN or infinite in {dtype_name(lm.dtype)}. {next_dtype(lm.dtype)}"
        )
    stream, beside_stream = _split_output(outputs[0])
    if stream.shape != (1, 4, lm.d_model):
        raise ModelError(
            f"'{lm.name}' ({type(lm.layers[0]).__name__}): its layers hand on {tuple(stream.shape)} numbers "
            f"for 4 tokens of width {lm.d_model}, not one residual stream each. Such models are not supported."
        )
    rebuilt = lm.unembed(lm.final_hidden(ids))
    tolerance = 1e-2 * expected.float().abs().max().item()
    if not torch.allclose(rebuilt.float(), expected.float(), rtol=0.0, atol=tolerance):
        worst = (rebuilt.float() - expected.float()).abs().max().item()
        raise ModelError(
            f"'{lm.name}' ({type(lm.model).__name__}): logits rebuilt from its final hidden states differ from "
            f"its own by {worst:.3g}. Its head does something this version does not know (a logit scale, say)."
        )
    return beside_stream


@torch.no_grad()
def misnamed_hooks(lm: BuiltModel, layer: int) -> dict[str, float]:
    """Kinds of hooks whose values are not what they are named after in this layer, and how far off they are."""
    values: dict[str, Tensor] = {}
    ids_BL = trials.trial_ids(8, lm)[None]

    def note(kind: str) -> Replacement:
        return lambda value: values.setdefault(kind, value)

    norm = norm_before_mlp(lm.layers[layer])
    sites = {} if norm is None else {trials.NORM_BEFORE_MLP: HookSite(norm, "output")}
    for point in layer_hooks(layer):
        with suppress(HookError):
            sites[point.kind] = locate(point, lm.layers, lm.embedding)
    with ExitStack() as stack:
        for kind, site in sites.items():
            stack.enter_context(intervene(site, note(kind), batch_shape=ids_BL.shape, device=lm.device))
        lm.final_hidden(ids_BL)
    return trials.wrong_parts(values)


def _split_output(output: Any) -> tuple[Tensor, int | None]:
    """The stream that a layer hands on, and how many values stand beside it; None if it is no tuple."""
    return (output[0], len(output) - 1) if isinstance(output, tuple | list) else (output, None)
