"""Which results may be compared: the one definition that comparisons, rankings and reports share.

Two results of an eval compare if they have the same definition, settings and model, and their SAEs reconstruct the same
hook, as far as both know them. A transcoder compares with SAEs of the hook that it predicts, not of the one it reads,
unless the eval's declaration says that the two are apart.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sae_bench.analysis.table import Record

_HOOK_IN_NAME = re.compile(r"blocks\.\d+\.(?:attn\.|mlp\.)?hook_(?:resid_(?:pre|mid|post)|attn_out|mlp_out|post|pre|z)")

_HOW_IT_IS_READ = ("llm_dtype", "llm_quantization", "prepend_bos", "exclude_tokens", "seqpos_slice")
"""Entries of the provenance in which results of the same weights may differ."""


def why_not_comparable(a: Record, b: Record) -> str | None:
    """What forbids to compare two results of one eval; None if nothing does."""
    if bool(a.provenance) != bool(b.provenance):
        return f"the definition is recorded for one only ({a.protocol}, {b.protocol})"
    return (
        _other_definition(a, b)
        or _other_model(a, b)
        or _other_settings(a, b)
        or _other_hook(a, b)
        or _one_transcoder(a, b)
    )


@dataclass
class Group:
    """Results of one eval that compare with one another.

    Attributes:
        differs: in what it differs from the first group of the eval; None for that one.
        hook: what its SAEs reconstruct.
    """

    records: list[Record]
    differs: str | None = None
    hook: str | None = field(default=None)

    @property
    def first(self) -> Record:
        """The result that others are held against."""
        return self.records[0]

    @property
    def title(self) -> str:
        """Definition, model and hook."""
        return " · ".join(part for part in (self.first.protocol, short_model(self.first.model), self.hook) if part)


def groups_of(records: Sequence[Record]) -> list[Group]:
    """The results of one eval in groups that compare, own results before published ones, then the largest first.

    A result joins the first group with all of which it compares, so that no group holds two that do not.
    """
    groups: list[Group] = []
    for record in records:
        home = next((g for g in groups if all(why_not_comparable(o, record) is None for o in g.records)), None)
        if home is None:
            home = Group([])
            groups.append(home)
        home.records.append(record)
        home.hook = home.hook or (hook_of(record) if _apart(record) else target_of(record))
    groups.sort(key=lambda group: (not group.first.provenance, -len(group.records)))
    for group in groups[1:]:
        pairs = ((one, other) for one in groups[0].records for other in group.records)
        group.differs = next(filter(None, (why_not_comparable(one, other) for one, other in pairs)), None)
    return groups


def hook_of(record: Record) -> str | None:
    """Where in the model its SAE reads, from its configuration or its name; None where neither says it.

    Of a transcoder both hooks, `X -> Y`.
    """
    hook, target = _hook_in_config(record, "hook_name"), target_of(record)
    return f"{hook} -> {target}" if hook and target and hook != target else hook or target


def target_of(record: Record) -> str | None:
    """The hook that its SAE reconstructs, from its configuration or its name; None where neither says it."""
    if hook := _hook_in_config(record, "hook_name_out") or _hook_in_config(record, "hook_name"):
        return hook
    in_name = _HOOK_IN_NAME.search(record.sae_id)
    return in_name[0] if in_name else None


def _hook_in_config(record: Record, key: str) -> str | None:
    config = record.content.get("sae_cfg_dict")
    hook = config.get(key) if isinstance(config, Mapping) else None
    return hook if isinstance(hook, str) and hook else None


def short_model(name: str | None) -> str | None:
    """The last part of a model's name, in lower case: `EleutherAI/pythia-160m` and `pythia-160m` are one."""
    return name.rstrip("/").split("/")[-1].lower() if name else None


def _other_definition(a: Record, b: Record) -> str | None:
    known = a.provenance.get("protocol"), b.provenance.get("protocol")
    one, other = (a.protocol, b.protocol) if not a.provenance else known
    differ = one is not None and other is not None and one != other
    return f"different definitions ({one}, {other})" if differ else None


def _other_model(a: Record, b: Record) -> str | None:
    one, other = (record.provenance.get("model_fingerprint") for record in (a, b))
    if one is None or other is None:
        one, other = short_model(a.model), short_model(b.model)
    if one is None or other is None or one == other:
        return None
    read = [
        f"{key}: {a.provenance.get(key)!r}, {b.provenance.get(key)!r}"
        for key in (*_HOW_IT_IS_READ, *_recorded_by_both("attn_implementation", a, b))
        if (a.provenance.get(key) or None) != (b.provenance.get(key) or None)  # files from before lack some
    ]
    if read and short_model(a.model) == short_model(b.model):
        return f"the model is read in different ways ({', '.join(read)})"
    return f"different models ({one}, {other})"


def _recorded_by_both(key: str, a: Record, b: Record) -> tuple[str, ...]:
    return (key,) if a.provenance.get(key) and b.provenance.get(key) else ()


def _other_settings(a: Record, b: Record) -> str | None:
    one, other = a.settings(), b.settings()
    differing = [key for key in one.keys() & other.keys() if one[key] != other[key]]
    shown = ", ".join(f"{key}: {one[key]!r}, {other[key]!r}" for key in sorted(differing)[:3])
    return f"different settings ({shown})" if differing else None


def _apart(record: Record) -> str:
    """Why transcoders and SAEs do not compare in its eval; empty where they do."""
    return record.spec.transcoders_apart if record.spec is not None else ""


def _one_transcoder(a: Record, b: Record) -> str | None:
    one, other = (hook_of(record) != target_of(record) for record in (a, b))
    return f"an SAE and a transcoder: {_apart(a)}" if one != other and _apart(a) else None


def _other_hook(a: Record, b: Record) -> str | None:
    one, other = target_of(a), target_of(b)
    return f"different hooks ({hook_of(a)}, {hook_of(b)})" if one and other and one != other else None
