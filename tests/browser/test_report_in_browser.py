"""The report in a real browser: opens without network, sorts, filters, hovers, and is readable on a phone."""

from __future__ import annotations

import csv
import io
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from sae_bench.analysis.comparison import rank
from sae_bench.analysis.validity import validate
from sae_bench.report.write import write_report
from sae_bench.testing.synthetic_panel import follows, write_panel
from sae_bench.testing.synthetic_results import write_synthetic_results

Open = Callable[..., Any]
TOP_1 = "sparse_probing|sae.sae_top_1_test_accuracy"


def column(page: Any, key: str) -> list[float]:
    """The values of a metric in the order of the table's rows."""
    return page.evaluate(
        "key => Report.table.getRows('active').map(row => Report.value(Report.metric(key), row.getData().id))", key
    )


def header(page: Any, title: str) -> Any:
    return page.locator("#table .tabulator-col.tabulator-sortable", has_text=title).last


def test_a_walk_from_the_best_to_its_page_and_its_figure(report_file: Path, open_page: Open):
    """Best at L0 ~ 32, whether it beats the next, its page, the figure: each within two clicks."""
    opened = open_page(report_file)
    page = opened.page
    assert page.locator("#count").inner_text() == "14 of 14 SAEs"
    row = page.locator(f'#best tr[data-metric="{TOP_1}"]')
    row.wait_for()
    page.locator('[data-band="32"]').click()
    opened.wait("document.querySelector('#count').textContent !== '14 of 14 SAEs'")
    within = page.evaluate("Report.shown().map(place => Report.data.saes[place].l0)")
    assert within
    assert all(32 / 1.4 <= l0 <= 32 * 1.4 for l0 in within)
    opened.wait(
        """key => { const link = document.querySelector(`#best tr[data-metric="${key}"] a.sae-link`);
        return link && Report.shown().includes(Number(link.hash.split('/')[1])); }""", arg=TOP_1
    )  # fmt: skip
    assert row.get_attribute("data-verdict") in ("better", "noise")
    best = row.locator("a.sae-link").first
    name = best.get_attribute("title")
    best.click()
    opened.wait("!document.getElementById('page-sae').hidden && document.querySelector('#sae-evals h2')")
    assert page.locator("#page-sae h1").inner_text().strip() == name
    page.locator('[id^="histogram-core-feature_density"] .main-svg').first.wait_for()
    page.locator("#page-sae .save-menu summary").first.click()
    with page.expect_download() as download:
        page.locator('#page-sae [data-export="svg-1"]').first.click()
    assert Path(download.value.path()).read_text().startswith("<svg")
    assert (opened.complaints, opened.fetched) == ([], [])


def test_the_verdict_is_that_of_the_ranking(report_file: Path, open_page: Open):
    page = open_page(report_file).page
    metric = TOP_1.split("|")[1]
    (wanted,) = rank(report_file.parent / "mine", metrics=[metric.replace(".", r"\.")]).rankings
    found = page.evaluate(
        """async key => { const metric = Report.metric(key), found = await Report.ranking(metric, 0, Report.shown());
        return found.rows.map(row => [Report.data.saes[row.place].name, row.rank, row.candidate]); }""",
        TOP_1,
    )
    assert found == [[row.sae, row.rank, row.could_be_best] for row in wanted.saes]


def test_sorting_by_click_and_by_key(report_file: Path, open_page: Open):
    opened = open_page(report_file)
    page = opened.page
    header(page, "Top-1 accuracy").click()
    values = column(page, TOP_1)
    assert values == sorted(values, reverse=True)  # the better end first
    header(page, "Top-1 accuracy").focus()
    page.keyboard.press("Enter")
    assert column(page, TOP_1) == sorted(values)
    assert opened.complaints == []


def test_search_filters_and_chosen_metrics(report_file: Path, open_page: Open):
    opened = open_page(report_file)
    page = opened.page
    page.locator("#search").fill("matryoshka")
    opened.wait("Report.table.getRows('active').length === 2")
    assert (
        page.locator("#scatter").evaluate(
            "plot => plot.data.filter(t => t.customdata).flatMap(t => t.customdata).length"
        )
        == 2
    )
    page.locator("#reset").click()
    opened.wait("Report.table.getRows('active').length === 14")
    page.locator('[data-value="gated"]').click()
    opened.wait("Report.table.getRows('active').length === 2")
    page.locator("#reset").click()
    page.locator("#columns summary").click()
    page.locator('#columns input[value="core|misc_metrics.frac_alive"]').uncheck()
    opened.wait("!document.querySelector('#table').textContent.includes('Alive')")
    page.keyboard.press("Escape")
    assert not page.locator("#columns").evaluate("menu => menu.open")
    assert opened.complaints == []


def test_a_point_says_what_it_is_and_leads_to_its_page(report_file: Path, open_page: Open):
    opened = open_page(report_file)
    page = opened.page
    page.locator("#scatter .main-svg").first.wait_for()
    page.locator("#scatter").scroll_into_view_if_needed()
    assert page.locator("#scatter").evaluate(
        "plot => plot.data.some(t => t.error_y && t.error_y.array.some(v => v > 0))"
    )
    assert page.locator("#scatter").evaluate("plot => plot.data.some(t => t.name === 'Pareto front')")
    place = page.evaluate("Report.shown().length - 1")
    x, y = page.locator("#scatter").evaluate(
        """(plot, place) => { const trace = plot.data.find(t => t.customdata?.includes(place));
        const i = trace.customdata.indexOf(place);
        const box = plot.getBoundingClientRect(), { xaxis, yaxis } = plot._fullLayout;
        return [box.x + xaxis._offset + xaxis.d2p(trace.x[i]), box.y + yaxis._offset + yaxis.d2p(trace.y[i])]; }""",
        place,
    )  # fmt: skip
    page.mouse.move(x - 30, y - 30)
    page.mouse.move(x, y, steps=4)
    page.locator("#scatter .hovertext").wait_for()
    assert "Top-1 accuracy" in page.locator("#scatter .hovertext").text_content()
    page.mouse.click(x, y)
    opened.wait("location.hash.startsWith('#sae/')")
    assert opened.complaints == []


def test_dark_and_light(report_file: Path, open_page: Open):
    opened = open_page(report_file, scheme="dark")
    page = opened.page
    shade = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(shade)
    page.locator("#theme").click()
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    assert page.evaluate(shade) != dark
    page.reload()
    opened.settle()
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    assert opened.complaints == []


def test_what_is_asked_while_the_file_still_comes_is_there_in_the_end(report_file: Path, open_page: Open):
    """Plots start by a timer at the latest, never with a plotly.js that is cut off; pages opened before are drawn."""
    html = report_file.read_bytes()
    cut = html.index(b'id="plotly"') + 500_000
    rest_may_come = threading.Event()

    class Slow(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(html[:cut])
            rest_may_come.wait(120)
            self.wfile.write(html[cut:])

        def log_message(self, *_arguments: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Slow) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        opened = open_page(f"http://127.0.0.1:{server.server_port}/report.html", whole=False)
        opened.wait("typeof Report !== 'undefined' && Report.tableBuilt")
        opened.go("#sae/0")
        opened.page.wait_for_timeout(2_500)  # the timer that starts plots comes in between
        rest_may_come.set()
        opened.settle()
        server.shutdown()
    for plot in ("#sae-rest", '[id^="histogram-core"]'):
        opened.page.locator(f"{plot} .main-svg").first.wait_for()
    opened.page.locator("#sae-scores tbody tr").first.wait_for()
    assert [said for said in opened.complaints if "favicon" not in said] == []


def test_a_filter_set_before_the_table_stands_holds(report_file: Path, open_page: Open):
    late = "const later = window.setTimeout; window.setTimeout = (act, ms, ...more) => later(act, ms || 3000, ...more);"
    opened = open_page(report_file, whole=False, script=late)
    opened.page.locator("#search").fill("matryoshka")
    opened.settle()
    assert opened.page.evaluate("Report.table.getRows('active').length") == 2
    assert opened.complaints == []


def test_numbers_have_the_digits_that_their_error_carries(report_file: Path, open_page: Open):
    page = open_page(report_file).page
    said = page.evaluate(
        """[Report.withError(0.00182, 0.0000213), Report.withError(-0.0001, 0.02), Report.withError(270.123, 13.7),
        [Report.num(0.00182), Report.num(8), Report.num(1), Report.num(0)]]"""
    )
    assert said == [["0.001820", "0.000021"], ["0.000", "0.020"], ["270", "14"], ["0.00182", "8", "1.000", "0"]]


def test_trends_are_least_squares_with_the_band_of_their_mean(report_file: Path, open_page: Open):
    page = open_page(report_file).page
    rng = np.random.default_rng(3)
    for n, degree in ((6, 1), (12, 2)):
        u = np.linspace(1, 3, n)
        y = 0.5 + 0.2 * u - 0.05 * u**2 + rng.normal(0, 0.02, n)
        at = "points => { const fit = Report.trend(points)(2.2); return [fit.y, fit.half]; }"
        fit = page.evaluate(at, np.stack([u, y], 1).tolist())
        design = np.vander(u, degree + 1)
        inverse = np.linalg.inv(design.T @ design)
        beta = inverse @ design.T @ y
        residual = ((y - design @ beta) ** 2).sum() / (n - degree - 1)
        x = np.vander([2.2], degree + 1)[0]
        half = stats.t.ppf(0.975, n - degree - 1) * np.sqrt(residual * x @ inverse @ x)
        assert fit == pytest.approx([x @ beta, half], rel=4e-3)
    assert page.evaluate("Report.trend([[1, 2], [2, 3], [3, 4], [4, 5]])") is None


def test_all_pages_on_a_phone(report_file: Path, open_page: Open):
    opened = open_page(report_file, width=380, height=780)
    for address in ("#overview", "#plots", "#run", "#sae/2"):
        opened.show(address)
        opened.wait("document.documentElement.scrollWidth <= innerWidth")
    assert (opened.complaints, opened.fetched) == ([], [])


def test_plots_facts_and_what_was_skipped(report_file: Path, open_page: Open):
    opened = open_page(report_file, address="#plots")
    page = opened.page
    for name in ("l0", "loss", "width", "strips", "agreement"):
        page.locator(f"#plot-{name} .main-svg").first.wait_for()
    correlation = page.locator("#plot-agreement").evaluate("plot => plot.data[0].z")
    assert all(abs(row[i] - 1) < 1e-9 for i, row in enumerate(correlation))
    page.locator("#plots-sae").select_option("3")
    opened.wait("document.querySelector('#plot-strips').data.at(-1).mode === 'lines+markers'")
    page.locator('nav a[data-page="run"]').click()
    assert "cut.json" in page.locator("#skipped").inner_text()
    assert "42, 43, 44" in page.locator("#page-run").inner_text()
    assert opened.complaints == []


def test_two_saes_compared(report_file: Path, open_page: Open):
    opened = open_page(report_file, address="#sae/0")
    page = opened.page
    page.locator("#sae-compare").select_option("1")
    page.locator("#sae-compared tbody tr").first.wait_for()
    assert page.locator("#sae-compared tbody tr").count() == 9
    assert "sae-bench compare" in page.locator("#sae-compared").inner_text()
    assert opened.complaints == []


def test_an_sae_against_the_best_of_the_others(report_file: Path, open_page: Open):
    opened = open_page(report_file, address="#sae/0")
    page = opened.page
    page.locator("#sae-compare").select_option("best")
    page.locator("#sae-compared tbody tr").first.wait_for()
    best = page.evaluate(
        """key => Math.max(...Report.shown().filter(p => p !== 0).map(p => Report.value(Report.metric(key), p)))""",
        TOP_1,
    )
    row = page.locator("#sae-compared tbody tr", has_text="Top-1 accuracy").first
    place = int(row.locator("a.sae-link").get_attribute("href").split("/")[1])
    assert page.evaluate("([key, place]) => Report.value(Report.metric(key), place)", [TOP_1, place]) == best
    assert opened.complaints == []


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


def test_an_address_shows_what_it_was_copied_from(open_page: Open, tmp_path: Path):
    """Filters by model, layer and tag, metrics and page stand in the address; names are whole when copied."""
    write_synthetic_results(tmp_path, 8, n_units=24, n_latents=5)
    for number, path in enumerate(sorted(tmp_path.rglob("*_eval_results.json"))):
        content = json.loads(path.read_text())
        content["sae_cfg_dict"] |= {"hook_layer": number % 2, "tags": ["old"] if number % 4 == 0 else []}
        content["sae_cfg_dict"]["neuronpedia_id"] = "synthetic-2b/12-res" if number % 8 == 1 else "javascript:alert(1)"
        path.write_text(json.dumps(content))
    write_report(tmp_path, tmp_path / "report.html")
    opened = open_page(tmp_path / "report.html")
    page = opened.page
    page.locator('[data-facet="layer"] [data-value="0"]').click()
    page.locator("#scatter-y").select_option("core|misc_metrics.frac_alive")
    page.locator("#search").fill("width")
    opened.wait("location.hash.includes('q=width')")
    shown = page.evaluate("Report.shown()")
    assert 0 < len(shown) < 8
    page.locator('nav a[data-page="plots"]').click()
    opened.wait("location.hash.startsWith('#plots?')")
    page.locator("#plots-sae").select_option(str(shown[0]))
    address = page.evaluate("location.hash")
    other = open_page(tmp_path / "report.html", address=address).page
    assert other.evaluate("Report.shown()") == shown
    assert other.locator("#plots-sae").input_value() == str(shown[0])
    assert other.locator("#search").input_value() == "width"
    assert other.locator('[data-facet="layer"] [aria-pressed="true"]').inner_text() == "0"
    other.locator('nav a[data-page="overview"]').click()
    assert other.locator("#scatter-y").input_value() == "core|misc_metrics.frac_alive"
    link = other.locator("#table a.sae-link").first
    assert link.evaluate("a => a.textContent") == link.get_attribute("title")
    links = page.evaluate("Report.data.saes.map(sae => Report.neuronpedia(sae, 3))")
    assert sorted(links, key=str)[-1] == "https://www.neuronpedia.org/synthetic-2b/12-res/3"
    assert links.count(None) == 7
    assert opened.complaints == []


def test_what_is_shown_can_be_taken_along(report_file: Path, open_page: Open):
    """CSV, JSON and LaTeX hold the rows and metrics shown, with intervals and names that no other metric has."""
    opened = open_page(report_file)
    page = opened.page
    page.locator('[data-value="gated"]').click()
    opened.wait("Report.table.getRows('active').length === 2")
    header(page, "Top-1 accuracy").click()
    taken = {}
    for ending in ("csv", "json", "tex"):
        page.locator("#table-tools .save-menu summary").click()
        with page.expect_download() as download:
            page.locator(f'[data-table="{ending}"]').click()
        taken[ending] = Path(download.value.path()).read_text()
    places = page.evaluate("Report.table.getRows('active').map(row => row.getData().id)")
    bars = page.evaluate(
        "([key, places]) => places.map(place => Report.bar(Report.metric(key), place).low)", [TOP_1, places]
    )
    rows = list(csv.DictReader(io.StringIO(taken["csv"])))
    name = TOP_1.replace("|", ".")
    assert [float(row[name]) for row in rows] == sorted(column(page, TOP_1), reverse=True)
    assert [float(row[f"{name}:ci_low"]) for row in rows] == bars
    assert [row["metrics"][name]["ci_low"] for row in json.loads(taken["json"])] == bars
    assert taken["tex"].count("\\mathbf") >= 1
    assert taken["tex"].count(" \\\\\n") == 3
    assert r"\_width\_" in taken["tex"]
    assert opened.complaints == []
