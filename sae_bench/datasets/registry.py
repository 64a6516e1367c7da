"""The known datasets: those declared in `specs/*.yaml`, and those that a user adds."""

from __future__ import annotations

import logging
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from sae_bench import text_files
from sae_bench.datasets.spec import AnySpec, CorpusSpec, DatasetSpec, LabelledSpec
from sae_bench.errors import DatasetError, SAEBenchError, UnknownNameError, UsageError
from sae_bench.plugins import DATASETS, working_plugins

logger = logging.getLogger(__name__)

Kind = Literal["labelled", "corpus"]

_SPEC_FOLDER = Path(__file__).parent / "specs"
_ADAPTER: TypeAdapter[LabelledSpec | CorpusSpec] = TypeAdapter(AnySpec)
_HINT = "'sae-bench list datasets' shows all; add one with a small YAML file (sae_bench.datasets.register_yaml)."


def list_datasets(kind: Kind | None = None) -> list[str]:
    """Names of the known datasets, sorted; of one kind if asked."""
    return sorted(name for name, spec in _known().items() if kind is None or spec.kind == kind)


def get_spec(name: str) -> LabelledSpec | CorpusSpec:
    """The declaration of a dataset.

    Raises:
        UnknownNameError: no dataset has this name; the message proposes the closest ones.
    """
    known = _known()
    if name not in known:
        raise UnknownNameError("dataset", name, known, _HINT)
    return known[name]


def labelled_spec(dataset: str | DatasetSpec) -> LabelledSpec:
    """The declaration of a labelled set, by name or as given. Raises `UsageError` for a corpus."""
    spec = get_spec(dataset) if isinstance(dataset, str) else dataset
    if not isinstance(spec, LabelledSpec):
        raise UsageError(f"'{spec.name}' is a corpus without labels; labelled sets: {_some('labelled')}.")
    return spec


def corpus_spec(dataset: str | DatasetSpec) -> CorpusSpec:
    """The declaration of a corpus, by name or as given. Raises `UsageError` for a labelled set."""
    spec = get_spec(dataset) if isinstance(dataset, str) else dataset
    if not isinstance(spec, CorpusSpec):
        raise UsageError(f"'{spec.name}' is a labelled set, not a corpus; corpora: {_some('corpus')}.")
    return spec


def stand_ins(name: str) -> list[str]:
    """Sets that were declared to stand in for this one."""
    return sorted(spec.name for spec in _known().values() if spec.stands_in_for == name)


def register(spec: LabelledSpec | CorpusSpec) -> LabelledSpec | CorpusSpec:
    """Add a dataset to the registry of this process.

    Raises:
        UsageError: a different dataset already has this name. The same declaration again changes nothing.
    """
    _check_is_new(spec, _known())
    _known()[spec.name] = spec
    return spec


def register_yaml(path: str | Path) -> list[LabelledSpec | CorpusSpec]:
    """Add the datasets that a YAML file declares (one mapping, or a list of them); all of them or none.

    A relative `path` in a declaration is taken from the folder of the file.

    Raises:
        DatasetError: the file is missing or is not YAML.
        UsageError: a declaration is wrong (the message names file and field), or a name is taken.
    """
    specs = read_yaml(path)
    taken = dict(_known())
    for spec in specs:
        _check_is_new(spec, taken, where=f"{path}: ")
        taken[spec.name] = spec
    for spec in specs:
        register(spec)
    return specs


def read_yaml(path: str | Path) -> list[LabelledSpec | CorpusSpec]:
    """The declarations in a YAML file, validated but not registered. Raises as `register_yaml`."""
    file = Path(path).expanduser()
    try:
        content = text_files.read_yaml(file)
    except UsageError as error:
        raise DatasetError(f"dataset file: {error}") from error
    entries = content if isinstance(content, list) else [content]
    return [_parse(entry, number=i, file=file) for i, entry in enumerate(entries, start=1)]


def _parse(entry: Any, *, number: int, file: Path) -> LabelledSpec | CorpusSpec:
    if not isinstance(entry, dict):
        raise UsageError(f"{file}, entry {number}: a dataset is a mapping of fields, got {type(entry).__name__}.")
    label = f"{file}, entry {number} ('{entry['name']}')" if "name" in entry else f"{file}, entry {number}"
    try:
        spec = _ADAPTER.validate_python(entry)
    except ValidationError as error:
        raise UsageError(f"{label}: {_plain(error)}") from error
    if spec.path is not None and not spec.path.expanduser().is_absolute():
        spec = spec.model_copy(update={"path": file.parent / spec.path})
    return spec


def _plain(error: ValidationError) -> str:
    """`field 'x': what is wrong` for each problem, without pydantic's own wording around it."""
    problems = []
    for problem in error.errors(include_url=False):
        field = ".".join(str(p) for p in problem["loc"] if p not in ("labelled", "corpus", "[key]"))
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            fields = set(LabelledSpec.model_fields) | set(CorpusSpec.model_fields)
            message = str(UnknownNameError("field", field, fields))
        if problem["type"] in ("union_tag_not_found", "union_tag_invalid"):
            field, message = "kind", "must be 'labelled' or 'corpus'"
        problems.append(f"field '{field}': {message}" if field else message)
    return "; ".join(problems)


@lru_cache(maxsize=1)
def _known() -> dict[str, LabelledSpec | CorpusSpec]:
    known: dict[str, LabelledSpec | CorpusSpec] = {}
    for file in sorted(_SPEC_FOLDER.glob("*.yaml")):
        for spec in read_yaml(file):
            _check_is_new(spec, known, where=f"{file.name}: ")
            known[spec.name] = spec
    for name, given in working_plugins(DATASETS).items():
        try:
            for spec in read_yaml(given) if isinstance(given, str | Path) else given:
                _check_is_new(spec, known, where=f"plug-in '{name}': ")
                known[spec.name] = spec
        except (SAEBenchError, TypeError, AttributeError) as error:
            logger.warning("the datasets of the plug-in '%s' are left out: %s", name, error)
    return known


def forget_datasets() -> None:
    """Look for datasets again: what was registered in this process is gone, and new plug-ins are seen."""
    _known.cache_clear()


def _check_is_new(
    spec: LabelledSpec | CorpusSpec, known: dict[str, LabelledSpec | CorpusSpec], where: str = ""
) -> None:
    if spec.name in known and known[spec.name] != spec:
        raise UsageError(f"{where}the dataset name '{spec.name}' is taken; choose another 'name'.")


def _some(kind: Kind) -> str:
    names = list_datasets(kind)
    return ", ".join(f"'{n}'" for n in names[:8]) + (" ..." if len(names) > 8 else "")
