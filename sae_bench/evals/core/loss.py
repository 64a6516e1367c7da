"""Next-token loss and KL divergence of several branches against the original model, logits in chunks.

With logits z and a normaliser c = logsumexp z, log p = z - c. The divergence of a branch q from the original p is
KL = sum_v p_v (log p_v - log q_v) = (sum_v p_v z_v - c) - (sum_v p_v z^q_v - c^q), and its loss is c^q - z^q[target]:
a branch costs one product with the unembedding, one logsumexp and one weighted sum, and equal branches give exactly
zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

ROWS_AT_ONCE = 16
"""Rows of logits that are reduced together on a CPU, so that they are read from memory once."""

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
    chunk = max(1, CHUNK_BYTES // (4 * lm.d_vocab))
    for start in range(0, len(target_N), chunk):
        part = slice(start, start + chunk)
        target, counts = target_N[part], counts_N[part]
        original, p_NV = _original(lm.unembed(original_ND[part]).float(), target)
        totals.loss -= _sum(original.log_prob_N[counts])
        for name, h in hidden.items():
            _add(sums[name], original, _branch(lm.unembed(h[part]).float(), target, p_NV), counts)
        for name, logits_V in constant_branches_V.items():
            _add(sums[name], original, _constant_branch(logits_V.float(), target, p_NV), counts)


@dataclass(frozen=True)
class _Predictions:
    """Of N tokens: log-probability of the target, and sum_v p_v log q_v with p the original distribution."""

    log_prob_N: Tensor
    expected_N: Tensor


def _add(sums: BranchSums, original: _Predictions, branch: _Predictions, counts_N: Tensor) -> None:
    sums.loss -= _sum(branch.log_prob_N[counts_N])
    sums.kl += _sum(original.expected_N - branch.expected_N)


def _original(z_NV: Float[Tensor, "N V"], target_N: Int[Tensor, "N"]) -> tuple[_Predictions, Float[Tensor, "N V"]]:
    """The original predictions, and the distribution p."""
    p_NV = torch.empty_like(z_NV)
    rows = []
    for z, p, target in zip(_blocks(z_NV), _blocks(p_NV), _blocks(target_N), strict=True):
        c = torch.logsumexp(z, dim=-1, keepdim=True)
        torch.sub(z, c, out=p).exp_()
        rows.append(_reduced(z, c, p, target))
    return _joined(rows), p_NV


def _branch(z_NV: Float[Tensor, "N V"], target_N: Int[Tensor, "N"], p_NV: Float[Tensor, "N V"]) -> _Predictions:
    """Predictions of a branch."""
    rows = [
        _reduced(z, torch.logsumexp(z, dim=-1, keepdim=True), p, target)
        for z, p, target in zip(_blocks(z_NV), _blocks(p_NV), _blocks(target_N), strict=True)
    ]
    return _joined(rows)


def _constant_branch(z_V: Float[Tensor, "V"], target_N: Int[Tensor, "N"], p_NV: Float[Tensor, "N V"]) -> _Predictions:
    """Predictions of a branch that has the same logits everywhere."""
    log_q_V = torch.log_softmax(z_V, dim=-1)
    return _Predictions(log_q_V[target_N], p_NV @ log_q_V)


def _reduced(z_NV: Tensor, c_N1: Tensor, p_NV: Tensor, target_N: Tensor) -> tuple[Tensor, Tensor]:
    """(z - c)[target] and sum_v p_v z_v - c."""
    log_prob_N = (z_NV.gather(1, target_N[:, None]) - c_N1)[:, 0]
    return log_prob_N, torch.mul(p_NV, z_NV).sum(dim=-1) - c_N1[:, 0]


def _joined(rows: Sequence[tuple[Tensor, Tensor]]) -> _Predictions:
    log_probs, expected = zip(*rows, strict=True)
    return _Predictions(torch.cat(log_probs), torch.cat(expected))


def _blocks(x: Tensor) -> tuple[Tensor, ...]:
    return x.split(ROWS_AT_ONCE) if x.device.type == "cpu" else (x,)


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


def _sum(x_N: Float[Tensor, "N"]) -> float:
    """Sum in float64 where the device has it."""
    return float(x_N.double().sum()) if x_N.device.type != "mps" else float(x_N.sum())
