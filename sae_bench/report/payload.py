"""What the page reads: one JSON text, and compressed parts that it unpacks when they are looked at."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sae_bench.analysis.bars import given_of
from sae_bench.analysis.comparison import pairs_of
from sae_bench.report.collect import L0, LOSS_RECOVERED, Collected, EvalGroup, MetricColumn, Values
from sae_bench.report.details import sae_details
from sae_bench.report.facts import BASELINES, architectures_of
from sae_bench.report.numbers import round6
from sae_bench.report.run_facts import run_facts
from sae_bench.results.statistics import multiple

MOST_ONE_BY_ONE = 64
"""SAEs without common seeds and texts of which all pairs are still compared."""

ALPHA = 0.05
"""Chance that any interval of a metric's pairs misses."""

P_SCALE, HALF_SCALE, HALF_SHIFT = 3000.0, 5000.0, 8.0
"""Pairs are packed as whole numbers: -log10(p) * P_SCALE and (log10(half width) + HALF_SHIFT) * HALF_SCALE."""

UNKNOWN = 65535


def page_data(collected: Collected) -> dict[str, Any]:
    """The part that the page needs at once."""
    architectures = architectures_of(sae.facts.architecture for sae in collected.saes)
    reasons: dict[str, int] = {}
    return {
        "sources": [{"label": s.label, "own": s.is_own, "folder": str(s.table.folder)} for s in collected.sources],
        "architectures": {
            a.name: {"title": a.title, "color": a.color, "symbol": a.symbol} for a in architectures.values()
        },
        "saes": _saes(collected),
        "evals": [_eval(group) for group in collected.evals],
        "metrics": [_metric(metric) for metric in collected.metrics],
        "values": {metric.key: _packed(collected.values[metric.key], reasons) for metric in collected.metrics},
        "reasons": list(reasons),
        "pairs": _scales(),
        "run": run_facts(collected),
    }


def details_blobs(collected: Collected) -> dict[str, str]:
    """`sae-<place>` -> the packed details of one SAE."""
    return {f"sae-{sae.number}": pack_json(sae_details(collected, sae)) for sae in collected.saes}


def pair_blobs(collected: Collected) -> dict[str, str]:
    """`pairs-<metric>-<cohort>` -> packed p-values and half widths of all pairs of the cohort, p-values first.

    Both allow for all pairs of the cohort at once.
    """
    blobs = {}
    for number, metric in enumerate(collected.metrics):
        group = next(g for g in collected.evals if g.name == metric.eval)
        if not metric.headline or metric.better == 0:
            continue
        for c, cohort in enumerate(group.cohorts):
            values = collected.values[metric.key].value
            members = [member for member in cohort.members if values[member] is not None]
            if len(members) > 1 and (packed := _packed_pairs(collected, metric, members)) is not None:
                blobs[f"pairs-{number}-{c}"] = packed
    return blobs


def _packed_pairs(collected: Collected, metric: MetricColumn, members: Sequence[int]) -> str | None:
    records = [collected.records[metric.eval, member] for member in members]
    differences = pairs_of(records, metric.path, alpha=ALPHA, most_one_by_one=MOST_ONE_BY_ONE)
    p_C = np.minimum(1.0, differences.p_C * multiple.n_pairs(len(members)))
    if not np.isfinite(differences.half_C).any():
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        p = np.clip(np.round(-np.log10(p_C) * P_SCALE), 0, UNKNOWN - 1)
        half = np.clip(np.round((np.log10(differences.half_C) + HALF_SHIFT) * HALF_SCALE), 0, UNKNOWN - 1)
    packed = [
        np.where(np.isfinite(known), column, UNKNOWN).astype("<u2")
        for known, column in ((p_C, p), (differences.half_C, half))
    ]
    return _pack(np.concatenate(packed).tobytes())


def pack_json(content: Any) -> str:
    """JSON, deflated, in base64."""
    return _pack(json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode())


def _pack(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data, 6)).decode("ascii")


def _scales() -> dict[str, float]:
    return {"p": P_SCALE, "half": HALF_SCALE, "shift": HALF_SHIFT, "unknown": UNKNOWN}


def _saes(collected: Collected) -> list[dict[str, Any]]:
    l0, loss = collected.values_of(L0), collected.values_of(LOSS_RECOVERED)
    short = short_names([(sae.release, sae.sae_id) for sae in collected.saes])
    return [
        {
            "name": sae.name,
            "short": short[sae.number],
            "release": sae.release,
            "id": sae.sae_id,
            "source": sae.source,
            "arch": sae.facts.architecture,
            "baseline": sae.facts.architecture in BASELINES,
            "width": sae.facts.width,
            "hook": sae.facts.hook,
            "layer": sae.facts.layer,
            "tokens": sae.facts.training_tokens,
            "model": sae.facts.model,
            "tags": list(sae.facts.tags),
            "neuronpedia": sae.facts.neuronpedia,
            "l0": round6(l0[sae.number]),
            "loss": round6(loss[sae.number]),
        }
        for sae in collected.saes
    ]


def short_names(names: Sequence[tuple[str, str]]) -> list[str]:
    """What tells (release, id) apart: the id without the beginning that all ids of its release share.

    Where that is not unique, the release stands before it.
    """
    by_release: dict[str, set[str]] = {}
    for release, sae_id in names:
        by_release.setdefault(release, set()).add(sae_id)
    shared = {release: _shared_beginning(sorted(ids)) for release, ids in by_release.items()}
    short = [sae_id[len(shared[release]) :] or sae_id for release, sae_id in names]
    return [
        name if short.count(name) == 1 or not release else f"{release}:{name}"
        for (release, _), name in zip(names, short, strict=True)
    ]


def _shared_beginning(ids: Sequence[str]) -> str:
    """Up to the last separator within what all have in common."""
    if len(ids) < 2:
        return ""
    pairs = zip(ids[0], ids[-1], strict=False)  # sorted: what the first and the last share, all share
    length = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(ids[0]), len(ids[-1])))
    common = ids[0][:length]
    return common[: max(common.rfind(mark) for mark in "_/.:-") + 1]


def _eval(group: EvalGroup) -> dict[str, Any]:
    return {
        "name": group.name,
        "title": group.title,
        "short": short_title(group),
        "summary": group.summary,
        "known": group.spec is not None,
        "cohorts": [
            {
                "title": cohort.title,
                "protocol": cohort.first.protocol,
                "own": bool(cohort.first.provenance),
                "differs": cohort.differs,
                "given": given_of(cohort.first),
                "members": cohort.members,
            }
            for cohort in group.cohorts
        ],
    }


LONGEST_SHORT = 16


def short_title(group: EvalGroup) -> str:
    """The title of an eval as it stands before a metric's on an axis: a long one gives way to a name like SCR."""
    long = len(group.title) > LONGEST_SHORT and "_" not in group.name
    return group.name.upper() if long else group.title


def _metric(metric: MetricColumn) -> dict[str, Any]:
    return {
        "key": metric.key,
        "eval": metric.eval,
        "title": metric.title,
        "description": metric.description,
        "better": metric.better,
        "chance": metric.chance,
        "headline": metric.headline,
        "main": metric.main,
        "caveats": [{"text": caveat.text, "serious": caveat.serious} for caveat in metric.caveats],
    }


def _packed(values: Values, reasons: dict[str, int]) -> Mapping[str, Any]:
    """Columns that hold nothing are left out."""
    why = [None if reason is None else reasons.setdefault(reason, len(reasons)) for reason in values.reason]
    columns: dict[str, list[Any]] = {
        "v": [round6(v) for v in values.value],
        "lo": [round6(v) for v in values.low],
        "hi": [round6(v) for v in values.high],
        "n": list(values.n_seeds),
        "floor": [round6(v) for v in values.floor],
        "ceiling": [round6(v) for v in values.ceiling],
        "above": [round6(v) for v in values.above_floor],
        "alo": [round6(v) for v in values.above_low],
        "ahi": [round6(v) for v in values.above_high],
        "why": why,
    }
    known: dict[str, Any] = {
        name: column for name, column in columns.items() if any(entry is not None for entry in column)
    }
    references = [{"role": role, "name": name, "value": round6(value)} for role, name, value in values.references()]
    return known | ({"refs": references} if references else {})
