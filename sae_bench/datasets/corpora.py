"""Corpora: texts in the order of their source, read only as far as they are taken."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sae_bench.datasets import embedded, sources
from sae_bench.datasets.registry import corpus_spec
from sae_bench.datasets.sources import Origin, Request
from sae_bench.datasets.spec import CorpusSpec
from sae_bench.errors import DatasetError


def load_corpus(name: str | CorpusSpec, *, data_dir: str | Path | None = None) -> Iterator[str]:
    """The texts of a corpus, without blank ones, in order.

    Args:
        name: a known corpus, a declaration, or the path of a file or folder with a column `text`.
    Raises:
        UnknownNameError: no dataset has this name.
        DatasetError, PrerequisiteError: the corpus cannot be found or read, or holds no text.
    """
    spec = _spec(name)
    if spec.embedded is not None:
        embedded.data_folder()  # missing packages show here, not at the first text
        return embedded.corpus(spec.embedded)
    _, frames = sources.open_frames(_request(spec), data_dir)
    return _texts(spec, frames)


def corpus_provenance(name: str | CorpusSpec, *, data_dir: str | Path | None = None) -> dict[str, str]:
    """Where `load_corpus` takes the texts from (source, location, revision, split), without reading them."""
    spec = _spec(name)
    if spec.embedded is not None:
        origin = Origin("package", embedded.REQUIREMENT, embedded.installed_version())
        return {**origin.provenance(), "split": spec.embedded}
    origin = sources.find(_request(spec), data_dir).origin
    return {**origin.provenance(), "split": spec.split, **({"config": spec.config} if spec.config else {})}


def _spec(name: str | CorpusSpec) -> CorpusSpec:
    if isinstance(name, str):
        path = Path(name).expanduser()
        if path.is_file() or (path.is_dir() and (path.is_absolute() or name.startswith((".", "~")))):
            return CorpusSpec(name=name, description="Texts of a file or folder.", path=path)
    return corpus_spec(name)


def _request(spec: CorpusSpec) -> Request:
    return Request(spec=spec, split=spec.split, columns=(spec.text_column,), config=spec.config, stream=True)


def _texts(spec: CorpusSpec, frames: Iterator) -> Iterator[str]:
    any_text = False
    for frame in frames:
        for text in frame[spec.text_column].dropna():
            if not isinstance(text, str):
                raise DatasetError(
                    f"the column '{spec.text_column}' of '{spec.name}' holds {type(text).__name__}, not text; "
                    "name the column of the texts."
                )
            if len(text) > spec.min_chars and not text.isspace():
                any_text = True
                yield text
    if not any_text:
        raise DatasetError(f"the split '{spec.split}' of '{spec.name}' holds no text.")
