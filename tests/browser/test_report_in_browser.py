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
from sae_bench.report.write import write_report
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
