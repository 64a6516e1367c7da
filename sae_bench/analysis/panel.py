"""What each SAE of a folder of results is there for: a trained SAE, a null baseline, a rung of a ladder, a reference.

This is the one place that knows the names and configuration fields that say so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sae_bench.analysis.table import Record
from sae_bench.custom_saes.listing import NULLS as MATCHED_NULLS

Kind = Literal["trained", "null", "reference", "rung"]

NULLS = ("random", "zero", *MATCHED_NULLS)
"""Baselines that learned no features; every trained SAE should beat them."""

_BASELINE = "baseline"
_OF_DECODER = ("decoder_noise", "permuted")
"""Ways to make an SAE worse that leave its encoder alone."""
_OF_ENCODER = ("encoder_noise", "dead")
"""Ways that leave its decoder alone."""
_LADDER, _DERIVED = "ladder", "derived_from"


@dataclass(frozen=True)
class Ladder:
    """A place among several SAEs whose order is known.

    Attributes:
        name: of the several.
        quality: higher is better by construction.
        is_training: whether the rungs are snapshots of a training run, not degradations.
    """

    name: str
    quality: float
    is_training: bool


@dataclass(frozen=True)
class Role:
    """What one SAE is there for.

    Attributes:
        parent: `release:id` of the SAE that it was made from; None for an SAE that was not.
        name: of a baseline (`random`, `permuted_decoder`); empty for others.
        decoder_only, encoder_only: whether all else is as its parent has it.
    """

    kind: Kind
    name: str = ""
    parent: str | None = None
    ladder: Ladder | None = None
    decoder_only: bool = False
    encoder_only: bool = False


def role_of(record: Record) -> Role:
    """What the SAE of a result is there for."""
    config = record.content.get("sae_cfg_dict")
    config = config if isinstance(config, Mapping) else {}
    derived = config.get(_DERIVED)
    derived = derived if isinstance(derived, Mapping) else {}
    parent = f"{derived['release']}:{derived['sae_id']}" if derived.get("release") and derived.get("sae_id") else None
    ladder = _ladder(config.get(_LADDER))
    name = _baseline_name(record, derived) if record.release == _BASELINE else ""
    decoder_only = name == "permuted_decoder" or derived.get("kind") in _OF_DECODER
    if ladder is not None:
        return Role("rung", name, parent, ladder, decoder_only, derived.get("kind") in _OF_ENCODER)
    if not name:
        return Role("trained")
    return Role("null" if name in NULLS else "reference", name, parent, None, decoder_only)


def _baseline_name(record: Record, derived: Mapping[str, Any]) -> str:
    """`random_blocks.5.hook_resid_post` and `permuted_decoder(embedded_topk)` are `random` and `permuted_decoder`."""
    if isinstance(derived.get("name"), str):
        return str(derived["name"])
    head = record.sae_id.partition("(")[0].partition("@")[0]
    known = [name for name in NULLS if head == name or head.startswith(f"{name}_")]
    return max(known, key=len) if known else head


def _ladder(entry: Any) -> Ladder | None:
    if not isinstance(entry, Mapping) or not isinstance(entry.get("value"), int | float):
        return None
    sign = -1.0 if entry.get("better") == "lower" else 1.0
    return Ladder(str(entry.get("ladder", "")), sign * float(entry["value"]), entry.get("by") == "training_tokens")
