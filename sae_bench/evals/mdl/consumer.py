"""Reads the packed rows of the pass: keeps activations and active codes, and the ranges of the codes.

Ranges are known at the end of the pass only, histograms and reconstructions need them: so the active codes stay in main
memory between the two, and the model runs once. What is kept, for N tokens of D coordinates: the activations, once for
all SAEs at a hook (N D numbers in the model's dtype; of a transcoder those of both hooks), and 12 bytes per active code
(16 if k is limited) of every SAE of the group, up to `max_code_bytes` in all. Beyond that, codes are not kept but made
again from the activations when the SAE is scored: the same numbers for a second encode.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sae_bench.activations.batches import ActivationBatch
from sae_bench.activations.device_limits import encode_with_halving
from sae_bench.custom_saes.interface import SparseCodes, has_skip_path, skip_path
from sae_bench.custom_saes.loading import Member
from sae_bench.evals.mdl.bins import Ranges
from sae_bench.evals.mdl.codes import ActiveCodes

logger = logging.getLogger(__name__)

MAX_CODE_BYTES = 4 << 30
ROWS_PER_BLOCK = 4
"""Consecutive rows are the units of the error bars; neighbours may be parts of one document."""


@dataclass(frozen=True)
class KeptBatch:
    """One batch as the sweep reads it.

    Attributes:
        target_ND: what the latents have to reconstruct: activations at the hook that the SAE writes, less what goes by
            no latent (a skip path).
        active: its codes.
        block_N: the block of rows that each token is of.
    """

    target_ND: Float[Tensor, "N D"]
    active: ActiveCodes
    block_N: Int[Tensor, " N"]


class MDLConsumer:
    """What the sweep over bins needs of every SAE of a group."""

    def __init__(
        self, members: Sequence[Member], k_values: Sequence[int | None], *, max_code_bytes: int = MAX_CODE_BYTES
    ) -> None:
        self.k_values = tuple(k_values)
        self._limits = [k for k in k_values if k is not None]
        self._widest = None if None in k_values else max(self._limits)
        self._bytes_left = max_code_bytes
        self._x: dict[str, list[Tensor]] = {hook: [] for m in members for hook in (m.hook_name, m.hook_name_out)}
        self._blocks: list[Tensor] = []
        self._codes: dict[str, list[ActiveCodes | None]] = {m.key: [] for m in members}
        self._ranges: dict[str, dict[int | None, Ranges]] = {}
        self._spread: dict[str, Tensor] = {}

    @property
    def n_tokens(self) -> int:
        """Tokens read."""
        return sum(len(block_N) for block_N in self._blocks)

    @property
    def tokens_U(self) -> Float[Tensor, " U"]:
        """Tokens of every block."""
        return torch.cat(self._blocks).bincount().double() if self._blocks else torch.zeros(0, dtype=torch.float64)

    def on_activations(self, batch: ActivationBatch) -> None:
        row_B = torch.tensor(batch.rows)
        self._blocks.append(row_B[batch.text_of_token_N.cpu()] // ROWS_PER_BLOCK)
        for hook, batches in self._x.items():
            batches.append(batch.tokens(hook).cpu())

    def on_codes(self, batch: ActivationBatch, member: Member, codes: SparseCodes | Tensor) -> None:  # noqa: ARG002
        active = self._active(codes)
        ranges = self._ranges.setdefault(member.key, {})
        for k in self.k_values:
            largest = active.largest(k)
            of_k = ranges.setdefault(k, Ranges(int(member.sae.cfg.d_sae), largest.value_A.device))
            of_k.update(largest.latent_A, largest.value_A)
        self._keep(member, active)

    def on_batch_end(self, batch: ActivationBatch) -> None:
        """Nothing to do."""

    def drop(self, member: Member) -> None:
        self._codes.pop(member.key, None)
        self._ranges.pop(member.key, None)

    def ranges(self, member: Member, k: int | None) -> Ranges:
        """The ranges of the SAE's codes when a token keeps `k` of them."""
        return self._ranges[member.key][k]

    def batches(self, member: Member) -> Iterator[KeptBatch]:
        """All batches on the SAE's device; codes that were not kept are made again."""
        device = member.sae.W_dec.device
        codes = self._codes[member.key]
        read, written = self._x[member.hook_name], self._x[member.hook_name_out]
        for x_ND, y_ND, active, block_N in zip(read, written, codes, self._blocks, strict=True):
            x = x_ND.to(device)
            if active is None:
                active = self._active(encode_with_halving(member.sae, x))
            target_ND = x if y_ND is x_ND else y_ND.to(device)
            if has_skip_path(member.sae):
                skipped_ND = skip_path(member.sae, x.to(member.sae.W_dec.dtype))
                assert skipped_ND is not None
                target_ND = target_ND.float() - skipped_ND.float()
            yield KeptBatch(target_ND, active.to(device), block_N)

    def spread_U(self, hook: str) -> Float[Tensor, " U"]:
        """Per block the sum over its tokens of the squared distance to the mean of all tokens, float64."""
        if hook not in self._spread:
            total_D = torch.stack([x.sum(dim=0, dtype=torch.float64) for x in self._x[hook]]).sum(dim=0)
            mean_D = (total_D / self.n_tokens).float()
            distances = [(x.float() - mean_D).pow(2).sum(dim=1).double() for x in self._x[hook]]
            self._spread[hook] = sum_by_block(torch.cat(distances), torch.cat(self._blocks), len(self.tokens_U))
        return self._spread[hook]

    def _active(self, codes: SparseCodes | Tensor) -> ActiveCodes:
        return ActiveCodes.of(codes, ranked=bool(self._limits)).largest(self._widest)

    def _keep(self, member: Member, active: ActiveCodes) -> None:
        fits = active.nbytes <= self._bytes_left
        if not fits and all(codes is not None for codes in self._codes[member.key]):
            logger.info("%s: no room for more codes in memory; the rest will be encoded again", member.key)
        self._bytes_left -= active.nbytes if fits else 0
        self._codes[member.key].append(active.to(torch.device("cpu")) if fits else None)


def sum_by_block(value_N: Float[Tensor, " N"], block_N: Int[Tensor, " N"], n_blocks: int) -> Float[Tensor, " U"]:
    """float64 sums of a value per token over the blocks, on the CPU."""
    total = torch.zeros(n_blocks, dtype=torch.float64)
    return total.index_add_(0, block_N, value_N.cpu().double())
