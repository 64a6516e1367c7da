"""The SAEs for `synthetic:small` that come with the package."""

from __future__ import annotations

import pytest
import torch

from sae_bench.custom_saes.listing import SUITE, SYNTHETIC_SUITE
from sae_bench.custom_saes.spec import LoadContext, resolve_spec
from sae_bench.evals.ground_truth.matching import cosines, mean_of_matching
from sae_bench.language_models import load_language_model
from sae_bench.language_models.synthetic.model import SyntheticModel

MOST_BYTES = 3_000_000


@pytest.fixture(scope="module")
def lm() -> SyntheticModel:
    model = load_language_model("synthetic:small", device="cpu")
    assert isinstance(model, SyntheticModel)
    return model


def test_there_is_one_of_every_architecture_of_the_embedded_suite_and_they_are_small() -> None:
    names, embedded = ({path.stem for path in suite.glob("*.safetensors")} for suite in (SYNTHETIC_SUITE, SUITE))
    assert names == embedded
    assert sum(path.stat().st_size for path in SYNTHETIC_SUITE.iterdir()) < MOST_BYTES


@torch.no_grad()
def test_each_finds_more_true_features_than_random_directions_and_reconstructs(lm: SyntheticModel) -> None:
    directions_GD = lm.features.directions_GD
    context = LoadContext(torch.device("cpu"), torch.float32, lm, lm.features.hook_name)
    x_ND = torch.from_numpy(lm.source.activations(range(1024)))
    for handle in resolve_spec("synthetic:.*"):
        sae = handle.load(context)
        random_FD = torch.randn(sae.W_dec.shape, generator=torch.Generator().manual_seed(0))
        null = mean_of_matching(cosines(random_FD, directions_GD))
        assert mean_of_matching(cosines(sae.W_dec, directions_GD)) > null + 0.05, handle.sae_id
        codes_NF = sae.encode(x_ND)
        error = (x_ND - sae.decode(codes_NF)).square().sum() / (x_ND - x_ND.mean(0)).square().sum()
        assert error < 0.5, handle.sae_id
        assert 5 < (codes_NF != 0).sum(1).float().mean() < 40, handle.sae_id
