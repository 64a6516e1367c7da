"""Specs of baselines that are made from other SAEs: `baseline:best_k(embedded:topk,64)`.

The parameters stand last and hold neither commas nor parentheses, so the SAE's own spec may: it is read from the left,
they are read from the right.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sae_bench.custom_saes.listing import DEGRADING, DERIVED_BASELINES, LEVELS
from sae_bench.errors import UnknownNameError, UsageError

_CALL = re.compile(r"(?P<name>\w+)\((?P<inside>.*)\)(?:@(?P<hook>[^()@]*))?", re.DOTALL)
_NUMBER = re.compile(r"\d+(\.\d*)?|\.\d+")


@dataclass(frozen=True)
class Derivation:
    """What makes a baseline out of an SAE, without the SAE.

    Attributes:
        name: one of `DERIVED_BASELINES`.
        l0: active latents per token, for a frozen encoder that follows no SAE.
        k: latents that are kept, for `best_k`.
        kind, level: what is made worse and how much, for `degraded`.
    """

    name: str
    l0: float | None = None
    k: int | None = None
    kind: str | None = None
    level: float | None = None

    @property
    def parameters(self) -> dict[str, object]:
        """The parameters that it has, in their order."""
        every = {"l0": self.l0, "k": self.k, "kind": self.kind, "level": self.level}
        return {name: value for name, value in every.items() if value is not None}

    def named(self, parent: str | None) -> str:
        """The baseline's id: the spec with the SAE's name in place of the SAE's spec."""
        words = [f"{value:g}" if isinstance(value, float) else str(value) for value in self.parameters.values()]
        return f"{self.name}({','.join([*([] if parent is None else [parent]), *words])})"


@dataclass(frozen=True)
class DerivedSpec:
    """A spec in its parts.

    Attributes:
        parent: the spec of the SAEs that it is made from; None for a frozen encoder of a given L0.
        derivations: one baseline per SAE for each of them.
        hook: where it sits if its SAE has no place of its own.
    """

    parent: str | None
    derivations: tuple[Derivation, ...]
    hook: str | None = None


def is_derived(rest: str) -> bool:
    """Whether a spec without its `baseline:` names a baseline that is made from an SAE (rightly written or not)."""
    return "(" in rest or rest.partition("@")[0] in DERIVED_BASELINES


def parse_derived(rest: str) -> DerivedSpec:
    """The parts of `<name>(<SAE spec>[,<parameters>])[@<hook>]`.

    Raises:
        UnknownNameError: no baseline of that name is made from an SAE, or nothing is made worse in that way.
        UsageError: another form, or a number that is out of range.
    """
    call = _CALL.fullmatch(rest)
    name = call["name"] if call else re.split(r"[(@]", rest)[0]
    if name not in DERIVED_BASELINES:
        raise UnknownNameError("baseline that is made from an SAE", name, DERIVED_BASELINES)
    if call is None or not call["inside"].strip() or call["hook"] == "":
        raise UsageError(
            f"'baseline:{rest}' is no baseline. Allowed: baseline:{DERIVED_BASELINES[name]}[@<hook name>]."
        )
    parent, derivations = _parsed_parameters(name, call["inside"].strip())
    if parent is not None and ":" not in parent:
        raise UsageError(
            f"'{parent}' in 'baseline:{rest}' is no SAE spec. Allowed: baseline:{DERIVED_BASELINES[name]}, e.g. "
            f"baseline:{DERIVED_BASELINES[name].replace('<SAE spec>', 'embedded:topk')}."
        )
    return DerivedSpec(parent, derivations, call["hook"])


def innermost_scheme(spec: str) -> str:
    """The scheme of a spec, or of the SAE that a baseline is made from in the end."""
    scheme, _, rest = spec.partition(":")
    if scheme != "baseline" or "(" not in rest:
        return scheme
    parent = parse_derived(rest).parent
    return scheme if parent is None else innermost_scheme(parent)


def _parsed_parameters(name: str, inside: str) -> tuple[str | None, tuple[Derivation, ...]]:
    """The SAE's spec, and what is to be made of it."""
    if name == "best_k":
        parent, _, k = inside.rpartition(",")
        if not k.strip().isdecimal() or int(k) < 1:
            raise UsageError(f"k is '{k.strip()}'; baseline:{DERIVED_BASELINES[name]} keeps a whole number of latents.")
        return parent.strip(), (Derivation(name, k=int(k)),)
    if name == "degraded":
        return _degraded(inside)
    if name == "frozen_encoder" and _NUMBER.fullmatch(inside):
        if float(inside) <= 0:
            raise UsageError(f"the L0 of baseline:frozen_encoder is {inside}; it has to be above 0.")
        return None, (Derivation(name, l0=float(inside)),)
    return inside, (Derivation(name),)


def _degraded(inside: str) -> tuple[str, tuple[Derivation, ...]]:
    before, _, last = (part.strip() for part in inside.rpartition(","))
    earlier, _, kind = (part.strip() for part in before.rpartition(","))
    if last in DEGRADING:
        return before, tuple(Derivation("degraded", kind=last, level=level) for level in LEVELS)
    if kind not in DEGRADING:
        is_number = re.fullmatch(r"-?[\d.]+(e-?\d+)?", last)
        raise UnknownNameError("way to make an SAE worse", kind if is_number else last, DEGRADING)
    if not _NUMBER.fullmatch(last) or not 0 <= float(last) <= 1:
        raise UsageError(f"the level of {kind} is '{last}'; it has to be a number from 0 (the SAE itself) to 1.")
    return earlier, (Derivation("degraded", kind=kind, level=float(last)),)
