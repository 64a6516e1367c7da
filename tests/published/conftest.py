"""A tiny model with its tokenizer in a directory, and two tiny SAEs in place of the embedded ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_run_fixtures import data, lm, one_thread, own_registry, words

from sae_bench.custom_saes.loaders import embedded
from sae_bench.custom_saes.loaders.native import save_sae
from sae_bench.testing.tiny_models import tiny_model, tiny_sae

__all__ = ["data", "lm", "model_dir", "one_thread", "own_registry", "suite", "words"]


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("model")
    lm = tiny_model("gpt2")
    lm.model.save_pretrained(folder)
    lm.tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture
def suite(tmp_path: Path, model_dir: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "suite"
    for name in ("topk", "relu"):
        save_sae(tiny_sae(name, model_name=model_dir), folder / f"{name}.safetensors")
    pair = embedded.pair_handles
    monkeypatch.setattr(embedded, "pair_handles", lambda _suite, release: pair(folder, release=release))
    return folder
