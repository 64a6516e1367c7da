"""Handles of baselines that are made from other SAEs: nothing is loaded before the run asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sae_bench.custom_saes import fingerprint
from sae_bench.custom_saes.derived.grammar import Derivation, parse_derived
from sae_bench.custom_saes.derived.make import make
from sae_bench.custom_saes.listing import NULLS
from sae_bench.custom_saes.loading import identify
from sae_bench.custom_saes.spec import LoadContext, Rung, SAEHandle, resolve_spec
from sae_bench.errors import SAEMismatchError
from sae_bench.language_models.hooks import parse_hook_name

_RELEASE = "baseline"
_READ_TEXT = ("random_l0_matched", "frozen_encoder", "best_k")
_VERSION = 2
"""Raised when the same derivation comes to make something else."""


def resolve_derived(rest: str, *, data_dir: Path | None = None) -> list[SAEHandle]:
    """The baselines that a spec without its `baseline:` names: for every SAE of its SAE spec, and every level.

    Raises:
        SAEBenchError: as `parse_derived`, and as `resolve_spec` for the SAE spec.
        SAEMismatchError: a hook is named and the SAE sits elsewhere.
    """
    spec = parse_derived(rest)
    if spec.hook is not None:
        parse_hook_name(spec.hook)
    parents: Sequence[SAEHandle | None] = [None]
    if spec.parent is not None:
        parents = [_at(parent, spec.hook) for parent in resolve_spec(spec.parent, data_dir=data_dir)]
    handles = [derived_handle(derivation, parent) for parent in parents for derivation in spec.derivations]
    return [replace(handle, hook_name=handle.hook_name or spec.hook) for handle in handles]


def nulls_of(handles: Sequence[SAEHandle]) -> list[SAEHandle]:
    """The null baselines of every SAE that is no baseline itself, without those that are among the handles."""
    there = {handle.name for handle in handles}
    nulls = [derived_handle(Derivation(name), h) for h in handles if h.release != _RELEASE for name in NULLS]
    return [null for null in nulls if null.name not in there]


def derived_handle(derivation: Derivation, parent: SAEHandle | None) -> SAEHandle:
    """One baseline, known but not loaded.

    Args:
        derivation: what is made.
        parent: of which SAE; None for a frozen encoder of a given L0.
    """

    def load(context: LoadContext) -> Any:
        derived_from = {"name": derivation.name, **derivation.parameters}
        if parent is not None:
            derived_from |= {
                "release": parent.release,
                "sae_id": parent.sae_id,
                "fingerprint": identify(parent, context)[0],
            }
        return make(derivation, parent, context, derived_from)

    def identity(context: LoadContext) -> str:
        of_parent = "" if parent is None else identify(parent, context)[0]
        text = context.corpus if derivation.name in _READ_TEXT else ""
        return fingerprint.of_words("derived", _VERSION, derivation.named(None), of_parent, text)

    name = derivation.named(None if parent is None else parent.name)
    if parent is None:
        return SAEHandle(_RELEASE, name, None, None, load, identity)
    rung = None
    if derivation.kind is not None:
        ladder = Derivation(derivation.name, kind=derivation.kind).named(parent.name)
        rung = Rung(f"{_RELEASE}:{ladder}", "level", derivation.level)
    keeps_parent = derivation.name not in ("random_l0_matched", "frozen_encoder")
    return SAEHandle(
        _RELEASE, name, parent.hook_name, parent.model_name, load, identity,
        parent.fixed_dtype if keeps_parent else None, parent=parent, rung=rung,
    )  # fmt: skip


def _at(parent: SAEHandle, hook: str | None) -> SAEHandle:
    if hook is not None and parent.hook_name not in (None, hook):
        raise SAEMismatchError(
            f"'{parent.release}:{parent.sae_id}' sits at '{parent.hook_name}', so a baseline made from it cannot sit "
            f"at '{hook}'. Next: leave '@{hook}' out."
        )
    return parent
