"""Tables, histograms and explained latents of one SAE."""

from __future__ import annotations

from pathlib import Path

import pytest

from sae_bench.evals.registry import eval_names, get_eval
from sae_bench.report.collect import Collected, collect
from sae_bench.report.details import latent_histograms, nested_tables, sae_details
from sae_bench.report.fields import detail_texts
from sae_bench.report.latents import explained_latents
from sae_bench.report.sources import load_sources
from sae_bench.testing.synthetic_results import write_synthetic_results


def test_details_of_an_sae(collected: Collected):
    found = sae_details(collected, collected.saes[0])
    assert found["config"]["hook_name"] == "blocks.12.hook_resid_post"
    core, probing = found["evals"]["core"], found["evals"]["sparse_probing"]
    density = core["histograms"][0]
    assert (density["title"], sum(density["counts"]) + density["dead"]) == ("Latent density, log10", 80)
    assert core["tables"] == []
    table = probing["tables"][0]
    assert table["title"] == "Per-Dataset Sparse Probing Results"
    assert table["columns"][:2] == ["Dataset Name", "LLM Test Accuracy"]
    assert [row[table["label"]] for row in table["rows"]] == ["biographies", "reviews", "code", "languages", "news"]
    per_class = probing["tables"][1]
    assert (per_class["title"], per_class["columns"][0], len(per_class["rows"])) == ("biographies", "class", 5)
    assert [entry["seed"] for entry in probing["seed_results"]] == [42, 43, 44]
    assert probing["protocol"] == "sparse_probing-1"


def test_a_file_that_is_gone_since_the_table_was_read(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    paths = write_synthetic_results(tmp_path, 1, n_units=8, n_latents=3)
    found = collect(load_sources(tmp_path))
    paths[0].unlink()
    assert set(sae_details(found, found.saes[0])["evals"]) == {"sparse_probing"}
    assert "cannot be read" in caplog.text


def test_histograms_count_every_latent_once():
    rows = [{"index": i, "feature_density": d, "encoder_norm": n, "flat": 1.0, "none": None}
            for i, (d, n) in enumerate([(0.0, 1.0), (1e-9, 2.0), (0.5, None), (1.0, 5.0)])]  # fmt: skip
    density, norm = latent_histograms(rows)
    assert (density["dead"], sum(density["counts"])) == (1, 3)
    assert density["counts"][0] == 1  # below the first edge is in the first bin
    assert (sum(norm["counts"]), norm["edges"][0], norm["edges"][-1]) == (3, 1.0, 5.0)


def test_nested_results_as_tables():
    published = {"bios_results": {"sae_top_1_test_accuracy": {"nurse": 0.9, "poet": 0.8},
                                  "sae_top_5_test_accuracy": {"nurse": 0.95, "poet": None}}}  # fmt: skip
    (table,) = nested_tables(published)
    assert table["title"] == "bios"
    assert table["rows"] == [["nurse", 0.9, 0.95], ["poet", 0.8, None]]
    by_class = {"set": {"a": {"x": 1.0}, "b": {"x": 2.0, "y": 3.0}}}
    (turned,) = nested_tables(by_class)
    assert turned["rows"] == [["a", 1.0, None], ["b", 2.0, 3.0]]
    for odd in (None, [], "text", {"a": 1}, {"a": {"b": "text"}}, {"a": {"b": {"c": [1]}}}):
        assert nested_tables(odd) == []


def test_explained_latents_best_first():
    entries = {
        str(i): {"latent": i, "explanation": f"about {i}", "predictions": [1], "correct seqs": [2], "score": i / 20,
                 "logs": "a << word>>"}
        for i in range(12)
    }  # fmt: skip
    found = explained_latents(entries, most=5)
    assert [latent["latent"] for latent in found["entries"]] == list(range(11, -1, -1))
    assert [latent["latent"] for latent in found["entries"] if "logs" in latent] == [11, 10, 9, 1, 0]
    assert found["entries"][0]["correct"] == [2]
    texts = [{"text": "a", "active": True}]
    few = explained_latents([{"explanation": "x", "score": 1.0, "latent": 3, "examples": texts}])
    assert [latent["texts"] for latent in few["entries"]] == [texts]
    assert explained_latents({"a": {"b": 1}}) is None
    assert explained_latents({"1": {"explanation": "x", "score": None}}) is None


@pytest.mark.parametrize("content", [None, {}, [], "text", 3])
def test_results_without_explained_latents(content: object):
    assert explained_latents(content) is None


@pytest.mark.parametrize("name", eval_names())
def test_every_eval_says_what_it_found(name: str, tmp_path: Path):
    """Declared charts and histograms name columns and metrics that its results have."""
    write_synthetic_results(tmp_path, 1, evals=(name,), n_units=8, n_latents=70)
    found = collect(load_sources(tmp_path))
    (details,) = sae_details(found, found.saes[0])["evals"].values()
    declared = get_eval(name).shows
    assert [chart["title"] for chart in details["charts"]] == [chart.title for chart in declared.charts]
    for chart in details["charts"]:
        assert chart["y"]
        assert all(len(series["x"]) == len(series["y"]) > 0 for series in chart["series"])
    if name != "meta_structure":  # has no details
        assert details["charts"] or details["histograms"] or details["latents"] or details["tables"]
    columns = detail_texts(get_eval(name).output)
    assert set(declared.histograms) <= set(columns)


def test_a_chart_over_numbers_has_rows_means_with_intervals_and_levels(collected: Collected):
    details = sae_details(collected, collected.saes[0])["evals"]["sparse_probing"]
    (chart,) = details["charts"]
    by_role = {role: [s for s in chart["series"] if s["role"] == role] for role in ("row", "main")}
    assert [s["name"] for s in by_role["row"]] == ["biographies", "reviews", "code", "languages", "news"]
    mean = by_role["main"][0]
    assert mean["x"] == [1, 2, 5]  # in the order of numbers
    values = collected.values["sparse_probing|sae.sae_top_1_test_accuracy"]
    assert (mean["y"][0], mean["low"][0]) == pytest.approx((values.value[0], values.low[0]), rel=1e-5)
    assert set(chart["levels"]) == {"all latents"}


def test_a_plane_tells_points_that_do_not_count(tmp_path: Path):
    write_synthetic_results(tmp_path, 1, evals=("unlearning",), n_units=8, n_latents=3)
    found = collect(load_sources(tmp_path))
    (chart,) = sae_details(found, found.saes[0])["evals"]["unlearning"]["charts"]
    assert {s["role"]: len(s["x"]) for s in chart["series"]} == {"main": 3, "hollow": 2}
    assert all("multiplier" in text for series in chart["series"] for text in series["text"])
