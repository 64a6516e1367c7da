"""core on transcoders: codes of one hook, everything else at another; a ReLU MLP is its own exact transcoder."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from core_plain import corpus_rows, flat, plain_core, run_core, settings
from relu_mlps import FAMILIES, member_of, own_mlp, relu_model

from sae_bench.custom_saes.loading import Member
from sae_bench.evals.base import Scores
from sae_bench.language_models import LanguageModel
from sae_bench.language_models.hooks import parse_hook_name
from sae_bench.results.model import MetricValidity
from sae_bench.results.references import describe_references
from sae_bench.testing import tiny_model, tiny_sae, tiny_temporal_sae, tiny_transcoder

LOSS, KL = "model_performance_preservation.ce_loss_score", "model_behavior_preservation.kl_div_score"
EXPLAINED, COSINE = "reconstruction_quality.explained_variance", "reconstruction_quality.cossim"
EXACT = {"ce_loss_score": 1.0, "kl_div_score": 1.0, "explained_variance": 1.0, "cossim": 1.0, "l2_ratio": 1.0}
MANY = {"n_eval_reconstruction_batches": 8, "n_eval_sparsity_variance_batches": 8}
"""Enough rows to tell floor and ceiling apart."""
BOUND = {"rel": 2e-5, "abs": 2e-5}
"""Losses, norms and scores are of size 0.1 to 50 and come from three float32 layers, summed in another order."""
HOOKS = {
    "the MLP": ("blocks.1.mlp.hook_in", "blocks.1.hook_mlp_out"),
    "the MLP, before the weights of its norm": ("blocks.1.ln2.hook_normalized", "blocks.1.hook_mlp_out"),
    "several layers": ("blocks.0.hook_resid_post", "blocks.2.hook_resid_pre"),
    "the embedding to attention": ("hook_embed", "blocks.1.hook_attn_out"),
}


def scores_of(lm: LanguageModel, sae: Any, **changes: Any) -> Scores:
    config = settings(**changes)
    (scores,) = run_core(lm, config, corpus_rows(lm, 2 * config.n_eval_reconstruction_batches), [member_of(sae)])
    return scores


def beside(scores: Scores, path: str) -> MetricValidity:
    return describe_references(scores.references, scores.samples, {})[path]


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_relu_mlp_is_its_own_exact_transcoder(family: str, skip: bool):
    lm = relu_model(family)
    scores = scores_of(lm, own_mlp(lm, skip=skip), exclude_special_tokens_from_reconstruction=False)
    found = flat(scores)
    assert {name: found[name] for name in EXACT} == {name: pytest.approx(1.0, abs=1e-4) for name in EXACT}
    assert found["kl_div_with_sae"] == pytest.approx(0.0, abs=1e-5)


@pytest.mark.parametrize("hooks", HOOKS.values(), ids=list(HOOKS))
@pytest.mark.parametrize(("skip", "keep_special"), [(False, True), (True, False)])
def test_all_scalars_equal_the_slow_way(hooks: tuple[str, str], skip: bool, keep_special: bool):
    """Beside SAEs at both of its hooks, in one pass."""
    lm = tiny_model("gpt2")
    config = settings(exclude_special_tokens_from_reconstruction=keep_special)
    rows = corpus_rows(lm, 4)
    sae = tiny_transcoder("topk_transcoder", skip=skip, hook_names=hooks)
    writable = [hook for hook in hooks if not parse_hook_name(hook).is_read_only]
    company = [Member("tiny", f"at {hook}", tiny_sae("topk", hook_name=hook), hook) for hook in writable]
    scores, *of_saes = run_core(lm, config, rows, [member_of(sae), *company])
    expected = plain_core(lm, config, rows, sae, *hooks)
    found = flat(scores)
    assert {k: found[k] for k in expected} == {k: pytest.approx(v, **BOUND) for k, v in expected.items()}
    for member, of_sae in zip(company, of_saes, strict=True):
        assert of_sae.metrics == run_core(lm, config, rows, [member])[0].metrics


@pytest.mark.parametrize("keep_special", [False, True])
def test_a_temporal_sae_equals_the_slow_way_and_its_floor_is_what_it_predicts(keep_special: bool):
    lm, hook = tiny_model("gpt2"), "blocks.1.hook_resid_post"
    config, rows = settings(exclude_special_tokens_from_reconstruction=keep_special), corpus_rows(lm, 4)
    sae, company = tiny_temporal_sae(), Member("tiny", "topk", tiny_sae("topk", hook_name=hook), hook)
    scores, of_company = run_core(lm, config, rows, [member_of(sae), company])
    expected = plain_core(lm, config, rows, sae, hook)
    found = flat(scores)
    assert {k: found[k] for k in expected} == {k: pytest.approx(v, **BOUND) for k, v in expected.items()}
    of_both = beside(scores, EXPLAINED)
    assert SKIP_ONLY in {one.name for one in (of_both.floor, *of_both.others)}
    assert of_company.metrics == run_core(lm, config, rows, [company])[0].metrics


def test_a_transcoder_may_be_wider_where_it_writes():
    lm = tiny_model("gpt2")
    hooks = ("blocks.1.mlp.hook_in", "blocks.1.mlp.hook_post")
    sae = tiny_transcoder(d_out=64, hook_names=hooks)
    found = flat(scores_of(lm, sae))
    expected = plain_core(lm, settings(), corpus_rows(lm, 4), sae, *hooks)
    assert {k: found[k] for k in expected} == {k: pytest.approx(v, **BOUND) for k, v in expected.items()}


def test_encoder_and_decoder_rows_of_two_hooks_have_no_cosine():
    scores = scores_of(tiny_model("gpt2"), tiny_transcoder())
    assert {row.encoder_decoder_cosine_sim for row in scores.details} == {None}
    assert "of two hooks" in scores.not_computed["eval_result_details.encoder_decoder_cosine_sim"]


# ---- the floor of a skip transcoder: its skip path, or the mean where that is better


SKIP_ONLY, MEAN = "the skip path alone, no latent active", "the mean activation in the place of every activation"


@pytest.mark.parametrize("bias", [0.0, 1.0])
def test_the_floor_of_a_skip_transcoder_is_the_better_of_skip_path_and_mean(bias: float):
    """A skip transcoder without latents, as a transcoder of its own, has the scores that the skip path alone has.

    Args:
        bias: of the MLP's ReLU; with a high one it is nearly linear, and a skip path nearly exact.
    """
    lm = relu_model(bias=bias)
    whole, without = own_mlp(lm, skip=True), own_mlp(lm, skip=True)
    with torch.no_grad():
        without.b_enc.fill_(-1e6)
    scores, of_skip = scores_of(lm, whole, **MANY), flat(scores_of(lm, without, **MANY))
    for path in (LOSS, KL, EXPLAINED, COSINE):
        of_whole = beside(scores, path)
        assert of_whole.floor is not None
        values = {one.name: one.value for one in (of_whole.floor, *of_whole.others)}
        assert values[SKIP_ONLY] == pytest.approx(of_skip[path.split(".")[1]], rel=1e-5), path
        assert of_whole.floor.value == max(values[SKIP_ONLY], values[MEAN]), path
        if path != LOSS:  # on a random model, noise may lower the loss
            assert (of_whole.floor.name == SKIP_ONLY) == bool(bias), path
            assert of_whole.above_floor.value == pytest.approx(1.0, abs=1e-4), path


def test_latents_that_do_nothing_stand_at_the_floor_and_shuffled_ones_fall_to_it():
    lm = relu_model(bias=1.0)
    silent, shuffled = own_mlp(lm, skip=True), own_mlp(lm, skip=True)
    with torch.no_grad():
        silent.b_enc.fill_(-1e6)
        shuffled.W_dec.copy_(shuffled.W_dec[torch.randperm(64, generator=torch.Generator().manual_seed(0))])
    of_silent, of_shuffled = scores_of(lm, silent, **MANY), scores_of(lm, shuffled, **MANY)
    for path in (KL, EXPLAINED, COSINE):
        assert beside(of_silent, path).above_floor.value == pytest.approx(0.0, abs=1e-6), path
        assert (beside(of_shuffled, path).above_floor.value or 0.0) < 0.25, path  # the whole stands at 1


def test_latents_that_only_undo_a_bad_skip_path_stay_below_the_floor():
    lm = relu_model()
    spoiled = own_mlp(lm, skip=True)
    with torch.no_grad():
        spoiled.W_skip.mul_(3)
    scores = scores_of(lm, spoiled, **MANY)
    assert (beside(scores, EXPLAINED).above_floor.value or 0.0) < 0
    assert flat(scores)["explained_variance"] < 0


def test_the_floor_of_a_transcoder_without_skip_path_is_the_mean_of_what_it_predicts():
    lm = relu_model()
    sae = own_mlp(lm)
    at_output = Member("tiny", "sae", tiny_sae("topk", hook_name=sae.cfg.hook_name_out), sae.cfg.hook_name_out)
    of_transcoder, of_sae = run_core(lm, settings(), corpus_rows(lm, 4), [member_of(sae), at_output])
    for path in (LOSS, KL, EXPLAINED, COSINE):
        assert beside(of_transcoder, path).floor == beside(of_sae, path).floor
