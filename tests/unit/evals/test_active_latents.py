"""A latent is active where its code is not 0, in every eval: codes of any sign count (AbsTopK, PCA, identity)."""

from __future__ import annotations

import pytest
import torch

from sae_bench.custom_saes.interface import SparseCodes
from sae_bench.evals.autointerp.gathering import active
from sae_bench.evals.core.token_statistics import active_per_row
from sae_bench.evals.unlearning.sparsity import count_active

N, F, K = 12, 10, 4


def _codes(kind: str) -> tuple[SparseCodes | torch.Tensor, torch.Tensor]:
    """The K codes of largest size of each token, as AbsTopK keeps them, and the same as a matrix."""
    pre_NF = torch.randn(N, F, generator=torch.Generator().manual_seed(0))
    indices_NK = pre_NF.abs().topk(K).indices
    values_NK = pre_NF.gather(1, indices_NK)
    values_NK[0, 0] = 0  # a slot that is not used
    codes = SparseCodes(values_NK, indices_NK, F)
    return (codes if kind == "sparse" else codes.to_dense()), codes.to_dense()


@pytest.mark.parametrize("kind", ["sparse", "dense"])
def test_negative_codes_are_active(kind: str) -> None:
    codes, dense_NF = _codes(kind)
    expected_F = (dense_NF != 0).sum(dim=0)
    assert int(expected_F.sum()) == N * K - 1
    assert torch.equal(count_active(codes), expected_F)
    row_N = torch.arange(N) // 3
    assert torch.equal(active_per_row(codes, row_N, N // 3, F).sum(dim=0), expected_F)
    token_E, latent_E, strength_E = active(codes)
    assert torch.equal(torch.bincount(latent_E, minlength=F), expected_F)
    assert torch.equal(strength_E, dense_NF[token_E, latent_E].abs())
