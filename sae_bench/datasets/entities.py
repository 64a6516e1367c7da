"""Entities with attributes and templates that ask for them: the files of RAVEL, and an embedded set of cities.

RAVEL: Huang et al. 2024, "RAVEL: Evaluating Interpretability Methods on Disentangling Language Model Representations".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sae_bench.datasets import hub
from sae_bench.datasets.cities import EMBEDDED_CITIES, city_attributes, city_templates
from sae_bench.datasets.geography import REQUIREMENT, installed_version
from sae_bench.datasets.names import RAVEL
from sae_bench.datasets.sources import Origin
from sae_bench.errors import DatasetError, UnknownNameError
from sae_bench.text_files import read_json

RAVEL_CLASSES = ("city", "nobel_prize_winner", "occupation", "physical_object", "verb")
MIRRORS = {RAVEL: ("adamkarvonen/ravel_prompts", "explanare/ravel")}
"""Set -> folders of a mirror that hold it."""
KINDS = ("entity_attributes", "attribute_to_prompts")
SLOT = "%s"


@dataclass(frozen=True)
class EntityClass:
    """One class of entities.

    Attributes:
        attributes: entity -> attribute -> value.
        templates: attribute -> templates, each with one `%s` for the entity and ending where the value is to follow.
    """

    name: str
    attributes: Mapping[str, Mapping[str, str]]
    templates: Mapping[str, tuple[str, ...]]
    provenance: dict[str, str]


def load_entity_class(dataset: str, entity_class: str, *, data_dir: str | Path | None = None) -> EntityClass:
    """The entities of one class.

    Args:
        dataset: `adamkarvonen/ravel_prompts` (RAVEL), another repository with such files, a folder, or
            `embedded/cities`.
    Raises:
        UnknownNameError: the set has no such class.
        DatasetError, PrerequisiteError: it is found nowhere, or its files are not what they should be.
    """
    if dataset == EMBEDDED_CITIES:
        if entity_class != "city":
            raise UnknownNameError(f"entity class of '{dataset}'", entity_class, ["city"])
        origin = Origin("package", REQUIREMENT, installed_version())
        return EntityClass("city", city_attributes(), city_templates(), origin.provenance())
    if dataset == RAVEL and entity_class not in RAVEL_CLASSES:
        raise UnknownNameError("entity class of RAVEL", entity_class, RAVEL_CLASSES)
    names = {kind: f"ravel_{entity_class}_{kind}.json" for kind in KINDS}
    files, origin = _find(dataset, tuple(names.values()), data_dir)
    attributes, templates = (_read(files[names[kind]]) for kind in KINDS)
    checked = {attribute: _checked(of, files[names["attribute_to_prompts"]]) for attribute, of in templates.items()}
    return EntityClass(entity_class, attributes, checked, origin.provenance())


def _find(dataset: str, names: tuple[str, ...], data_dir: str | Path | None) -> tuple[dict[str, Path], Origin]:
    """The files from a given folder, a mirror, the local cache or the hub, in this order."""
    given = Path(dataset).expanduser()
    if given.is_dir():
        return _in_folder(given, names), Origin("path", str(given))
    looked: list[str] = []
    if data_dir is not None:
        for repository in MIRRORS.get(dataset, (dataset,)):
            folder = Path(data_dir).expanduser() / repository
            if folder.is_dir():
                return _in_folder(folder, names), Origin("mirror", str(folder))
            looked.append(str(folder))
    snapshot = hub.cached_snapshot(dataset, None)
    if snapshot is not None and all((snapshot / name).is_file() for name in names):
        return _in_folder(snapshot, names), Origin("cache", str(snapshot), snapshot.name)
    return _from_hub(dataset, names, looked)


def _in_folder(folder: Path, names: tuple[str, ...]) -> dict[str, Path]:
    for candidate in (folder / "base", folder):
        if all((candidate / name).is_file() for name in names):
            return {name: candidate / name for name in names}
    raise DatasetError(f"'{folder}' lacks {' or '.join(names)}, also in its folder 'base'.")


def _from_hub(dataset: str, names: tuple[str, ...], looked: list[str]) -> tuple[dict[str, Path], Origin]:
    from huggingface_hub import hf_hub_download

    try:
        files = {name: Path(hf_hub_download(dataset, name, repo_type="dataset")) for name in names}
    except Exception as error:  # the hub's client and its http library share no base class
        text = str(error).strip().splitlines()
        where = ", ".join([*looked, f"the local Hugging Face cache ({hub.cache_folder(dataset)})"])
        raise DatasetError(
            f"could not get '{dataset}' from the hub: {text[0].rstrip('.') if text else type(error).__name__}. It was "
            f"not found in {where}. Next: check the network, give a --data-dir that has the folder "
            f"'{MIRRORS.get(dataset, (dataset,))[-1]}' with {' and '.join(names)}, or use the embedded set: "
            f"dataset_name {EMBEDDED_CITIES}."
        ) from error
    return files, Origin("hub", dataset, files[names[0]].parent.name)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = read_json(path)
    except ValueError as error:
        raise DatasetError(f"'{path}' cannot be read: {error}. Next: fetch it anew.") from error
    if not isinstance(content, dict) or not content:
        raise DatasetError(f"'{path}' must hold a mapping with at least one entry.")
    return content


def _checked(templates: Any, path: Path) -> tuple[str, ...]:
    wrong = [template for template in templates if not isinstance(template, str) or template.count(SLOT) != 1]
    if wrong:
        raise DatasetError(f"'{path}': a template needs one '{SLOT}' for the entity, got {wrong[0]!r}.")
    return tuple(templates)
