"""Transcoders that the script trains explain what was planted, and are read as they were measured."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from sae_bench.custom_saes.spec import LoadContext, resolve_spec

SCRIPT = Path(__file__).parents[3] / "scripts" / "train_transcoders.py"
D, D_OUT, F, N = 16, 12, 24, 2048


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    spec = importlib.util.spec_from_file_location("train_transcoders", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "train_transcoders", module)
    spec.loader.exec_module(module)
    return module


def planted(skip: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Sparse latents that one dictionary reads and another writes; with an affine part that is larger than theirs."""
    generator = torch.Generator().manual_seed(0)
    codes_NF = torch.rand(N, F, generator=generator) * (torch.rand(N, F, generator=generator) < 0.1)
    read_FD, write_FO = torch.randn(F, D, generator=generator), torch.randn(F, D_OUT, generator=generator)
    x_ND = codes_NF @ read_FD
    y_NO = codes_NF @ write_FO + 0.5
    return x_ND, y_NO + 3 * x_ND @ torch.randn(D, D_OUT, generator=generator) if skip else y_NO


@pytest.mark.parametrize("skip", [False, True])
def test_a_trained_transcoder_explains_what_was_planted_and_is_read_as_it_was(script: Any, skip: bool, tmp_path: Path):
    x_ND, y_NO = planted(skip)
    sizes = script.Sizes(width=48, k=4, steps=150, batch_size=512, learning_rate=1e-2)
    tensors = script.train(x_ND, y_NO, sizes, skip=skip)
    measured = script.measure(tensors, x_ND, y_NO)
    assert measured["explained_variance"] > 0.8
    assert 2 < measured["l0"] < 8
    script.write(tensors, tmp_path / "set", model_name="tiny-gpt2", layer=1)
    (handle,) = resolve_spec(f"path:{tmp_path}/set")
    loaded: Any = handle.load(LoadContext(torch.device("cpu"), torch.float32))
    assert (loaded.cfg.hook_name, loaded.cfg.hook_name_out) == ("blocks.1.mlp.hook_in", "blocks.1.hook_mlp_out")
    assert ("skip" in loaded.cfg.architecture) == skip
    unexplained = (y_NO - loaded(x_ND)).pow(2).sum() / (y_NO - y_NO.mean(dim=0)).pow(2).sum()
    assert float(1 - unexplained) == pytest.approx(measured["explained_variance"], abs=1e-3)
    assert float((loaded.encode(x_ND) != 0).float().sum(dim=1).mean()) == pytest.approx(measured["l0"], abs=0.1)
