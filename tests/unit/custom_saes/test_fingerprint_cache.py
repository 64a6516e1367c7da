"""Hashes of large files are kept: a sweep that is taken up again need not read all of its SAEs."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from sae_bench.custom_saes import fingerprint


def test_a_large_file_is_hashed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    large, small = tmp_path / "large", tmp_path / "small"
    small.write_bytes(b"x")
    with large.open("wb") as file:
        file.truncate(1 << 26)
    first = fingerprint.of_files(large)
    fingerprint.of_files(small)
    kept = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert len(kept) == 1, "small ones are read again"
    importlib.reload(fingerprint)
    assert fingerprint.of_files(large) == first
    kept[0].write_text("0" * 64)
    importlib.reload(fingerprint)
    assert fingerprint.of_files(large) != first, "what is kept is what is read"
    with large.open("r+b") as file:
        file.write(b"y")
    assert fingerprint.of_files(large) != first
    assert len([path for path in (tmp_path / "cache").rglob("*") if path.is_file()]) == 2
    kept[0].write_text("cut")
    with large.open("r+b") as file:
        file.write(b"\0")
    assert fingerprint.of_files(large) == first
