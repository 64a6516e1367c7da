"""Where the files of SAEs are: a folder, a mirror of the hub or the hub itself, under one face."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs, urlparse

from sae_bench.custom_saes import fingerprint
from sae_bench.custom_saes.base_sae import BaseSAE
from sae_bench.custom_saes.files import check_repo_id, download, find_repository, hub_failed
from sae_bench.custom_saes.folding import fold_decoder_norm
from sae_bench.custom_saes.spec import LoadContext, SAEHandle
from sae_bench.errors import SAELoadError, UnknownNameError

DEFAULT_ID = "custom_sae"
"""The id of an SAE that lies at the top of its folder."""


@dataclass(frozen=True)
class Repository:
    """Files by their paths below the top, in natural order; those of the hub are downloaded when they are read.

    Attributes:
        name: the release: the last part of its name.
        root: the local folder; None for one on the hub.
        repo_id: `org/name` on the hub; the folder's path for a local one.
        data_dir: a mirror of the hub, for what its files refer to in other repositories.
    """

    name: str
    root: Path | None
    repo_id: str
    files: tuple[str, ...]
    data_dir: Path | None = None

    def get(self, filename: str) -> Path:
        """A file on this machine; `hf://org/name/path[?revision=r]` is one of another repository.

        Raises:
            PrerequisiteError: it has to come from the hub and cannot.
            SAELoadError: the address is none.
        """
        if filename.startswith("hf://"):
            return self._referred(filename)
        return download(self.repo_id, filename) if self.root is None else self.root / filename

    def full_name(self, filename: str) -> str:
        """Where a file lies, the names of all folders above it included: they say what its content does not."""
        return f"{self.repo_id}/{filename}" if self.root is None else (self.root.resolve() / filename).as_posix()

    def _referred(self, address: str) -> Path:
        parts = urlparse(address)
        name, _, path = parts.path.lstrip("/").partition("/")
        if not (parts.netloc and name and path):
            raise SAELoadError(f"'{self.name}' refers to '{address}'; hf://org/name/path is needed.")
        repo_id = f"{parts.netloc}/{name}"
        root = find_repository(repo_id, data_dir=self.data_dir)
        if root is not None:
            return root / path
        return download(repo_id, path, revision=next(iter(parse_qs(parts.query).get("revision", [])), None))

    def matching(self, pattern: str) -> list[re.Match[str]]:
        """The files whose whole path matches a regular expression."""
        return [match for name in self.files if (match := re.fullmatch(pattern, name))]


class Format(NamedTuple):
    """A layout of SAEs that others write.

    Attributes:
        scheme: in a spec: `<scheme>:<hub repository or folder>[:<id>]`.
        title: as people call it.
        looked_for: its files, in words.
        handles: the SAEs of this layout in a repository.
    """

    scheme: str
    title: str
    looked_for: str
    handles: Callable[[Repository], list[SAEHandle]]

    def listed(self, repository: Repository) -> list[SAEHandle]:
        """The SAEs of this layout, each saying that it is of it."""
        return [replace(handle, format=self.title) for handle in self.handles(repository)]

    def resolve(self, rest: str, *, data_dir: Path | None = None) -> list[SAEHandle]:
        """The SAEs that `<hub repository or folder>[:<id>]` names; the id may be a regular expression or a folder.

        Raises:
            SAELoadError: there is none of this layout.
            UnknownNameError: none has this id.
            PrerequisiteError: the hub cannot be reached.
        """
        name, _, chosen = rest.partition(":")
        repository = open_repository(name, data_dir=data_dir)
        handles = self.listed(repository)
        if not handles:
            raise SAELoadError(f"found no SAE of {self.title} in '{name}'. Looked for {self.looked_for}.")
        return choose(handles, chosen, where=name) if chosen else handles


def open_repository(name: str, *, data_dir: Path | None = None) -> Repository:
    """A folder, a folder of the mirror, or what the hub (or its cache, where it cannot be reached) has under a name.

    Raises:
        SAELoadError: it is neither a folder nor could be a name on the hub.
        PrerequisiteError: the hub cannot be reached and nothing of it is cached.
    """
    root = find_repository(name, data_dir=data_dir)
    if root is not None:
        return local_repository(root, data_dir=data_dir)
    from huggingface_hub import HfApi, snapshot_download

    check_repo_id(name)
    try:
        files = HfApi().list_repo_files(name)
    except Exception as error:  # the hub client and its network stack each have their own errors
        try:
            cached = Path(snapshot_download(name, local_files_only=True))
        except Exception:  # as above; what is told is why the hub could not be asked
            raise hub_failed(f"the list of files of '{name}'", error) from error
        local = local_repository(cached, data_dir=data_dir)
        return Repository(name.rsplit("/", 1)[-1], local.root, name, local.files, data_dir)
    return Repository(name.rsplit("/", 1)[-1], None, name, tuple(sorted(files, key=natural)), data_dir)


def local_repository(root: Path, *, data_dir: Path | None = None) -> Repository:
    """The files below a folder."""
    names = (path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    return Repository(root.resolve().name, root, str(root), tuple(sorted(names, key=natural)), data_dir)


def choose(handles: list[SAEHandle], chosen: str, *, where: str) -> list[SAEHandle]:
    """Those with an id, below a folder, or matching a regular expression as a whole. Raises `UnknownNameError`."""
    folder = chosen.rstrip("/")
    exact = [h for h in handles if h.sae_id == folder or h.sae_id.startswith(f"{folder}/")]
    if exact:
        return exact
    try:
        pattern = re.compile(chosen)
    except re.error:
        pattern = re.compile(re.escape(chosen))
    matching = [h for h in handles if pattern.fullmatch(h.sae_id)]
    if not matching:
        raise UnknownNameError(f"SAE in '{where}'", chosen, [h.sae_id for h in handles])
    return matching


def handle(
    repository: Repository,
    sae_id: str,
    files: list[str],
    load: Callable[[list[Path]], BaseSAE],
    *,
    hook_name: str | None,
    model_name: str | None,
) -> SAEHandle:
    """One SAE of a repository, known and not loaded.

    Args:
        files: what its weights and settings lie in; they tell which SAE it is.
        load: makes it of these files, in float32 on the CPU.
    """

    def paths() -> list[Path]:
        return [repository.get(name) for name in files]

    def load_ready(context: LoadContext) -> BaseSAE:
        sae = load(paths())
        fold_decoder_norm(sae)
        return sae.to(device=context.device, dtype=context.dtype)

    def identify(_context: LoadContext) -> str:
        return fingerprint.of_files(*paths())

    return SAEHandle(repository.name, sae_id, hook_name, model_name, load_ready, identify)


def natural(name: str) -> list[tuple[int, str]]:
    """Sort key under which layer_2 comes before layer_10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]
