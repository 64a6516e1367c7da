"""What scripts do with SAE classes of their own: set device and dtype, add to the configuration, save a PCA."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sae_bench.custom_saes.base_sae import BaseSAE
from sae_bench.custom_saes.pca_sae import PCASAE
from sae_bench.errors import SAELoadError, SAEMismatchError
from sae_bench.testing import tiny_model, tiny_sae

HOOK = "blocks.1.hook_resid_post"


class _Mine(BaseSAE):
    """As the published example writes one."""

    def __init__(self, d_in: int, d_sae: int, device: torch.device, dtype: torch.dtype) -> None:
        super().__init__(d_in, d_sae, "tiny", 1, device, dtype)
        self.device = device
        self.dtype = dtype
        self.cfg.colour = "blue"

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x @ self.W_enc + self.b_enc)


def test_device_and_dtype_can_be_set_and_are_those_of_the_weights() -> None:
    sae = _Mine(4, 6, torch.device("cpu"), torch.bfloat16)
    assert (sae.dtype, sae.W_dec.dtype, sae.cfg.dtype) == (torch.bfloat16, torch.bfloat16, "bfloat16")
    sae.dtype = torch.float64
    assert (sae.dtype, sae.W_enc.dtype, sae.cfg.dtype) == (torch.float64, torch.float64, "float64")
    sae.device = torch.device("meta")
    assert (sae.device.type, sae.cfg.device) == ("meta", "meta")


def test_what_a_script_adds_to_the_configuration_survives_a_move() -> None:
    sae = _Mine(4, 6, torch.device("cpu"), torch.float32)
    before = sae.cfg
    moved = sae.to(dtype=torch.float16)
    assert (moved.cfg.colour, moved.cfg.dtype) == ("blue", "float16")
    assert before.dtype == "float32"  # whoever held it keeps what it said


@pytest.mark.parametrize("name", ["pca.pt", "pca.safetensors"])
def test_a_pca_is_saved_and_read_again(name: str, tmp_path: Path, x_ND: torch.Tensor) -> None:
    pca = tiny_sae("pca")
    pca.save_state_dict(str(tmp_path / name))
    again = PCASAE(32, "tiny", 1, "cpu", torch.float32)
    again.load_from_file(str(tmp_path / name))
    assert torch.equal(again(x_ND), pca(x_ND))
    assert [p.name for p in tmp_path.iterdir()] == [name]
    with pytest.raises(SAELoadError, match=r"\(32, 32\) for W_enc, \(16, 16\) is needed"):
        PCASAE(16, "tiny", 1, "cpu", torch.float32).load_from_file(tmp_path / name)


def test_a_pca_is_fitted_to_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sae_bench.custom_saes.pca_sae import fit_PCA

    monkeypatch.chdir(tmp_path)
    lm = tiny_model("gpt2")
    tokens_BL = torch.randint(5, 50, (40, 16), generator=torch.Generator().manual_seed(0))
    pca = PCASAE(32, "org/tiny", 1, "cpu", torch.float32)
    assert fit_PCA(pca, lm, tokens_BL, 8, 1024) is pca
    x_ND = lm.capture(tokens_BL, [HOOK])[HOOK].flatten(0, 1)
    torch.testing.assert_close(pca(x_ND), x_ND, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(pca.mean, x_ND.mean(0), rtol=1e-4, atol=1e-5)
    variance = pca.encode(x_ND).var(0)
    assert (variance[:-1] >= variance[1:] - 1e-6).all()
    assert (tmp_path / f"pca_org_tiny_{HOOK}.pt").is_file()


def test_an_sae_tests_itself_on_a_sentence() -> None:
    lm = tiny_model("gpt2")
    assert tiny_sae("topk").test_sae(lm) == pytest.approx(8, abs=0.5)

    class Inconsistent(_Mine):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    with pytest.raises(SAEMismatchError, match="differ by"):
        Inconsistent(32, 64, torch.device("cpu"), torch.float32).test_sae(lm)


@pytest.mark.parametrize("architecture", ["jumprelu", "batch_topk", "topk_threshold"])
def test_thresholds_stay_in_float32(architecture: str) -> None:
    """Rounded to bfloat16 with the weights, a threshold lets other latents through."""
    sae = tiny_sae(architecture)
    threshold = sae.threshold.clone()
    narrow = sae.to(dtype=torch.bfloat16)
    assert narrow.dtype == torch.bfloat16
    assert torch.equal(narrow.threshold, threshold)
    assert narrow.threshold.dtype == torch.float32
    with torch.no_grad():  # a pre-activation of 1 that the threshold is a little above, or below
        narrow.W_enc.zero_()
        narrow.b_enc.fill_(1.0)
        for value, n_active in ((1.0005, 0), (0.9995, 64)):
            narrow.threshold.fill_(value)
            codes = narrow.encode(torch.zeros(1, 32, dtype=torch.bfloat16))
            assert codes.dtype == torch.bfloat16
            assert int((codes != 0).sum()) == n_active
    assert narrow.to(dtype=torch.float64).threshold.dtype == torch.float64
