"""The page of one SAE: settings, details of every eval as tables, histograms of its latents, explained latents."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from sae_bench.analysis.table import Record
from sae_bench.report.charts import charts_of
from sae_bench.report.collect import SAE, Collected
from sae_bench.report.fields import detail_texts, readable
from sae_bench.report.latents import explained_latents
from sae_bench.report.numbers import round6

logger = logging.getLogger(__name__)

Table = dict[str, Any]
MOST_ROWS = 400
MANY_LATENTS = 60
"""Details with more rows than this and an index are of latents: they are shown as histograms."""

CONVERSATIONS = 1200
"""Conversations with judges that a report holds at most, shared out over its SAEs: they are most of its size."""

_DENSITY = "feature_density"
_DENSITY_EDGES = np.arange(-6.0, 0.01, 0.25)
_BINS = 40


def sae_details(collected: Collected, sae: SAE) -> dict[str, Any]:
    """Everything that the page of one SAE shows beside its scores."""
    n_conversations = min(max(CONVERSATIONS // len(collected.saes), 6), 60)
    evals = {}
    config: Mapping[str, Any] = {}
    for group in collected.evals:
        record = collected.records.get((group.name, sae.number))
        if record is None:
            continue
        try:
            content = record.read()
        except (OSError, ValueError) as error:  # removed or being rewritten since the table was read
            logger.warning("%s: its details cannot be read (%s)", record.path, error)
            continue
        config = config or content.get("sae_cfg_dict") or {}
        evals[group.name] = _eval_details(record, content, n_conversations)
    return {"config": flat(config), "evals": evals}


def _eval_details(record: Record, content: Mapping[str, Any], n_conversations: int) -> dict[str, Any]:
    rows = [row for row in content.get("eval_result_details") or () if isinstance(row, Mapping)]
    latent_rows = record.spec.shows.rows == "latents" if record.spec else all("index" in row for row in rows[:3])
    of_latents = latent_rows and len(rows) > MANY_LATENTS
    tables = [] if of_latents or not rows else [_details_table(record, rows)]
    unstructured = content.get("eval_result_unstructured")
    latents = explained_latents(unstructured, most=n_conversations)
    if latents is None:
        tables += nested_tables(unstructured)
    provenance = record.provenance
    return {
        "file": record.path.name,
        "protocol": record.protocol,
        "moved": list(record.moved),
        "settings": flat(content.get("eval_config") or {}),
        "seeds": list(record.seeds),
        "seed_results": [
            {"seed": entry.get("seed"), **rounded(entry.get("metrics") or {})}
            for entry in record.content["seed_results"]
        ],
        "seconds": rounded(provenance.get("seconds") or {}),
        "warnings": list(provenance.get("warnings") or ()),
        "not_computed": dict(list((content.get("not_computed") or {}).items())[:60]),
        "charts": charts_of(record, rows),
        "tables": tables,
        "histograms": latent_histograms(rows) if of_latents else [],
        "histograms_first": list(record.spec.shows.histograms) if record.spec else [],
        "latents": latents,
    }


def _details_table(record: Record, rows: Sequence[Mapping[str, Any]]) -> Table:
    texts = detail_texts(record.spec.output) if record.spec else {}
    flat_rows = [flat(row) for row in rows[:MOST_ROWS]]
    columns = [name for name in dict.fromkeys(k for row in flat_rows for k in row)
               if any(row.get(name) is not None for row in flat_rows)]  # fmt: skip
    title = record.spec.output.model_fields["eval_result_details"].title if record.spec else None
    return table(
        title or "Details",
        columns,
        [[_cell(row.get(name)) for name in columns] for row in flat_rows],
        titles={name: texts[name].title for name in columns if name in texts},
        cut=len(rows) - len(flat_rows),
        label=record.spec.shows.label if record.spec else "",
    )


def table(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    titles: Mapping[str, str],
    cut: int = 0,
    label: str = "",
) -> Table:
    """A table as the page reads it; `label` is the column that names a row, by default the first one with texts."""
    texts = [i for i in range(len(columns)) if any(isinstance(row[i], str) for row in rows)]
    named_by = columns.index(label) if label in columns else texts[0] if texts else 0
    return {
        "title": title,
        "columns": [titles.get(name) or readable(name) for name in columns],
        "rows": list(rows),
        "label": named_by,
        "cut": max(cut, 0),
    }


def nested_tables(content: Any) -> list[Table]:
    """Tables in nested mappings of numbers: group -> row -> column, or group -> column -> class as published."""
    if not isinstance(content, Mapping):
        return []
    tables = []
    for group, inner in content.items():
        if not isinstance(inner, Mapping):
            continue
        rows = {str(k): v for k, v in inner.items() if _is_numbers(v)}
        if len(rows) < 2 or len(rows) < len(inner):
            continue
        if all(str(name).split("_")[-1] == "accuracy" or "_metric_" in str(name) for name in rows):
            rows = _turned(rows)
        columns = list(dict.fromkeys(str(c) for row in rows.values() for c in row))
        lines = [[name, *(_cell(row.get(c)) for c in columns)] for name, row in list(rows.items())[:MOST_ROWS]]
        name = str(group).removesuffix("_results")
        tables.append(table(name, ["name", *columns], lines, titles={"name": "class"}, cut=len(rows) - len(lines)))
    return tables


def _turned(columns: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {}
    for column, values in columns.items():
        for name, value in values.items():
            rows.setdefault(str(name), {})[column] = value
    return rows


def _is_numbers(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(v is None or isinstance(v, int | float | bool) for v in value.values())
    )


def latent_histograms(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Of every number that the latents have: the densities on a log scale with the dead ones counted apart."""
    names = [name for name in rows[0] if name != "index"]
    histograms = []
    for name in names:
        values = np.asarray([row.get(name) for row in rows if isinstance(row.get(name), int | float)], dtype=float)
        values = values[np.isfinite(values)]
        if len(values) == 0:
            continue
        histograms.append(_density(name, values) if name == _DENSITY else _histogram(name, values))
    return [entry for entry in histograms if entry["counts"]]


def _density(name: str, values: np.ndarray) -> dict[str, Any]:
    alive = values[values > 0]
    logs = np.clip(np.log10(alive), _DENSITY_EDGES[0], 0.0)
    counts, edges = np.histogram(logs, bins=_DENSITY_EDGES)
    return _as_histogram("Latent density, log10", name, counts, edges, dead=int((values <= 0).sum()))


def _histogram(name: str, values: np.ndarray) -> dict[str, Any]:
    if values.min() == values.max():
        return _as_histogram(readable(name), name, np.empty(0), np.empty(0))
    counts, edges = np.histogram(values, bins=_BINS)
    return _as_histogram(readable(name), name, counts, edges)


def _as_histogram(title: str, name: str, counts: np.ndarray, edges: np.ndarray, dead: int = 0) -> dict[str, Any]:
    return {
        "title": title,
        "name": name,
        "counts": counts.tolist(),
        "edges": [round6(edge) for edge in edges.tolist()],
        "dead": dead,
    }


def flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings with dotted keys; what is neither number nor text becomes text."""
    cells: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, Mapping):
            cells.update(flat(value, f"{prefix}{key}."))
        else:
            cells[f"{prefix}{key}"] = _cell(value)
    return cells


def rounded(numbers: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers with the digits that a reader needs."""
    return {str(key): _cell(value) for key, value in numbers.items()}


def _cell(value: Any) -> Any:
    if value is None or isinstance(value, bool | str | int):
        return value
    if isinstance(value, float):
        return round6(value)
    if isinstance(value, Iterable):
        return ", ".join(str(_cell(v)) for v in value)
    return str(value)
