"""YAML and JSON of others: every broken file is one plain error, and a quick one."""

from __future__ import annotations

import json
import os
from pathlib import Path
from time import process_time

import pytest

from sae_bench.analysis.table import load_results
from sae_bench.custom_saes.files import read_json as read_sae_config
from sae_bench.datasets import register_yaml
from sae_bench.errors import DatasetError, ResultError, SAELoadError, UsageError
from sae_bench.results.files import read_result
from sae_bench.run.settings_files import read_settings
from sae_bench.text_files import MAX_DEPTH, parse_yaml, read_json, read_yaml

BOMB = "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"
BROKEN = {
    "brackets": (b"[" * 100_000, "nested too deeply"),
    "braces": (b"{a: " * 100_000, "nested too deeply"),
    "dashes": (b"- " * 100_000, "nested too deeply"),
    "questions": (b"? " * 100_000, "nested too deeply"),
    "bomb": (BOMB.encode(), "alias"),
    "bytes": (b"a: \xff\xfe", "cannot be read as text"),
    "control": (b"a: \x00", "no YAML"),
    "number": (b"a: " + b"9" * 5000, "value that cannot be read"),
    "date": (b"a: 2026-99-99", "value that cannot be read"),
    "syntax": (b"a: [1, 2\nb: 3", "no YAML (line 2)"),
    "length": (b"a" * 1_000_001, "1,000,001 characters"),
    "code": (b"!!python/object/apply:os.getcwd []", "no YAML"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_yaml_is_one_quick_error(case: str, tmp_path: Path):
    content, said = BROKEN[case]
    path = tmp_path / "file.yaml"
    path.write_bytes(content)
    start = process_time()
    for read, error in (
        (read_yaml, UsageError),
        (register_yaml, DatasetError),
        (lambda given: read_settings([str(given)], ["core"]), UsageError),
    ):
        with pytest.raises(error) as caught:
            read(path)
        assert said in str(caught.value)
        assert str(caught.value).count("Next: ") == 1
        assert "\n" not in str(caught.value)
    assert process_time() - start < 3, "seconds of work for a file of at most 1 MB that is refused"


def test_what_is_no_file_is_named(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")  # reading it would wait for ever
    for name, said in (("missing.yaml", "there is none"), ("", "it is a folder"), ("pipe", "it is no regular file")):
        with pytest.raises(UsageError, match=rf"{said}\. Next:"):
            read_yaml(tmp_path / name)


def test_depth_is_counted_within_and_not_beside():
    within = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    assert str(parse_yaml(within, "it")) == within
    assert len(parse_yaml("- [[1]]\n" * 200, "it")) == 200
    with pytest.raises(UsageError, match="it is nested too deeply"):
        parse_yaml(f"[{within}]", "it")


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"a":' * 100_000, b"9" * 5000, b"\xff", b"{", b""])
def test_broken_json_is_one_error_of_its_reader(content: bytes, tmp_path: Path):
    path = tmp_path / "a_eval_results.json"
    path.write_bytes(content)
    with pytest.raises(SAELoadError, match=r"cannot read .* Next:"):
        read_sae_config(path)
    with pytest.raises(ResultError, match=r"not a readable result .* Next:"):
        read_result(path)
    with pytest.raises(ResultError, match=r"broken or cut off .* Next:"):
        load_results(tmp_path)


def test_json_is_read_as_it_is(tmp_path: Path):
    content = {"ä": [1, None, [[["deep"]]]]}
    (tmp_path / "file").write_text(json.dumps(content))
    assert read_json(tmp_path / "file") == content
