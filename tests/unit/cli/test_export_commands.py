"""Results on their way to other places: check, export, publish."""

from __future__ import annotations

import base64
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jsonschema
import pandas as pd
import pytest

from sae_bench.analysis.hub_folder import publish_folder
from sae_bench.analysis.table import load_results
from sae_bench.errors import PrerequisiteError, UsageError

EEE_SCHEMA = Path(__file__).parent / "data" / "every_eval_ever_0.3.0.schema.json"


@pytest.fixture
def results(world: Any, sae_bench: Callable[..., Any], tmp_path: Path) -> Path:
    """Results of six tiny SAEs on core."""
    folder = tmp_path / "results"
    said = sae_bench(*world.run_arguments(folder, "--quiet"))
    assert said.code == 0, said.err
    return folder


def change(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


# ---- check


def test_what_a_run_writes_is_in_order(results: Path, sae_bench: Callable[..., Any]):
    said = sae_bench("check", results)
    assert (said.code, said.out.strip()) == (0, "0 errors, 0 notes.")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"eval_result_metrics": {"sparsity": {"l0": "many"}}}, "its metrics hold no number"),
        ({"eval_id": None}, "does not follow the schema: eval_id"),
        ({"unheard_of": 1}, "does not follow the schema: unheard_of"),
    ],
)
def test_what_does_not_follow_the_schema(
    results: Path, sae_bench: Callable[..., Any], changes: dict[str, Any], expected: str
):  # fmt: skip
    path = next((results / "core").glob("*.json"))
    change(path, **changes)
    said = sae_bench("check", results)
    assert said.code == 1
    assert expected in said.out
    assert path.name in said.out


def test_duplicates_mixed_saes_and_lost_provenance(results: Path, sae_bench: Callable[..., Any]):
    first, second = sorted((results / "core").glob("*.json"))[:2]
    shutil.copy(first, first.with_name("again.json"))
    provenance = json.loads(second.read_text())["provenance"]
    change(second, provenance={**provenance, "sae_fingerprint": None})
    said = sae_bench("check", results)
    assert said.code == 1
    assert "repeats core" in said.out
    assert "its provenance has no sae_fingerprint" in said.out


# ---- export


def test_records_of_every_eval_ever_validate(results: Path, sae_bench: Callable[..., Any], tmp_path: Path):
    for path in (results / "core").glob("*.json"):  # six rows are too few for error bars of their own
        bars = json.loads(path.read_text())["statistics"]
        change(path, statistics={name: {**bar, "ci_low": 0.1, "ci_high": 0.2} for name, bar in bars.items()})
    said = sae_bench("export", "eee", results, "--out", tmp_path / "eee", "--organization", "My Lab")
    assert said.code == 0, said.err
    paths = sorted((tmp_path / "eee" / "data" / "sae-bench").rglob("*.json"))
    assert len(paths) == 6
    validator = jsonschema.Draft7Validator(json.loads(EEE_SCHEMA.read_text()))
    tables = {record.sae: record for record in load_results(results).records}
    for path in paths:
        content = json.loads(path.read_text())
        assert [error.message for error in validator.iter_errors(content)] == []
        details = content["model_info"]["additional_details"]
        record = tables[f"{details['sae_release']}:{details['sae_id']}"]
        scores = {one["evaluation_result_id"]: one["score_details"]["score"] for one in content["evaluation_results"]}
        expected = {f"core.{m.path}": record.values[m.path] for m in record.metrics() if m.path in record.values}
        assert scores == expected
        bars = {
            one["evaluation_result_id"].removeprefix("core."): one["score_details"].get("uncertainty", {})
            for one in content["evaluation_results"]
        }
        ends = [(bar["lower"], bar["upper"]) for bar in (b.get("confidence_interval") for b in bars.values()) if bar]
        assert ends == [(0.1, 0.2)] * len(bars)
    again = sae_bench("export", "eee", results, "--out", tmp_path / "eee", "--organization", "My Lab")
    assert again.code == 0
    assert sorted((tmp_path / "eee").rglob("*.json")) == paths  # a second export replaces the first


def test_the_list_for_neuronpedia(results: Path, sae_bench: Callable[..., Any], tmp_path: Path):
    said = sae_bench("export", "neuronpedia", results, "-o", tmp_path / "upload.json")
    assert said.code == 2
    assert "neuronpedia_id" in said.err
    path = next((results / "core").glob("*.json"))
    change(path, sae_cfg_dict={"metadata": {"neuronpedia_id": "gemma-2-2b/12-gemmascope-res-16k"}})
    said = sae_bench("export", "neuronpedia", results, "-o", tmp_path / "upload.json", "--repo", "me/saes")
    assert said.code == 1  # the other five are named
    assert said.err.count("left out") == 5
    (entry,) = json.loads((tmp_path / "upload.json").read_text())
    assert (entry["modelId"], entry["sourceId"], entry["type"], entry["hfRepoId"]) == (
        "gemma-2-2b", "12-gemmascope-res-16k", "core", "me/saes",
    )  # fmt: skip
    assert json.loads(entry["data"])["eval_result_metrics"] == json.loads(path.read_text())["eval_result_metrics"]


def test_a_folder_for_the_hub(results: Path, sae_bench: Callable[..., Any], tmp_path: Path):
    out = tmp_path / "hub"
    said = sae_bench("export", "hub", results, "--out", out, "--title", "Mine")
    assert said.code == 0, said.err
    assert "# Mine" in (out / "README.md").read_text()
    assert len(load_results(out).records) == 6
    assert all(record.samples for record in load_results(out).records)
    table = pd.read_csv(out / "results.csv")
    assert set(table["eval"]) == {"core"}
    assert not any("/" in path for path in table["path"])  # no path of this machine
    assert str(tmp_path) not in (out / "results.csv").read_text() + (out / "README.md").read_text()
    said = sae_bench("export", "hub", results, "--out", out)
    assert said.code == 2
    assert "is not empty" in said.err


# ---- publish


class FakeHub(BaseHTTPRequestHandler):
    """As much of the hub as an upload of small files needs."""

    files: dict[str, bytes]
    refuses: bool

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        if self.refuses:
            self._answer(403, {"error": "you may not write here"})
        elif self.path == "/api/repos/create":
            self._answer(200, {"url": "https://huggingface.co/datasets/me/results", "name": "me/results"})
        elif self.path.endswith("/preupload/main"):
            paths = [one["path"] for one in json.loads(body)["files"]]
            self._answer(200, {"files": [{"path": p, "uploadMode": "regular", "shouldIgnore": False} for p in paths]})
        elif "/commit/main" in self.path:
            for line in body.splitlines():
                entry = json.loads(line)
                if entry["key"] == "file":
                    self.files[entry["value"]["path"]] = base64.b64decode(entry["value"]["content"])
            self._answer(
                200, {"commitUrl": "https://huggingface.co/datasets/me/results/commit/abc", "commitOid": "abc"}
            )
        else:
            self._answer(200, {})

    def do_GET(self) -> None:
        self._answer(200, {"id": "me/results", "sha": "abc", "siblings": []})

    def log_message(self, *_: Any) -> None:
        pass

    def _answer(self, code: int, content: dict[str, Any]) -> None:
        data = json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, type[FakeHub]]]:
    handler = type("Handler", (FakeHub,), {"files": {}, "refuses": False})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", "hf_of_a_test")
    yield f"http://127.0.0.1:{server.server_port}", handler
    server.shutdown()
    server.server_close()


def test_a_folder_is_published(results: Path, tmp_path: Path, sae_bench: Callable[..., Any], hub: Any):
    address, handler = hub
    sae_bench("export", "hub", results, "--out", tmp_path / "hub")
    url = publish_folder(tmp_path / "hub", "me/results", private=True, message="Results", endpoint=address)
    assert url.endswith("/commit/abc")
    local = {str(p.relative_to(tmp_path / "hub")): p.read_bytes() for p in (tmp_path / "hub").rglob("*") if p.is_file()}
    assert handler.files == local


def test_a_hub_that_refuses(results: Path, tmp_path: Path, sae_bench: Callable[..., Any], hub: Any):
    address, handler = hub
    handler.refuses = True
    sae_bench("export", "hub", results, "--out", tmp_path / "hub")
    with pytest.raises(PrerequisiteError, match="hf auth login"):
        publish_folder(tmp_path / "hub", "me/results", private=False, message="Results", endpoint=address)


def test_only_what_was_exported_is_published(tmp_path: Path, sae_bench: Callable[..., Any]):
    said = sae_bench("publish", tmp_path, "--repo", "me/results")
    assert said.code == 2
    assert "export hub" in said.err
    (tmp_path / "README.md").write_text("a card")
    with pytest.raises(UsageError, match="no name of a data set"):
        publish_folder(tmp_path, "not/a/name", private=False, message="Results", endpoint="http://127.0.0.1:9")


def test_an_sae_that_failed_is_a_note(results: Path, sae_bench: Callable[..., Any]):
    (results / "core" / "failed").mkdir()
    (results / "core" / "failed" / "x_core.txt").write_text("a traceback")
    said = sae_bench("check", results)
    assert (said.code, said.out.count("note: ")) == (0, 1)
