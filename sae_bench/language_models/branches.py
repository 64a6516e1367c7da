"""Running a model on from a layer with one value replaced: the branches that evals compare with the original.

Layers before the change are not run again; a branch resumes from a stream that was captured on the way.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sae_bench.language_models.hooks import EMBED, HookPoint
from sae_bench.language_models.interventions import Replacement, Resume
from sae_bench.language_models.model import LanguageModel

STREAMS_BETWEEN_LAYERS = ("hook_resid_pre", "hook_resid_post")

TOKENS_AT_ONCE = 1024
"""Tokens of a branch that run through the layers together on a CPU, so that what they make stays in the caches."""


def stream_before(hook: HookPoint) -> str:
    """Name of the residual stream that enters the layer of `hook`."""
    return f"blocks.{hook.layer}.hook_resid_pre"


def resume_point(hook: HookPoint, x_BLD: Mapping[str, Tensor]) -> Resume | None:
    """Where a branch starts: the stream that enters the first layer affected by a change at `hook`.

    None for the embedding: nothing comes before it.

    Args:
        hook: where the change is made.
        x_BLD: captured (B, L, D) streams by hook name.
    """
    if hook.kind == EMBED:
        return None
    if hook.kind in STREAMS_BETWEEN_LAYERS:
        return Resume(hook.first_downstream_layer, x_BLD[hook.name])
    return Resume(hook.first_downstream_layer, x_BLD[stream_before(hook)])


def run_branch(
    lm: LanguageModel,
    hook: HookPoint,
    ids_BL: Int[Tensor, "B L"],
    start: Resume | None,
    value_BLW: Float[Tensor, "B L W"],
) -> Float[Tensor, "B L D"]:
    """Final hidden states when a value takes the place of the one at `hook`; earlier layers do not run.

    Args:
        hook: where the change is made.
        ids_BL: token ids.
        start: where to resume, as `resume_point` gives it; None starts at the embedding.
        value_BLW: what takes the place, W values per token.
    """
    rows = max(1, TOKENS_AT_ONCE // ids_BL.shape[1]) if ids_BL.device.type == "cpu" else len(ids_BL)
    parts = []
    for first in range(0, len(ids_BL), rows):
        part = slice(first, first + rows)
        ids, value = ids_BL[part], value_BLW[part]
        if hook.kind in STREAMS_BETWEEN_LAYERS:
            parts.append(lm.final_hidden(ids, resume=Resume(hook.first_downstream_layer, value)))
        else:
            begin = None if start is None else Resume(start.layer, start.hidden_BLD[part])
            parts.append(lm.final_hidden(ids, resume=begin, replace={hook.name: _constant(value)}))
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _constant(value: Tensor) -> Replacement:
    return lambda _old: value
