"""Evals, kinds of SAEs and datasets of other packages, found by their entry points; a broken one harms nothing."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sae_bench.custom_saes.spec import resolve_spec
from sae_bench.datasets import list_datasets, registry
from sae_bench.errors import UnknownNameError, UsageError
from sae_bench.evals.registry import eval_names, get_eval
from sae_bench.plugins import forget_plugins
from sae_bench.run.request import RunRequest

MODULE = """
from dataclasses import replace
from pathlib import Path
from sae_bench.custom_saes.spec import SAEHandle
from sae_bench.evals.core.spec import SPEC as CORE

SPEC = replace(CORE, name="mine")

def resolve(rest, *, data_dir=None):
    return [SAEHandle("theirs", rest, None, None, print)]

DATASETS = Path(__file__).with_name("theirs.yaml")
"""
ENTRIES = """
[sae_bench.evals]
mine = their_module:SPEC
broken = no_such_module:SPEC
leaves = their_leaving_module:SPEC

[sae_bench.saes]
theirs = their_module:resolve

[sae_bench.datasets]
theirs = their_module:DATASETS
broken = their_module:SPEC
"""


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package with plug-ins, as an installer would leave it."""
    info = tmp_path / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRIES)
    (tmp_path / "their_module.py").write_text(MODULE)
    (tmp_path / "their_leaving_module.py").write_text("raise SystemExit(200)")
    (tmp_path / "theirs.yaml").write_text("name: theirs/corpus\nkind: corpus\ndescription: T.\npath: x.jsonl\n")
    monkeypatch.syspath_prepend(tmp_path)
    forget_plugins()
    registry.forget_datasets()
    yield
    monkeypatch.undo()
    forget_plugins()
    registry.forget_datasets()
    sys.modules.pop("their_module", None)


def test_evals(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING, "sae_bench"):
        assert eval_names()[-1] == "mine"
    assert "the plug-in 'broken' of theirs" in caplog.text
    assert "No module named 'no_such_module'" in caplog.text
    assert "the plug-in 'leaves' of theirs" in caplog.text
    assert get_eval("mine").name == "mine"
    assert get_eval("core").name == "core"
    with pytest.raises(UsageError, match=r"'broken' of theirs .*cannot be loaded.*mend or uninstall theirs"):
        get_eval("broken")
    with pytest.raises(UnknownNameError, match="Did you mean 'mine'"):
        get_eval("min")


def test_an_eval_by_its_place():
    request = RunRequest.of(targets=[{"model": "m", "saes": "theirs:a"}], evals="core,their_module:SPEC")
    assert [spec.name for spec in request.specs()] == ["core", "mine"]
    for target, message in (("their_module:SPAC", "no attribute 'SPAC'"), ("their_module:resolve", "a function, not"),
                            ("nowhere:SPEC", "No module named 'nowhere'"),
                            ("their_leaving_module:SPEC", "called sys.exit")):  # fmt: skip
        with pytest.raises(UsageError, match=message):
            get_eval(target)


def test_saes():
    (handle,) = resolve_spec("theirs:one")
    assert (handle.release, handle.sae_id) == ("theirs", "one")
    with pytest.raises(UnknownNameError, match="Did you mean 'theirs'"):
        resolve_spec("their:one")


def test_datasets(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING, "sae_bench"):
        assert "theirs/corpus" in list_datasets("corpus")
    assert "the datasets of the plug-in 'broken' are left out" in caplog.text
