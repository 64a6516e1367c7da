"""What a result file holds: valid JSON, any SAE's configuration, what made it."""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pydantic
import pytest
import torch

import sae_bench
from sae_bench.errors import ResultError
from sae_bench.evals.core.eval_config import CoreEvalConfig
from sae_bench.evals.core.eval_output import CoreEvalOutput, CoreFeatureMetric, CoreMetricCategories
from sae_bench.evals.ravel.eval_config import RAVELEvalConfig
from sae_bench.evals.sparse_probing.eval_config import SparseProbingEvalConfig
from sae_bench.results import files, provenance
from sae_bench.results.model import BaseEvalConfig, config_values
from sae_bench.results.provenance import config_as_dict
from sae_bench.testing.tiny_models import tiny_model


def output(**changes: Any) -> CoreEvalOutput:
    fields: dict[str, Any] = {
        "eval_config": CoreEvalConfig(),
        "eval_id": "x",
        "datetime_epoch_millis": 1,
        "eval_result_metrics": CoreMetricCategories.model_validate(
            {category: {} for category in CoreMetricCategories.model_fields}
        ),
        "sae_bench_commit_hash": "Unknown",
        "sae_lens_id": "id",
        "sae_lens_release_id": "release",
        "sae_lens_version": None,
        "sae_cfg_dict": {},
    }
    return CoreEvalOutput(**{**fields, **changes})


def test_slashes_become_underscores():
    assert files.result_path("out", "a/b", "c/d.npz").as_posix() == "out/a_b_c_d.npz_eval_results.json"
    assert files.failure_path("out", "core", "a/b", "c").as_posix() == "out/failed/a_b_c_core.txt"


def test_no_value_that_json_lacks_is_written(tmp_path: Path):
    nan, inf = float("nan"), float("inf")
    written = output(
        sae_cfg_dict={"a": nan, "deep": {"b": [inf, 1.0]}},
        eval_result_unstructured={"x": {"y": [nan, -inf]}},
        eval_result_details=[CoreFeatureMetric(index=0, feature_density=nan)],
    )
    path = tmp_path / "result.json"
    files.write_result(path, written)

    def refuse(token: str) -> Any:
        raise AssertionError(token)

    content = json.loads(path.read_text(), parse_constant=refuse)
    assert content["sae_cfg_dict"] == {"a": None, "deep": {"b": [None, 1.0]}}
    assert content["eval_result_unstructured"] == {"x": {"y": [None, None]}}
    assert content["eval_result_details"][0]["feature_density"] is None
    CoreEvalOutput.model_validate_json(path.read_text())


def test_a_result_without_provenance_counts_by_its_settings(tmp_path: Path):
    path = tmp_path / "result.json"
    files.write_result(path, output())
    made = files.Made("core", "core-1", CoreEvalConfig(), (42,), "f")
    assert files.is_done(path, made)
    other = files.Made("core", "core-1", CoreEvalConfig(context_size=64), (42,), "f")
    with pytest.raises(ResultError, match="context_size: 128 there, 64 asked for"):
        files.is_done(path, other)
    assert not files.is_done(tmp_path / "none.json", made)


def test_thousands_of_results_of_wide_saes_are_looked_at_in_seconds(tmp_path: Path):
    """300 SAEs and eleven evals, each with a megabyte of details; what is asked for is checked as in small ones."""
    content = json.loads(output().to_json())
    content["eval_result_details"] = [{"index": n, "feature_density": n / 7} for n in range(20_000)]
    content["provenance"] = {"protocol": "core-1", "seeds": [42], "sae_hook": "h", "sae_fingerprint": "s"}
    path = tmp_path / "result.json"
    path.write_text(json.dumps(content, indent=2))
    assert path.stat().st_size > 1e6
    made = files.Made("core", "core-1", CoreEvalConfig(), (42,), "f", sae=files.SAEIdentity("s", "h", "float32"))
    start = time.process_time()
    assert all(files.is_done(path, made) for _ in range(3300))
    assert time.process_time() - start < 5
    with pytest.raises(ResultError, match="context_size: 128 there, 64 asked for"):
        files.is_done(path, replace(made, config=CoreEvalConfig(context_size=64)))
    with pytest.raises(ResultError, match=r"\(sae_fingerprint\): 's' there, 't' asked for"):
        files.is_done(path, replace(made, sae=files.SAEIdentity("t", "h", "float32")))
    path.write_text(path.read_text()[:-5000])
    with pytest.raises(ResultError, match="is not a readable result"):
        files.is_done(path, made)


def test_a_batch_size_counts_where_the_numbers_follow_from_it(tmp_path: Path):
    """RAVEL's is the pairs of a training step; a size left open is the one that the file holds."""
    path = tmp_path / "result.json"
    path.write_text(
        json.dumps({"eval_result_metrics": {}, "eval_config": config_values(RAVELEvalConfig(llm_batch_size=16))})
    )

    def is_done(config: BaseEvalConfig) -> bool:
        return files.is_done(path, files.Made("ravel", "ravel-2", config, (42,), "f"))

    assert is_done(RAVELEvalConfig(llm_batch_size=16))
    assert is_done(RAVELEvalConfig())
    for other in (RAVELEvalConfig(llm_batch_size=4), RAVELEvalConfig(model_name="pythia-70m")):
        with pytest.raises(ResultError, match="llm_batch_size: 16 there"):
            is_done(other)
    path.write_text(
        json.dumps(
            {"eval_result_metrics": {}, "eval_config": config_values(SparseProbingEvalConfig(llm_batch_size=16))}
        )
    )
    assert files.is_done(path, files.Made("sparse_probing", "x", SparseProbingEvalConfig(llm_batch_size=4), (42,), "f"))


def test_where_results_can_go(tmp_path: Path):
    files.check_writable(tmp_path / "new" / "deep")
    assert not (tmp_path / "new").exists()
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "deep"):
        with pytest.raises(ResultError, match=r"file' is a file\. Next:"):
            files.check_writable(folder)


# ---- the SAE's configuration


@dataclass
class _Inner:
    k: int = 3
    tensor: torch.Tensor = field(default_factory=lambda: torch.ones(1))


@dataclass
class _Config:
    dtype: torch.dtype = torch.float32
    inner: _Inner = field(default_factory=_Inner)
    layers: tuple[int, ...] = (1, 2)


class _Model(pydantic.BaseModel):
    d_in: int = 4


class _WithToDict:
    def to_dict(self) -> dict[str, Any]:
        return {"d_in": 4, "path": Path("x")}


def test_any_configuration_becomes_a_dictionary_of_json_values():
    found = config_as_dict(_Config())
    assert found == {"dtype": "torch.float32", "inner": {"k": 3, "tensor": "tensor([1.])"}, "layers": [1, 2]}
    assert config_as_dict(_Model()) == {"d_in": 4}
    assert config_as_dict(_WithToDict()) == {"d_in": 4, "path": "x"}
    assert config_as_dict({"a": None, 1: {2: {3}}}) == {"a": None, "1": {"2": [3]}}
    assert config_as_dict(SimpleNamespace(d_in=4, _private=1)) == {"d_in": 4}
    json.dumps(found)


# ---- provenance


def test_the_commit_is_the_packages_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    root = Path(sae_bench.__file__).parent.parent
    monkeypatch.chdir(tmp_path)
    provenance.package_commit.cache_clear()
    expected = None
    if (root / ".git").exists():
        done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True)
        expected = done.stdout.strip()
    assert provenance.package_commit() == expected
    installed = tmp_path / "site-packages" / "sae_bench" / "results" / "provenance.py"
    monkeypatch.setattr(provenance, "__file__", str(installed))
    provenance.package_commit.cache_clear()
    assert provenance.package_commit() is None
    provenance.package_commit.cache_clear()


def test_a_run_is_described():
    lm = tiny_model("llama")
    made = provenance.describe_run(lm, protocol="core-1", seeds=[1, 2], fingerprint=lm.fingerprint())
    assert (made.model, made.llm_dtype, made.device, made.seeds) == ("tiny-llama", "float32", "cpu", [1, 2])
    assert made.package_version == sae_bench.__version__
    assert made.torch_version == torch.__version__
    assert made.prepend_bos is True
