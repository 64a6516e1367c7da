"""Datasets: a registry of small declarations, labelled texts for probing, corpora, and packing into rows."""

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
