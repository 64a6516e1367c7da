"""What the results were made with, what they cost, and what went wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sae_bench.analysis.consistency import Consistency
from sae_bench.analysis.table import Record, Skipped
from sae_bench.analysis.validity import MetricVerdict
from sae_bench.report.collect import Collected
from sae_bench.report.sources import Source

_VERSIONS = ("package_version", "commit", "python_version", "torch_version", "transformers_version")
_MODEL = ("model", "model_fingerprint", "llm_dtype", "sae_dtype", "device", "prepend_bos")
_WHERE_SET = ("llm_quantization", "attn_implementation", "exclude_tokens", "seqpos_slice")
"""Shown where a result has them: most have none."""
_MOST_SKIPPED = 200


def run_facts(collected: Collected) -> dict[str, Any]:
    """Facts by source, all that differ within a source listed with how many results have them."""
    return {"sources": [_source(source) for source in collected.sources]}


def _source(source: Source) -> dict[str, Any]:
    records = source.table.records
    return {
        "label": source.label,
        "own": source.is_own,
        "folder": str(source.table.folder),
        "n_results": len(records),
        "n_saes": len(source.table.saes()),
        "protocols": _counted((r.eval_name, r.protocol) for r in records),
        "model": _model(records),
        "models_named": _counted((r.model,) for r in records if r.model),
        "versions": {
            key: _counted((r.provenance[key],) for r in records if r.provenance.get(key)) for key in _VERSIONS
        },
        "seeds": _counted((", ".join(map(str, r.seeds)),) for r in records if r.seeds),
        "datasets": _datasets(records),
        "seconds": _seconds(records),
        "validity": [] if source.validation is None else [_verdict(one) for one in source.validation.metrics],
        "consistency": [] if source.consistency is None else [_agreement(one) for one in source.consistency.hooks],
        "mixed_names": source.table.mixed_names(),
        "warnings": _counted((r.eval_name, w) for r in records for w in r.provenance.get("warnings") or ()),
        "moved": _counted((r.eval_name, note) for r in records for note in r.moved),
        "samples_problems": [f"{r.eval_name} of {r.sae}: {r.samples_problem}" for r in records if r.samples_problem],
        "failed": [_failed(entry) for entry in source.table.skipped if _is_failure(entry)][:_MOST_SKIPPED],
        "skipped": [
            {"path": _below(source, entry.path), "reason": entry.reason}
            for entry in source.table.skipped
            if not _is_failure(entry)
        ][:_MOST_SKIPPED],
        "n_skipped": sum(not _is_failure(entry) for entry in source.table.skipped),
    }


def _model(records: Iterable[Record]) -> dict[str, Any]:
    """How the model was run, and which tokens SAEs read."""
    facts = {key: _counted((r.provenance[key],) for r in records if key in r.provenance) for key in _MODEL}
    for key in _WHERE_SET:
        if any(r.provenance.get(key) for r in records):
            facts[key] = _counted((_said(key, r.provenance.get(key)),) for r in records)
    return facts


def _said(key: str, value: Any) -> str:
    """A setting as it is given on the command line; none where it is not set."""
    if not value:
        return "none"
    if key == "seqpos_slice":
        return ":".join("" if end is None else str(end) for end in value)
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _verdict(one: MetricVerdict) -> dict[str, Any]:
    """What a metric is worth here: its row."""
    nulls, ladders = one.nulls, one.ladders
    return {
        "eval": one.eval,
        "title": one.title,
        "group": one.group,
        "verdict": one.verdict,
        "sentence": one.sentence,
        "cv": one.noise.cv,
        "detectable": one.detectable,
        "nulls": f"{nulls.n_better} of {nulls.n_pairs}" if nulls.n_pairs else "",
        "ladders": f"{ladders.n_right} of {ladders.n_neighbours}" if ladders.n_neighbours else "",
        "floor": one.floor.median,
        "mcc": one.truth.mcc,
    }


def _agreement(of_hook: Consistency) -> dict[str, Any]:
    """Do the SAEs of a hook find the same latents: a sentence and a row per pair."""
    names = ("a", "b", "pw_mcc", "null", "calibrated", "shared", "code_correlation", "activity_iou")
    return {
        "title": f"{of_hook.model} · {of_hook.hook}",
        "sentence": of_hook.sentence,
        "reason": of_hook.reason,
        "pairs": [{name: getattr(pair, name) for name in names} for pair in of_hook.pairs],
    }


def _counted(values: Iterable[tuple[Any, ...]]) -> list[dict[str, Any]]:
    """Distinct values, the most frequent first, with their number."""
    counts = Counter(tuple(str(part) for part in value) for value in values)
    return [{"value": list(value), "n": n} for value, n in counts.most_common()]


def _datasets(records: Iterable[Record]) -> list[dict[str, Any]]:
    entries: dict[tuple[str, str], dict[str, Any]] = {}
    for record in records:
        for name, facts in (record.provenance.get("datasets") or {}).items():
            details = {str(k): str(v) for k, v in facts.items()} if isinstance(facts, Mapping) else {"": str(facts)}
            entry = entries.setdefault((name, str(details)), {"name": name, "facts": details, "evals": []})
            if record.eval_name not in entry["evals"]:
                entry["evals"].append(record.eval_name)
    return list(entries.values())


def _seconds(records: Iterable[Record]) -> list[dict[str, Any]]:
    """Seconds by eval and phase: shared ones once per run, the others summed over SAEs."""
    own: dict[tuple[str, str], float] = {}
    shared: dict[tuple[str, str], dict[str, float]] = {}
    for record in records:
        for phase, seconds in (record.provenance.get("seconds") or {}).items():
            if not isinstance(seconds, int | float):
                continue
            key = (record.eval_name, str(phase))
            if "shared" in str(phase):
                runs = shared.setdefault(key, {})
                run = f"{record.content.get('eval_id')} {seconds:.3f}"
                runs[run] = float(seconds)
            else:
                own[key] = own.get(key, 0.0) + float(seconds)
    totals = {**own, **{key: sum(runs.values()) for key, runs in shared.items()}}
    return [
        {"eval": name, "phase": phase, "seconds": round(value, 2), "shared": (name, phase) in shared}
        for (name, phase), value in sorted(totals.items())
    ]


def _is_failure(entry: Skipped) -> bool:
    return entry.path.parent.name == "failed"


def _failed(entry: Skipped) -> dict[str, str]:
    """A failed SAE with the last line of its traceback."""
    try:
        lines = [line for line in entry.path.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    except OSError as error:
        lines = [str(error)]
    return {"file": entry.path.name, "eval": entry.path.parent.parent.name, "error": (lines or ["empty"])[-1][:400]}


def _below(source: Source, path: Path) -> str:
    root = source.table.folder
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
