"""Labelled texts: reading the chosen classes, and drawing equally many training and test texts of each."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from sae_bench.datasets import embedded, sources
from sae_bench.datasets.registry import labelled_spec
from sae_bench.datasets.sources import Origin, Request
from sae_bench.datasets.spec import LabelledSpec
from sae_bench.errors import DatasetError, UsageError

Texts = dict[str, list[str]]


@dataclass(frozen=True)
class LabelledTexts:
    """Texts by class; `train` and `test` hold equally many of every class."""

    name: str
    classes: tuple[str, ...]
    train: Texts
    test: Texts
    provenance: dict[str, str]
    class_names: dict[str, str] = field(default_factory=dict)
    """Class -> a name to show (classes are called as in the data, such as `21`)."""


@dataclass(frozen=True)
class LabelledTables:
    """All rows of the chosen classes: frames with the columns `text`, `label` and, if declared, `balance`."""

    train: pd.DataFrame
    test: pd.DataFrame
    provenance: dict[str, str]


def load_labelled(
    name: str | LabelledSpec,
    *,
    train_set_size: int,
    test_set_size: int,
    seed: int,
    data_dir: str | Path | None = None,
) -> LabelledTexts:
    """Draw texts for binary tasks of one class against another.

    The sizes are those of a balanced binary task: every class gets half as many texts, and a set with a second
    attribute a quarter as many of each of its two values. The same seed draws the same texts from the same rows.

    Raises:
        UnknownNameError: no dataset has this name.
        DatasetError: the data cannot be found, lacks a column, or has too few rows of a class.
    """
    spec = labelled_spec(name)
    train_size, test_size = _per_cell(spec, train_set_size), _per_cell(spec, test_set_size)
    if spec.draw == "first":
        train, test, provenance = _draw_first(spec, train_size, test_size, seed, data_dir)
    else:
        tables = load_tables(spec, data_dir=data_dir)
        _check_sizes(spec, _cell_counts(spec, tables.train), train_size, "train_set_size")
        _check_sizes(spec, _cell_counts(spec, tables.test), test_size, "test_set_size")
        train, test = (_sample(spec, t, n, seed) for t, n in ((tables.train, train_size), (tables.test, test_size)))
        provenance = tables.provenance
    provenance = {**provenance, "seed": str(seed), **_facts(train, test)}
    return LabelledTexts(spec.name, tuple(spec.classes), train, test, provenance, dict(spec.classes))


def load_tables(name: str | LabelledSpec, *, data_dir: str | Path | None = None) -> LabelledTables:
    """All rows of the chosen classes (and values of the second attribute), training and test.

    Labels are the keys of the declaration's `classes` and `balance_values`. Not for sets that are drawn from the
    start of a stream (`draw: first`): they are too large to read whole.

    Raises:
        DatasetError: as `load_labelled`.
    """
    spec = labelled_spec(name)
    if spec.draw == "first":
        raise UsageError(f"'{spec.name}' is read as a stream and has no table; use load_labelled.")
    if spec.path is not None and spec.path.is_file() and spec.test_split is not None:
        raise UsageError(
            f"'{spec.name}': {spec.path} is one file and cannot hold two splits; give a folder with train and test "
            "files, or 'test_split: null' to keep a share of the texts for testing."
        )
    if spec.embedded:
        origin, frame = _embedded_table(spec)
    else:
        origin, frame = _table(spec, spec.train_split, data_dir)
    if spec.test_split is None:
        train, test = _split_by_content(frame, spec.test_share)
        rule = f"{spec.test_share:g} of each class by hash of the text; duplicates and texts with two labels left out"
    else:
        train, (_, test) = frame, _table(spec, spec.test_split, data_dir)
        rule = f"splits '{spec.train_split}' and '{spec.test_split}' of the source"
    rows = {"train_rows": str(len(train)), "test_rows": str(len(test))}
    return LabelledTables(train, test, {**origin.provenance(), "split_rule": rule, **rows})


def as_keys(values: pd.Series, allowed: Mapping[str, str]) -> pd.Series:
    """Values of a label column as keys of `allowed`: strings as they are, numbers by value (`1` is `1.0`); NaN else."""
    numbers: dict[float, str] = {}
    for key in allowed:
        try:
            numbers[float(key)] = key
        except ValueError:
            continue

    def key_of(value: object) -> str | None:
        if isinstance(value, str):
            return value if value in allowed else None
        try:
            return numbers.get(float(value))  # type: ignore[arg-type]
        except (TypeError, ValueError):
            return None

    return values.map({value: key_of(value) for value in values.dropna().unique()})


def _table(spec: LabelledSpec, split: str, data_dir: str | Path | None) -> tuple[Origin, pd.DataFrame]:
    request = Request(spec=spec, split=split, columns=spec.columns, config=spec.config, stream=False)
    origin, frames = sources.open_frames(request, data_dir)
    chosen = [_chosen_rows(spec, frame) for frame in frames]
    if not chosen:
        raise DatasetError(f"the split '{split}' of '{spec.name}' in {origin.location} has no rows.")
    return origin, pd.concat(chosen, ignore_index=True)


def _chosen_rows(spec: LabelledSpec, frame: pd.DataFrame) -> pd.DataFrame:
    """Rows of the chosen classes with a text long enough, in order, as `text`, `label` and `balance`."""
    columns = {"text": frame[spec.text_column], "label": as_keys(frame[spec.label_column], spec.classes)}
    if spec.balance_column is not None:
        columns["balance"] = as_keys(frame[spec.balance_column], spec.balance_values)
    rows = pd.DataFrame(columns).dropna()
    _check_are_texts(rows["text"], spec)
    rows = _with_pattern(spec, rows)
    if spec.min_chars is not None:
        rows = rows[rows["text"].str.len() > spec.min_chars]
    return rows.assign(text=rows["text"].str.slice(spec.skip_chars)) if spec.skip_chars else rows


def _check_are_texts(values: pd.Series, spec: LabelledSpec) -> None:
    if len(values) and not isinstance(values.iloc[0], str):
        kind = type(values.iloc[0]).__name__
        raise DatasetError(
            f"the column '{spec.text_column}' of '{spec.name}' holds {kind}, not text; name the column of the texts."
        )


def _with_pattern(spec: LabelledSpec, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with their second attribute, where that is whether a pattern is found in the text."""
    if spec.balance_pattern is None:
        return rows
    matches = rows["text"].str.contains(spec.balance_pattern, regex=True)
    return rows.assign(balance=matches.map({True: "1", False: "0"}))


def _embedded_table(spec: LabelledSpec) -> tuple[Origin, pd.DataFrame]:
    frames = []
    for file, targets in spec.embedded.items():
        task = embedded.read_task(file)
        labels = as_keys(task["target"], targets).map(targets)
        frames.append(pd.DataFrame({"text": task["prompt"], "label": labels}).dropna())
    rows = _with_pattern(spec, pd.concat(frames, ignore_index=True))
    return Origin("package", embedded.REQUIREMENT, embedded.installed_version()), rows


def _split_by_content(frame: pd.DataFrame, test_share: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train and test rows with no text in both, whatever the order of the rows.

    A text that stands under two labels is left out, of a repeated one the first is kept. In every class (and value
    of the second attribute) the texts with the lowest hashes are the test texts.
    """
    labels = frame.groupby("text")["label"].transform("nunique")
    rows = frame[labels == 1].drop_duplicates("text").reset_index(drop=True)
    ranks = rows["text"].map(_content_hash)
    cells = rows.assign(rank=ranks).groupby([c for c in ("label", "balance") if c in rows])["rank"]
    is_test = cells.rank(method="first") <= (cells.transform("size") * test_share).round()
    return rows[~is_test].reset_index(drop=True), rows[is_test].reset_index(drop=True)


def _content_hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "replace")).digest()[:7], "big")


def _per_cell(spec: LabelledSpec, set_size: int) -> int:
    """Texts of each class, or of each class and value of the second attribute."""
    cells = 2 * max(1, len(spec.balance_values))
    if set_size < cells:
        raise UsageError(f"a set of {set_size} texts is too small for '{spec.name}': at least {cells} are needed.")
    return set_size // cells


def _cell_counts(spec: LabelledSpec, table: pd.DataFrame) -> dict[str, int]:
    """How many rows there are of each class, or of each `class, value` of the second attribute."""
    if not spec.has_second_attribute:
        count_of_label = table["label"].value_counts().to_dict()
        return {_shown(spec.classes, key): int(count_of_label.get(key, 0)) for key in spec.classes}
    both = table.groupby(["label", "balance"]).size().to_dict()
    return {
        f"{_shown(spec.classes, key)}, {_shown(spec.balance_values, value)}": int(both.get((key, value), 0))
        for key in spec.classes
        for value in spec.balance_values
    }


def _sample(spec: LabelledSpec, table: pd.DataFrame, per_cell: int, seed: int) -> Texts:
    """`per_cell` rows of every class (and value, in ascending order of the value in the data), without repeats."""
    texts: Texts = {}
    for key in spec.classes:
        rows = table[table["label"] == key]
        groups = [rows[rows["balance"] == v] for v in _ascending(spec.balance_values)] or [rows]
        texts[key] = [t for group in groups for t in group["text"].sample(n=per_cell, random_state=seed)]
    return texts


def _ascending(values: Mapping[str, str]) -> list[str]:
    try:
        return sorted(values, key=float)
    except ValueError:
        return sorted(values)


def _draw_first(
    spec: LabelledSpec, train_size: int, test_size: int, seed: int, data_dir: str | Path | None
) -> tuple[Texts, Texts, dict[str, str]]:
    """The first texts of each class in the order of the source, shuffled: train, then test."""
    needed = train_size + test_size
    if spec.parts:
        origin, pools = _pools_of_parts(spec, needed, data_dir)
    else:
        origin, pools = _pools_of_stream(spec, needed, data_dir)
    counts = {_shown(spec.classes, key): len(pools[key]) for key in spec.classes}
    _check_sizes(spec, counts, needed, "train_set_size + test_set_size")
    generator = random.Random(seed)
    train: Texts = {}
    test: Texts = {}
    for key in spec.classes:
        generator.shuffle(pools[key])
        train[key] = pools[key][:train_size]
        test[key] = pools[key][train_size:needed]
    rule = f"the first rows of '{spec.train_split}', shuffled; train texts, then test texts"
    rows = str(sum(map(len, pools.values())))
    return train, test, {**origin.provenance(), "split_rule": rule, "rows_read": rows}


def _pools_of_stream(spec: LabelledSpec, needed: int, data_dir: str | Path | None) -> tuple[Origin, Texts]:
    """Texts of all classes up to the row at which the last class has more than `needed`."""
    request = Request(spec=spec, split=spec.train_split, columns=spec.columns, config=spec.config, stream=True)
    origin, frames = sources.open_frames(request, data_dir)
    pools: Texts = {key: [] for key in spec.classes}
    unfilled = set(spec.classes)
    for frame in frames:
        rows = _chosen_rows(spec, frame)
        for text, key in zip(rows["text"], rows["label"], strict=True):
            pools[key].append(text)
            if len(pools[key]) > needed:
                unfilled.discard(key)
                if not unfilled:
                    return origin, pools
    return origin, pools


def _pools_of_parts(spec: LabelledSpec, needed: int, data_dir: str | Path | None) -> tuple[Origin, Texts]:
    """The first `needed` + 1 texts of each class, every class from a configuration of its own."""
    pools: Texts = {}
    origins: list[Origin] = []
    for key in spec.classes:
        part = spec.parts[key]
        request = Request(
            spec=spec, split=spec.train_split, columns=(part.text_column,), config=part.config, stream=True
        )
        origin, frames = sources.open_frames(request, data_dir)
        origins.append(origin)
        pools[key] = list(_first_texts(frames, part.text_column, spec, needed + 1))
    if len({origin.kind for origin in origins}) > 1:
        locations = "; ".join(f"{key}: {o.kind} ({o.location})" for key, o in zip(spec.classes, origins, strict=True))
        raise DatasetError(
            f"the classes of '{spec.name}' would come from different places ({locations}). Complete one."
        )
    return origins[0], pools


def _first_texts(frames: Iterator[pd.DataFrame], column: str, spec: LabelledSpec, count: int) -> Iterator[str]:
    for frame in frames:
        values = frame[column].dropna()
        _check_are_texts(values, spec)
        for text in values:
            if spec.min_chars is not None and len(text) <= spec.min_chars:
                continue
            yield text[spec.skip_chars :]
            count -= 1
            if not count:
                return


def _check_sizes(spec: LabelledSpec, counts: Mapping[str, int], needed: int, setting: str) -> None:
    """Raises `DatasetError` with all counts and the largest possible `setting` if a count is below `needed`."""
    fewest = min(counts.values())
    if fewest >= needed:
        return
    listed = "; ".join(f"{cell}: {count:,}" for cell, count in counts.items())
    most = fewest * 2 * max(1, len(spec.balance_values))
    advice = (
        f"Lower {setting} to {most:,} or less, or choose another dataset."
        if fewest
        else "A class without any row often means that the label column or its values differ from the declaration."
    )
    raise DatasetError(
        f"'{spec.name}' has too few rows for this {setting}: {needed:,} of each are needed, "
        f"there are {listed}. {advice}"
    )


def _shown(names: Mapping[str, str], key: str) -> str:
    return key if names[key] == key else f"{key} ({names[key]})"


def _facts(train: Texts, test: Texts) -> dict[str, str]:
    """A hash of all drawn texts in order, and how many distinct texts are in train and test."""
    digest = hashlib.sha256()
    for texts in (*train.values(), *test.values()):
        for text in texts:
            digest.update(text.encode("utf-8", "replace") + b"\0")
    trained = {text for texts in train.values() for text in texts}
    shared = trained & {text for texts in test.values() for text in texts}
    return {"texts_sha256": digest.hexdigest()[:16], "texts_in_train_and_test": str(len(shared))}
