"""The whole core eval against the slow way, and planted truths."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from core_plain import corpus_rows, flat, plain_core, plain_densities, run_core, settings, valid_tokens
from grids import pairs

from sae_bench.custom_saes.loading import Member
from sae_bench.custom_saes.pca_sae import fit_pca
from sae_bench.errors import UsageError
from sae_bench.evals.base import EvalContext
from sae_bench.evals.core.evaluate import CoreJob
from sae_bench.testing import tiny_model, tiny_sae

RESIDUAL = "blocks.1.hook_resid_post"
ELSEWHERE = {"llama": "blocks.1.hook_mlp_out", "gpt2": "blocks.2.hook_attn_out", "gemma2": "blocks.1.hook_resid_mid"}
BOUND = {"rel": 2e-5, "abs": 2e-5}
"""Losses, norms and scores are of size 0.1 to 50 and come from three float32 layers, summed in another order."""
CATEGORY = {"kl": "model_behavior_preservation", "ce": "model_performance_preservation"}


def at(hook: str, architecture: str = "topk", *, seed: int = 0) -> Member:
    return Member("tiny", f"{architecture}_{hook}_{seed}", tiny_sae(architecture, hook_name=hook, seed=seed), hook)


def assert_same(found: dict[str, Any], expected: dict[str, float]) -> None:
    assert {k: found[k] for k in expected} == {k: pytest.approx(v, **BOUND) for k, v in expected.items()}


@pytest.mark.parametrize(
    ("family", "keep_special", "batches"),
    pairs(["llama", "gpt2", "gemma2"], (True, False), [(2, 2), (3, 1), (1, 3), (0, 2), (2, 0)]),
)
def test_all_scalars_equal_the_slow_way(family: str, keep_special: bool, batches: tuple[int, int]):
    """One pass for SAEs at two hooks, against full forwards for each of them."""
    lm = tiny_model(family)
    config = settings(
        n_eval_reconstruction_batches=batches[0],
        n_eval_sparsity_variance_batches=batches[1],
        exclude_special_tokens_from_reconstruction=keep_special,
    )
    rows = corpus_rows(lm, 2 * max(batches))
    members = [at(RESIDUAL), at(ELSEWHERE[family], "relu"), at(RESIDUAL, "jumprelu")]
    for m, scores in zip(members, run_core(lm, config, rows, members), strict=True):
        expected = plain_core(lm, config, rows, m.sae, m.hook_name)
        assert len(expected) == 7 * (batches[0] > 0) + 17 * (batches[1] > 0)
        found = flat(scores)
        assert_same(found, expected)
        not_there = {k for k, v in found.items() if v is None}
        assert not_there == {key.split(".")[-1] for key in scores.not_computed if key.startswith("eval_result_metrics")}
        assert found["total_tokens_eval_reconstruction"] == batches[0] * 20
        assert found["total_tokens_eval_sparsity_variance"] == batches[1] * 20


@pytest.mark.parametrize("hook", ["hook_embed", "blocks.0.attn.hook_z", "blocks.2.mlp.hook_post"])
def test_hooks_of_any_kind(hook: str):
    lm = tiny_model("gpt2")
    rows = corpus_rows(lm, 4)
    width = lm.capture(rows, [hook])[hook].shape[-1]
    m = Member("tiny", "sae", tiny_sae("relu", hook_name=hook, d_in=width), hook)
    (scores,) = run_core(lm, settings(), rows, [m])
    assert_same(flat(scores), plain_core(lm, settings(), rows, m.sae, hook))


def test_scores_do_not_depend_on_company():
    lm = tiny_model("llama")
    rows = corpus_rows(lm, 4)
    a, b = at(RESIDUAL), at("blocks.0.hook_mlp_out", "relu")
    alone = run_core(lm, settings(), rows, [a])[0]
    assert run_core(lm, settings(), rows, [a, b])[0].metrics == alone.metrics
    assert run_core(lm, settings(), rows, [b, a])[1].metrics == alone.metrics


def test_densities_per_latent():
    lm = tiny_model("llama")
    rows, m = corpus_rows(lm, 4), at(RESIDUAL)
    (scores,) = run_core(lm, settings(), rows, [m])
    batches = []
    for ids in rows.split(2):
        keep = valid_tokens(lm, ids)
        batches.append(
            (torch.empty(0), m.sae.encode(lm.capture(ids, [RESIDUAL])[RESIDUAL][keep]), keep.nonzero()[:, 0])
        )
    density, consistency = plain_densities(batches)
    assert [d.index for d in scores.details] == list(range(64))
    assert [d.feature_density for d in scores.details] == pytest.approx(density.tolist(), abs=1e-12)
    expected = [None if c != c else pytest.approx(c, abs=1e-12) for c in consistency.tolist()]
    assert [d.consistent_activation_heuristic for d in scores.details] == expected
    assert [d.encoder_bias for d in scores.details] == pytest.approx(m.sae.b_enc.tolist())


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2"])
def test_the_identity_recovers_everything(family: str):
    lm = tiny_model(family)
    (scores,) = run_core(lm, settings(), corpus_rows(lm, 4), [at(RESIDUAL, "identity")])
    found = flat(scores)
    for name in ("kl_div_score", "ce_loss_score", "explained_variance", "explained_variance_legacy", "l2_ratio"):
        assert found[name] == pytest.approx(1.0, abs=1e-6), name
    assert found["cossim"] == pytest.approx(1.0, abs=1e-6)
    assert found["l0"] == lm.d_model
    assert found["mse"] == found["mse_per_token"] == 0.0
    assert found["kl_div_with_sae"] == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2"])
def test_zeros_recover_nothing(family: str):
    lm = tiny_model(family)
    (scores,) = run_core(lm, settings(), corpus_rows(lm, 4), [at(RESIDUAL, "zero")])
    found = flat(scores)
    assert found["kl_div_score"] == pytest.approx(0.0, abs=1e-6)
    assert found["ce_loss_score"] == pytest.approx(0.0, abs=1e-6)
    assert found["explained_variance"] is not None
    assert found["explained_variance"] <= 0
    assert found["l0"] == found["frac_alive"] == found["l2_norm_out"] == 0
    reasons = scores.not_computed
    for name in ("reconstruction_quality.cossim", "shrinkage.relative_reconstruction_bias"):
        assert found[name.split(".")[1]] is None
        assert "not a finite number" in reasons[f"eval_result_metrics.{name}"]
    assert "never active" in reasons["eval_result_details.consistent_activation_heuristic"]


def test_principal_components_reconstruct():
    lm = tiny_model("llama")
    rows = corpus_rows(lm, 40)
    x = lm.capture(rows, [RESIDUAL])[RESIDUAL][valid_tokens(lm, rows)]
    pca = fit_pca([x], model_name=lm.name, hook_layer=1, hook_name=RESIDUAL)
    (scores,) = run_core(lm, settings(), rows[:4], [Member("b", "pca", pca, RESIDUAL)])
    found = flat(scores)
    assert found["explained_variance"] == pytest.approx(1.0, abs=1e-5)
    assert found["kl_div_score"] == pytest.approx(1.0, abs=1e-4)


def test_a_permuted_decoder_is_worse():
    lm = tiny_model("llama")
    good, broken = at(RESIDUAL, "identity"), at(RESIDUAL, "identity", seed=1)
    order = torch.randperm(32, generator=torch.Generator().manual_seed(0))
    broken.sae.decode = lambda f: f @ broken.sae.W_dec[order]
    config = settings(exclude_special_tokens_from_reconstruction=True)
    first, second = (flat(s) for s in run_core(lm, config, corpus_rows(lm, 4), [good, broken]))
    for name in ("kl_div_score", "ce_loss_score", "explained_variance"):
        assert second[name] < first[name] - 0.1, name


def test_l0_of_a_topk_sae_is_k():
    lm = tiny_model("llama")
    m = at(RESIDUAL)
    m.sae.b_enc.fill_(50.0)  # every pre-activation is positive
    assert flat(run_core(lm, settings(), corpus_rows(lm, 4), [m])[0])["l0"] == 8


class Poisoned:
    """An SAE whose reconstruction of everything is NaN."""

    def __init__(self, inner: Any) -> None:
        self.cfg, self.W_dec, self.inner = inner.cfg, inner.W_dec, inner
        self.decoder_is_linear = False

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner.encode(x)

    def decode(self, f: torch.Tensor) -> torch.Tensor:
        return self.inner.decode(f) * float("nan")


def test_nan_becomes_null_with_a_reason():
    lm = tiny_model("llama")
    rows, good = corpus_rows(lm, 4), at(RESIDUAL)
    members = [Member("t", "nan", Poisoned(at(RESIDUAL, "relu").sae), RESIDUAL), good]
    scores, other = run_core(lm, settings(), rows, members)
    found = flat(scores)
    for name in ("kl_div_score", "ce_loss_score", "explained_variance", "mse", "cossim", "l2_ratio"):
        assert found[name] is None, name
    assert -1 not in found.values()
    assert found["l0"] is not None
    assert "not a finite number" in scores.not_computed["eval_result_metrics.model_behavior_preservation.kl_div_score"]
    missing_encoder = "the SAE has no encoder matrix W_enc"
    assert scores.not_computed["eval_result_details.encoder_norm"] == missing_encoder
    assert found["nth_decoder_projection"] is None
    not_linear = "the decoder of this SAE is not linear"
    assert scores.not_computed["eval_result_metrics.misc_metrics.nth_decoder_projection"] == not_linear
    assert scores.not_computed["eval_result_metrics.misc_metrics.average_max_encoder_cosine_sim"] == missing_encoder
    assert scores.seed_results == []  # nothing is drawn: values per seed would look like a spread of zero
    assert other.metrics == run_core(lm, settings(), rows, [good])[0].metrics


SWITCHES = {
    "compute_kl": {"kl_div_score", "kl_div_with_ablation", "kl_div_with_sae"},
    "compute_ce_loss": {"ce_loss_score", "ce_loss_with_ablation", "ce_loss_with_sae", "ce_loss_without_sae"},
    "compute_l2_norms": {"l2_norm_in", "l2_norm_out", "l2_ratio", "relative_reconstruction_bias"},
    "compute_sparsity_metrics": {"l0", "l1", "nth_decoder_projection"},
    "compute_variance_metrics": {"explained_variance", "explained_variance_legacy", "mse", "mse_per_token", "cossim"},
    "compute_featurewise_density_statistics": {
        "frac_alive", "freq_over_1_percent", "freq_over_10_percent", "normalized_freq_over_1_percent",
        "normalized_freq_over_10_percent",
    },
    "compute_featurewise_weight_based_metrics": {
        "average_max_encoder_cosine_sim", "average_max_decoder_cosine_sim", "mean_abs_decoder_cosine_sim",
        "opposite_decoder_pairs", "frac_with_opposite_decoder",
    },
    "compute_pairwise_cosines": {
        "average_max_encoder_cosine_sim", "average_max_decoder_cosine_sim", "mean_abs_decoder_cosine_sim",
        "opposite_decoder_pairs", "frac_with_opposite_decoder",
    },
}  # fmt: skip


@pytest.mark.parametrize("switch", SWITCHES)
def test_a_switch_leaves_its_own_fields_null(switch: str):
    lm = tiny_model("llama")
    (scores,) = run_core(lm, settings(**{switch: False}), corpus_rows(lm, 4), [at(RESIDUAL)])
    found = flat(scores)
    assert {k for k, v in found.items() if v is None} == SWITCHES[switch]
    reasons = {v for k, v in scores.not_computed.items() if k.split(".")[-1] in SWITCHES[switch]}
    assert reasons == {f"{switch} is off"}


def test_without_pairwise_cosines_the_other_numbers_of_the_weights_stay():
    lm = tiny_model("llama")
    (scores,) = run_core(lm, settings(compute_pairwise_cosines=False), corpus_rows(lm, 4), [at(RESIDUAL)])
    assert scores.details[3].encoder_norm is not None
    assert scores.details[3].max_decoder_cosine_sim is None
    reason = scores.not_computed["eval_result_details.max_decoder_cosine_sim"]
    assert reason == "compute_pairwise_cosines is off"


def off(*names: str) -> dict[str, bool]:
    return dict.fromkeys(names, False)


def test_without_loss_metrics_no_layer_after_the_hook_runs(monkeypatch: pytest.MonkeyPatch):
    lm = tiny_model("llama")
    monkeypatch.setattr(lm, "final_hidden", None)
    monkeypatch.setattr(lm, "unembed", None)
    config = settings(**off("compute_kl", "compute_ce_loss"), n_eval_reconstruction_batches=5)
    job = CoreJob(EvalContext(lm, (RESIDUAL,), (42,)), config, rows_NL=corpus_rows(lm, 10))
    (request,) = job.requests([at(RESIDUAL)])
    assert len(request.rows_NL) == 4
    (scores,) = run_core(lm, config, corpus_rows(lm, 10), [at(RESIDUAL)])
    assert flat(scores)["l0"] is not None


def test_weights_alone_read_no_text(monkeypatch: pytest.MonkeyPatch):
    lm = tiny_model("llama")
    monkeypatch.setattr(lm, "capture", None)
    switched_off = [name for name in SWITCHES if "weight" not in name and "pairwise" not in name]
    (scores,) = run_core(lm, settings(**off(*switched_off)), corpus_rows(lm, 4), [at(RESIDUAL)])
    assert flat(scores)["average_max_decoder_cosine_sim"] is not None
    assert scores.details[3].feature_density is None
    assert scores.not_computed["eval_result_details.feature_density"] == "compute_featurewise_density_statistics is off"


def test_the_job_serves_the_saes_it_was_asked_for():
    """Others of the group may only be there for another eval."""
    lm = tiny_model("llama")
    asked, other = at(RESIDUAL), at(RESIDUAL, "relu")
    job = CoreJob(EvalContext(lm, (RESIDUAL,), (42,)), settings(), rows_NL=corpus_rows(lm, 4))
    from sae_bench.activations.one_pass import run_pass

    report = run_pass(lm, job.requests([asked]), [other, asked])
    assert not report.failed
    assert job.score(asked, report.served).metrics == run_core(lm, settings(), corpus_rows(lm, 4), [asked])[0].metrics


def test_a_batch_of_special_tokens_only_counts_for_nothing():
    lm = tiny_model("llama")
    rows = corpus_rows(lm, 6)
    blank = rows.clone()
    blank[2:4] = lm.bos_token_id
    with_blank = run_core(lm, settings(n_eval_sparsity_variance_batches=3), blank, [at(RESIDUAL)])[0]
    expected = plain_core(
        lm, settings(n_eval_reconstruction_batches=0), torch.cat([rows[:2], rows[4:]]), at(RESIDUAL).sae, RESIDUAL
    )
    assert_same(flat(with_blank), expected)


def test_nothing_to_do_is_an_error():
    config = settings(n_eval_reconstruction_batches=0, n_eval_sparsity_variance_batches=0)
    lm = tiny_model("llama")
    with pytest.raises(UsageError, match="both 0"):
        CoreJob(EvalContext(lm, (), (42,)), config, rows_NL=corpus_rows(lm, 1))
