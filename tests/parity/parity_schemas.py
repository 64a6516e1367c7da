"""Fields of result files: every published field has its place in our schemas, and the same ones are shown first."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from reference import reference_python
from rows import Row

from sae_bench.evals.generate_json_schemas import output_schema, registered_specs, schema_name

TITLE = "fields of result files"
INTRODUCTION = """The JSON Schemas that `sae-bench==0.6.0` ships beside its evals, and ours. Counted are the published
fields of a result file by path (`eval_result_metrics.sparsity.l0`), those that user interfaces show first
(`ui_default_display`) and those that a file must have. Ours may have more fields; no published one may be missing, and
of the published fields the same ones are shown first. Evals without a published schema are left out.
"""


def compare(work: Path, *, run: bool = True) -> list[Row]:
    """Three rows per eval that has a published schema; nothing has to run for it."""
    del work, run
    published = {path.stem: path for path in _published_folder().glob("*/eval_output_schema_*.json")}
    rows = []
    for spec in registered_specs():
        path = published.get(schema_name(spec))
        if path is not None:
            rows += _rows(spec.name, json.loads(path.read_text()), output_schema(spec.output))
    return rows


def _rows(name: str, published: dict[str, Any], ours: dict[str, Any]) -> list[Row]:
    there, here = dict(_fields(published, published)), dict(_fields(ours, ours))
    shown_there = {path for path, shown in there.items() if shown}
    shown_here = {path for path, shown in here.items() if shown and path in there}
    required_there, required_here = set(published["required"]), set(ours["required"])
    missing = sorted(set(there) - set(here))
    return [
        _row(f"{name}: fields{_named(missing)}", set(there), set(there) & set(here), "none missing"),
        _row(f"{name}: shown first{_named(sorted(shown_there ^ shown_here))}", shown_there, shown_here, "the same"),
        _row(f"{name}: required", required_there, required_here, "the same"),
    ]


def _row(what: str, there: set[str], here: set[str], allowed: str) -> Row:
    return Row(what, len(there), len(here), allowed, there == here)


def _named(paths: list[str]) -> str:
    return f" ({', '.join(paths)})" if paths else ""


def _fields(part: dict[str, Any], schema: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, bool]]:
    """(path, whether it is shown first) of every field, through references and the rows of arrays."""
    for key, field in _resolved(part, schema).get("properties", {}).items():
        yield f"{prefix}{key}", bool(field.get("ui_default_display"))
        inner = field.get("items", field)
        yield from _fields(inner, schema, f"{prefix}{key}.")


def _resolved(part: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """The definition that a field refers to."""
    reference = part.get("$ref") or next((p["$ref"] for p in part.get("allOf", []) if "$ref" in p), None)
    return part if reference is None else schema["$defs"][reference.rsplit("/", 1)[-1]]


def _published_folder() -> Path:
    code = "import importlib.util as u; print(u.find_spec('sae_bench').submodule_search_locations[0])"
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}  # it would lead to this package
    done = subprocess.run([str(reference_python()), "-c", code], capture_output=True, text=True, check=True, env=own)
    return Path(done.stdout.strip()) / "evals"
