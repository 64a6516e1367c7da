"""SAE classes as scripts subclass, load, save and try them."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
import torch

from sae_bench.custom_saes import pca_sae
from sae_bench.custom_saes.base_sae import BaseSAE
from sae_bench.custom_saes.run_all_evals_dictionary_learning_saes import TRAINER_LOADERS
from sae_bench.language_models import LanguageModel
from sae_bench.testing.tiny_models import D_MODEL, tiny_sae


class OwnSAE(BaseSAE):
    """Written as the published classes are: it sets its device and dtype itself, and writes all three methods."""

    def __init__(self, d_in: int, d_sae: int, device: Any, dtype: torch.dtype) -> None:
        super().__init__(d_in, d_sae, "tiny-gpt2", 1, device, dtype)
        self.device = torch.device(device)
        self.dtype = dtype

    def encode(self, x: Any) -> Any:
        return torch.relu(x @ self.W_enc + self.b_enc)

    def decode(self, feature_acts: Any) -> Any:
        return feature_acts @ self.W_dec + self.b_dec

    def forward(self, x: Any) -> Any:
        return self.decode(self.encode(x))


def test_a_subclass_may_set_its_device_and_dtype():
    sae = OwnSAE(D_MODEL, 64, "cpu", torch.float32)
    assert (sae.device, sae.dtype) == (torch.device("cpu"), torch.float32)
    sae.dtype = torch.float64
    assert sae.W_dec.dtype == sae.encode(torch.zeros(2, D_MODEL, dtype=torch.float64)).dtype == torch.float64


def test_attributes_added_to_the_configuration_stay_through_a_move():
    sae = tiny_sae("relu")
    sae.cfg.lr, sae.cfg.training_tokens = 3e-4, 500
    sae = sae.to(dtype=torch.bfloat16)
    assert (sae.cfg.lr, sae.cfg.training_tokens, sae.cfg.dtype) == (3e-4, 500, "bfloat16")
    assert sae.cfg.to_dict()["lr"] == 3e-4


@pytest.mark.parametrize("architecture", ["relu", "topk", "gated", "jumprelu"])
def test_an_sae_is_tried_on_a_model(architecture: str, lm: LanguageModel):
    assert tiny_sae(architecture).test_sae(lm) > 0


def test_every_trainer_has_a_function_that_loads_it():
    published = ["repo_id", "filename", "model_name", "device", "dtype", "layer", "local_dir"]
    assert {"StandardTrainer", "PAnnealTrainer", "TopKTrainer", "GatedSAETrainer"} <= set(TRAINER_LOADERS)
    assert all(list(inspect.signature(load).parameters)[:7] == published for load in TRAINER_LOADERS.values())


def test_principal_components_are_fitted_saved_and_read(lm: LanguageModel, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    empty = pca_sae.PCASAE(D_MODEL, "tiny-gpt2", 1, torch.device("cpu"), torch.float32)
    empty.cfg.context_size = 16
    tokens_BL = torch.randint(5, 300, (24, 16), generator=torch.Generator().manual_seed(0))
    pca = pca_sae.fit_PCA(empty, lm, tokens_BL, 8, 128)
    x_ND = lm.capture(tokens_BL, [pca.cfg.hook_name])[pca.cfg.hook_name].reshape(-1, D_MODEL)
    torch.testing.assert_close(pca(x_ND), x_ND, atol=1e-3, rtol=1e-3)
    pca.save_state_dict(str(tmp_path / "mine.pt"))
    other = pca_sae.PCASAE(D_MODEL, "tiny-gpt2", 1, torch.device("cpu"), torch.float32)
    other.load_from_file(str(tmp_path / "mine.pt"))
    torch.testing.assert_close(other.encode(x_ND), pca.encode(x_ND))
