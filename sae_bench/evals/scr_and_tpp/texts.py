"""The texts of scr: pairs of classes, split by a second attribute into four quadrants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch

from sae_bench.datasets import LabelledSpec, load_tables
from sae_bench.datasets.registry import labelled_spec
from sae_bench.errors import DatasetError, UnknownNameError, UsageError
from sae_bench.evals.scr_and_tpp.eval_config import ScrEvalConfig, TextChoice
from sae_bench.seeding import named_generator

Quadrant = tuple[int, int]
"""(class, second attribute): 0 for the first of the two that were named, 1 for the second."""

QUADRANTS: tuple[Quadrant, ...] = ((0, 0), (0, 1), (1, 0), (1, 1))
BIASED: tuple[Quadrant, ...] = ((0, 0), (1, 1))
"""The quadrants of the biased set; it needs twice as many texts of each."""

Split = dict[Quadrant, list[str]]

_DRAWS: dict[TextChoice, str] = {
    "first": "the first texts of each quadrant in the order of the source",
    "drawn": "texts of each quadrant at random, seed {seed}",
}


@dataclass(frozen=True)
class PairTexts:
    """Texts of one pair of classes: `size` of each quadrant, and twice as many of the two biased ones."""

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
    dataset_name: str, config: ScrEvalConfig, *, data_dir: str | Path | None = None
) -> tuple[list[PairTexts], dict[str, str]]:
    """The texts of every pair of a data set, and where they come from.

    Classes are looked up in the whole set where the named one is a choice of its classes: the published pairs of
    `LabHC/bias_in_bios_class_set1` reach beyond its five professions.

    Raises:
        UsageError: the set has no second attribute with two values, or a class is not in it.
        DatasetError: a quadrant has too few texts.
    """
    spec = _two_attribute_spec(dataset_name)
    pairs = pairs_of(spec, config)
    whole = labelled_spec(spec.whole_set) if spec.whole_set else spec
    keys = {name: _key(whole, name) for pair in pairs for name in pair}
    chosen = whole.model_copy(update={"classes": {key: whole.classes[key] for key in keys.values()}})
    tables = load_tables(chosen, data_dir=data_dir)
    attribute = _two(list(spec.balance_values))
    names = _two([spec.balance_values[key] for key in attribute])
    splits: dict[str, dict[tuple[str, str], Split]] = {}
    for split, rows, size in (
        ("train", tables.train, config.train_set_size),
        ("test", tables.test, config.test_set_size),
    ):
        cells = {pair: _cells((keys[pair[0]], keys[pair[1]]), attribute, rows) for pair in pairs}
        _check(spec.name, cells, size, f"{split}_set_size", names)
        splits[split] = {pair: _choose(cells[pair], size, config, (spec.name, *pair, split)) for pair in pairs}
    facts = {
        "pairs": "; ".join(" / ".join(pair) for pair in pairs),
        "second_attribute": " / ".join(names),
        "draw": _DRAWS[config.text_choice].format(seed=config.random_seed),
    }
    texts = [PairTexts(dataset_name, pair, names, splits["train"][pair], splits["test"][pair]) for pair in pairs]
    return texts, {**tables.provenance, **facts}


def _two_attribute_spec(dataset_name: str) -> LabelledSpec:
    spec = labelled_spec(dataset_name)
    if len(spec.balance_values) != 2:
        raise UsageError(
            f"scr needs a second attribute with two values; '{spec.name}' has "
            f"{len(spec.balance_values) or 'none'}. Next: choose a set that declares balance_values (such as "
            "'embedded/emotions_by_address'), or declare them for this one."
        )
    return spec


def pairs_of(spec: LabelledSpec, config: ScrEvalConfig) -> list[tuple[str, str]]:
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


def _cells(keys: tuple[str, str], attribute: tuple[str, str], rows: pd.DataFrame) -> Split:
    """All texts of the four quadrants of one split, in the order of the source."""
    return {
        (c, b): rows.loc[(rows["label"] == keys[c]) & (rows["balance"] == attribute[b]), "text"].tolist()
        for c, b in QUADRANTS
    }


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


def _choose(cells: Split, set_size: int, config: ScrEvalConfig, name: tuple[str, ...]) -> Split:
    """The texts of a quadrant that are read: the first, or some drawn by a generator of this name, in source order."""
    chosen: Split = {}
    for quadrant, texts in cells.items():
        n = set_size // 4 * (2 if quadrant in BIASED else 1)
        rows: Sequence[int] = range(n)
        if config.text_choice == "drawn":
            generator = named_generator("scr texts", *name, *quadrant, config.random_seed)
            rows = sorted(torch.randperm(len(texts), generator=generator)[:n].tolist())
        chosen[quadrant] = [texts[row] for row in rows]
    return chosen
