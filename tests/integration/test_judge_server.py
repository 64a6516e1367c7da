"""A real OpenAI-compatible server on loopback, `transformers serve` with the embedded model, as the judge."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from safetensors.torch import save_file

from sae_bench.activations.one_pass import run_pass
from sae_bench.custom_saes.loading import Member
from sae_bench.custom_saes.spec import resolve_spec
from sae_bench.datasets import load_corpus
from sae_bench.datasets.packing import pack_corpus
from sae_bench.evals.autointerp.eval_config import AutoInterpEvalConfig
from sae_bench.evals.autointerp.evaluate import AutoInterpJob
from sae_bench.evals.base import EvalContext
from sae_bench.language_models import LanguageModel
from sae_bench.run.planning import load_context

for _package in ("fastapi", "uvicorn", "openai"):
    pytest.importorskip(_package)

READY_WITHIN = 300.0


@pytest.fixture(scope="module")
def served(embedded_lm: LanguageModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    folder = tmp_path_factory.mktemp("served")  # the server reads no GGUF file without `architectures`
    weights = {key: value for key, value in embedded_lm.model.state_dict().items() if key != "lm_head.weight"}  # tied
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config = {**embedded_lm.model.config.to_dict(), "architectures": [type(embedded_lm.model).__name__]}
    config.pop("quantization_config", None)
    (folder / "config.json").write_text(json.dumps(config, default=str))
    embedded_lm.tokenizer.save_pretrained(folder)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        *(sys.executable, "-m", "transformers.cli.transformers", "serve", str(folder)),
        *("--host", "127.0.0.1", "--port", str(port), "--device", "cpu"),
    ]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "OMP_NUM_THREADS": "2"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        _wait_for(f"http://127.0.0.1:{port}/health", process)
        yield f"http://127.0.0.1:{port}/v1", str(folder)
    finally:
        process.kill()
        process.communicate()


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_WITHIN
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            if process.poll() is not None:
                raise AssertionError(process.communicate()[1].decode()[-2000:]) from None
            assert time.monotonic() < deadline, "the server did not come up"
            time.sleep(0.5)


@pytest.mark.slow
def test_a_latent_is_judged_at_a_real_server(embedded_lm: LanguageModel, served: tuple[str, str], tmp_path: Path):
    base_url, name = served
    config = AutoInterpEvalConfig(
        dataset_name="embedded",
        total_tokens=3000,
        n_latents=1,
        dead_latent_threshold=60,
        judge_base_url=base_url,
        judge_model=name,
        judge_cache=str(tmp_path),
        judge_timeout=300,
        max_tokens_in_explanation=12,
        embeddings="none",
    )
    rows_RL = pack_corpus(load_corpus("embedded"), embedded_lm, n_rows=config.n_rows, context_length=128)
    (handle,) = resolve_spec("embedded:topk")
    member = Member("embedded", "topk", handle.load(load_context(embedded_lm)), str(handle.hook_name))
    found = []
    for _ in range(2):
        job = AutoInterpJob(EvalContext(embedded_lm, (member.hook_name,), (42,)), config, rows_RL=rows_RL)
        assert job.judge is not None
        report = run_pass(embedded_lm, job.requests([member]), [member])
        assert not report.failed
        found.append((job.score(member, report.served), job.judge.usage))
    (first, usage), (again, no_usage) = found
    metrics = first.metrics.autointerp
    assert metrics.n_judged == 1
    assert metrics.n_unanswered == 0
    assert usage.asked == 3  # a question to begin with, an explanation, a prediction
    assert metrics.judge_tokens_in > 500
    (record,) = first.unstructured.values()
    assert record["explanation"]
    assert (metrics.autointerp_score is None) == (metrics.n_unreadable == 1)
    assert again.metrics == first.metrics
    assert (no_usage.asked, no_usage.cached) == (1, 2)  # the first question is asked anew
