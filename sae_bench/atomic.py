"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import re
import socket
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sae_bench.errors import UsageError

_WRITER = re.compile(r"\.(?P<host>[\w-]+)-(?P<pid>\d+)\.[^.]*\.partial$")
"""How the name of a partial file ends: the machine and the process that writes it."""


_KINDS = {
    stat.S_ISDIR: "a folder",
    stat.S_ISCHR: "a device",
    stat.S_ISBLK: "a device",
    stat.S_ISFIFO: "a pipe",
    stat.S_ISSOCK: "a socket",
    stat.S_ISLNK: "a symbolic link that leads round in a circle",
}


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path in the same folder that takes the place of `path` when the block ends well.

    A crash, a full disk or a kill leaves either the old file or the new one, and at worst a `.partial` file that no
    reader looks at. A symbolic link stays, and what it points to is replaced.

    Raises:
        UsageError: as `replaceable`.
    """
    target = replaceable(path)
    prefix = f".{target.name[:80]}.{_host()}-{os.getpid()}."
    handle, name = tempfile.mkstemp(prefix=prefix, suffix=".partial", dir=target.parent)
    os.close(handle)
    partial = Path(name)
    try:
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.chmod(0o666 & ~_umask())
        partial.replace(replaceable(target))
    finally:
        partial.unlink(missing_ok=True)


def write_text_atomically(path: Path, text: str) -> None:
    """Write a text file whole or not at all; creates the folder. Raises `UsageError` as `replaceable`."""
    write_pieces_atomically(path, (text,))


def write_pieces_atomically(path: Path, pieces: Iterable[str]) -> None:
    """Write the pieces of a text one after another; the file appears whole or not at all, its folder is created.

    Raises:
        UsageError: as `replaceable`.
    """
    target = replaceable(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(target) as partial, partial.open("w", encoding="utf-8") as file:
        file.writelines(pieces)


def write_bytes_atomically(path: Path, content: bytes) -> None:
    """As `write_text_atomically`, for what is no text."""
    target = replaceable(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(target) as partial:
        partial.write_bytes(content)


def replaceable(path: Path) -> Path:
    """The file that writing to `path` makes or replaces: itself, or what a symbolic link points to.

    Raises:
        UsageError: there is something that is no regular file: a folder, a device, a pipe.
    """
    target = Path(os.path.realpath(path))
    try:
        mode = target.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return target
    if stat.S_ISREG(mode):
        return target
    kind = next((name for is_kind, name in _KINDS.items() if is_kind(mode)), "no regular file")
    raise UsageError(f"cannot write to '{path}': it is {kind}. Next: the path of a file, old or new.")


@contextmanager
def marker(folder: Path) -> Iterator[Path]:
    """An empty file by which other machines can tell whether they see this very folder; gone at the end of the block.

    Creates the folder. One that a killed process leaves is a partial file like others.
    """
    folder.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".marker.{_host()}-{os.getpid()}.", suffix=".partial", dir=folder)
    os.close(handle)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def remove_partial_files(folder: Path) -> list[Path]:
    """Delete what a killed run left behind in `folder`; returns what was deleted.

    Files that another process is writing right now are left alone; of another machine's processes nothing is known,
    so their files stay.
    """
    leftovers = [path for path in sorted(folder.glob(".*.partial")) if _is_abandoned(path)]
    for path in leftovers:
        path.unlink(missing_ok=True)
    return leftovers


def _is_abandoned(path: Path) -> bool:
    writer = _WRITER.search(path.name)
    if writer is None or writer["host"] != _host():
        return False
    pid = int(writer["pid"])
    if pid == os.getpid():
        return True
    try:
        os.kill(pid, 0)  # sends nothing: asks whether the process is there
    except ProcessLookupError:
        return True
    except OSError:  # it is there, and another user's
        return False
    return False


def _host() -> str:
    return re.sub(r"[^\w-]", "_", socket.gethostname())


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
