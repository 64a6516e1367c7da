"""Shared by the tests of SAEs: one thread, and a context without a model."""

from __future__ import annotations

import pytest
import torch

from sae_bench.custom_saes.spec import LoadContext


@pytest.fixture
def context() -> LoadContext:
    return LoadContext(torch.device("cpu"), torch.float32)


@pytest.fixture
def x_ND() -> torch.Tensor:
    return torch.randn(48, 32, generator=torch.Generator().manual_seed(1))
