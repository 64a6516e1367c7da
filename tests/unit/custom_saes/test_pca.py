"""The PCA baseline: the components of the data, whatever the sizes of the batches."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sae_bench.custom_saes.pca_sae import fit_pca
from sae_bench.errors import PrerequisiteError


def _data(n: int, d: int = 6) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    scale = torch.tensor([8.0, 5.0, 3.0, 2.0, 1.0, 0.5][:d])
    mixing = torch.linalg.qr(torch.randn(d, d, generator=generator)).Q
    return (torch.randn(n, d, generator=generator) * scale) @ mixing + 3.0


@pytest.mark.parametrize("sizes", [(400,), (100,) * 4, (1,) * 50 + (350,), (30, 5, 200, 3, 162)])
def test_components_are_those_of_the_whole_data(sizes: tuple[int, ...]) -> None:
    x = _data(400)
    pca = fit_pca(x.split(sizes), model_name="m", hook_layer=2)
    torch.testing.assert_close(pca.mean, x.mean(0), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(pca.W_dec @ pca.W_dec.T, torch.eye(6), rtol=1e-5, atol=1e-5)
    assert torch.equal(pca.W_enc, pca.W_dec.T)
    expected = np.linalg.svd((x - x.mean(0)).double().numpy(), full_matrices=False)[2]
    alignment = np.abs((pca.W_dec.double().numpy() * expected).sum(1))
    np.testing.assert_allclose(alignment, 1.0, atol=2e-2 if len(sizes) > 1 else 1e-6)
    torch.testing.assert_close(pca(x), x, rtol=1e-4, atol=1e-4)
    variance = pca.encode(x).var(0)
    assert (variance[:-1] >= variance[1:]).all()


def test_no_row_is_left_out_and_max_tokens_stops() -> None:
    x = _data(100)
    pca = fit_pca(x.split(7), model_name="m", hook_layer=0)
    torch.testing.assert_close(pca.mean, x.mean(0), rtol=1e-5, atol=1e-5)
    fewer = fit_pca(x.split(7), model_name="m", hook_layer=0, max_tokens=40)
    torch.testing.assert_close(fewer.mean, x[:40].mean(0), rtol=1e-5, atol=1e-5)


def test_half_precision_activations_are_widened_before_the_sums() -> None:
    x = _data(64).bfloat16()
    pca = fit_pca([x], model_name="m", hook_layer=0, dtype=torch.float32)
    torch.testing.assert_close(pca.mean, x.float().mean(0), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("batches", [[], [torch.zeros(3, 6)]])
def test_too_few_rows_are_an_error(batches: list[torch.Tensor]) -> None:
    with pytest.raises(PrerequisiteError, match="needs at least"):
        fit_pca(batches, model_name="m", hook_layer=0)
