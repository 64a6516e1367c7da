"""`--settings`: the shipped files fit the evals, one's own are checked, `--set` goes over both."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from sae_bench.errors import SAEBenchError, UnknownNameError, UsageError
from sae_bench.evals.registry import eval_names, get_eval
from sae_bench.results.model import config_fields
from sae_bench.run.planning import make_config
from sae_bench.run.settings_files import read_settings, shipped


@pytest.mark.parametrize("name", sorted(shipped()))
def test_shipped_settings_are_settings_of_the_evals(name: str):
    found = read_settings([name], eval_names())
    assert found
    for eval_name, values in found.items():
        config = make_config(get_eval(eval_name), values)
        assert {key: getattr(config, key) for key in values} == values


def test_settings_for_a_million_latents_read_as_many_tokens():
    core = read_settings(["1m_width"], ["core"])["core"]
    paper = get_eval("core").presets["paper"]
    rows = config_fields(get_eval("core").config)["batch_size_prompts"].default
    for key in ("n_eval_sparsity_variance_batches", "n_eval_reconstruction_batches"):
        assert core[key] * core["batch_size_prompts"] == paper[key] * rows


def test_own_files_go_over_one_another(tmp_path: Path):
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text(yaml.safe_dump({"core": {"context_size": 64, "batch_size_prompts": 8}}))
    second.write_text(yaml.safe_dump({"core": {"context_size": 32}, "sparse_probing": {"k_values": [1]}}))
    found = read_settings([str(first), str(second)], ["core"])
    assert found == {"core": {"context_size": 32, "batch_size_prompts": 8}}


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        ("coer: {context_size: 1}", UnknownNameError, "Did you mean 'core'"),
        ("core: 3", UsageError, "map evals to settings"),
        ("core: [", UsageError, "is no YAML"),
    ],
)
def test_wrong_files(tmp_path: Path, content: str, error: type[SAEBenchError], message: str):
    path = tmp_path / "own.yaml"
    path.write_text(content)
    with pytest.raises(error, match=message):
        read_settings([str(path)], ["core"])


def test_unknown_name():
    with pytest.raises(UnknownNameError, match="Did you mean 'reduced_memory'"):
        read_settings(["reduced_memry"], ["core"])


@pytest.mark.slow
def test_a_run_takes_them(world: Any, sae_bench: Callable, tmp_path: Path):
    own = tmp_path / "own.yaml"
    own.write_text("core: {context_size: 20, exclude_special_tokens_from_reconstruction: false}\n")
    said = sae_bench(*world.run_arguments(tmp_path / "out", "--settings", str(own), "--max-saes", "2"))
    assert said.code == 0, said.err
    path = sorted((tmp_path / "out" / "core").glob("*.json"))[0]
    config = json.loads(path.read_text())["eval_config"]
    assert config["context_size"] == 16, "--set goes over the file"
    assert config["exclude_special_tokens_from_reconstruction"] is False, "the file goes over the preset"
