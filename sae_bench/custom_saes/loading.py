"""SAEs that take part in a run: loaded group by group, as many at a time as memory allows."""

from __future__ import annotations

import dataclasses
import gc
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import psutil
import torch

from sae_bench.custom_saes import fingerprint
from sae_bench.custom_saes.codes import VALUES_AT_ONCE, WIDE, is_wide
from sae_bench.custom_saes.folding import fold_decoder_norm
from sae_bench.custom_saes.interface import (
    HALF_PRECISION,
    check_finite,
    compute_dtype,
    output_hook,
    weights,
    writes_elsewhere,
)
from sae_bench.custom_saes.spec import LoadContext, Rung, SAEHandle
from sae_bench.errors import SAEMismatchError, UsageError, no_exit
from sae_bench.language_models import LanguageModel
from sae_bench.language_models.aliases import same_model
from sae_bench.language_models.token_choice import ALL_TOKENS, slice_arguments

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Member:
    """A loaded SAE, on its device, with what a reader of its scores has to know.

    Attributes:
        release, sae_id: the two parts of its result file's name.
        sae: the object with `encode`, `decode`, `W_dec` and `cfg`.
        hook_name: where it sits.
        warnings: what it was trained with that this run does not have, and about its weights (a decoder that is not
            unit-norm, say).
        file_weights: its weights before they were cast to half precision, on the CPU; None if they were not.
        fingerprint: which SAE it is.
        rung: its place among several SAEs whose order is known.
    """

    release: str
    sae_id: str
    sae: Any = field(repr=False)
    hook_name: str
    warnings: tuple[str, ...] = ()
    file_weights: Any = field(default=None, repr=False)
    fingerprint: str = ""
    rung: Rung | None = None

    @property
    def hook_name_out(self) -> str:
        """Where its reconstruction belongs; `hook_name` unless it is a transcoder."""
        return output_hook(self.sae) if writes_elsewhere(self.sae) else self.hook_name

    @property
    def place(self) -> str:
        """The hook that it reads; of a transcoder that and the one it predicts, `X -> Y`."""
        same = self.hook_name_out == self.hook_name
        return self.hook_name if same else f"{self.hook_name} -> {self.hook_name_out}"

    @property
    def weights(self) -> Any:
        """`W_dec`, `W_enc` and biases in the precision of the file, for what reads weights alone."""
        if self.file_weights is None:
            return self.sae
        device = self.sae.W_dec.device
        return SimpleNamespace(**{name: value.to(device) for name, value in vars(self.file_weights).items()})

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
    """Load one SAE, check it against the model, fold its decoder norms where that is exact, cast it.

    In half precision the weights are kept as they were, too: what looks at weights alone reads those.

    Raises:
        SAELoadError, SAEMismatchError, HookError: it cannot be loaded, does not fit, or its hook does not exist.
    """
    hook = handle.hook_name or context.hook_name
    at = dataclasses.replace(context, lm=lm, hook_name=hook)
    narrows = context.dtype in HALF_PRECISION
    with no_exit(handle.name):
        wide = dataclasses.replace(at, device=torch.device("cpu"), dtype=torch.float32, cast_afterwards=True)
        told = None if handle.fingerprint is None else handle.fingerprint(at)
        sae = handle.load(wide if narrows else at)
        identity = told or fingerprint.of_weights(sae)
    hook = getattr(sae.cfg, "hook_name", None) or hook
    if hook is None:
        raise UsageError(
            f"'{handle.release}:{handle.sae_id}' does not say where it sits (its cfg.hook_name is empty); add --hook, "
            f"e.g. --hook blocks.{lm.n_layers // 3}.hook_resid_post."
        )
    lm.check_readable(hook)
    check_finite(sae)
    d_hook = hook_width(lm, hook)
    if int(sae.cfg.d_in) != d_hook:
        raise SAEMismatchError(
            f"'{handle.release}:{handle.sae_id}' reads vectors of {sae.cfg.d_in} numbers, but '{hook}' of '{lm.name}' "
            f"has {d_hook}. Was it trained on another model or hook?"
        )
    if writes_elsewhere(sae):
        _check_output(sae, handle.name, lm)
    if getattr(sae.cfg, "hook_head_index", None) is not None:
        raise SAEMismatchError(
            f"'{handle.release}:{handle.sae_id}' reads one attention head (hook_head_index is "
            f"{sae.cfg.hook_head_index}); hooks are read whole here."
        )
    warnings = [*getattr(sae, "caveats", ()), *fold_decoder_norm(sae)]
    warnings += differences(getattr(sae, "trained_with", {}), lm)
    if writes_elsewhere(sae):
        warnings.append(
            f"a transcoder: its codes are of what it reads ('{hook}'), its decoder rows of what it predicts "
            f"('{output_hook(sae)}'): scores of reconstruction and interventions are of the latter"
        )
    if handle.hook_name and handle.hook_name != hook:
        warnings.append(f"the SAE is listed at '{handle.hook_name}'; its configuration says '{hook}', where it is read")
    if handle.model_name and handle.model_name != lm.name and not same_model(handle.model_name, lm.name):
        warnings.append(f"the SAE was trained on '{handle.model_name}' and evaluated on '{lm.name}'")
    original_weights = SimpleNamespace(**dict(_own_copies(sae))) if narrows else None
    if hasattr(sae, "to") and (narrows or compute_dtype(sae) != context.dtype):
        with no_exit(handle.name):
            sae = sae.to(device=context.device, dtype=context.dtype) or sae
    rung = None if handle.rung is None else placed_on_ladder(handle.rung, sae.cfg, handle.name)
    return Member(handle.release, handle.sae_id, sae, hook, tuple(warnings), original_weights, identity, rung)


def _own_copies(sae: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """The weights by name, copied, but for matrices that casting an SAE leaves as they are in its file."""
    as_in_file = getattr(sae, "matrices_as_in_file", False)
    for name, value in weights(sae):
        yield name, value.detach() if as_in_file and name in ("W_enc", "W_dec") else value.detach().clone()


def placed_on_ladder(rung: Rung, cfg: Any, name: str) -> Rung:
    """The rung with its value: the number of tokens that a snapshot was trained on, if it has none yet.

    Raises:
        SAEMismatchError: the SAE's configuration does not say that number.
    """
    if rung.value is not None:
        return rung
    tokens = getattr(cfg, rung.by, None)
    if isinstance(tokens, bool) or not isinstance(tokens, int | float) or tokens < 0:
        raise SAEMismatchError(
            f"'{name}' is to be a snapshot of a training run, and its configuration does not say how many tokens it "
            f"was trained on (cfg.{rung.by} is {tokens!r}). Next: write it there, or give the SAE with --sae."
        )
    return dataclasses.replace(rung, value=float(tokens))


def _check_output(sae: Any, name: str, lm: LanguageModel) -> None:
    """Raise unless the hook that a transcoder predicts exists and is as wide as its decoder rows."""
    hook = output_hook(sae)
    lm.hook_site(hook)
    if (width := hook_width(lm, hook)) != int(sae.W_dec.shape[-1]):
        raise SAEMismatchError(
            f"'{name}' predicts vectors of {sae.W_dec.shape[-1]} numbers, but '{hook}' of '{lm.name}' has {width}. Was "
            "it trained on another model or hook?"
        )


def identify(handle: SAEHandle, context: LoadContext) -> tuple[str, str | None]:
    """Which SAE it is and, where the run's hook may be what places it, its hook: read off its files if it can be.

    Raises:
        Exception: whatever its loading raises.
    """
    at = dataclasses.replace(context, hook_name=handle.hook_name or context.hook_name)
    with no_exit(handle.name):
        if handle.fingerprint is not None:
            placed_by_run = handle.placed_by_run or not handle.hook_name
            return handle.fingerprint(at), at.hook_name if placed_by_run else None
        sae = handle.load(dataclasses.replace(at, device=torch.device("cpu"), dtype=torch.float32))
    return fingerprint.of_weights(sae), getattr(sae.cfg, "hook_name", None) or at.hook_name


def differences(trained_with: Mapping[str, Any], lm: LanguageModel) -> list[str]:
    """In plain words, what an SAE's file says of its training that is not so in this run.

    Args:
        trained_with: what the file states, under the names of SAELens; what it does not state is not compared.
    """
    warnings = []
    bos = trained_with.get("prepend_bos")
    if bos is not None and bool(bos) != lm.prepend_bos:
        with_, here = ("with", "without") if bos else ("without", "with")
        warnings.append(f"the SAE was trained {with_} a BOS token before every text and is evaluated {here} one")
    stated = tuple(trained_with.get("seqpos_slice") or ())
    if any(part is not None for part in stated) and slice_arguments(stated) != lm.choice.positions:
        here = "all" if lm.choice.positions == ALL_TOKENS.positions else f"those of {lm.choice.slice_text}"
        warnings.append(
            f"the SAE was trained on some positions of each text only (seqpos_slice {trained_with['seqpos_slice']}) "
            f"and is evaluated on {here}{_advice(stated)}"
        )
    return warnings


def _advice(stated: tuple[int | None, ...]) -> str:
    """By which flag a run reads the positions that an SAE states; nothing where they count from the end."""
    own = slice(*stated)
    if any(part is not None and part < 0 for part in stated):
        return ""
    start, stop, step = ("" if part is None else str(part) for part in (own.start, own.stop, own.step))
    return f". Next: --seqpos-slice {start}:{stop}{f':{step}' if step else ''}, in a run of its own"


@torch.no_grad()
def hook_width(lm: LanguageModel, hook: str) -> int:
    """Size of the vectors at a hook, read off one token."""
    ids = torch.zeros((1, 1), dtype=torch.long, device=lm.device)
    return int(lm.capture(ids, [hook])[hook].shape[-1])


def _cost(member: Member, n_texts: int) -> tuple[int, int]:
    encoding = list(_encoding(member.sae))
    both = sum({id(sae.W_dec): 2 * sae.W_dec.nbytes for sae in encoding}.values())
    d_sae = int(member.sae.cfg.d_sae)
    widths = [int(sae.cfg.d_sae) for sae in encoding]
    codes_of_a_batch = sum(16 * VALUES_AT_ONCE if is_wide(width) else 4096 * width * 4 for width in widths)
    dense = n_texts * d_sae * 4
    pooled = dense if dense <= 1 << 30 else max(1 << 30, dense // 10)
    if is_wide(d_sae):
        pooled = min(dense, 8 * n_texts * WIDE // 4)  # value and index of the latents that are active in a text
    on_host = both if member.sae.W_dec.device.type == "cpu" else 0
    if member.file_weights is not None:
        on_host += 2 * member.file_weights.W_dec.nbytes
    return both + codes_of_a_batch, pooled + on_host


def _encoding(sae: Any) -> Iterator[Any]:
    """The SAE and those that it was made from and encodes with: each has weights and codes of its own."""
    while sae is not None:
        yield sae
        parent = getattr(sae, "parent", None)
        sae = parent if hasattr(parent, "W_dec") else None


def _limits(limits: GroupLimits, device: torch.device) -> tuple[int, int]:
    host_free = psutil.virtual_memory().available
    device_free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else host_free
    return (
        limits.device_bytes if limits.device_bytes is not None else int(0.5 * device_free),
        limits.host_bytes if limits.host_bytes is not None else int(0.5 * host_free),
    )
