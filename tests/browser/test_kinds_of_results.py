"""Reports of results of other kinds: several models, few evals, many metrics, baselines, equal scores."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sae_bench.analysis.validity import validate
from sae_bench.report.write import write_report
from sae_bench.testing.synthetic_panel import follows, write_panel
from sae_bench.testing.synthetic_results import write_synthetic_results

Open = Callable[..., Any]
TOP_1 = "sparse_probing|sae.sae_top_1_test_accuracy"


def test_models_in_one_report_are_filtered_and_never_ranked_together(open_page: Open, tmp_path: Path):
    models = {}
    for path in sorted(write_synthetic_results(tmp_path, 8, n_units=24, n_latents=5)):
        content = json.loads(path.read_text())
        model = models.setdefault(content["sae_lens_id"], ("synthetic-2b", "other-1b")[len(models) % 2])
        content["provenance"] |= {"model": model, "model_fingerprint": model}
        content["eval_config"]["model_name"] = model
        path.write_text(json.dumps(content))
    write_report(tmp_path, tmp_path / "report.html")
    opened = open_page(tmp_path / "report.html")
    page = opened.page
    assert sorted(set(models.values())) == page.locator('[data-facet="model"] button').all_inner_texts()
    rows = page.locator(f'#best tr[data-metric="{TOP_1}"]')
    assert rows.count() == 2
    for row in rows.all():
        ids = [link.get_attribute("title").split(":", 1)[1] for link in row.locator("a.sae-link").all()]
        assert len(ids) == 2
        assert len({models[name] for name in ids}) == 1, ids
    assert "different models" in page.locator("#table-notes").inner_text()
    page.locator('[data-facet="model"] button', has_text="other-1b").click()
    opened.settle()
    assert page.evaluate("Report.shown().map(p => Report.data.saes[p].model)") == ["other-1b"] * 4
    assert rows.count() == 1
    opened.show("#plots")
    opened.show("#sae/1")
    assert page.evaluate("document.querySelector('#sae-scores').textContent").count("of 8") == 0
    assert opened.complaints == []


def test_plots_without_core_are_those_that_the_data_allow(open_page: Open, tmp_path: Path):
    write_synthetic_results(tmp_path, 5, evals=("sparse_probing",), n_units=24, n_latents=5)
    write_report(tmp_path, tmp_path / "report.html")
    opened = open_page(tmp_path / "report.html", address="#plots")
    page = opened.page
    page.locator("#plot-width .main-svg").first.wait_for()
    page.locator("#plot-strips .main-svg").first.wait_for()
    page.locator("#plot-agreement .main-svg").first.wait_for()
    for absent in ("l0", "loss"):
        card = page.locator(f"section[aria-labelledby=plot-{absent}-title]")
        assert not page.locator(f"#plot-{absent}").is_visible()
        assert card.locator(".empty").inner_text() == "The results shown do not say this."
    assert opened.complaints == []


def test_equal_scores_are_called_the_same(open_page: Open, tmp_path: Path):
    write_synthetic_results(tmp_path, 2, evals=("absorption",), n_units=24, n_latents=5)
    one, other = sorted((tmp_path / "absorption").glob("*_eval_results.json"))
    content, names = json.loads(one.read_text()), json.loads(other.read_text())
    content |= {key: names[key] for key in ("sae_lens_id", "sae_lens_release_id", "sae_cfg_dict")}
    other.write_text(json.dumps(content))
    samples = [
        path.parent / "samples" / path.name.replace("_eval_results.json", ".safetensors") for path in (one, other)
    ]
    samples[1].write_bytes(samples[0].read_bytes())
    write_report(tmp_path, tmp_path / "report.html")
    opened = open_page(tmp_path / "report.html")
    row = opened.page.locator("#best tr[data-metric^=absorption]").first
    row.wait_for()
    assert row.get_attribute("data-verdict") == "same"
    assert "the same for both in every seed and text" in row.inner_text()
    opened.show("#sae/0")
    opened.page.locator("#sae-compare").select_option("1")
    compared = opened.page.locator("#sae-compared tbody tr", has_text="Absorption fraction").first
    compared.wait_for()
    assert "the same" in compared.inner_text()
    assert opened.complaints == []


def test_other_sources_are_marked(open_page: Open, tmp_path: Path):
    write_synthetic_results(tmp_path / "mine", 5, n_units=24, n_latents=5)
    write_synthetic_results(tmp_path / "theirs", 3, n_units=24, n_latents=5)
    for path in (tmp_path / "theirs").rglob("*_eval_results.json"):
        path.write_text(path.read_text().replace('"model_fingerprint": "synthetic"', '"model_fingerprint": "another"'))
    write_report(tmp_path / "mine", tmp_path / "report.html", others=[tmp_path / "theirs"])
    opened = open_page(tmp_path / "report.html")
    page = opened.page
    assert page.locator("#table sup").count() > 0
    assert "different models" in page.locator("#table-notes").inner_text()
    symbols = page.locator("#scatter").evaluate("plot => plot.data.filter(t => t.marker).map(t => t.marker.symbol)")
    assert any("-open" in str(symbol) for symbol in symbols)  # one of a trace, or one per point
    assert opened.complaints == []


def test_what_a_metric_is_worth_stands_on_the_run_page(open_page: Open, tmp_path: Path):
    write_panel(tmp_path / "panel", [follows(0.5), follows(0.0)], eval_name="scr")
    (tmp_path / "panel" / "validity.json").write_text(validate(tmp_path / "panel").model_dump_json())
    write_report(tmp_path / "panel", tmp_path / "report.html")
    opened = open_page(tmp_path / "report.html", address="#run")
    rows = opened.page.locator("#validity tbody tr")
    assert [rows.nth(n).get_attribute("data-verdict") for n in range(rows.count())] == [
        "ranks SAEs here",
        "not valid here",
    ]
    assert "trained SAEs beat every null baseline" in rows.nth(0).inner_text()
    assert not opened.complaints


def test_plots_of_many_metrics_name_every_row(open_page: Open, tmp_path: Path):
    """Two evals share a metric's title; the main metrics come first, all of them on demand, agreeing ones together."""
    evals = ("core", "sparse_probing", "sparse_probing_sae_probes", "absorption")
    write_synthetic_results(tmp_path, 6, evals=evals, n_units=24, n_latents=5)
    write_report(tmp_path, tmp_path / "report.html")
    opened = open_page(tmp_path / "report.html", address="#plots")
    page = opened.page
    page.locator("#plot-agreement .main-svg").first.wait_for()
    drawn = "id => document.getElementById(id).querySelectorAll('.ytick text').length"
    assert page.evaluate(drawn, "plot-strips") == len(evals)
    page.locator("#plots-all").check()
    n = page.evaluate("Report.ranked().length")
    opened.wait(f"document.querySelector('#plot-strips').layout.yaxis.ticktext.length === {n}")
    opened.settle()
    labels = page.evaluate("document.querySelector('#plot-strips').layout.yaxis.ticktext")
    assert len(set(labels)) == n
    for plot in ("plot-strips", "plot-agreement"):
        assert page.evaluate(drawn, plot) == n, plot
    order = page.evaluate("Report.clusterOrder([[1, -1, 0.9], [-1, 1, -0.8], [0.9, -0.8, 1]])")
    assert order in ([0, 2, 1], [1, 2, 0])
    assert opened.complaints == []


def test_the_page_of_an_sae_says_what_the_evals_found(open_page: Open, tmp_path: Path):
    """A contents list, declared charts with names on their axes, folded details, and latents one by one."""
    evals = ("core", "sparse_probing", "absorption", "ravel", "autointerp")
    write_synthetic_results(tmp_path, 2, evals=evals, n_units=24, n_latents=80)
    write_report(tmp_path, tmp_path / "report.html")
    opened = open_page(tmp_path / "report.html", address="#sae/1")
    page = opened.page
    page.locator('section[data-section="autointerp"]').wait_for()
    contents = page.locator(".contents a")
    assert contents.all_inner_texts()[3:] == [
        "Core",
        "Sparse probing",
        "Absorption",
        "RAVEL",
        "AutoInterp",
        "Configuration",
    ]
    contents.filter(has_text="Absorption").click()
    opened.wait("location.hash === '#sae/1/absorption_first_letter'")
    opened.wait(
        "Math.abs(document.querySelector('[data-section=absorption_first_letter]').getBoundingClientRect().top) < 120"
    )
    assert page.locator("#chart-absorption_first_letter-0").evaluate("plot => plot.layout.yaxis.title.text")
    assert page.locator('[data-section="sparse_probing"] > details[open]').count() == 0
    page.locator('[data-latent="worst"]').click()
    assert "12 of 12" in page.locator(".latent-detail").inner_text()
    page.locator(".latent-detail summary").click()
    assert page.locator(".latent-detail mark").first.inner_text() == " boat"
    assert opened.complaints == []


def test_baselines_and_references_are_read_by_and_not_ranked(open_page: Open, tmp_path: Path):
    """A baseline far off stands at the end of the axis with its value, grey and never bold; references are lines."""
    write_synthetic_results(tmp_path, 6, n_units=24, n_latents=5)
    far = sorted(path.name for path in (tmp_path / "core").glob("*_eval_results.json"))[-1]
    identity = {"sae_lens_release_id": "baseline", "sae_lens_id": "identity", "sae_cfg_dict": {}}
    beside = {
        "floor": {"name": "the larger class", "value": 0.5},
        "ceiling": {"name": "every text", "value": 0.95},
        "above_floor": {"value": 0.4, "ci_low": 0.2, "ci_high": 0.6},
    }
    for path in tmp_path.rglob("*_eval_results.json"):
        content = json.loads(path.read_text()) | (identity if path.name == far else {})
        metrics = content["eval_result_metrics"]
        if path.parent.name == "sparse_probing":
            content["validity"] = {TOP_1.split("|")[1]: beside}
            metrics["sae"]["sae_top_1_test_accuracy"] += 0.2 * (path.name == far)
        elif path.name == far:
            metrics["sparsity"]["l0"] = 90_000.0
        path.write_text(json.dumps(content))
    write_report(tmp_path, tmp_path / "report.html")
    opened = open_page(tmp_path / "report.html")
    page = opened.page
    page.locator("#scatter .main-svg").first.wait_for()
    page.locator("#scatter-y").select_option(TOP_1)
    opened.wait("document.querySelector('#scatter').layout.yaxis.title.text.includes('Top-1')")
    far_point = page.locator("#scatter").evaluate(
        "plot => plot.data.filter(t => t.text && t.text.some(Boolean)).map(t => [t.text[0], t.marker.symbol[0]])"
    )
    assert far_point == [["90k", "triangle-right"]]
    lines = page.locator("#scatter").evaluate("plot => plot.layout.annotations.map(a => a.text)")
    assert "ceiling: every text" in lines
    row = page.locator("#table .tabulator-row.baseline")
    assert row.count() == 1
    assert row.locator(".best").count() == 0
    assert "llm.llm_test_accuracy" not in json.dumps(page.evaluate("Report.ranked().map(m => m.key)"))
    assert page.locator(f'#best tr[data-metric="{TOP_1}"] .chip.better').first.inner_text() == "above"
    assert opened.complaints == []
