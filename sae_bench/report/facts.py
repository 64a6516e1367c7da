"""What is known of an SAE from its result files: architecture, width, place in the model, training tokens."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sae_bench.analysis.comparable import hook_of, short_model
from sae_bench.analysis.table import Record
from sae_bench.custom_saes.architectures import ARCHITECTURES, NAMES, Architecture

UNKNOWN = Architecture("unknown", "unknown", "#6f7f95", "circle-open", "8")
_FURTHER_COLORS = ("#5c6ac4", "#b8860b", "#2f8f83", "#c2557a", "#6b8e23", "#8c564b")
_FURTHER_SYMBOLS = (
    ("triangle-left", r"$\alpha$"), ("triangle-right", r"$\beta$"), ("triangle-nw", r"$\gamma$"),
    ("triangle-se", r"$\delta$"), ("diamond-cross", r"$\epsilon$"), ("square-cross", r"$\zeta$"),
)  # fmt: skip

BASELINES = tuple(row.name for row in ARCHITECTURES.values() if row.is_baseline)
"""What SAEs are measured against: shown, but not ranked among them."""

_NEURONPEDIA = re.compile(r"[\w.-]+/[\w.-]+")
_WIDTH_IN_NAME = (
    (re.compile(r"2pow(\d+)"), lambda match: 2 ** int(match)),
    (re.compile(r"width[_-](\d+)m\b"), lambda match: int(match) * 2**20),
    (re.compile(r"width[_-](\d+)k\b"), lambda match: {16: 16384, 65: 65536}.get(int(match), int(match) * 1024)),
)
_ARCHIVED_BATCH = {"pythia": 4096, "gemma": 2048}
"""Tokens per training step of the suites whose configuration does not say how long they were trained."""


@dataclass(frozen=True)
class SAEFacts:
    """What a report says of an SAE beside its scores; None where it is not known."""

    architecture: str
    width: int | None = None
    hook: str | None = None
    layer: int | None = None
    training_tokens: int | None = None
    model: str | None = None
    tags: tuple[str, ...] = ()
    neuronpedia: str | None = None


def facts_of(records: Iterable[Record]) -> SAEFacts:
    """From all results of one SAE, the first that knows something wins."""
    facts = [_facts(record) for record in records]
    known = {f.architecture for f in facts} - {UNKNOWN.name}
    return SAEFacts(
        architecture=next((f.architecture for f in facts if f.architecture in known), UNKNOWN.name),
        width=next((f.width for f in facts if f.width), None),
        hook=next((f.hook for f in facts if f.hook), None),
        layer=next((f.layer for f in facts if f.layer is not None), None),
        training_tokens=next((f.training_tokens for f in facts if f.training_tokens), None),
        model=next((f.model for f in facts if f.model), None),
        tags=tuple(dict.fromkeys(tag for f in facts for tag in f.tags)),
        neuronpedia=next((f.neuronpedia for f in facts if f.neuronpedia), None),
    )


def _facts(record: Record) -> SAEFacts:
    config = record.content.get("sae_cfg_dict")
    config = config if isinstance(config, Mapping) else {}
    return SAEFacts(
        architecture=architecture_of(config, record.release, record.sae_id),
        width=_whole(config.get("d_sae")) or _whole(config.get("dict_size")) or _width_in(record),
        hook=hook_of(record),
        layer=_layer(config, record.sae_id),
        training_tokens=_training_tokens(config, record),
        model=short_model(record.model),
        tags=_tags(config),
        neuronpedia=_neuronpedia(config),
    )


def architecture_of(config: Mapping[str, Any], release: str, sae_id: str) -> str:
    """The kind of SAE, by one name for all the ways in which configurations and names say it."""
    name = _text(config.get("architecture")) or ""
    if release == "baseline":
        named = (name, sae_id.split("(")[0], sae_id.split("@")[0].split("_")[0])
        if any(part in BASELINES for part in named):
            return next(part for part in named if part in BASELINES)
    key = name.lower().replace("-", "_").replace(" ", "_")
    key = NAMES.get(key, key)
    if "panneal" in release.lower() or "p_anneal" in sae_id.lower():
        return "p_anneal"
    if config.get("activation_fn_str") == "topk" and key in ("", "relu"):
        return "topk"
    if key:
        return key
    words = f"{release}_{sae_id}".lower().replace("-", "_")
    inside = sorted((n for n in NAMES if n in words and n != "sae"), key=len)
    return NAMES.get(inside[-1], inside[-1]) if inside else UNKNOWN.name


def architectures_of(names: Iterable[str]) -> dict[str, Architecture]:
    """Colours and markers for these kinds; kinds that are not in the list get further ones in the order of names."""
    shown: dict[str, Architecture] = {}
    further = 0
    for name in sorted(set(names), key=lambda n: (list(ARCHITECTURES).index(n) if n in ARCHITECTURES else 99, n)):
        if name in ARCHITECTURES:
            shown[name] = ARCHITECTURES[name]
        elif name == UNKNOWN.name:
            shown[name] = UNKNOWN
        else:
            symbol, marker = _FURTHER_SYMBOLS[further % len(_FURTHER_SYMBOLS)]
            color = _FURTHER_COLORS[further % len(_FURTHER_COLORS)]
            shown[name] = Architecture(name, name.replace("_", " "), color, symbol, marker)
            further += 1
    return shown


def _width_in(record: Record) -> int | None:
    name = f"{record.release}/{record.sae_id}".lower()
    return next((width(match[1]) for pattern, width in _WIDTH_IN_NAME if (match := pattern.search(name))), None)


def _layer(config: Mapping[str, Any], sae_id: str) -> int | None:
    layer = config.get("hook_layer")
    if isinstance(layer, int) and not isinstance(layer, bool):
        return layer
    match = re.search(r"blocks\.(\d+)\.|layer_(\d+)", f"{config.get('hook_name') or ''} {sae_id}")
    return int(match[1] or match[2]) if match else None


def _training_tokens(config: Mapping[str, Any], record: Record) -> int | None:
    tokens = _whole(config.get("training_tokens"))
    if tokens:  # published configurations say a negative number where it is not known
        return tokens
    step = re.search(r"step_(\d+)", record.sae_id)
    batch = next((size for name, size in _ARCHIVED_BATCH.items() if name in record.release), None)
    if step and batch and record.release.startswith("sae_bench"):
        return int(step[1]) * batch
    return None


def _tags(config: Mapping[str, Any]) -> tuple[str, ...]:
    tags = config.get("tags")
    return tuple(tag for tag in tags if isinstance(tag, str) and tag) if isinstance(tags, list | tuple) else ()


def _neuronpedia(config: Mapping[str, Any]) -> str | None:
    """MODEL/SOURCE, as configurations of SAELens say it; anything else is no address."""
    metadata = config.get("metadata")
    places = (config, metadata if isinstance(metadata, Mapping) else {})
    names = (_text(place.get("neuronpedia_id")) for place in places)
    return next((name for name in names if name and _NEURONPEDIA.fullmatch(name)), None)


def _whole(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if value > 0 else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
