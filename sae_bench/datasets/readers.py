"""Reading Parquet, JSON lines and CSV files in chunks, in order, without loading a whole file."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import zstandard

from sae_bench.errors import DatasetError

CHUNK_ROWS = 1024
_PACKED = ("", ".gz", ".zst")
FORMATS: dict[str, tuple[str, ...]] = {
    "Parquet": (".parquet",),
    "JSON": tuple(end + packed for end in (".jsonl", ".json", ".ndjson") for packed in _PACKED),
    "CSV": tuple(".csv" + packed for packed in _PACKED),
}
"""Format -> endings of its files, the preferred format first."""


def format_of(path: Path) -> str | None:
    """The format that a file's name tells, None if it is no data file."""
    name = path.name.lower()
    return next((form for form, ends in FORMATS.items() if name.endswith(ends)), None)


def iter_frames(path: Path, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
    """The columns of a file as frames of at most about a thousand rows, in the order of the file.

    Args:
        columns: names of columns; `a.b` is field `b` of the struct column `a`.
    Raises:
        DatasetError: a column is missing, or the file cannot be read; the message names the file.
    """
    readers = {"Parquet": _parquet, "JSON": _json, "CSV": _csv}
    form = format_of(path)
    if form is None:
        endings = ", ".join(end for ends in FORMATS.values() for end in ends)
        raise DatasetError(f"'{path}' is no data file that can be read here; endings: {endings}.")
    try:
        yield from readers[form](path, columns)
    except DatasetError:
        raise
    except (OSError, EOFError, ValueError, zstandard.ZstdError, pd.errors.ParserError) as error:
        # pyarrow's and the decoders' errors are subclasses of ValueError or OSError
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DatasetError(f"cannot read '{path}' as {form}: {first_line}. Fetch or write the file again.") from error


def frame_of_records(records: Iterable[Mapping[str, Any]], columns: Sequence[str], where: str) -> pd.DataFrame:
    """A frame of `columns` from mappings; raises `DatasetError` if a mapping lacks one."""
    rows = list(records)
    for row in rows:
        for column in columns:
            if not _has(row, column):
                raise missing_column(column, _leaves(row), where)
    return pd.DataFrame({column: [_get(row, column) for row in rows] for column in columns})


def missing_column(column: str, present: Iterable[str], where: str) -> DatasetError:
    """The error for a column that is not there, with those that are."""
    shown = ", ".join(f"'{name}'" for name in present)
    return DatasetError(
        f"{where} has no column '{column}'; its columns: {shown}. "
        "Name the right one in the dataset's declaration, or rename it in the file."
    )


def _parquet(path: Path, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
    with pq.ParquetFile(path) as file:
        leaves = _schema_leaves(file.schema_arrow)
        for column in columns:
            if column not in leaves:
                raise missing_column(column, leaves, f"'{path}'")
        for batch in file.iter_batches(batch_size=CHUNK_ROWS, columns=list(columns)):
            yield pd.DataFrame({column: _column(batch, column).to_pylist() for column in columns})


def _column(batch: pa.RecordBatch, column: str) -> Any:
    if column in batch.schema.names:
        return batch.column(column)
    top, *fields = column.split(".")
    return pc.struct_field(batch.column(top), fields)


def _schema_leaves(schema: pa.Schema) -> list[str]:
    names: list[str] = []
    for field in schema:
        if pa.types.is_struct(field.type):
            names.extend(f"{field.name}.{child.name}" for child in field.type)
        else:
            names.append(field.name)
    return names


def _json(path: Path, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
    with _open_text(path) as stream:
        records = _json_records(stream)
        while chunk := list(islice(records, CHUNK_ROWS)):
            yield frame_of_records(chunk, columns, f"'{path}'")


def _json_records(stream: io.TextIOWrapper) -> Iterator[dict[str, Any]]:
    """One object a line, or a file that is one list of objects."""
    for number, line in enumerate(stream, start=1):
        if number == 1 and line.lstrip().startswith("["):
            yield from json.loads(line + stream.read())
            return
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"line {number} is not a JSON object ({error.msg})") from error
        if not isinstance(record, dict):
            raise ValueError(f"line {number} is not a JSON object")
        yield record


def _csv(path: Path, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
    with _open_text(path) as stream:
        # only an empty cell is missing: 'NA' and 'null' are texts
        for chunk in pd.read_csv(stream, chunksize=CHUNK_ROWS, keep_default_na=False, na_values=[""]):
            for column in columns:
                if column not in chunk.columns:
                    raise missing_column(column, chunk.columns, f"'{path}'")
            yield chunk[list(columns)]


@contextmanager
def _open_text(path: Path) -> Iterator[io.TextIOWrapper]:
    if path.suffix == ".gz":
        with gzip.open(path, "rt", encoding="utf-8") as stream:
            yield stream
    elif path.suffix == ".zst":
        with path.open("rb") as raw, zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True) as binary:
            yield io.TextIOWrapper(binary, encoding="utf-8")
    else:
        with path.open(encoding="utf-8") as stream:
            yield stream


def _has(row: Mapping[str, Any], column: str) -> bool:
    if column in row:
        return True
    top, _, field = column.partition(".")
    return bool(field) and isinstance(row.get(top), Mapping) and field in row[top]


def _get(row: Mapping[str, Any], column: str) -> Any:
    if column in row:
        return row[column]
    top, _, field = column.partition(".")
    return row[top][field]


def _leaves(row: Mapping[str, Any]) -> list[str]:
    names: list[str] = []
    for key, value in row.items():
        names.extend(f"{key}.{field}" for field in value) if isinstance(value, Mapping) else names.append(key)
    return names
