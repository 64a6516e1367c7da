"""Datasets: a registry of small declarations, labelled texts for probing, corpora, and packing into rows.

Names are imported when they are first used, so that declarations can be read without pandas and torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sae_bench.datasets.corpora import corpus_provenance, load_corpus
    from sae_bench.datasets.labelled import LabelledTables, LabelledTexts, load_labelled, load_tables
    from sae_bench.datasets.registry import get_spec, list_datasets, register, register_yaml
    from sae_bench.datasets.spec import ClassPart, CorpusSpec, DatasetSpec, LabelledSpec

__all__ = [
    "ClassPart",
    "CorpusSpec",
    "DatasetSpec",
    "LabelledSpec",
    "LabelledTables",
    "LabelledTexts",
    "corpus_provenance",
    "get_spec",
    "list_datasets",
    "load_corpus",
    "load_labelled",
    "load_tables",
    "register",
    "register_yaml",
]

_HOMES = {
    "ClassPart": "spec",
    "CorpusSpec": "spec",
    "DatasetSpec": "spec",
    "LabelledSpec": "spec",
    "LabelledTables": "labelled",
    "LabelledTexts": "labelled",
    "corpus_provenance": "corpora",
    "get_spec": "registry",
    "list_datasets": "registry",
    "load_corpus": "corpora",
    "load_labelled": "labelled",
    "load_tables": "labelled",
    "register": "registry",
    "register_yaml": "registry",
}
"""Name -> the module that it is in."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    module = importlib.import_module(f"{__name__}.{_HOMES[name]}")
    globals()[name] = value = getattr(module, name)
    return value
