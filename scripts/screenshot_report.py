"""Pictures of every page of the report for the docs, taken from a demo's results with Playwright and Chromium.

python scripts/screenshot_report.py demo_results docs/images
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import Any

from sae_bench.report.write import write_report

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
DESK, PHONE = {"width": 1440, "height": 1000}, {"width": 380, "height": 820}
SHOTS: tuple[tuple[str, str, dict[str, int], str, int], ...] = (
    ("report", "overview", DESK, "light", 1500),
    ("report_plots", "plots", DESK, "light", 2600),
    ("report_sae", "sae/{sae}", DESK, "light", 1700),
    ("report_sae_evals", "sae/{sae}/sparse_probing", DESK, "light", 1500),
    ("report_run", "run", DESK, "light", 1400),
    ("report_dark", "overview", DESK, "dark", 1500),
    ("report_phone", "overview", PHONE, "light", 1400),
)
"""Name, page, window, scheme and the greatest height of a picture."""


def take(page: Any, target: Path, address: str, most: int) -> None:
    """One picture: the page from its top, or from the section that the address names."""
    page.evaluate("address => { location.hash = `#${address}`; }", address)
    if address.startswith("sae/"):
        page.locator('#sae-evals section[data-section="configuration"]').wait_for()
    page.wait_for_timeout(2000)
    top = int(page.evaluate("scrollY"))
    height = min(int(page.evaluate("document.documentElement.scrollHeight")) - top, most)
    clip = {"x": 0, "y": top, "width": page.viewport_size["width"], "height": height}
    page.screenshot(path=str(target), full_page=True, clip=clip)


def take_all(report: Path, folder: Path, sae: int) -> None:
    """Every picture in `SHOTS`."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        executable = next(filter(None, map(shutil.which, BROWSERS)))
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox", "--disable-gpu"])
        for name, address, window, scheme, most in SHOTS:
            page = browser.new_context(viewport=window, color_scheme=scheme).new_page()
            page.goto(report.as_uri())
            page.wait_for_function("Report.ready === true && Report.tableBuilt === true")
            take(page, folder / f"{name}.png", address.format(sae=sae), most)
            page.context.close()
        browser.close()


def main() -> None:
    """Write the report of the results and its pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.html"
        collected = write_report(options.results, report)
        trained = [sae.number for sae in collected.saes if sae.release != "baseline"]
        take_all(report, options.folder, (trained or [0])[-1])


if __name__ == "__main__":
    main()
