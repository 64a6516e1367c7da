"""Every eval with every architecture keeps the contract; the SAEs of an eval share its runs."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import pytest
import torch
from contract_worlds import WORLDS, World

from sae_bench.custom_saes.architectures import ARCHITECTURES as ROWS
from sae_bench.custom_saes.files import empty_sae
from sae_bench.datasets import registry
from sae_bench.evals.registry import eval_names, get_eval
from sae_bench.testing import ARCHITECTURES, Check, check_eval, tiny_sae, tiny_temporal_sae, tiny_transcoder

DRAWN = "its probe starts from weights that are drawn per latent, in the order of the latents"
RANDOM_MODEL = "on a random model, noise in the place of the stream lowers the loss"
SILENCE = "where no latent speaks, none is absorbed or split"
DENSE = "every number of the identity is active on every sample: it stands for no feature"
ADDED = "decoded codes replace what an SAE reads and writes, and what a transcoder writes only changes by theirs"
TOGETHER = "masks of a group train in one product, which rounds otherwise with fewer rows; latents of equal masks swap"
FEW = "one text of the few that a random model gets right weighs more than the tolerance"
EXPECTED: dict[str, dict[str, str]] = {
    "core": {"ranks[random]": RANDOM_MODEL, "ranks[permuted]": RANDOM_MODEL},
    "sparse_probing": {"order_of_latents": DRAWN},
    "tpp": {
        "order_of_latents": "sums over latents in another order round in another way, and one text of a few turns over",
        "ranks[permuted]": FEW,
    },
    "mdl": {"ranks[zero]": "to say nothing takes no bits"},
    "meta_structure": {
        "order_of_latents": "its batches of decoder rows are drawn in the order of the latents",
        "dead_sae": "it reads the decoder alone",
    },
    "ravel": {"as_sae[transcoder_between_names]": ADDED, "company": TOGETHER, "resume": TOGETHER},
    "absorption": {"order_of_latents": DRAWN, "ranks": SILENCE},
    "unlearning": {
        "order_of_latents": "of latents that are equally rare, those with the lowest numbers are clamped",
        "ranks[permuted]": FEW,
    },
    "ground_truth": {"ranks[random]": DENSE},
    "autointerp": {"order_of_latents": "the latents that it asks about are drawn by number"},
}


@cache
def saes() -> dict[str, object]:
    transcoders = {
        "transcoder": tiny_transcoder(),
        "skip_transcoder": tiny_transcoder("topk_transcoder", skip=True),
        "jumprelu_skip_transcoder": tiny_transcoder("jumprelu_transcoder", skip=True),
    }
    W_dec = tiny_sae("topk").W_dec
    of_decoders = {"d_in": W_dec.shape[1], "d_sae": len(W_dec), "model_name": "tiny-gpt2"}
    decoder, least_squares = (
        empty_sae(ROWS[name], **of_decoders, hook_name="blocks.1.hook_resid_post")
        for name in ("decoder", "least_squares")
    )
    for sae in (decoder, least_squares):
        sae.W_dec.data.copy_(W_dec)
    least_squares.fit_encoder()
    others = {"temporal": tiny_temporal_sae(), "decoder": decoder, "least_squares": least_squares}
    return {**{name: tiny_sae(name) for name in ARCHITECTURES}, **transcoders, **others}


def checks_in(world: World) -> dict[str, Check]:
    checks = check_eval(
        world.spec, lm=world.lm, settings=world.settings, saes=saes(), expected_failures=EXPECTED.get(world.spec.name)
    )
    return {check.name: check for check in checks}


SLOW = {"company", "resume", "seeds"}
NAMES = [
    pytest.param(check.name, marks=pytest.mark.slow if check.name in SLOW else ())
    for check in check_eval(get_eval("core"), saes=saes())  # the same for all; none is run here
]


@pytest.fixture(scope="module", autouse=True)
def own_registry() -> Iterator[None]:
    torch.set_num_threads(1)
    yield
    registry.forget_datasets()


@pytest.fixture(scope="module")
def checks(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Check]:
    return checks_in(WORLDS[request.param](tmp_path_factory.mktemp(request.param)))


@pytest.mark.parametrize("checks", list(WORLDS), indirect=True)
@pytest.mark.parametrize("name", NAMES)
def test_contract(request: pytest.FixtureRequest, checks: dict[str, Check], name: str) -> None:
    if name not in checks:
        pytest.skip("the model of this world has one hook")
    checks[name]()


def test_nothing_is_left_out() -> None:
    assert set(WORLDS) == set(eval_names())
    classes = {type(sae).__name__ for sae in saes().values()}
    of_several_hooks = {"CrossLayerTranscoder"}  # tests/unit/custom_saes/test_cross_layer.py
    assert {row.class_name for row in ROWS.values() if row.sae_class} - of_several_hooks <= classes
