"""Next-token loss and KL divergence of several branches against the original model, logits in chunks.

With p the original next-token distribution and l a branch's logits, KL(p || branch) = sum p (log p - l) + logsumexp(l)
and the branch's loss is logsumexp(l) - l[target]: one product with the unembedding per branch, one chunk at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sae_bench.language_models import LanguageModel, Resume
from sae_bench.language_models.hooks import EMBED, HookPoint, parse_hook_name

STREAMS_BETWEEN_LAYERS = ("hook_resid_pre", "hook_resid_post")

CHUNK_BYTES = 64 << 20
"""Size of one chunk of float32 logits."""

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
    constants = {name: (z.float(), torch.logsumexp(z.float(), 0)) for name, z in constant_branches_V.items()}
    chunk = max(1, CHUNK_BYTES // (4 * lm.d_vocab))
    for start in range(0, len(target_N), chunk):
        part = slice(start, start + chunk)
        target, counts = target_N[part, None], counts_N[part]
        logits = lm.unembed(original_ND[part]).float()
        normaliser = torch.logsumexp(logits, dim=-1)
        totals.loss += _sum((normaliser - logits.gather(1, target)[:, 0])[counts])
        log_p = logits.sub_(normaliser[:, None])
        p = log_p.exp()
        for name, h in hidden.items():
            branch = lm.unembed(h[part]).float()
            branch_normaliser = torch.logsumexp(branch, dim=-1)
            sums[name].loss += _sum((branch_normaliser - branch.gather(1, target)[:, 0])[counts])
            sums[name].kl += _sum(_expected_difference(p, log_p, branch) + branch_normaliser)
        for name, (z, z_normaliser) in constants.items():
            sums[name].loss += _sum((z_normaliser - z[target[:, 0]])[counts])
            sums[name].kl += _sum(_expected_difference(p, log_p, z[None]) + z_normaliser)


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
    if hook.kind in STREAMS_BETWEEN_LAYERS:
        return lm.final_hidden(ids_BL, resume=Resume(hook.first_downstream_layer, value_BLW))
    return lm.final_hidden(ids_BL, resume=start, replace={hook.name: lambda _original: value_BLW})


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


def _expected_difference(
    p_NV: Float[Tensor, "N V"], log_p_NV: Float[Tensor, "N V"], logits_NV: Float[Tensor, "_ V"]
) -> Float[Tensor, "N"]:
    """sum p (log p - l), the difference taken first: the terms of equal branches cancel exactly."""
    return (log_p_NV - logits_NV).mul_(p_NV).sum(dim=-1)


def _sum(x: Tensor) -> float:
    return float(x.double().sum()) if x.device.type != "mps" else float(x.sum())
