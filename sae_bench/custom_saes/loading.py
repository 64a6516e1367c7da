"""SAEs that take part in a run: loaded group by group, as many at a time as memory allows."""

from __future__ import annotations

import dataclasses
import gc
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import psutil
import torch

from sae_bench.custom_saes.folding import fold_decoder_norm
from sae_bench.custom_saes.interface import check_finite
from sae_bench.custom_saes.spec import LoadContext, SAEHandle
from sae_bench.errors import SAEMismatchError, UsageError
from sae_bench.language_models import LanguageModel
from sae_bench.language_models.aliases import same_model

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Member:
    """A loaded SAE, on its device, with what a reader of its scores has to know.

    Attributes:
        release, sae_id: the two parts of its result file's name.
        sae: the object with `encode`, `decode`, `W_dec` and `cfg`.
        hook_name: where it sits.
        warnings: about its weights (a decoder that is not unit-norm, say).
    """

    release: str
    sae_id: str
    sae: Any = field(repr=False)
    hook_name: str
    warnings: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Unique name within a run."""
        return f"{self.release}_{self.sae_id}"


@dataclass(frozen=True)
class GroupLimits:
    """How much memory one group of SAEs may take; None measures what is free when the group is loaded.

    Attributes:
        device_bytes: for weights and one batch of codes, on the device.
        host_bytes: for pooled codes, in main memory.
        max_saes: at most so many SAEs at a time.
    """

    device_bytes: int | None = None
    host_bytes: int | None = None
    max_saes: int | None = None


def load_members(
    handles: Sequence[SAEHandle],
    context: LoadContext,
    lm: LanguageModel,
    *,
    limits: GroupLimits,
    n_texts: int,
    on_failure: Callable[[SAEHandle, Exception], None],
) -> Iterator[list[Member]]:
    """Yield groups of loaded SAEs; an SAE that cannot be loaded goes to `on_failure` and the rest go on.

    Args:
        n_texts: how many texts will be pooled: their codes are the main cost in main memory.
    """
    group: list[Member] = []
    device_used = host_used = 0
    device_limit, host_limit = _limits(limits, context.device)
    for handle in handles:
        try:
            member = load_member(handle, context, lm)
        except Exception as error:
            on_failure(handle, error)
            continue
        device_cost, host_cost = _cost(member, n_texts)
        full = device_used + device_cost > device_limit or host_used + host_cost > host_limit
        if group and (full or len(group) == limits.max_saes):
            logger.info("a group of %d SAEs fills the memory set aside for it", len(group))
            yield group
            group, device_used, host_used = [], 0, 0
            gc.collect()
            device_limit, host_limit = _limits(limits, context.device)
        group.append(member)
        device_used += device_cost
        host_used += host_cost
    if group:
        yield group


def load_member(handle: SAEHandle, context: LoadContext, lm: LanguageModel) -> Member:
    """Load one SAE, check it against the model, fold its decoder norms where that is exact.

    Raises:
        SAELoadError, SAEMismatchError, HookError: it cannot be loaded, does not fit, or its hook does not exist.
    """
    hook = handle.hook_name or context.hook_name
    sae = handle.load(dataclasses.replace(context, lm=lm, hook_name=hook))
    hook = getattr(sae.cfg, "hook_name", None) or hook
    if hook is None:
        raise UsageError(
            f"'{handle.release}:{handle.sae_id}' does not say where it sits (its cfg.hook_name is empty); add --hook, "
            f"e.g. --hook blocks.{lm.n_layers // 3}.hook_resid_post."
        )
    lm.hook_site(hook)
    check_finite(sae)
    d_hook = hook_width(lm, hook)
    if int(sae.cfg.d_in) != d_hook:
        raise SAEMismatchError(
            f"'{handle.release}:{handle.sae_id}' reads vectors of {sae.cfg.d_in} numbers, but '{hook}' of '{lm.name}' "
            f"has {d_hook}. Was it trained on another model or hook?"
        )
    warnings = list(fold_decoder_norm(sae))
    if handle.model_name and handle.model_name != lm.name and not same_model(handle.model_name, lm.name):
        warnings.append(f"the SAE was trained on '{handle.model_name}' and evaluated on '{lm.name}'")
    return Member(handle.release, handle.sae_id, sae, hook, tuple(warnings))


@torch.no_grad()
def hook_width(lm: LanguageModel, hook: str) -> int:
    """Size of the vectors at a hook, read off one token."""
    ids = torch.zeros((1, 1), dtype=torch.long, device=lm.device)
    return int(lm.capture(ids, [hook])[hook].shape[-1])


def _cost(member: Member, n_texts: int) -> tuple[int, int]:
    weights = 2 * member.sae.W_dec.nbytes
    codes_of_a_batch = 4096 * int(member.sae.cfg.d_sae) * 4
    dense = n_texts * int(member.sae.cfg.d_sae) * 4
    pooled = dense if dense <= 1 << 30 else max(1 << 30, dense // 10)
    return weights + codes_of_a_batch, pooled + (weights if member.sae.W_dec.device.type == "cpu" else 0)


def _limits(limits: GroupLimits, device: torch.device) -> tuple[int, int]:
    host_free = psutil.virtual_memory().available
    device_free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else host_free
    return (
        limits.device_bytes if limits.device_bytes is not None else int(0.5 * device_free),
        limits.host_bytes if limits.host_bytes is not None else int(0.5 * host_free),
    )
