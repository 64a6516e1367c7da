"""Errors of this package are also those that callers of plain Python catch, with a message that reads the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from sae_bench import errors
from sae_bench.analysis.table import load_results
from sae_bench.datasets.readers import iter_frames
from sae_bench.evals.registry import get_eval
from sae_bench.language_models import load_language_model
from sae_bench.results.sample_files import read_samples


@pytest.mark.parametrize(
    ("error", "plain"),
    [
        (errors.PrerequisiteError, RuntimeError),
        (errors.UsageError, ValueError),
        (errors.HookError, ValueError),
        (errors.SAEMismatchError, ValueError),
        (errors.DatasetError, ValueError),
        (errors.ModelError, ValueError),
        (errors.SAELoadError, ValueError),
        (errors.ResultError, ValueError),
        (errors.MissingFileError, FileNotFoundError),
        (errors.MissingResultError, FileNotFoundError),
        (errors.ContractError, AssertionError),
        (errors.IncompleteRunError, RuntimeError),
    ],
)
def test_caught_as_what_it_is(error: type[errors.SAEBenchError], plain: type[Exception]):
    with pytest.raises(plain) as caught:
        raise error("what was got. Next: what to do.")
    assert isinstance(caught.value, errors.SAEBenchError)
    assert str(caught.value) == "what was got. Next: what to do."


def test_an_unknown_name_reads_as_a_sentence():
    with pytest.raises(KeyError) as caught:
        get_eval("cores")
    assert isinstance(caught.value, ValueError)
    assert str(caught.value) == "unknown eval 'cores'. Did you mean 'core', 'ravel'?"


def test_what_is_missing_is_a_missing_file(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="Next: give the --output-folder"):
        load_results(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match=r"there is no file .none\.gguf."):
        load_language_model("none.gguf")


def test_a_named_fault_is_not_wrapped_by_whoever_reads(tmp_path: Path):
    table = tmp_path / "table.csv"
    table.write_text("text,label\na,b\n")
    with pytest.raises(errors.DatasetError) as caught:
        list(iter_frames(table, ["absent"]))
    assert "cannot read" not in str(caught.value)
    other = tmp_path / "other.safetensors"
    _write_other(other)
    with pytest.raises(errors.ResultError, match="holds no samples in the format"):
        read_samples(other)


def _write_other(path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(1)}, path)
