"""Fields of result files: every published field has its place in our schemas with its type; our files pass theirs."""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from reference import reference_python
from rows import Row

from sae_bench.evals.generate_json_schemas import output_schema, registered_specs, schema_name
from sae_bench.results.published_numbers import with_published_nulls

TITLE = "fields of result files"
INTRODUCTION = """The JSON Schemas that `sae-bench==0.6.0` ships beside its evals, and ours. Counted are the published
fields of a result file by path (`eval_result_metrics.sparsity.l0`), those of the same type (ours may be null besides:
`--published-nulls` writes -1), those that user interfaces show first (`ui_default_display`) and those that a file must
have. Ours may have more fields, which the published schemas allow; no published one may be missing, and of the
published fields the same ones are shown first. Evals without a published schema are left out. Where the folder holds
files of ours, they are validated against the published schema, as written by `--published-nulls`.
"""


def compare(work: Path, *, run: bool = True) -> list[Row]:
    """Four rows per eval that has a published schema, and one per eval that has files of ours below `work`."""
    del run
    published = {path.stem: json.loads(path.read_text()) for path in published_schema_files()}
    rows = []
    for spec in registered_specs():
        if schema_name(spec) in published:
            rows += _rows(spec.name, published[schema_name(spec)], output_schema(spec.output))
    return [*rows, *validated(work, published)]


def validated(folder: Path, published: Mapping[str, dict[str, Any]]) -> list[Row]:
    """A row per eval: its result files below a folder, and how many of them the published schema takes.

    Args:
        published: name of a schema, such as `eval_output_schema_core` -> the schema.
    """
    files, passed = Counter[str](), Counter[str]()
    for path in sorted(folder.rglob("*_eval_results.json")):
        content = json.loads(path.read_text())
        schema = published.get(f"eval_output_schema_{content['eval_type_id']}")
        if schema is None or not content.get("provenance"):
            continue
        files[content["eval_type_id"]] += 1
        passed[content["eval_type_id"]] += Draft202012Validator(schema).is_valid(with_published_nulls(content))
    return [
        Row(f"{name}: files that pass the published schema", count, passed[name], "all", count == passed[name])
        for name, count in sorted(files.items())
    ]


def published_schema_files() -> list[Path]:
    """The schemas in the published package's own environment."""
    code = "import importlib.util as u; print(u.find_spec('sae_bench').submodule_search_locations[0])"
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}  # it would lead to this package
    done = subprocess.run([str(reference_python()), "-c", code], capture_output=True, text=True, check=True, env=own)
    return sorted(Path(done.stdout.strip(), "evals").glob("*/eval_output_schema_*.json"))


def _rows(name: str, published: dict[str, Any], ours: dict[str, Any]) -> list[Row]:
    there, here = dict(_fields(published, published)), dict(_fields(ours, ours))
    shown_there = {path for path, (shown, _) in there.items() if shown}
    shown_here = {path for path, (shown, _) in here.items() if shown and path in there}
    required_there, required_here = set(published["required"]), set(ours["required"])
    missing = sorted(set(there) - set(here))
    same = {path for path, (_, types) in there.items() if path in here and _as_published(types, here[path][1])}
    return [
        _row(f"{name}: fields{_named(missing)}", set(there), set(there) & set(here), "none missing"),
        _row(f"{name}: types{_named(sorted(set(there) - same))}", set(there), same, "the same, or null"),
        _row(f"{name}: shown first{_named(sorted(shown_there ^ shown_here))}", shown_there, shown_here, "the same"),
        _row(f"{name}: required", required_there, required_here, "the same"),
    ]


def _as_published(there: frozenset[str], here: frozenset[str]) -> bool:
    """Whether every value of ours but null is one there; whole numbers are numbers, and no type takes any value."""
    wider = there | {"null"} | ({"integer"} if "number" in there else set())
    return not there or (bool(here) and here <= wider)


def _row(what: str, there: set[str], here: set[str], allowed: str) -> Row:
    return Row(what, len(there), len(here), allowed, there == here)


def _named(paths: list[str]) -> str:
    return f" ({', '.join(paths)})" if paths else ""


def _fields(
    part: dict[str, Any], schema: dict[str, Any], prefix: str = ""
) -> Iterator[tuple[str, tuple[bool, frozenset[str]]]]:
    """(path, (whether it is shown first, its JSON types)) of every field, through references and rows of arrays."""
    for key, field in _resolved(part, schema).get("properties", {}).items():
        yield f"{prefix}{key}", (bool(field.get("ui_default_display")), _types(field, schema))
        inner = field.get("items", field)
        yield from _fields(inner, schema, f"{prefix}{key}.")


def _types(field: dict[str, Any], schema: dict[str, Any]) -> frozenset[str]:
    """The JSON types that a field takes; none if it takes any value."""
    resolved = _resolved(field, schema)
    options = [_resolved(option, schema) for option in resolved.get("anyOf", [resolved])]
    types = {option.get("type") for option in options}
    return frozenset() if None in types else frozenset(types)


def _resolved(part: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """The definition that a field refers to."""
    reference = part.get("$ref") or next((p["$ref"] for p in part.get("allOf", []) if "$ref" in p), None)
    return part if reference is None else schema["$defs"][reference.rsplit("/", 1)[-1]]
