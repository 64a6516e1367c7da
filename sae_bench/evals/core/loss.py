"""Next-token loss and KL divergence of several branches against the original model, logits in chunks.

With p the original next-token distribution and q a branch's, KL = sum p (log p - log q) and the branch's loss is
-log q[target]: one product with the unembedding and one log-softmax per branch, one chunk at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sae_bench.language_models import LanguageModel, Resume
from sae_bench.language_models.hooks import EMBED, HookPoint, parse_hook_name
from sae_bench.language_models.interventions import Replacement

STREAMS_BETWEEN_LAYERS = ("hook_resid_pre", "hook_resid_post")

CHUNK_BYTES = 64 << 20
"""Size of one chunk of float32 logits."""

TOKENS_AT_ONCE = 1024
"""Tokens of a branch that run through the layers together on a CPU, so that what they make stays in the caches."""

ROUNDING = {False: 1e-4, True: 3e-2}
"""How far equal hidden states may lie apart, relative to the largest entry, in full and in half precision."""


@dataclass
class BranchSums:
    """Sums over valid tokens of one branch."""

    kl: float = 0.0
    loss: float = 0.0


@dataclass
class LossSums:
    """Sums over valid tokens of the original model, and how many there were.

    `n_targets` is smaller than `n_tokens`: the last token of a row predicts nothing.
    """

    n_tokens: int = 0
    n_targets: int = 0
    loss: float = 0.0


def compare_branches(
    lm: LanguageModel,
    original_BLD: Float[Tensor, "B L D"],
    branches_BLD: Mapping[str, Float[Tensor, "B L D"]],
    constant_branches_V: Mapping[str, Float[Tensor, "V"]],
    ids_BL: Int[Tensor, "B L"],
    valid_BL: Bool[Tensor, "B L"],
    totals: LossSums,
    sums: Mapping[str, BranchSums],
) -> None:
    """Add one batch to `totals` and to the sums of every branch.

    Args:
        original_BLD, branches_BLD: final hidden states of the model and of each branch.
        constant_branches_V: logits of branches whose prediction depends neither on text nor position.
    """
    targets_BL = torch.cat([ids_BL[:, 1:], ids_BL[:, :1]], dim=1)
    has_target_BL = valid_BL.clone()
    has_target_BL[:, -1] = False
    hidden = {name: h[valid_BL] for name, h in branches_BLD.items()}
    original_ND, target_N, counts_N = original_BLD[valid_BL], targets_BL[valid_BL], has_target_BL[valid_BL]
    totals.n_tokens += len(target_N)
    totals.n_targets += int(counts_N.sum())
    constants = {name: torch.log_softmax(z.float(), dim=-1) for name, z in constant_branches_V.items()}
    chunk = max(1, CHUNK_BYTES // (4 * lm.d_vocab))
    for start in range(0, len(target_N), chunk):
        part = slice(start, start + chunk)
        target, counts = target_N[part, None], counts_N[part]
        log_p = torch.log_softmax(lm.unembed(original_ND[part]).float(), dim=-1)
        totals.loss -= _sum(log_p.gather(1, target)[counts])
        for name, h in hidden.items():
            log_q = torch.log_softmax(lm.unembed(h[part]).float(), dim=-1)
            sums[name].loss -= _sum(log_q.gather(1, target)[counts])
            sums[name].kl += _sum(_divergence(log_p, log_q))
        for name, log_q in constants.items():
            sums[name].loss -= _sum(log_q[target[:, 0]][counts])
            sums[name].kl += _sum(_divergence(log_p, log_q.expand_as(log_p)))


def resume_point(hook: HookPoint, x_BLD: Mapping[str, Tensor]) -> Resume | None:
    """Where a branch starts: the stream that enters the first layer affected by a change at `hook`.

    None for the embedding: nothing comes before it.
    """
    if hook.kind == EMBED:
        return None
    if hook.kind in STREAMS_BETWEEN_LAYERS:
        return Resume(hook.first_downstream_layer, x_BLD[hook.name])
    return Resume(hook.first_downstream_layer, x_BLD[stream_before(hook)])


def stream_before(hook: HookPoint) -> str:
    """Name of the residual stream that enters the layer of `hook`."""
    return f"blocks.{hook.layer}.hook_resid_pre"


def run_branch(
    lm: LanguageModel,
    hook: HookPoint,
    ids_BL: Int[Tensor, "B L"],
    start: Resume | None,
    value_BLW: Float[Tensor, "B L W"],
) -> Float[Tensor, "B L D"]:
    """Final hidden states when `value_BLW` takes the place of the value at `hook`; earlier layers do not run."""
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


def zero_stream_logits(lm: LanguageModel, hook: str) -> Float[Tensor, "V"] | None:
    """Logits when a residual stream is all zeros: the same at every position of every text.

    From a zero stream on, all positions hold the same vector, so attention averages equal values whatever its
    weights and positions are: one vector stands for all. Models for which that does not hold (attention sinks, inputs
    to each layer that depend on the token) are found by trying eight tokens; they get None.
    """
    point = parse_hook_name(hook)
    ids = torch.arange(8, device=lm.device).view(2, 4)
    zeros = torch.zeros((2, 4, lm.d_model), dtype=lm.dtype, device=lm.device)
    start = Resume(point.first_downstream_layer, zeros)
    hidden_BLD = run_branch(lm, point, ids, start, zeros)
    tolerance = ROUNDING[lm.dtype in (torch.bfloat16, torch.float16)] * float(hidden_BLD.abs().max())
    if float((hidden_BLD - hidden_BLD[0, 0]).abs().max()) > tolerance:
        return None
    return lm.unembed(hidden_BLD[0, 0])


def _divergence(log_p_NV: Float[Tensor, "N V"], log_q_NV: Float[Tensor, "N V"]) -> Float[Tensor, "N V"]:
    """p (log p - log q), the difference taken first: equal branches give exactly zero."""
    return torch.nn.functional.kl_div(log_q_NV, log_p_NV, reduction="none", log_target=True)


def _sum(x: Tensor) -> float:
    """Sum of the rows' float32 sums, in float64 where the device has it."""
    rows = x.sum(dim=-1)
    return float(rows.double().sum()) if x.device.type != "mps" else float(rows.sum())
