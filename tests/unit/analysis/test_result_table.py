"""A folder of results as records: what is read, what is skipped and why."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from written_results import TOP_1, published, write

from sae_bench.analysis.comparison import rank
from sae_bench.analysis.table import choose_metrics, load_results
from sae_bench.errors import ResultError, UnknownNameError, UsageError
from sae_bench.testing.simulated_samples import Design, simulate
from sae_bench.testing.synthetic_results import write_synthetic_results

DESIGN = Design(n_units=40)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    text_U = rng.standard_normal(DESIGN.n_units)
    for sae in ("a", "b"):
        write(tmp_path, sae, simulate(DESIGN, rng, text_U, mean=0.8))
    return tmp_path


def reasons(folder: Path) -> dict[str, str]:
    return {entry.path.name: entry.reason for entry in load_results(folder).skipped}


def test_results_with_their_error_bars(folder: Path):
    table = load_results(folder)
    assert table.saes() == ["tiny:a", "tiny:b"]
    assert table.skipped == ()
    record = table.of_eval("sparse_probing")[0]
    assert record.seeds == (42, 43, 44)
    assert set(record.samples) == {TOP_1}
    assert record.samples_problem is None
    frame = table.to_frame()
    assert len(frame) == 2
    row = frame.iloc[0]
    assert (row["title"], row["n_seeds"], row["n_units"], row["higher_is_better"]) == ("Top-1 accuracy", 3, 40, True)
    assert row["ci_low"] < row["value"] < row["ci_high"]
    assert list(record.read()["eval_result_details"]) == [{"anything": 1}]
    assert "eval_result_details" not in record.content


def test_broken_files_are_named_and_the_rest_is_read(folder: Path):
    whole = (folder / "sparse_probing" / "tiny_a_eval_results.json").read_text()
    bad = {
        "cut.json": whole[: len(whole) // 2],
        "empty.json": "",
        "list.json": "[1, 2]",
        "foreign.json": '{"name": "package", "version": 1}',
        "nameless.json": json.dumps({**json.loads(whole), "eval_type_id": None}),
        "orphan.json": json.dumps({**json.loads(whole), "sae_lens_id": None, "sae_lens_release_id": None}),
        "hollow.json": json.dumps({**json.loads(whole), "sae_lens_id": "h", "eval_result_metrics": {"sae": {}}}),
        "odd.json": json.dumps({**json.loads(whole), "sae_lens_id": "o", "statistics": {"x": {"mean": "?"}}}),
        "odder.json": json.dumps({**json.loads(whole), "sae_lens_id": "o", "seed_results": 3}),
        ".result.json.host-1.abc.partial": whole[:20],
    }
    for name, text in bad.items():
        (folder / "sparse_probing" / name).write_text(text)
    (folder / "sparse_probing" / "binary.json").write_bytes(b"\xff\xfe\x00")
    (folder / "sparse_probing" / "failed").mkdir()
    (folder / "sparse_probing" / "failed" / "tiny_c_sparse_probing.txt").write_text("Traceback ...")
    (folder / "artifacts" / "ravel").mkdir(parents=True)
    (folder / "artifacts" / "ravel" / "kept.json").write_text("{}")  # what runs keep for later ones is no result
    found = reasons(folder)
    assert set(found) == {*bad, "binary.json", "tiny_c_sparse_probing.txt"}
    assert "cut off" in found["cut.json"]
    assert "foreign" in found["foreign.json"]
    assert "foreign" in found["list.json"]
    assert "half-written" in found[".result.json.host-1.abc.partial"]
    assert "failed" in found["tiny_c_sparse_probing.txt"]
    assert "which SAE" in found["orphan.json"]
    assert load_results(folder).saes() == ["tiny:a", "tiny:b"]


def test_of_repeated_results_the_newest_is_kept(folder: Path):
    rng = np.random.default_rng(1)
    again = simulate(DESIGN, rng, rng.standard_normal(DESIGN.n_units), mean=0.5)
    older = write(folder / "older", "a", again, datetime_epoch_millis=1_600_000_000_000)
    newer = write(folder / "newer", "b", again, datetime_epoch_millis=1_800_000_000_000)
    table = load_results(folder)
    kept = {record.sae: record.path for record in table.records}
    assert kept["tiny:b"] == newer
    assert kept["tiny:a"] != older
    assert len(table.skipped) == 2
    assert all("repeats sparse_probing of tiny:" in entry.reason for entry in table.skipped)


def test_samples_of_another_run_are_not_used(folder: Path):
    path = folder / "sparse_probing" / "tiny_a_eval_results.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "eval_id": "another"}))
    record = load_results(path).records[0]
    assert record.samples == {}
    assert "another run" in record.samples_problem


def test_results_of_the_published_package(tmp_path: Path):
    published(tmp_path, "x", {"sparsity": {"l0": 40.0, "l1": -1.0}, "misc_metrics": {"frac_alive": float("nan")}})
    published(tmp_path, "x", {"mean": {"new_score": 0.5, "n": 3, "flag": True}}, eval_name="future_eval")
    table = load_results(tmp_path)
    core, future = table.of_eval("core")[0], table.of_eval("future_eval")[0]
    assert core.values == {"sparsity.l0": 40.0}
    assert core.spec.name == "core"
    assert future.spec is None
    assert {m.path: m.higher_is_better for m in future.metrics()} == {"mean.new_score": None, "mean.n": None}
    assert (core.seeds, core.statistics, core.samples) == ((), {}, {})
    assert table.eval_names() == ["core", "future_eval"]
    bars = table.to_frame().set_index("metric")["no_error_bar_because"]
    assert "no error bar" in bars["sparsity.l0"]


def test_names_of_saes(folder: Path):
    rng = np.random.default_rng(2)
    write(folder, "b", simulate(DESIGN, rng, rng.standard_normal(DESIGN.n_units), mean=0.5), release="other")
    table = load_results(folder)
    assert table.resolve_sae("tiny:a") == table.resolve_sae("tiny_a") == table.resolve_sae("a") == "tiny:a"
    with pytest.raises(UsageError, match="several SAEs: other:b, tiny:b"):
        table.resolve_sae("b")
    with pytest.raises(UnknownNameError, match="Did you mean 'tiny:a'"):
        table.resolve_sae("tiny:aa")


def test_metrics_by_pattern(folder: Path):
    record = load_results(folder).records[0]
    assert [m.path for m in choose_metrics(record, ["TOP_1"])] == [TOP_1]
    assert [m.path for m in choose_metrics(record, ["^sparse_probing"])] == [m.path for m in record.metrics()]
    assert choose_metrics(record, ["nothing"]) == ()
    with pytest.raises(UsageError, match="no regular expression"):
        choose_metrics(record, ["("])


def test_nothing_to_read(tmp_path: Path):
    with pytest.raises(ResultError, match="does not exist"):
        load_results(tmp_path / "nowhere")
    with pytest.raises(ResultError, match="holds no result"):
        load_results(tmp_path)
    (tmp_path / "package.json").write_text("{}")
    with pytest.raises(ResultError, match=r"package\.json: foreign"):
        load_results(tmp_path)


def test_one_name_with_two_saes_is_said(tmp_path: Path):
    write_synthetic_results(tmp_path, 2, evals=("core", "mdl"))
    paths = {name: sorted((tmp_path / name).glob("*.json")) for name in ("core", "mdl")}
    for of_eval, fingerprints in zip(paths.values(), (("a1", "b1"), ("a1", "b2")), strict=True):
        for path, fingerprint in zip(of_eval, fingerprints, strict=True):
            content = json.loads(path.read_text())
            content["provenance"]["sae_fingerprint"] = fingerprint
            path.write_text(json.dumps(content))
    table = load_results(tmp_path)
    (note,) = table.mixed_names()
    assert table.saes()[1] in note
    assert "b1 (core); b2 (mdl)" in note
    assert note in rank(table).notes
