"""Every page of a report of nine SAEs and all evals: readable, within the window, reachable by the keyboard."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sae_bench.evals.registry import eval_names
from sae_bench.report.write import write_report
from sae_bench.testing.synthetic_results import write_synthetic_results

pytestmark = pytest.mark.slow

EVALS = tuple(name for name in eval_names() if name != "ground_truth")
PAGES = ("#overview", "#plots", "#run", "#sae/0")
UNREACHED = (Path(__file__).parent / "unreached.js").read_text(encoding="utf-8")
CONTRAST = (Path(__file__).parent / "contrast.js").read_text(encoding="utf-8")


def walk_pages(opened: Any, look: Callable[[str], None]) -> None:
    """Every page at both widths, in both themes."""
    for width in (1440, 380):
        opened.page.set_viewport_size({"width": width, "height": 900})
        for address in PAGES:
            opened.show(address)
            for theme in ("one theme", "the other"):
                opened.page.locator("#theme").click()
                look(f"{address} at {width}, {theme}")


def test_nine_saes_and_all_evals(open_page: Callable[..., Any], tmp_path: Path):
    write_synthetic_results(tmp_path, 9, evals=EVALS, n_units=24, n_latents=64)
    write_report(tmp_path, tmp_path / "report.html")
    opened = open_page(tmp_path / "report.html")
    page = opened.page

    def look(where: str) -> None:
        opened.wait("document.documentElement.scrollWidth <= innerWidth")
        assert page.evaluate(CONTRAST) == [], where

    walk_pages(opened, look)
    assert (opened.complaints, opened.fetched) == ([], [])


def test_the_keyboard_reaches_and_works_everything(open_page: Callable[..., Any], tmp_path: Path):
    write_synthetic_results(tmp_path, 9, evals=("core", "sparse_probing", "autointerp"), n_units=24, n_latents=64)
    write_report(tmp_path, tmp_path / "report.html")
    opened = open_page(tmp_path / "report.html")
    page = opened.page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    for address in PAGES:
        opened.show(address)
        page.evaluate("document.querySelectorAll('main details').forEach(box => { box.open = true; })")
        opened.settle()
        page.keyboard.press("Tab")  # from here on focus is shown
        assert page.evaluate(UNREACHED) == [], address
    opened.show("#overview")
    works(opened)
    assert opened.complaints == []


def works(opened: Any) -> None:
    """Enter and Space do what a click does, and arrows what resting on a point does."""
    page = opened.page
    page.locator("#table .tabulator-col.tabulator-sortable", has_text="Top-1 accuracy").last.focus()
    for key, order in (("Enter", "descending"), (" ", "ascending")):
        page.keyboard.press(key)
        opened.wait("order => document.activeElement.getAttribute('aria-sort') === order", order)
    page.locator('[data-value="gated"]').focus()
    page.keyboard.press(" ")
    opened.wait("Report.shown().length === 1")
    page.locator("#reset").focus()
    page.keyboard.press("Enter")
    opened.wait("Report.shown().length === 9")
    page.locator("#columns summary").focus()
    page.keyboard.press("Enter")
    opened.wait("document.querySelector('#columns').open")
    page.keyboard.press("Escape")
    opened.wait("!document.querySelector('#columns').open && document.activeElement.tagName === 'SUMMARY'")
    opened.settle()
    page.locator("#scatter").focus()
    wide = "((axis) => axis.range[1] - axis.range[0])(document.querySelector('#scatter')._fullLayout.yaxis)"
    before = page.evaluate(wide)
    for key, factor in (("+", 0.5), ("0", 1.0)):
        page.keyboard.press(key)
        opened.wait(f"Math.abs({wide} / {before} - {factor}) < 1e-6")
    page.keyboard.press("ArrowRight")
    page.locator("#scatter .hovertext").wait_for()
    assert "Top-1 accuracy" in page.locator("#chart-says").text_content()
    page.keyboard.press("Enter")
    opened.wait("location.hash.startsWith('#sae/')")
    page.locator('nav a[data-page="plots"]').focus()
    page.keyboard.press("Enter")
    opened.wait("!document.querySelector('#page-plots').hidden")
