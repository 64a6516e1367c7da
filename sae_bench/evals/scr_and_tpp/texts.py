"""The texts of scr: pairs of classes, split by a second attribute into four quadrants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from sae_bench.datasets import LabelledSpec, load_tables
from sae_bench.datasets.registry import labelled_spec
from sae_bench.errors import DatasetError, UnknownNameError, UsageError
from sae_bench.evals.scr_and_tpp.eval_config import ScrAndTppEvalConfig

Quadrant = tuple[int, int]
"""(class, second attribute): 0 for the first of the two that were named, 1 for the second."""

QUADRANTS: tuple[Quadrant, ...] = ((0, 0), (0, 1), (1, 0), (1, 1))
BIASED: tuple[Quadrant, ...] = ((0, 0), (1, 1))
"""The quadrants of the biased set; it needs twice as many texts of each."""

Split = dict[Quadrant, list[str]]


@dataclass(frozen=True)
class PairTexts:
    """Texts of one pair of classes: `size` of each quadrant, twice as many of the biased ones, in source order."""

    dataset_name: str
    pair: tuple[str, str]
    attribute: tuple[str, str]
    train: Split
    test: Split

    @property
    def name(self) -> str:
        """The name of the pair's results as published."""
        return f"{self.dataset_name}_scr_{self.pair[0]}_{self.pair[1]}"


def load_pairs(
    dataset_name: str, config: ScrAndTppEvalConfig, *, data_dir: str | Path | None = None
) -> tuple[list[PairTexts], dict[str, str]]:
    """The texts of every pair of a data set, and where they come from.

    Classes are looked up in the whole set where the named one is a choice of its classes: the published pairs of
    `LabHC/bias_in_bios_class_set1` reach beyond its five professions.

    Raises:
        UsageError: the set has no second attribute with two values, or a class is not in it.
        DatasetError: a quadrant has too few texts.
    """
    spec = labelled_spec(dataset_name)
    if len(spec.balance_values) != 2:
        raise UsageError(
            f"scr needs a second attribute with two values; '{spec.name}' has "
            f"{len(spec.balance_values) or 'none'}. Next: choose a set that declares balance_values (such as "
            "'embedded/emotions_by_address'), or declare them for this one."
        )
    pairs = pairs_of(spec, config)
    whole = labelled_spec(spec.whole_set) if spec.whole_set else spec
    keys = {name: _key(whole, name) for pair in pairs for name in pair}
    chosen = whole.model_copy(update={"classes": {key: whole.classes[key] for key in keys.values()}})
    tables = load_tables(chosen, data_dir=data_dir)
    attribute = _two(list(spec.balance_values))
    names = _two([spec.balance_values[key] for key in attribute])
    texts: list[PairTexts] = []
    found = {pair: _cells((keys[pair[0]], keys[pair[1]]), attribute, tables.train, tables.test) for pair in pairs}
    for place, (split, set_size) in enumerate((("train", config.train_set_size), ("test", config.test_set_size))):
        _check(spec.name, {pair: cells[place] for pair, cells in found.items()}, set_size, f"{split}_set_size", names)
    for pair, (train, test) in found.items():
        texts.append(
            PairTexts(
                dataset_name, pair, names, _first(train, config.train_set_size), _first(test, config.test_set_size)
            )
        )
    facts = {"pairs": "; ".join(" / ".join(pair) for pair in pairs), "second_attribute": " / ".join(names)}
    return texts, {**tables.provenance, **facts, "draw": "the first texts of each quadrant in the order of the source"}


def pairs_of(spec: LabelledSpec, config: ScrAndTppEvalConfig) -> list[tuple[str, str]]:
    """The pairs that the settings name for a set, else its classes in order: first with second, third with fourth."""
    listed = config.column1_vals_lookup.get(spec.name)
    if listed is not None:
        return list(listed)
    names = list(spec.classes.values())
    return list(zip(names[::2], names[1::2], strict=False))


def _key(spec: LabelledSpec, name: str) -> str:
    """The value in the data of a class called by its name or by that value."""
    if name in spec.classes:
        return name
    for key, shown in spec.classes.items():
        if shown == name:
            return key
    raise UnknownNameError(f"class of '{spec.name}'", name, [*spec.classes.values()])


def _two(values: Sequence[str]) -> tuple[str, str]:
    first, second = values
    return first, second


def _cells(
    keys: tuple[str, str], attribute: tuple[str, str], train: pd.DataFrame, test: pd.DataFrame
) -> tuple[Split, Split]:
    """All texts of the four quadrants, training and test, in the order of the source."""

    def split(rows: pd.DataFrame) -> Split:
        return {
            (c, b): rows.loc[(rows["label"] == keys[c]) & (rows["balance"] == attribute[b]), "text"].tolist()
            for c, b in QUADRANTS
        }

    return split(train), split(test)


def _check(
    dataset_name: str,
    cells: Mapping[tuple[str, str], Split],
    set_size: int,
    setting: str,
    attribute: tuple[str, str],
) -> None:
    """Raises `DatasetError` with the counts of the scarcest pair and the largest possible setting."""
    possible = {
        pair: min(len(texts) // (2 if quadrant in BIASED else 1) for quadrant, texts in split.items())
        for pair, split in cells.items()
    }
    pair = min(possible, key=lambda p: possible[p])
    if possible[pair] >= set_size // 4:
        return
    counts = "; ".join(f"{pair[c]}, {attribute[b]}: {len(cells[pair][c, b]):,}" for c, b in QUADRANTS)
    raise DatasetError(
        f"'{dataset_name}' has too few texts of {pair[0]} / {pair[1]} for {setting} = {set_size:,}: {set_size // 4:,} "
        f"of each quadrant are needed and twice as many of the first and the last, there are {counts}. "
        f"Lower {setting} to {4 * possible[pair]:,} or less, or choose other pairs with column1_vals_lookup."
    )


def _first(cells: Split, set_size: int) -> Split:
    size = set_size // 4
    return {quadrant: texts[: size * (2 if quadrant in BIASED else 1)] for quadrant, texts in cells.items()}
