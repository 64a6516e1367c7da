"""A saved tiny model, a folder of tiny SAEs, a corpus, and the command line called in this process."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from sae_bench.cli import main
from sae_bench.custom_saes.loaders.native import save_sae
from sae_bench.testing.tiny_models import tiny_model, tiny_sae

TINY_CORE = (
    "core.batch_size_prompts=4",
    "core.n_eval_reconstruction_batches=1",
    "core.n_eval_sparsity_variance_batches=1",
    "core.context_size=16",
)


@dataclass(frozen=True)
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def message(self) -> str:
        """Standard error on one line."""
        return " ".join(self.err.split())


@dataclass(frozen=True)
class World:
    """Where the model, the SAEs and the corpus are."""

    model: Path
    saes: Path
    corpus: Path

    def run_arguments(self, out: Path, *more: str, sae: str | None = None) -> list[str]:
        settings = [*TINY_CORE, f"core.dataset={self.corpus}"]
        return [
            *("run", "--model", str(self.model), "--sae", sae or f"path:{self.saes}", "--evals", "core"),
            *(part for setting in settings for part in ("--set", setting)),
            *("--device", "cpu", "--llm-dtype", "float32", "--output-folder", str(out), *more),
        ]


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("world")
    lm = tiny_model("gpt2")
    lm.model.save_pretrained(folder / "model")
    lm.tokenizer.save_pretrained(folder / "model")
    for seed in range(6):
        save_sae(tiny_sae("topk" if seed % 2 else "relu", seed=seed), folder / "saes" / f"sae_{seed}.safetensors")
    texts = [f"Text {i} is about river {i % 7} and the bread of town {i % 5}." for i in range(60)]
    (folder / "corpus.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in texts))
    return World(folder / "model", folder / "saes", folder / "corpus.jsonl")


@pytest.fixture
def sae_bench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Said]]:
    """`sae_bench("run", "--model", ...)` in this process."""

    def call(*arguments: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["sae-bench", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "250")
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    with warnings.catch_warnings():
        yield call
