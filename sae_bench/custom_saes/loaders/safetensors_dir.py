"""`path:<directory or file>`: whatever known format is found there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from sae_bench.custom_saes.files import read_json
from sae_bench.custom_saes.loaders import (
    circuit_tracer,
    decoder,
    dictionary_learning,
    gemma_scope,
    gemma_scope_2,
    goodfire,
    llama_scope,
    qwen_scope,
    sae_lens_files,
    sparsify,
    temporal,
)
from sae_bench.custom_saes.loaders.embedded import native_handle, pair_handles
from sae_bench.custom_saes.loaders.native import FOLDER_CONFIG, FOLDER_WEIGHTS, is_native, save_sae
from sae_bench.custom_saes.loaders.python_callable import DEFAULT_ID
from sae_bench.custom_saes.loaders.repository import Format, Repository, local_repository
from sae_bench.custom_saes.spec import SAEHandle, unusable
from sae_bench.errors import SAELoadError

__all__ = ["resolve", "save_sae"]

FORMATS: tuple[Format, ...] = (
    gemma_scope.FORMAT,
    gemma_scope_2.FORMAT,
    sparsify.FORMAT,
    circuit_tracer.FORMAT,
    llama_scope.FORMAT,
    qwen_scope.FORMAT,
    goodfire.FORMAT,
    temporal.FORMAT,
)
"""The layouts of others that a folder is searched for, beside those of the package, SAELens and dictionary_learning."""
_OWN, _SAE_LENS, _DICTIONARY_LEARNING = "sae_bench", "SAELens", "dictionary_learning"

_LOOKED_FOR = (
    "<name>.safetensors + <name>.json (written by save_sae)",
    f"{FOLDER_WEIGHTS} + {FOLDER_CONFIG} (written by save_sae)",
    f"{sae_lens_files.WEIGHTS} + {sae_lens_files.CONFIG} (SAELens)",
    f"{dictionary_learning.WEIGHTS} + {dictionary_learning.CONFIG} (dictionary_learning)",
    *(f"{layout.looked_for} ({layout.title})" for layout in FORMATS),
)
_KNOWN = "; ".join(_LOOKED_FOR)

_WEIGHT_NAMES = (
    FOLDER_WEIGHTS,
    sae_lens_files.WEIGHTS,
    dictionary_learning.WEIGHTS,
    "params.npz",
    "params.safetensors",
    temporal.WEIGHTS,
)
_WEIGHT_SUFFIXES = (".safetensors", ".pt", ".npz", ".bin")


def resolve(rest: str, *, data_dir: Path | None = None) -> list[SAEHandle]:
    """All SAEs under a directory, or the one of a `.safetensors` file; relative paths are tried in the mirror too."""
    candidates = [Path(rest).expanduser(), *([data_dir / rest] if data_dir is not None else [])]
    path = next((p for p in candidates if p.exists()), None)
    if path is None:
        raise SAELoadError(f"there is no '{rest}'. Next: give path: a folder of SAEs or a .safetensors file.")
    if path.is_dir():
        handles = list(_directory(path, data_dir))
    elif path.name == dictionary_learning.WEIGHTS:
        handles = dictionary_learning.local_handles(path.parent)
    elif handles := _of_others(_file_alone(path, data_dir)):
        pass
    elif path.suffix == ".safetensors":
        handles = _file(path)
    else:
        raise SAELoadError(
            f"'{path}' is no .safetensors file, no other file of an SAE and no directory. Known: {_KNOWN}."
        )
    if not handles:
        raise SAELoadError(f"found no SAE in '{path}'. Looked, also in its subfolders, for: {_KNOWN}.")
    return handles


def _file(path: Path) -> list[SAEHandle]:
    if path.name in (FOLDER_WEIGHTS, sae_lens_files.WEIGHTS) and (path.parent / FOLDER_CONFIG).is_file():
        return _folder(path.parent, root=path.parent)
    config_path = path.with_suffix(".json")
    if not config_path.is_file():
        if decoder.is_decoder_alone(path):
            return [decoder.handle(path)]
        raise SAELoadError(f"'{path}' has no '{config_path.name}' beside it, which says what kind of SAE it is.")
    config = read_json(config_path)
    if not is_native(config):
        raise SAELoadError(f"'{config_path}' does not describe an SAE written by save_sae.")
    return [native_handle(path, config_path, config, release=path.stem, sae_id=DEFAULT_ID)]


def _file_alone(path: Path, data_dir: Path | None) -> Repository:
    """A file of weights with the settings that lie beside it."""
    beside = [other.name for other in path.parent.glob("*") if other.suffix in (".json", ".yaml")]
    return Repository(_release(path.parent), path.parent, str(path.parent), (path.name, *sorted(beside)), data_dir)


def _of_others(repository: Repository) -> list[SAEHandle]:
    return [handle for layout in FORMATS for handle in layout.listed(repository)]


def _directory(root: Path, data_dir: Path | None) -> Iterator[SAEHandle]:
    """The SAEs that can be read, then those that look like one and cannot."""
    readable = [replace(handle, format=_OWN) for handle in pair_handles(root, release=_release(root))]
    for folder in sorted({path.parent for path in root.rglob(FOLDER_CONFIG)}):
        readable += _folder(folder, root=root)
    if any(path.with_name(dictionary_learning.CONFIG).is_file() for path in root.rglob(dictionary_learning.WEIGHTS)):
        of_library = dictionary_learning.local_handles(root)
        readable += [replace(handle, format=_DICTIONARY_LEARNING) for handle in of_library]
    readable += _of_others(local_repository(root, data_dir=data_dir))
    readable = list({handle.sae_id: handle for handle in reversed(readable)}.values())[::-1]  # the first of each id
    taken = {handle.sae_id for handle in readable}
    unread = [path for path in _lookalikes(root) if _id(path.parent, root) not in taken]
    if unread and not readable:
        raise SAELoadError(_not_read(unread))
    yield from readable
    for path in unread:
        yield unusable(_release(root), _id(path.parent, root), SAELoadError(_not_read([path])))


def _lookalikes(root: Path) -> list[Path]:
    """One file of each folder that is laid out as an SAE of some library."""
    first: dict[Path, Path] = {}
    for path in sorted(root.rglob("*")):
        beside_config = path.suffix in _WEIGHT_SUFFIXES and (path.parent / FOLDER_CONFIG).is_file()
        is_pair = path.with_suffix(".json").is_file()  # its own config says what it is
        if (path.name in _WEIGHT_NAMES or beside_config) and not is_pair:
            first.setdefault(path.parent, path)
    return list(first.values())


def _not_read(paths: list[Path]) -> str:
    named = ", ".join(f"'{path}'" for path in paths[:5]) + (f" and {len(paths) - 5} more" if len(paths) > 5 else "")
    verb = "look like SAEs and are" if len(paths) > 1 else "looks like an SAE and is"
    return f"{named} {verb} of no format that path: reads. It reads: {_KNOWN}."


def _folder(folder: Path, *, root: Path) -> list[SAEHandle]:
    """The SAE that one folder with a `cfg.json` holds, if it is of a known format."""
    sae_id = _id(folder, root)
    try:
        config = read_json(folder / FOLDER_CONFIG)
        if is_native(config) and (folder / FOLDER_WEIGHTS).is_file():
            weights = folder / FOLDER_WEIGHTS
            native = native_handle(weights, folder / FOLDER_CONFIG, config, release=_release(root), sae_id=sae_id)
            return [replace(native, format=_OWN)]
        if (folder / sae_lens_files.WEIGHTS).is_file():
            saved = sae_lens_files.handle(folder, config, release=_release(root), sae_id=sae_id)
            return [replace(saved, format=_SAE_LENS)]
    except SAELoadError as error:
        return [unusable(_release(root), sae_id, error)]
    return []


def _id(folder: Path, root: Path) -> str:
    location = folder.relative_to(root).as_posix()
    return DEFAULT_ID if location == "." else location


def _release(root: Path) -> str:
    return root.resolve().name
