"""Datasets: a registry of small declarations, labelled texts for probing, corpora, and packing into rows.

Names are imported when they are first used, so that declarations can be read without pandas and torch.
"""

from typing import TYPE_CHECKING

from sae_bench.forwarding import imported_when_used

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

__getattr__ = imported_when_used(__name__, {name: f"{__name__}.{home}" for name, home in _HOMES.items()})
