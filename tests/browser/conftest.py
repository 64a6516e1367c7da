"""Debian's Chromium, driven by Playwright; without either the tests say what to install."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sae_bench.report.write import write_report
from sae_bench.testing.synthetic_results import write_synthetic_results

FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
)  # fmt: skip
PATIENCE_MS = 120_000
"""A busy machine is no failure."""

READY = (
    "typeof Report !== 'undefined' && Report.ready && Report.tableBuilt && !document.querySelector('main[aria-busy]')"
)
GO = """address => new Promise(arrived => {
    if (location.hash === address) return arrived();
    addEventListener('hashchange', () => arrived(), { once: true });  // after the page's own listener
    location.hash = address;
})"""
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@dataclass
class Opened:
    """A page, and what it complained about or tried to fetch."""

    page: Any
    complaints: list[str] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)

    def wait(self, expression: str, arg: Any = None) -> None:
        """Until the expression is true; asked by a timer, since a page that is not painted has no frames."""
        self.page.wait_for_function(expression, arg=arg, polling=50)

    def settle(self) -> None:
        """Until nothing of the page is still to come: charts are drawn, parts of the file unpacked."""
        self.wait(READY)

    def go(self, address: str) -> None:
        """Go to a page of the report; it may not stand yet."""
        self.page.evaluate(GO, address)

    def show(self, address: str) -> None:
        """Go to a page of the report and wait until it stands."""
        self.go(address)
        self.settle()


# Of a module, not of the session: while the driver runs, its event loop runs in this thread, and the tests of other
# files in the same worker could start none.
@pytest.fixture(scope="module")
def playwright() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="no browser driver: pip install playwright")
    if not any(map(shutil.which, BROWSERS)):
        pytest.skip("no Chromium: apt-get install chromium")
    with api.sync_playwright() as started:
        yield started


@pytest.fixture(scope="module")
def browser(playwright: Any) -> Iterator[Any]:
    executable = next(filter(None, map(shutil.which, BROWSERS)))
    started = playwright.chromium.launch(
        executable_path=executable, headless=True, args=list(FLAGS), timeout=PATIENCE_MS
    )
    yield started
    started.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Opened]]:
    """`open_page(file or URL, width=..., height=..., scheme="light" | "dark")`: ready, in a context of its own.

    With `whole=False` it is given back as soon as the file begins to come; `script` runs before the page's own.
    """
    contexts = []

    def opened(
        file: Path | str, *, address: str = "", width: int = 1280, height: int = 900, scheme: str = "light",
        whole: bool = True, script: str = "",
    ) -> Opened:  # fmt: skip
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, accept_downloads=True
        )
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        found = Opened(context.new_page())
        found.page.on("console", lambda m: found.complaints.append(m.text) if m.type in ("error", "warning") else None)
        found.page.on("pageerror", lambda error: found.complaints.append(str(error)))
        found.page.on("request", lambda r: found.fetched.append(r.url) if r.url.startswith(("http", "ws")) else None)
        if script:
            found.page.add_init_script(script)
        url = f"{file if isinstance(file, str) else file.as_uri()}{address}"
        found.page.goto(url, wait_until="load" if whole else "commit")
        if whole:
            found.settle()
        return found

    yield opened
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def report_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fourteen SAEs and one file that is cut off."""
    folder = tmp_path_factory.mktemp("report")
    write_synthetic_results(folder / "mine", 14, n_units=40, n_latents=80)
    (folder / "mine" / "core" / "cut.json").write_text("{")
    write_report(folder / "mine", folder / "report.html")
    return folder / "report.html"
