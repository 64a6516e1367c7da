"""Transcoders in the evals that decode: planted truths on MLPs that are their own transcoder, and plain formulas."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from lm_families import token_rows
from relu_mlps import member_of, own_mlp, relu_model
from torch import Tensor

from sae_bench.activations.one_pass import run_pass
from sae_bench.activations.requests import PooledTexts, PooledValues, only
from sae_bench.custom_saes.interface import predict_tokens
from sae_bench.evals.base import EvalContext, Scores
from sae_bench.evals.mdl.eval_config import MDLEvalConfig
from sae_bench.evals.mdl.evaluate import MDLJob
from sae_bench.evals.ravel.swaps import encode_entities
from sae_bench.evals.registry import eval_names, get_eval
from sae_bench.evals.scr_and_tpp.ablation import (
    Ablation,
    Contrast,
    TokenSource,
    decoded_shifts,
    decoder_projections,
    pooled_shift,
)
from sae_bench.evals.unlearning.clamping import Clamp, encode_for_clamping
from sae_bench.results.references import describe_references
from sae_bench.testing import tiny_sae

BOUND = {"rtol": 1e-4, "atol": 1e-4}
"""Sums of 64 float32 products of size 0.1 to 10, in another order."""


def corpus_rows(n: int) -> Tensor:
    """Rows of 10 tokens with BOS first."""
    rows_NL = token_rows(relu_model(), rows=n, length=10)
    rows_NL[:, 0] = relu_model().bos_token_id
    return rows_NL


def values_at_hooks(sae: Any, n_rows: int = 3) -> tuple[Tensor, Tensor]:
    """What a transcoder of the model reads and what it writes, as tokens."""
    lm = relu_model()
    hooks = (sae.cfg.hook_name, sae.cfg.hook_name_out)
    values = lm.capture(corpus_rows(n_rows), hooks)
    return values[hooks[0]].flatten(0, 1), values[hooks[1]].flatten(0, 1)


@pytest.mark.parametrize("skip", [False, True])
def test_a_prediction_is_what_calling_the_transcoder_gives(skip: bool):
    sae = own_mlp(relu_model(), skip=skip)
    x_ND, y_NO = values_at_hooks(sae)
    torch.testing.assert_close(predict_tokens(sae, sae.encode(x_ND), x_ND), sae(x_ND), rtol=0, atol=0)
    torch.testing.assert_close(sae(x_ND), y_NO, **BOUND)


# ---- mdl


def mdl_of(sae: Any, *, bias: float = 0.0) -> Scores:
    lm = relu_model(bias=bias)
    config = MDLEvalConfig(n_rows=12, context_length=10, num_bins_values=[64], k_values=[None])
    job = MDLJob(EvalContext(lm, (sae.cfg.hook_name,), (42,)), config, rows_NL=corpus_rows(12))
    members = [member_of(sae)]
    report = run_pass(lm, job.requests(members), members)
    assert not report.failed
    return job.score(members[0], report.served)


@pytest.mark.parametrize("skip", [False, True])
def test_mdl_holds_predictions_against_what_is_predicted(skip: bool):
    scores = mdl_of(own_mlp(relu_model(), skip=skip))
    (row,) = scores.details
    assert row.explained_variance_unbinned == pytest.approx(1.0, abs=1e-4)
    assert 0.9 < (row.explained_variance or 0.0) < 1.0


@pytest.mark.parametrize("bias", [0.0, 1.0])
def test_the_floor_of_mdl_is_the_better_of_skip_path_and_mean(bias: float):
    whole, silent = (own_mlp(relu_model(bias=bias), skip=True) for _ in range(2))
    with torch.no_grad():
        silent.b_enc.fill_(-1e6)
    of_whole, of_silent = mdl_of(whole, bias=bias), mdl_of(silent, bias=bias)
    path = "mdl.explained_variance"
    floor = describe_references(of_whole.references, of_whole.samples, {})[path].floor
    assert floor is not None
    assert (floor.name == "the skip path alone, no latent active") == bool(bias)
    assert floor.value == pytest.approx(max(of_silent.details[0].explained_variance, 0.0), rel=1e-5)


# ---- interventions: the change of what the latents write, added to what the model has there


def test_ravel_swaps_what_the_latents_write():
    """A mask over all latents of an exact transcoder makes the base's output the source's; of none, the base's own."""
    sae = own_mlp(relu_model())
    x_ND, y_NO = values_at_hooks(sae)
    latents = encode_entities(sae, x_ND, y_NO)
    base, source = torch.arange(0, 10), torch.arange(10, 20)
    torch.testing.assert_close(latents.mixed(base, source, torch.ones(64)), y_NO[source], **BOUND)
    assert torch.equal(latents.mixed(base, source, torch.zeros(64)), y_NO[base])


def test_ravel_leaves_error_and_skip_path_to_the_base():
    sae = own_mlp(relu_model(), skip=True)
    x_ND, y_NO = values_at_hooks(sae)
    y_NO = y_NO + 1.0  # an error that is no part of the prediction
    base, source = torch.arange(0, 10), torch.arange(10, 20)
    mixed = encode_entities(sae, x_ND, y_NO).mixed(base, source, torch.ones(64))
    change = (sae.encode(x_ND[source]) - sae.encode(x_ND[base])) @ sae.W_dec
    torch.testing.assert_close(mixed, y_NO[base] + change, **BOUND)


@pytest.mark.parametrize("linear", [True, False])
@pytest.mark.parametrize("skip", [False, True])
def test_unlearning_clamps_at_the_output(skip: bool, linear: bool):
    sae = own_mlp(relu_model(), skip=skip)
    sae.decoder_is_linear = linear
    x_ND, y_NO = values_at_hooks(sae)
    clamped = encode_for_clamping(sae, x_ND, [1, 4, 6], y_NO).clamped(Clamp((1, 6), 5.0))
    f_NF = sae.encode(x_ND)
    expected = y_NO.clone()
    for latent in (1, 6):
        change_N = torch.where(f_NF[:, latent] > 0, -5.0 - f_NF[:, latent], 0.0)
        expected += change_N[:, None] * sae.W_dec[latent]
    torch.testing.assert_close(clamped, expected, **BOUND)


@pytest.mark.parametrize("skip", [False, True])
def test_scr_and_tpp_take_latents_out_of_what_is_predicted(skip: bool):
    """Both ways of ablation against the plain one: zero the latents of every token, predict, pool, read the probe."""
    lm = relu_model()
    sae = own_mlp(lm, skip=skip)
    texts = corpus_rows(6).tolist()
    hook_in, hook_out = sae.cfg.hook_name, sae.cfg.hook_name_out
    report = run_pass(lm, [PooledTexts(texts, extra_hooks=(hook_out,))], [member_of(sae)])
    pooled = only(report.served, PooledValues)
    weights_PD = torch.randn(2, sae.W_dec.shape[1], generator=torch.Generator().manual_seed(0))
    latents_K = torch.tensor([5, 9, 30])
    rows_U = torch.arange(6)
    ablation = Ablation(0, Contrast(rows_U[:3], rows_U[3:]), (0, 1), rows_U, signed=True)
    plain_JU = torch.zeros(2, 6)
    for u, ids in enumerate(texts):
        values = lm.capture(torch.tensor([ids]), [hook_in, hook_out])
        valid = lm.is_read(torch.tensor([ids]))
        x_TD, y_TO = values[hook_in][valid], values[hook_out][valid]
        torch.testing.assert_close(pooled.activations[hook_out][u], y_TO.mean(dim=0), **BOUND)
        without_TF = sae.encode(x_TD)
        without_TF[:, latents_K] = 0.0
        moved_TO = predict_tokens(sae, without_TF, x_TD) - sae(x_TD)
        plain_JU[:, u] = weights_PD @ moved_TO.mean(dim=0)
    projections_PF = decoder_projections(sae.W_dec, weights_PD)
    (codes,) = pooled.codes.values()
    at_once = pooled_shift(codes, projections_PF, ablation, latents_K, [3])
    (decoded,) = decoded_shifts(sae, TokenSource(lm, hook_in, texts), weights_PD, [ablation], [latents_K], [3])
    torch.testing.assert_close(at_once[0], plain_JU, **BOUND)
    torch.testing.assert_close(decoded[0], plain_JU, **BOUND)


def test_every_eval_of_language_takes_transcoders():
    for skip in (False, True):
        member = member_of(own_mlp(relu_model(), skip=skip))
        refusing = {name for name in eval_names() if get_eval(name).refusal(member)}
        assert refusing == {name for name in eval_names() if "language" not in get_eval(name).models}


def test_the_model_reads_a_text_once_for_saes_and_transcoders():
    lm = relu_model()
    sae, alone = own_mlp(lm), member_of(tiny_sae("topk"), "alone")
    texts = corpus_rows(4).tolist()
    hooks = (sae.cfg.hook_name_out,)
    one = run_pass(lm, [PooledTexts(texts)], [alone])
    both = run_pass(lm, [PooledTexts(texts, extra_hooks=hooks)], [alone, member_of(sae)])
    assert both.n_tokens == one.n_tokens
    before, after = (only(report.served, PooledValues) for report in (one, both))
    assert after.activations.keys() == {"blocks.1.hook_resid_post", sae.cfg.hook_name, *hooks}
    for rows in (before.activations, after.activations):
        assert torch.equal(rows["blocks.1.hook_resid_post"], before.activations["blocks.1.hook_resid_post"])
    assert torch.equal(after.codes[alone.key].rows(torch.arange(4)), before.codes[alone.key].rows(torch.arange(4)))
