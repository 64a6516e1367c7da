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
    page.set_viewport_size({"width": 1440, "height": 900})
    opened.show("#overview")
    page.locator("#search").focus()
    reached = set()
    for _ in range(120):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.className"))
    assert {"scatter-y", "scatter-x", "scatter-trend", "best-all"} <= reached
    assert any("sae-link" in name for name in reached)
    assert any("tabulator-col" in name for name in reached)
