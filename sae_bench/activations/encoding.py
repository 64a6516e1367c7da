"""Batches of activations through the SAEs: codes handed on, checked, and SAEs that fail left out."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable

import torch
from torch import Tensor

from sae_bench.activations.batches import ActivationBatch
from sae_bench.activations.device_limits import encode_with_halving
from sae_bench.activations.pass_report import PassReport
from sae_bench.custom_saes.interface import SparseCodes, encode_rows, encode_tokens, reads_rows
from sae_bench.custom_saes.loading import Member
from sae_bench.errors import SAEMismatchError, no_exit
from sae_bench.language_models.numbers import dtype_name

logger = logging.getLogger(__name__)

BATCHES_PER_READ = {"cpu": 1}
"""After so many batches it is read, by type of device, whether all codes were finite; 20 elsewhere: a read waits."""


class Encoder:
    """Encodes with every SAE that has not failed; failures and seconds go into a report."""

    def __init__(self, report: PassReport, device: torch.device) -> None:
        self.report = report
        self.batches_per_read = BATCHES_PER_READ.get(device.type, 20)
        self._unread: list[tuple[Tensor, Member, torch.dtype, Callable[[Member], object]]] = []
        self._batches_unread = 0

    def encode(
        self,
        batch: ActivationBatch,
        members: list[Member],
        consume: Callable[[ActivationBatch, Member, SparseCodes | Tensor], None],
        on_drop: Callable[[Member], object],
    ) -> None:
        """Encode the batch with every SAE and hand the codes on; an SAE that fails in either is left out."""
        alive = self.report.alive(members)
        tokens = {hook: batch.tokens(hook) for hook in {m.hook_name for m in alive}}
        for member in alive:
            try:
                with self.report.timed("sae_encode"), no_exit(member.key):
                    x_ND = tokens[member.hook_name]
                    if reads_rows(member.sae):
                        codes = encode_with_halving(member.sae, batch.x_BLD[member.hook_name], encode_rows)
                        assert isinstance(codes, Tensor)
                        codes = codes.flatten(0, 1)[batch.token_N]
                    else:
                        codes = encode_with_halving(member.sae, x_ND, encode_tokens)
                    self._check_codes(codes, len(x_ND), member, on_drop)
                with self.report.timed("consume"):
                    consume(batch, member, codes)
            except Exception as error:
                traceback.clear_frames(error.__traceback__)  # its lines stay, the tensors of its frames go
                self._leave_out(member, error, on_drop)
        self._batches_unread += 1
        if self._batches_unread >= self.batches_per_read:
            self.read_checks()

    def _leave_out(self, member: Member, error: Exception, on_drop: Callable[[Member], object]) -> None:
        logger.error("%s failed and is left out: %s", member.key, error)
        self.report.failed[member.key] = error
        on_drop(member)

    def _check_codes(
        self, codes: SparseCodes | Tensor, n_tokens: int, member: Member, on_drop: Callable[[Member], object]
    ) -> None:
        """Refuse codes of a wrong shape now, and those that are no finite numbers when the device is next read."""
        expected = (n_tokens, int(member.sae.cfg.d_sae))
        got = (len(codes.values_NK), codes.d_sae) if isinstance(codes, SparseCodes) else tuple(codes.shape)
        if got != expected:
            raise SAEMismatchError(f"'{member.key}' encodes to codes of shape {got}; it has to be {expected}.")
        values = codes.values_NK if isinstance(codes, SparseCodes) else codes
        is_finite = torch.isfinite(values.sum(dtype=torch.float32))  # one read of the codes, and a NaN stays one
        if self.batches_per_read > 1:
            self._unread.append((is_finite, member, values.dtype, on_drop))
        elif not bool(is_finite):
            raise _not_finite(member, values.dtype)

    def read_checks(self) -> None:
        """Whether the codes of the batches since the last time were finite, in one read of the device."""
        unread, self._unread, self._batches_unread = self._unread, [], 0
        if not unread:
            return
        for good, (_, member, dtype, on_drop) in zip(torch.stack([u[0] for u in unread]).tolist(), unread, strict=True):
            if not good and member.key not in self.report.failed:
                self._leave_out(member, _not_finite(member, dtype), on_drop)


def _not_finite(member: Member, dtype: torch.dtype) -> SAEMismatchError:
    return SAEMismatchError(
        f"'{member.key}' encodes to codes that are NaN or infinite, in {dtype_name(dtype)}. "
        "Next: look for broken weights in its file, or run it in a wider dtype."
    )
