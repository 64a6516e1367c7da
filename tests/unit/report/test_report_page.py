"""The page as text: everything inside, data that unpack to what was put in."""

from __future__ import annotations

import base64
import json
import re
import zlib
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from sae_bench.analysis.comparison import rank
from sae_bench.report import payload
from sae_bench.report.collect import Collected, collect
from sae_bench.report.page import headline, render
from sae_bench.report.sources import load_sources
from sae_bench.report.write import write_report
from sae_bench.results.statistics.multiple import behind_the_best
from sae_bench.testing.synthetic_results import write_synthetic_results


@pytest.fixture(scope="session")
def page(collected: Collected) -> str:
    return render(collected)


def data_of(page: str) -> dict:
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)[1])


def test_nothing_is_fetched(page: str):
    without_scripts = re.sub(r"<script>.*?</script>", "", page, flags=re.S)
    assert not re.findall(r'<(?:script|img|iframe)[^>]+src=|<link[^>]+href="(?!data:)|@import', without_scripts)
    assert "sourceMappingURL" not in page
    assert page.count("</html>") == 1


def test_the_licences_of_what_is_inside_are_kept(page: str):
    assert "Plotly Technologies Inc." in page
    assert "Oliver Folkerd" in page


def test_the_data_of_the_page(page: str, collected: Collected):
    data = data_of(page)
    assert [sae["name"] for sae in data["saes"]] == [sae.name for sae in collected.saes]
    assert data["saes"][0]["short"].startswith("batch_topk_width_")
    values = data["values"]["core|sparsity.l0"]
    assert values["v"][0] == pytest.approx(collected.values_of("core|sparsity.l0")[0], rel=1e-5)
    assert set(data["values"]) == {metric["key"] for metric in data["metrics"]}
    assert data["run"]["sources"][0]["n_results"] == 16
    assert headline(collected) == "8 SAEs · 2 evals · 3 seeds · synthetic-2b · blocks.12.hook_resid_post"


def test_pairs_unpack_to_what_the_ranking_says(page: str, collected: Collected, synthetic: Path):
    """Verdicts, how far each SAE is behind the best, and p-values that go with them."""
    key = "sparse_probing|sae.sae_top_1_test_accuracy"
    number = [metric.key for metric in collected.metrics].index(key)
    blob = re.search(rf'id="pairs-{number}-0">([^<]+)<', page)[1]
    packed = np.frombuffer(zlib.decompress(base64.b64decode(blob)), dtype="<u2")
    p_C, half_C = packed.reshape(2, -1).astype(float)
    p_C = 10 ** (-p_C / payload.P_SCALE)
    half_C = 10 ** (half_C / payload.HALF_SCALE - payload.HALF_SHIFT)
    names = [collected.saes[place].name for place in range(8)]
    (ranking,) = rank(synthetic, metrics=[key.replace("|", r"\.")]).rankings
    of_name = {row.sae: row for row in ranking.saes}
    scores_P = np.asarray([of_name[name].value for name in names])
    half_PP = np.full((8, 8), np.nan)
    half_PP[np.triu_indices(8, k=1)] = half_C
    behind = behind_the_best(scores_P, np.fmin(half_PP, half_PP.T))
    for place, name in enumerate(names):
        row = of_name[name]
        assert behind.low_P[place] == pytest.approx(row.behind_low, abs=1e-3 * half_C.max())
        assert behind.high_P[place] == pytest.approx(row.behind_high, abs=1e-3 * half_C.max())
        assert behind.could_be_best_P[place] == row.could_be_best
    effect_C = np.asarray([scores_P[a] - scores_P[b] for a, b in combinations(range(8), 2)])
    assert ((np.abs(effect_C) > half_C) == (p_C <= 0.05)).all()


def test_run_facts_say_which_tokens_were_read(tmp_path: Path):
    paths = write_synthetic_results(tmp_path, 2, evals=("core",), n_units=8, n_latents=3)
    content = json.loads(paths[0].read_text())
    content["provenance"] |= {"exclude_tokens": [3, 7], "seqpos_slice": [1, None, None]}
    paths[0].write_text(json.dumps(content))
    model = payload.page_data(collect(load_sources(tmp_path)))["run"]["sources"][0]["model"]
    said = {key: sorted(entry["value"] for entry in model[key]) for key in ("exclude_tokens", "seqpos_slice")}
    assert said == {"exclude_tokens": [["3, 7"], ["none"]], "seqpos_slice": [["1::"], ["none"]]}


def test_details_unpack(page: str):
    blob = re.search(r'id="sae-3">([^<]+)<', page)[1]
    assert set(json.loads(zlib.decompress(base64.b64decode(blob)))["evals"]) == {"core", "sparse_probing"}


def test_names_cannot_break_out_of_the_page(tmp_path: Path):
    path = write_synthetic_results(tmp_path, 1, evals=("core",), n_units=8, n_latents=3)[0]
    content = json.loads(path.read_text())
    evil = "</script><script>alert(1)</script>"
    path.write_text(json.dumps({**content, "sae_lens_id": evil, "sae_cfg_dict": {"architecture": evil}}))
    text = render(collect(load_sources(tmp_path)))
    assert evil not in text
    assert data_of(text)["saes"][0]["id"] == evil


def test_short_names():
    names = [("r", "blocks.1.hook__topk_1"), ("r", "blocks.1.hook__topk_22"), ("s", "blocks.1.hook__topk_1"), ("", "x")]
    assert payload.short_names(names) == ["1", "22", "blocks.1.hook__topk_1", "x"]
    assert payload.short_names([("a", "x"), ("b", "x")]) == ["a:x", "b:x"]
    assert payload.short_names([("r", "abc"), ("r", "abd")]) == ["abc", "abd"]


def test_one_sae_without_details(tmp_path: Path):
    write_synthetic_results(tmp_path / "in", 1, evals=("core",), n_units=8, n_latents=3)
    collected = write_report(tmp_path / "in", tmp_path / "out" / "r.html", details=False)
    text = (tmp_path / "out" / "r.html").read_text()
    assert len(collected.saes) == 1
    assert 'id="sae-0"' not in text
    assert 'id="pairs-' not in text
