"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from sae_bench.atomic import atomic_path, remove_partial_files, write_text_atomically
from sae_bench.errors import UsageError


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_written_with_its_folder_and_usual_permissions(tmp_path: Path):
    path = tmp_path / "a" / "b" / "result.json"
    write_text_atomically(path, "ä\n")
    assert path.read_text(encoding="utf-8") == "ä\n"
    plain = tmp_path / "plain"
    plain.touch()
    assert path.stat().st_mode == plain.stat().st_mode
    assert names(path.parent) == ["result.json"]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "result.json"
    write_text_atomically(path, "old")

    def full(_file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_text_atomically(path, "new and longer")
    with pytest.raises(OSError, match="No space left"):
        write_text_atomically(tmp_path / "other.json", "new")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["result.json"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_interrupted_block_leaves_nothing(tmp_path: Path, error: type[BaseException]):
    def interrupted() -> None:
        with atomic_path(tmp_path / "x.bin") as partial:
            partial.write_bytes(b"1234")
            raise error

    with pytest.raises(error):
        interrupted()
    assert names(tmp_path) == []


def test_no_reader_sees_the_file_before_it_is_whole(tmp_path: Path):
    with atomic_path(tmp_path / "x.json") as partial:
        partial.write_text("1")
        assert not (tmp_path / "x.json").exists()
        assert not list(tmp_path.glob("*.json")), "a reader that lists *.json does not meet it"
    assert (tmp_path / "x.json").read_text() == "1"


def test_long_and_odd_names(tmp_path: Path):
    path = tmp_path / ("x" * 200 + " (1)ä.json")
    write_text_atomically(path, "1")
    assert names(tmp_path) == [path.name]


def test_only_what_a_dead_process_left_is_removed(tmp_path: Path):
    with atomic_path(tmp_path / "mine.json") as partial:
        prefix, _, _ = partial.name.partition(f"-{os.getpid()}.")
        partial.write_text("")
    assert prefix.startswith(".mine.json.")
    dead, alive = f"{prefix}-999999999.abc.partial", f"{prefix}-{os.getppid()}.abc.partial"
    elsewhere = ".mine.json.other_host-999999999.abc.partial"
    for name in (dead, alive, elsewhere, "user.partial"):
        (tmp_path / name).touch()
    assert [path.name for path in remove_partial_files(tmp_path)] == [dead]
    assert names(tmp_path) == sorted([alive, elsewhere, "mine.json", "user.partial"])
    assert remove_partial_files(tmp_path / "missing") == []


def test_a_link_stays_and_its_target_is_replaced(tmp_path: Path):
    (tmp_path / "elsewhere").mkdir()
    target, link = tmp_path / "elsewhere" / "real.json", tmp_path / "link.json"
    link.symlink_to(target)
    for text in ("made", "replaced"):
        write_text_atomically(link, text)
        assert (link.is_symlink(), target.read_text()) == (True, text)
    assert names(tmp_path) == ["elsewhere", "link.json"]
    assert names(target.parent) == ["real.json"]


def _folder(path: Path) -> None:
    path.mkdir()


def _circle(path: Path) -> None:
    path.symlink_to(path)


@pytest.mark.parametrize(("make", "kind"), [(_folder, "a folder"), (os.mkfifo, "a pipe"), (_circle, "in a circle")])
def test_what_is_no_regular_file_is_refused_and_stays(tmp_path: Path, make: Callable[[Path], None], kind: str):
    path = tmp_path / "there"
    make(path)
    before = path.lstat()
    with pytest.raises(UsageError, match=rf"{kind}\. Next: the path of a file"):
        write_text_atomically(path, "text")
    assert (path.lstat().st_ino, path.lstat().st_mode) == (before.st_ino, before.st_mode)
    assert names(tmp_path) == ["there"]


def test_a_device_is_refused_and_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tempfile, "mkstemp", lambda **_: pytest.fail("nothing is made beside a device"))
    link = tmp_path / "link"
    link.symlink_to("/dev/full")
    for path in (Path("/dev/full"), link):
        with pytest.raises(UsageError, match=r"it is a device\. Next:"):
            write_text_atomically(path, "text")
