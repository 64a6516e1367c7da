"""Baselines that are made from SAEs, on planted data: sparse sums of orthonormal directions, one latent for each.

N tokens, D = F = 48 directions and latents.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from sae_bench.custom_saes.derived import calibration
from sae_bench.custom_saes.derived.calibration import RememberedActivations
from sae_bench.custom_saes.derived.grammar import Derivation
from sae_bench.custom_saes.derived.handles import derived_handle
from sae_bench.custom_saes.interface import decode_tokens, encode_tokens, sparse_encoder
from sae_bench.custom_saes.listing import DEGRADING, LEVELS
from sae_bench.custom_saes.loading import load_member
from sae_bench.custom_saes.pca_sae import fit_pca
from sae_bench.custom_saes.spec import LoadContext, SAEHandle
from sae_bench.errors import SAEMismatchError, UsageError
from sae_bench.language_models import LanguageModel
from sae_bench.plain_values import config_as_dict
from sae_bench.testing import check_sae, tiny_model, tiny_sae, tiny_transcoder

D = 48
N = 30_000
HOOK = "blocks.1.hook_resid_post"
PARENTS = ("relu", "topk", "batch_topk", "jumprelu", "gated")


def planted_rows() -> torch.Tensor:
    return torch.linalg.qr(torch.randn(D, D, generator=torch.Generator().manual_seed(5))).Q


def tokens(seed: int, n: int = N) -> torch.Tensor:
    """(N, D): a mean, and each direction on in a tenth of the tokens."""
    generator = torch.Generator().manual_seed(seed)
    f_NF = 1 + torch.rand(n, D, generator=generator)
    f_NF *= torch.rand(n, D, generator=generator) < 0.1
    return f_NF @ planted_rows() + 0.3


@torch.no_grad()
def oracle(architecture: str) -> Any:
    """An SAE that reconstructs the planted tokens exactly."""
    sae = tiny_sae(architecture, d_in=D, d_sae=D, hook_name=HOOK)
    for name in ("b_enc", "gate_bias", "b_mag", "r_mag"):
        if hasattr(sae, name):
            getattr(sae, name).zero_()
    if architecture == "topk":
        sae.k.fill_(16)
        sae.n_active = 16
    rows_FD = planted_rows()
    sae.W_dec.copy_(rows_FD)
    sae.W_enc.copy_(rows_FD.T)
    sae.b_dec.fill_(0.3)
    if architecture == "relu":
        sae.b_enc.fill_(-0.01)
    if architecture == "gated":
        sae.gate_bias.fill_(-0.5)
    if architecture == "jumprelu":
        sae.b_enc.copy_(-(sae.b_dec @ sae.W_enc))
    if hasattr(sae, "threshold"):
        sae.threshold.fill_(0.5)
    return sae


def handle_of(sae: Any) -> SAEHandle:
    return SAEHandle("mine", "parent", HOOK, "tiny-gpt2", lambda _context: sae)


@pytest.fixture(scope="module")
def context() -> LoadContext:
    x_ND = tokens(0)
    return LoadContext(
        torch.device("cpu"), torch.float32, activations=RememberedActivations(lambda _hook: iter(x_ND.split(4096)))
    )


def made(derivation: Derivation, parent: Any, context: LoadContext) -> Any:
    return derived_handle(derivation, handle_of(parent)).load(context)


def mean_l0(sae: Any, x_ND: torch.Tensor) -> float:
    return float((sae.encode(x_ND) != 0).sum(1).float().mean())


def explained(sae: Any, x_ND: torch.Tensor) -> float:
    left = (x_ND - sae.decode(sae.encode(x_ND))).square().sum()
    return float(1 - left / (x_ND - x_ND.mean(0)).square().sum())


@pytest.mark.parametrize("architecture", PARENTS)
def test_a_permuted_decoder_leaves_codes_bit_for_bit_and_ruins_reconstructions(
    architecture: str, context: LoadContext
) -> None:
    parent, x_ND = oracle(architecture), tokens(1, 500)
    sae = made(Derivation("permuted_decoder"), parent, context)
    assert torch.equal(sae.encode(x_ND), parent.encode(x_ND))
    if sparse_encoder(parent) is not None:
        for own, of_parent in zip(sae.encode_sparse(x_ND), parent.encode_sparse(x_ND), strict=True):
            assert own == of_parent if isinstance(own, int) else torch.equal(own, of_parent)
    assert not (sae.W_dec == parent.W_dec).all(1).any()
    assert torch.equal(sae.W_dec.sort(0).values, parent.W_dec.sort(0).values)
    assert explained(parent, x_ND) > 0.99
    assert explained(sae, x_ND) < 0
    assert torch.equal(parent.W_dec, planted_rows())


@pytest.mark.parametrize("architecture", PARENTS)
@pytest.mark.parametrize("kind", DEGRADING)
def test_ladders_start_with_the_sae_itself_and_go_down(architecture: str, kind: str, context: LoadContext) -> None:
    parent, x_ND = oracle(architecture), tokens(1, 2000)
    ladder = [made(Derivation("degraded", kind=kind, level=level), parent, context) for level in LEVELS]
    assert torch.equal(ladder[0].encode(x_ND), parent.encode(x_ND))
    assert torch.equal(ladder[0](x_ND), parent(x_ND))
    scores = [explained(sae, x_ND) for sae in ladder]
    assert all(better - worse > 0.001 for better, worse in pairwise(scores)), scores


@pytest.mark.parametrize("name", ["random_l0_matched", "frozen_encoder"])
@pytest.mark.parametrize("architecture", PARENTS)
def test_nulls_have_the_l0_of_the_sae_on_text_they_were_not_fitted_to(
    name: str, architecture: str, context: LoadContext
) -> None:
    parent, x_ND = oracle(architecture), tokens(1, 2000)
    count_N = (parent.encode(x_ND) != 0).sum(1)
    few_ND = x_ND[count_N <= count_N.float().mean()]  # of another L0 than the text that they were made with
    sae = made(Derivation(name), parent, context)
    assert torch.equal((sae.encode(few_ND) != 0).sum(1), (parent.encode(few_ND) != 0).sum(1))
    assert not torch.equal(sae.encode(few_ND) != 0, parent.encode(few_ND) != 0)
    assert sae.cfg.derived_from["name"] == sae.cfg.architecture == name


def test_a_frozen_encoder_has_random_unit_columns_and_the_best_decoder_for_them(context: LoadContext) -> None:
    x_ND = tokens(0)
    sae = made(Derivation("frozen_encoder"), oracle("relu"), context)
    again = made(Derivation("frozen_encoder"), oracle("relu"), context)
    assert torch.equal(sae.W_enc, again.W_enc)
    assert torch.equal(sae.W_dec, again.W_dec)
    torch.testing.assert_close(sae.W_enc.norm(dim=0), torch.ones(D))
    f_NF = sae.encode(x_ND).double().numpy()
    penalty = np.sqrt(0.1 * N * f_NF.var(0).mean()) * np.eye(D)
    centred_NF = f_NF - f_NF.mean(0)
    target_ND = x_ND.double().numpy() - x_ND.double().numpy().mean(0)
    best_FD = np.linalg.lstsq(np.vstack([centred_NF, penalty]), np.vstack([target_ND, np.zeros((D, D))]), rcond=None)[0]
    # float32 sums over 30,000 tokens
    np.testing.assert_allclose(sae.W_dec.numpy(), best_FD, atol=1e-4)
    random = made(Derivation("random_l0_matched"), oracle("relu"), context)
    assert explained(oracle("relu"), x_ND) > 0.99 > explained(sae, x_ND) > explained(random, x_ND)


def test_a_wide_frozen_encoder_has_the_same_decoder(context: LoadContext, monkeypatch: pytest.MonkeyPatch) -> None:
    narrow = made(Derivation("frozen_encoder"), oracle("relu"), context)
    monkeypatch.setattr(calibration, "WIDEST_GRAM", D - 1)
    wide = made(Derivation("frozen_encoder"), oracle("relu"), context)
    # solved to 1e-4 of the target's length
    torch.testing.assert_close(wide.W_dec, narrow.W_dec, atol=2e-3, rtol=0)
    torch.testing.assert_close(wide.b_dec, narrow.b_dec, atol=2e-3, rtol=0)


def test_best_k_keeps_what_takes_most_part_in_reconstructions(context: LoadContext) -> None:
    parent = oracle("topk")
    with torch.no_grad():
        parent.W_dec[:8] *= 3
        parent.W_dec[8:16] *= 0.1
    sae = made(Derivation("best_k", k=40), parent, context)
    left = torch.cat([torch.arange(8), torch.arange(16, 48)])
    x_ND = tokens(1, 200)
    assert torch.equal(sae.W_dec, parent.W_dec[left])
    assert torch.equal(sae.encode(x_ND), parent.encode(x_ND)[:, left])
    dead = made(Derivation("degraded", kind="dead", level=0.5), parent, context)
    codes = encode_tokens(dead, x_ND)
    assert torch.equal(codes.to_dense(), dead.encode(x_ND))
    torch.testing.assert_close(decode_tokens(dead, codes), dead(x_ND))
    assert (sae.cfg.d_sae, tuple(sae.W_enc.shape), tuple(sae.b_enc.shape)) == (40, (D, 40), (40,))
    smaller = made(Derivation("best_k", k=8), parent, context)
    assert torch.equal(smaller.W_dec, parent.W_dec[:8])
    with pytest.raises(UsageError, match="keeps 49 latents of an SAE that has 48"):
        made(Derivation("best_k", k=49), parent, context)


def test_latents_that_die_stay_dead_and_pairs_that_merge_stay_merged(context: LoadContext) -> None:
    x_ND = tokens(1, 500)
    for kind in ("dead", "merged"):
        silent = [
            (made(Derivation("degraded", kind=kind, level=level), oracle("relu"), context).encode(x_ND) == 0).all(0)
            for level in LEVELS
        ]
        assert all((few <= more).all() for few, more in pairwise(silent))
        share = 1.0 if kind == "dead" else 0.5
        assert [int(one.sum()) for one in silent] == [pytest.approx(share * level * D, abs=1) for level in LEVELS]


@pytest.mark.parametrize(
    "derivation",
    [
        Derivation("random_l0_matched"),
        Derivation("permuted_decoder"),
        Derivation("frozen_encoder"),
        Derivation("best_k", k=20),
        *(Derivation("degraded", kind=kind, level=0.5) for kind in DEGRADING),
    ],
    ids=lambda derivation: derivation.named(None),
)
@pytest.mark.parametrize("architecture", ["topk", "gated"])
def test_they_keep_the_contract_of_an_sae(derivation: Derivation, architecture: str, context: LoadContext) -> None:
    check_sae(made(derivation, oracle(architecture), context))


@pytest.fixture(scope="module")
def lm() -> LanguageModel:
    return tiny_model("gpt2")


def test_the_model_reads_the_sample_once_for_all(lm: LanguageModel) -> None:
    reads: list[str] = []

    def read(hook: str) -> Iterator[torch.Tensor]:
        reads.append(hook)
        ids_BL = torch.randint(3, 300, (16, 32), generator=torch.Generator().manual_seed(0))
        yield lm.capture(ids_BL, [hook])[hook].flatten(0, 1)

    context = LoadContext(torch.device("cpu"), torch.float32, lm=lm, activations=RememberedActivations(read))
    parents = [
        handle_of(tiny_sae(architecture, seed=seed)) for architecture in ("topk", "batch_topk") for seed in (0, 1)
    ]
    for name in ("random_l0_matched", "frozen_encoder"):
        for parent in parents:
            derived_handle(Derivation(name), parent).load(context)
    derived_handle(Derivation("best_k", k=4), parents[0]).load(context)
    fit_pca(context.activations(HOOK), model_name="m", hook_layer=1)  # type: ignore[misc]
    assert reads == [HOOK]


def test_baselines_of_a_transcoder_predict_what_it_predicts(lm: LanguageModel) -> None:
    ids_BL = torch.randint(3, 300, (32, 64), generator=torch.Generator().manual_seed(0))

    def read(hook: str) -> Iterator[torch.Tensor]:
        yield lm.capture(ids_BL, [hook])[hook].flatten(0, 1)

    context = LoadContext(torch.device("cpu"), torch.float32, lm=lm, activations=RememberedActivations(read))
    parent = tiny_transcoder("topk_transcoder", skip=True)
    hook_in, hook_out = parent.cfg.hook_name, parent.cfg.hook_name_out
    handle = SAEHandle("mine", "parent", hook_in, "tiny-gpt2", lambda _context: parent)
    x_ND, y_ND = next(read(hook_in)), next(read(hook_out))
    left = {}
    for name in ("random_l0_matched", "frozen_encoder", "permuted_decoder"):
        member = load_member(derived_handle(Derivation(name), handle), context, lm)
        assert member.hook_name_out == config_as_dict(member.sae.cfg)["hook_name_out"] == hook_out
        left[name] = float((y_ND - member.sae(x_ND)).square().sum() / (y_ND - y_ND.mean(0)).square().sum())
        assert mean_l0(member.sae, x_ND) == pytest.approx(8, rel=0.01)
    assert left["frozen_encoder"] < 0.9 < left["random_l0_matched"]
    itself = derived_handle(Derivation("degraded", kind="dead", level=0.0), handle).load(context)
    assert torch.equal(itself(x_ND), parent(x_ND))


def test_half_precision_codes_are_those_of_the_parent(lm: LanguageModel) -> None:
    context = LoadContext(torch.device("cpu"), torch.bfloat16)
    for architecture in PARENTS:
        parent = tiny_sae(architecture)
        with torch.no_grad():
            parent.W_dec.mul_(1.7)  # folded into the encoder, where that can be done
        handle = SAEHandle("mine", "parent", HOOK, "tiny-gpt2", lambda c, p=parent: copy.deepcopy(p).to(c.dtype))
        own = load_member(handle, context, lm).sae
        permuted = load_member(derived_handle(Derivation("permuted_decoder"), handle), context, lm)
        assert permuted.sae.W_dec.dtype == torch.bfloat16
        assert permuted.sae.cfg.dtype == "bfloat16"
        x_ND = torch.randn(64, 32, generator=torch.Generator().manual_seed(2)).bfloat16()
        assert torch.equal(permuted.sae.encode(x_ND), own.encode(x_ND))
        assert permuted.weights.W_enc.dtype == torch.float32


class _Foreign:
    """An SAE with an encoder of its own kind."""

    def __init__(self, *, squashed: bool = False, tied: bool = False) -> None:
        inner = tiny_sae("relu")
        self.cfg, self.W_dec, self._squashed = inner.cfg, inner.W_dec.data, squashed
        if tied:
            self.W_enc = self.W_dec.T

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x @ getattr(self, "W_enc", self.W_dec.T))

    def decode(self, f: torch.Tensor) -> torch.Tensor:
        return torch.tanh(f @ self.W_dec) if self._squashed else f @ self.W_dec


def test_noise_on_a_tied_encoder_leaves_the_decoder(context: LoadContext) -> None:
    parent, noise = _Foreign(tied=True), Derivation("degraded", kind="encoder_noise", level=0.5)
    sae = made(noise, parent, context)
    assert torch.equal(sae.W_dec, parent.W_dec)
    x_ND = torch.randn(4, 32)
    assert not torch.equal(sae.encode(x_ND), parent.encode(x_ND))
    with pytest.raises(SAEMismatchError, match="no W_enc"):
        made(noise, _Foreign(), context)


def test_a_decoder_that_is_not_linear_gets_no_other_rows(context: LoadContext) -> None:
    with pytest.raises(SAEMismatchError, match="not linear"):
        made(Derivation("permuted_decoder"), _Foreign(squashed=True), context)
    made(Derivation("degraded", kind="dead", level=0.5), _Foreign(squashed=True), context)


def test_nulls_of_dense_saes_and_without_text_are_refused(context: LoadContext) -> None:
    for null in ("random_l0_matched", "frozen_encoder"):
        with pytest.raises(SAEMismatchError, match=r"cannot match 48 of 48 active per token") as refused:
            made(Derivation(null), tiny_sae("identity", d_in=D), context)
        assert len(str(refused.value)) < 90
    with pytest.raises(UsageError, match="give the model too"):
        made(Derivation("frozen_encoder"), oracle("relu"), LoadContext(torch.device("cpu"), torch.float32))
