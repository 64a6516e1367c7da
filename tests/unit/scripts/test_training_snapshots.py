"""Snapshots that the training script writes are a ladder of SAEs that know how many tokens they have seen."""

from __future__ import annotations

import importlib.util
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from sae_bench.custom_saes.spec import LoadContext, resolve_spec

SCRIPT = Path(__file__).parents[3] / "scripts" / "train_embedded_saes.py"
D, F = 8, 12


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    spec = importlib.util.spec_from_file_location("train_embedded_saes", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "train_embedded_saes", module)
    monkeypatch.setitem(sys.modules, "nnsight", types.ModuleType("nnsight"))
    trainers = types.ModuleType("dictionary_learning.trainers.top_k")
    trainers.TopKTrainer = _Trainer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "dictionary_learning", types.ModuleType("dictionary_learning"))
    monkeypatch.setitem(sys.modules, "dictionary_learning.trainers", types.ModuleType("dictionary_learning.trainers"))
    monkeypatch.setitem(sys.modules, "dictionary_learning.trainers.top_k", trainers)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "D_SAE", F)
    return module


class _Dictionary(nn.Module):
    """The weights of the library's TopK dictionary, and what the script asks of it."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Linear(D, F)
        self.decoder = nn.Linear(F, D, bias=False)
        self.b_dec = nn.Parameter(torch.zeros(D))
        self.register_buffer("k", torch.tensor(3))
        self.register_buffer("threshold", torch.tensor(0.5))
        with torch.no_grad():
            self.decoder.weight /= self.decoder.weight.norm(dim=0)

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.encoder(x - self.b_dec))

    def decode(self, f: torch.Tensor) -> torch.Tensor:
        return self.decoder(f) + self.b_dec

    @torch.no_grad()
    def scale_biases(self, scale: float) -> None:
        self.encoder.bias *= scale
        self.b_dec *= scale
        self.threshold *= scale


class _Trainer:
    """Counts its steps in a bias."""

    def __init__(self, **settings: Any) -> None:
        self.ae = _Dictionary()
        self.config = {
            "trainer_class": "TopKTrainer", "dict_class": "AutoEncoderTopK", "activation_dim": D, "dict_size": F,
            "k": 3, "layer": settings["layer"], "lm_name": "embedded", "submodule_name": settings["submodule_name"],
        }  # fmt: skip

    @torch.no_grad()
    def update(self, step: int, x: torch.Tensor) -> None:
        self.ae.b_dec.fill_(step + 1)


def test_snapshots_are_a_ladder_that_path_reads(script: Any, tmp_path: Path) -> None:
    data = np.random.default_rng(0).normal(size=(64, D)).astype(np.float16)
    (recipe,) = (one for one in script.recipes(20) if one.name == "topk")
    trainer = script.train(
        recipe, data, steps=20, batch_size=4, scale=2.0, log=[], snapshots=(3, tmp_path / "topk_snapshots")
    )
    handles = resolve_spec(f"path:{tmp_path / 'topk_snapshots'}")
    assert sorted(int(handle.sae_id) for handle in handles) == [20, 40, 80]
    for handle in handles:
        sae: Any = handle.load(LoadContext(torch.device("cpu"), torch.float32))
        tokens = int(handle.sae_id)
        assert (sae.cfg.training_tokens, sae.cfg.hook_name, sae.cfg.d_sae) == (tokens, "blocks.10.hook_resid_post", F)
        assert torch.equal(sae.b_dec, torch.full((D,), 2.0 * tokens / 4))  # scaled back to the model's activations
    assert torch.equal(trainer.ae.b_dec, torch.full((D,), 40.0))


def test_snapshots_double_and_the_last_one_is_the_sae(script: Any) -> None:
    assert script.snapshot_steps(1200, 0) == set()
    assert script.snapshot_steps(1200, 4) == {150, 300, 600, 1200}
    assert script.snapshot_steps(3, 6) == {1, 3}
