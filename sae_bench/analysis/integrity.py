"""Whether a folder of results may go into a repository of results: what is wrong with it, file by file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from sae_bench.analysis.table import Record, ResultTable, load_results
from sae_bench.results.files import FAILED

LARGEST_RESULT = 50 * 2**20
"""Bytes of a result file beyond which a repository should not take it."""


@dataclass(frozen=True)
class Problem:
    """Something that is wrong with a file.

    Attributes:
        serious: whether the folder should be refused for it.
    """

    path: Path
    text: str
    serious: bool = True


def check_results(folder: str | Path) -> list[Problem]:
    """Everything that is wrong below a folder: schema, provenance, duplicates, mixed SAEs, samples and sizes.

    Raises:
        ResultError: the folder does not exist, or holds no result at all.
    """
    table = load_results(folder)
    problems = [Problem(one.path, one.reason, serious=one.path.parent.name != FAILED) for one in table.skipped]
    for record in table.records:
        problems += _of_file(record)
    problems += _of_folder(table)
    return sorted(problems, key=lambda problem: (str(problem.path), problem.text))


def _of_file(record: Record) -> Iterator[Problem]:
    size = record.path.stat().st_size
    if size > LARGEST_RESULT:
        yield Problem(record.path, f"{size / 2**20:.0f} MB; at most {LARGEST_RESULT / 2**20:.0f} are taken")
    if record.spec is None:
        yield Problem(record.path, f"of the eval '{record.eval_name}', which this version does not know", serious=False)
    else:
        yield from _against_schema(record)
    if not record.provenance:
        yield Problem(record.path, "has no provenance: nobody can tell what made it", serious=False)
        return
    for key in ("model_fingerprint", "sae_fingerprint", "seeds"):
        if not record.provenance.get(key):
            yield Problem(record.path, f"its provenance has no {key}")
    if record.samples_problem:
        yield Problem(record.path, f"its samples cannot be used: {record.samples_problem}")


def _against_schema(record: Record) -> Iterator[Problem]:
    assert record.spec is not None
    try:
        record.spec.output.model_validate(record.read())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        yield Problem(record.path, f"does not follow the schema: {where}: {first['msg']}{more}")
    except json.JSONDecodeError as error:
        yield Problem(record.path, f"broken: {error}")


def _of_folder(table: ResultTable) -> Iterator[Problem]:
    for sentence in table.mixed_names():
        yield Problem(table.folder, sentence)
