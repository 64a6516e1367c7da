"""`run_evals` with a judge's key: several SAEs of one release, other evals beside it, a judge that fails on the way."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from fake_endpoint import FakeEndpoint, Handler, serving

from sae_bench.custom_saes.run_all_evals_custom_saes import run_evals
from sae_bench.errors import SAEBenchError
from sae_bench.testing.tiny_models import tiny_sae

pytestmark = pytest.mark.slow

pytest.importorskip("openai")

KEY = "sk-a-key-that-goes-nowhere"
SAES = [("embedded", "topk"), ("embedded", "relu"), ("mine", tiny_sae("topk", seed=3))]
NAMES = ["embedded_relu", "embedded_topk", "mine_custom_sae"]
CORE = {
    "batch_size_prompts": 4, "n_eval_reconstruction_batches": 1, "n_eval_sparsity_variance_batches": 1,
    "context_size": 16,
}  # fmt: skip
AUTOINTERP = {
    "total_tokens": 400, "llm_context_size": 32, "buffer": 2, "n_latents": 2, "embeddings": "none",
    "dead_latent_threshold": 12, "n_top_ex_for_generation": 2, "n_iw_sampled_ex_for_generation": 1,
    "judge_max_retries": 0, "judge_concurrency": 1,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _no_other_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def _all_that_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="sae_bench")


def judged(server: FakeEndpoint, model_dir: str, data: Path, tmp_path: Path) -> dict[str, dict[str, dict[str, Any]]]:
    corpus = str(data / "corpus.jsonl")
    judge = {"judge_base_url": server.base_url, "judge_cache": str(tmp_path / "replies")}
    settings = {"core": CORE | {"dataset": corpus}, "autointerp": {**AUTOINTERP, **judge, "dataset_name": corpus}}
    return run_evals(
        model_dir, SAES, 4, "float32", "cpu", ["core", "autointerp"], api_key=KEY, output_folder=tmp_path / "out",
        settings=settings,
    )  # fmt: skip


def files_with(secret: str, folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]


@pytest.mark.usefixtures("suite")
def test_every_sae_of_a_release_has_its_result(
    model_dir: str, data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    with serving() as server:
        results = judged(server, model_dir, data, tmp_path)
        assert server.keys == {f"Bearer {KEY}"}
    assert {name: sorted(of_eval) for name, of_eval in results.items()} == {"core": NAMES, "autointerp": NAMES}
    for name, of_eval in results.items():
        for sae, content in of_eval.items():
            path = tmp_path / "out" / name / f"{sae}_eval_results.json"
            assert json.loads(path.read_text()) == content
    assert results["autointerp"]["embedded_topk"] != results["autointerp"]["embedded_relu"]
    assert not files_with(KEY, tmp_path)
    assert KEY not in caplog.text


@pytest.mark.parametrize("status", [401, 500])
@pytest.mark.usefixtures("suite")
def test_what_is_finished_outlasts_a_judge_that_fails(
    model_dir: str, data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, status: int
):
    until = 2

    def ending(handler: Handler, _body: dict[str, Any], _before: int) -> bool:
        failing = sum(handler.server.answered.values()) >= until
        if failing:
            handler.refuse(status, f"you sent {handler.headers['Authorization']}")
        return failing

    with serving(ending) as server:
        with pytest.raises(SAEBenchError) as caught:
            judged(server, model_dir, data, tmp_path)
        assert KEY not in str(caught.value)
        written = {path: path.read_bytes() for path in (tmp_path / "out" / "core").glob("*.json")}
        assert sorted(path.name for path in written) == [f"{name}_eval_results.json" for name in NAMES]
        assert not files_with(KEY, tmp_path)

        until = 10_000
        results = judged(server, model_dir, data, tmp_path)
    assert {name: sorted(of_eval) for name, of_eval in results.items()} == {"core": NAMES, "autointerp": NAMES}
    assert {path: path.read_bytes() for path in written} == written, "what is there is not computed again"
    own = {question: n for question, n in server.answered.items() if n > 1}
    assert set(own) <= {"Answer with the word yes."}, "no question is answered twice"
    assert not files_with(KEY, tmp_path)
    assert KEY not in caplog.text
