"""`sae-bench compare` on results of tiny runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sae_bench.analysis.comparison import Comparison

Call = Callable[..., Any]


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compare") / "out"


@pytest.fixture
def results(world: Any, sae_bench: Call, run_folder: Path, tmp_path: Path) -> Path:
    """Results of one run, in a folder of the test's own."""
    if not run_folder.exists():
        batches = "core.n_eval_sparsity_variance_batches=16"
        assert sae_bench(*world.run_arguments(run_folder, "--set", batches)).code == 0
    return shutil.copytree(run_folder, tmp_path / "out")


def test_compare_pairs_baselines_and_ranks(results: Path, sae_bench: Call, tmp_path: Path):
    pair = sae_bench("compare", results, "--a", "sae_0", "--b", "saes:sae_1", "--json", tmp_path / "pair.json")
    assert pair.code == 0, pair.err
    assert "core: A = saes:sae_0, B = saes:sae_1" in pair.out
    assert "Cosine: saes:sae_" in pair.out
    assert "Alive: no values per seed or per unit were kept" in pair.out
    found = Comparison.model_validate_json((tmp_path / "pair.json").read_text())
    assert {p.b for p in found.pairs} == {"saes:sae_1"}
    n_compared = sum(p.p_value is not None for p in found.pairs)  # metrics that are the same for both have none
    assert n_compared >= 3
    assert f"corrected for the {n_compared} comparisons" in pair.out
    against = sae_bench("compare", results, "--baseline", "sae_0", "--metric", "cosine|L0$", "--family", "metric")
    assert against.code == 0
    assert "core: Cosine, B = saes:sae_0" in against.out
    assert "core: L0, B = saes:sae_0" in against.out
    assert "Loss recovered" not in against.out
    ranks = sae_bench("compare", results, "--metric", "cosine")
    assert ranks.code == 0
    assert "best?" in ranks.out
    assert ranks.out.count("saes:sae_") >= 3


def test_files_that_cannot_be_used_are_named(results: Path, sae_bench: Call):
    (results / "core" / "cut.json").write_text('{"eval_type_id": "co')
    (results / "package.json").write_text("{}")
    said = sae_bench("compare", results, "--a", "sae_0", "--b", "sae_1")
    assert said.code == 0
    assert "cut.json: broken or cut off" in said.message
    assert "package.json: foreign" in said.message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--a", "sae_0"], "name two SAEs"),
        (["--a", "sae_0", "--b", "sae_9"], "unknown SAE 'sae_9'"),
        (["--detect", "0.1"], "--detect and --family go with"),
        (["--baseline", "sae_0", "--metric", "["], "no regular expression"),
        (["--baseline", "sae_0", "--alpha", "2"], "alpha is a probability"),
    ],
)
def test_wrong_use(results: Path, sae_bench: Call, arguments: list[str], message: str):
    said = sae_bench("compare", results, *arguments)
    assert said.code == 2
    assert message in said.message
    assert "Traceback" not in said.err


def test_a_folder_without_results(sae_bench: Call, tmp_path: Path):
    said = sae_bench("compare", tmp_path)
    assert (said.code, "holds no result" in said.message) == (2, True)
    assert sae_bench("compare", tmp_path / "nowhere").code == 2


def test_one_seed_is_said_to_have_no_error_bar(world: Any, sae_bench: Call, tmp_path: Path, monkeypatch):
    """core needs no seeds for its error bar; an eval that does says so at the end of a run."""
    said = sae_bench(*world.run_arguments(tmp_path / "out"))
    assert "one seed" not in said.message
    path = next((tmp_path / "out" / "core").glob("*.json"))
    content = json.loads(path.read_text())
    content["statistics"]["sparsity.l0"] |= {"reason": "one seed: no error bar; run more (--seeds 3 or more)"}
    path.write_text(json.dumps(content))
    assert "core: one seed: no error bar" in sae_bench(*world.run_arguments(tmp_path / "out")).message


def test_texts_are_drawn_anew_on_demand(world: Any, sae_bench: Call, tmp_path: Path):
    said = sae_bench(*world.run_arguments(tmp_path / "out", "--seeds", "2", "--resample-data", sae="baseline:zero", ),
                     "--hook", "blocks.1.hook_resid_post")  # fmt: skip
    assert said.code == 0, said.err
    content = json.loads(next((tmp_path / "out" / "core").glob("*.json")).read_text())
    assert content["provenance"]["resample_data"]
    assert len(content["seed_results"]) == 2


def test_consistency_of_saes_and_of_results(results: Path, world: Any, sae_bench: Call, tmp_path: Path):
    corpus = tmp_path / "held_out.jsonl"
    rows = ({"text": f"the number {n} is followed by the number {n + 1} and so on"} for n in range(3000))
    corpus.write_text("".join(json.dumps(row) + "\n" for row in rows))
    loading = ("--sae", f"path:{world.saes}", "--corpus", corpus)
    said = sae_bench("compare", "--consistency", "--model", world.model, *loading, "--json", tmp_path / "found.json")
    assert said.code == 0, said.err
    assert "PW-MCC" in said.out
    (of_hook,) = json.loads((tmp_path / "found.json").read_text())["hooks"]
    assert len(of_hook["saes"]) >= 2
    assert not (results / "consistency.json").exists()
    beside = sae_bench("compare", results, "--consistency", "--model", world.model, *loading)
    assert beside.code == 0, beside.err
    assert json.loads((results / "consistency.json").read_text())["hooks"][0]["pairs"] == of_hook["pairs"]
    assert "skipped" not in sae_bench("compare", results, "--a", "sae_0", "--b", "sae_1").message  # it is no result


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--consistency"], "name their model with --model"),
        (["--consistency", "--model", "x"], "needs two or more SAEs"),
        (["--consistency", "--a", "sae_0"], "compares latents, not scores"),
        (["--sae", "embedded:topk"], "--sae goes with --consistency"),
        ([], "Missing argument 'RESULTS'"),
    ],
)
def test_wrong_use_of_consistency(sae_bench: Call, arguments: list[str], message: str):
    said = sae_bench("compare", *arguments)
    assert said.code == 2
    assert message in said.message


def test_saes_of_results_that_cannot_be_found_again_are_named(results: Path, sae_bench: Call):
    said = sae_bench("compare", results, "--consistency")
    assert said.code == 2
    assert "Next: name the SAEs with --sae SPEC" in said.message
