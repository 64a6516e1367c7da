"""Classes of the labelled sets, under their published names; all of them come from `sae_bench/datasets/specs`."""

from __future__ import annotations

from typing import Any

from sae_bench.datasets import LabelledSpec
from sae_bench.datasets.registry import labelled_spec

POSITIVE_CLASS_LABEL, NEGATIVE_CLASS_LABEL = 1, 0

_PROBES = (
    ("male / female", "female"),
    ("professor / nurse", "nurse"),
    ("male_professor / female_nurse", "female_nurse"),
)
PAIRED_CLASS_KEYS = {probe: f"{data}_data_only" for probe, data in _PROBES}
"""Names of the three probes of SCR -> names of their data; they stay these whatever the two classes are."""

AMAZON, BIOS = "canrager/amazon_reviews_mcauley_1and5", "LabHC/bias_in_bios"


def _whole(name: str) -> LabelledSpec:
    """The declaration with all classes of a source."""
    spec = labelled_spec(name)
    return spec if spec.whole_set is None else labelled_spec(spec.whole_set)


def _numbers(names: dict[str, str]) -> dict[str, int]:
    """Name -> number in the label column."""
    return {name: int(key) for key, name in names.items()}


_bios, _amazon = _whole(f"{BIOS}_class_set1"), _whole(AMAZON)

profession_dict = _numbers(_bios.classes)
profession_int_to_str = {number: name for name, number in profession_dict.items()}
gender_dict = _numbers(_bios.balance_values)
amazon_category_dict = _numbers(_amazon.classes)
amazon_int_to_str = {number: name for name, number in amazon_category_dict.items()}
amazon_rating_dict = {float(key): float(key) for key in _amazon.balance_values}

dataset_metadata: dict[str, dict[str, Any]] = {
    BIOS: {
        "text_column_name": _bios.text_column,
        "column1_name": _bios.label_column,
        "column2_name": _bios.balance_column,
        "column2_autointerp_name": _bios.balance_column,
        "column1_mapping": profession_dict,
        "column2_mapping": gender_dict,
    },
    AMAZON: {
        "text_column_name": _amazon.text_column,
        "column1_name": _amazon.label_column,
        "column2_name": _amazon.balance_column,
        "column2_autointerp_name": "Amazon Review Sentiment",
        "column1_mapping": amazon_category_dict,
        "column2_mapping": amazon_rating_dict,
    },
}

_PROBED = (
    *(f"{BIOS}_class_set{i}" for i in (1, 2, 3)),
    AMAZON,
    f"{AMAZON}_sentiment",
    "codeparrot/github-code",
    "fancyzhx/ag_news",
    "Helsinki-NLP/europarl",
)
chosen_classes_per_dataset = {name: list(labelled_spec(name).classes) for name in _PROBED}
