"""Reports of one SAE and one eval raise no complaints; a reviewer's walk takes two clicks a step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sae_bench.evals.registry import eval_names
from sae_bench.report.write import write_report
from sae_bench.testing.synthetic_results import write_synthetic_results

pytestmark = pytest.mark.slow
Open = Callable[..., Any]
EVALS = tuple(name for name in eval_names() if name != "ground_truth")
PAGES = ("#overview", "#plots", "#run", "#sae/0")


def test_one_sae_and_one_eval(open_page: Open, tmp_path: Path):
    for name in EVALS:
        write_synthetic_results(tmp_path / name, 1, evals=(name,), n_units=12, n_latents=64)
        write_report(tmp_path / name, tmp_path / f"{name}.html")
        opened = open_page(tmp_path / f"{name}.html")
        for address in PAGES:
            opened.show(address)
        assert (opened.complaints, opened.fetched) == ([], []), name
        opened.page.context.close()


def test_the_reviewers_walk(open_page: Open, tmp_path: Path):
    """From a link with filters to the best SAE for absorption, its page, its worst latent and a figure."""
    write_synthetic_results(tmp_path, 12, evals=("core", "absorption", "autointerp"), n_units=24, n_latents=64)
    write_report(tmp_path, tmp_path / "report.html")
    opened = open_page(tmp_path / "report.html", address="#overview?l0=16-60")
    page = opened.page
    row = page.locator('#best tr[data-metric="absorption_first_letter|mean.mean_absorption_fraction_score"]')
    row.wait_for()
    assert page.locator("#count").inner_text() != "12 of 12 SAEs"
    assert row.get_attribute("data-verdict") in ("better", "noise")
    assert row.locator('[data-label="Above floor"]').inner_text()
    row.locator("a.sae-link").first.click()
    page.locator('[data-latent="worst"]').wait_for()
    page.locator('[data-latent="worst"]').click()
    page.locator(".latent-detail summary").click()
    assert page.locator(".latent-detail mark").count() >= 2
    menu = page.locator('section[data-section="absorption_first_letter"] .save-menu')
    menu.locator("summary").click()
    with page.expect_download() as download:
        menu.locator('[data-export="svg-1"]').click()
    assert 'width="336"' in Path(download.value.path()).read_text()[:400]
    assert (opened.complaints, opened.fetched) == ([], [])
