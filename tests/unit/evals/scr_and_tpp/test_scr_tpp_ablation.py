"""Ablating pooled codes: ranking, the pooled identity and the path that decodes, against the plain computation."""

import pytest
import torch
from scr_tpp_plain import PerTokenScaleSAE, ablated, rank, token_activations

from sae_bench.activations.one_pass import run_pass
from sae_bench.activations.pooled import CodeMatrix
from sae_bench.activations.requests import PooledTexts
from sae_bench.custom_saes.interface import decoder_is_linear
from sae_bench.custom_saes.loading import Member
from sae_bench.errors import UsageError
from sae_bench.evals.scr_and_tpp import ablation
from sae_bench.evals.scr_and_tpp.ablation import Ablation, Contrast, TokenSource, all_shifts, effects, rank_latents
from sae_bench.probes import AdamWProbes
from sae_bench.testing.tiny_models import D_MODEL, tiny_sae

HOOK = "blocks.1.hook_resid_post"
SIZES = [1, 3, 8, 200]


def random_probes(n, d=D_MODEL, seed=3):
    generator = torch.Generator().manual_seed(seed)
    nothing = torch.zeros(n)
    return AdamWProbes(
        torch.randn(n, d, generator=generator), nothing, nothing, nothing, nothing.long(), nothing.long()
    )


@pytest.fixture(scope="module")
def token_ids(lm):
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(3, 12, (20,), generator=generator).tolist()
    eos = lm.tokenizer.eos_token_id
    return [[*torch.randint(5, 40, (n,), generator=generator).tolist(), eos] for n in lengths]


def pooled(lm, sae, token_ids):
    member = Member("tiny", "sae", sae, HOOK)
    report = run_pass(lm, [PooledTexts(token_ids)], [member])
    assert not report.failed
    (values,) = report.served
    return values.activations[HOOK], values.codes[member.key]


def some_ablations():
    contrast = Contrast(torch.arange(0, 6), torch.arange(6, 12))
    rows = torch.arange(12, 20)
    return [
        Ablation(0, contrast, (0, 1, 2), rows, signed=True),
        Ablation(1, contrast, (2,), rows, signed=False),
        Ablation(2, Contrast(torch.arange(3), torch.arange(3, 9)), (1, 0), torch.tensor([19, 12, 0]), signed=True),
    ]


def check_against_plain(lm, sae, token_ids):
    x_TD, codes = pooled(lm, sae, token_ids)
    probes, ablations = random_probes(3), some_ablations()
    source = TokenSource(lm, HOOK, token_ids)
    shifts, ranked = all_shifts(sae, codes, probes, ablations, SIZES, source)
    tokens = token_activations(lm, HOOK, token_ids)
    moved = 0.0
    for a, shift_NJU, n in zip(ablations, shifts, map(len, ranked), strict=True):
        probe = torch.nn.Linear(D_MODEL, 1).requires_grad_(False)
        probe.weight.copy_(probes.weights_PF[a.probe][None])
        contrast = a.contrast
        latents = rank(sae, tokens, contrast.positive_rows, contrast.negative_rows, probe, signed=a.signed)
        assert n == min(len(latents), SIZES[-1])
        for size, shift_JU in zip(SIZES, shift_NJU, strict=True):
            x_UD = torch.stack([ablated(sae, tokens[row], latents[:size]) for row in a.test_rows.tolist()])
            expected_JU = probes.weights_PF[list(a.evaluated)] @ x_UD.T
            found_JU = probes.weights_PF[list(a.evaluated)] @ x_TD[a.test_rows].T + shift_JU
            torch.testing.assert_close(found_JU, expected_JU, atol=1e-4, rtol=1e-4)
            moved = max(moved, float(shift_JU.abs().max()))
    return moved


@pytest.mark.parametrize(
    "architecture", ["relu", "topk", "topk_threshold", "batch_topk", "jumprelu", "gated", "pca", "identity"]
)
def test_the_pooled_identity_is_the_plain_computation(lm, token_ids, architecture):
    assert check_against_plain(lm, tiny_sae(architecture), token_ids) > 0.1


def test_a_decoder_that_is_not_linear_is_decoded(lm, token_ids, monkeypatch):
    sae = PerTokenScaleSAE(tiny_sae("relu"))
    assert not decoder_is_linear(sae)
    assert check_against_plain(lm, sae, token_ids) > 0.1
    monkeypatch.setattr(ablation, "DENSE_CODES", 64 * 20)  # small batches
    assert check_against_plain(lm, sae, token_ids) > 0.1


def test_texts_of_special_tokens_only_do_not_move(lm, token_ids):
    sae = PerTokenScaleSAE(tiny_sae("relu"))
    ids = [*token_ids[:-1], [lm.tokenizer.eos_token_id]]
    _, codes = pooled(lm, sae, ids)
    shifts, _ = all_shifts(sae, codes, random_probes(3), some_ablations(), SIZES, TokenSource(lm, HOOK, ids))
    assert not shifts[0][..., -1].any()
    assert shifts[0][..., 0].any()


def test_both_paths_agree_where_the_decoder_is_linear(lm, token_ids):
    sae = tiny_sae("jumprelu")
    _, codes = pooled(lm, sae, token_ids)
    probes, ablations, source = random_probes(3), some_ablations(), TokenSource(lm, HOOK, token_ids)
    fast, _ = all_shifts(sae, codes, probes, ablations, SIZES, source)
    projections = ablation.decoder_projections(sae.W_dec, probes.weights_PF)
    latents = ablation.rank_all(codes, projections, ablations, SIZES[-1])
    slow = ablation.decoded_shifts(sae, source, probes.weights_PF, ablations, latents, SIZES)
    for a, b in zip(fast, slow, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


# ---- ranking


def test_scr_ranks_by_size_and_tpp_by_what_raises_the_logit():
    difference = torch.tensor([1.0, -3.0, 2.0, 0.0], dtype=torch.float64)
    projection = torch.tensor([-1.0, 1.0, 1.0, 5.0])
    assert effects(difference, projection, signed=False).tolist() == [1.0, 3.0, 2.0, 0.0]
    assert effects(difference, projection, signed=True).tolist() == [-1.0, 0.0, 2.0, 0.0]


@pytest.mark.parametrize(
    ("effect", "n", "expected"),
    [
        ([1.0, 3.0, 2.0], 2, [1, 2]),
        ([2.0, 1.0, 2.0], 2, [0, 2]),
        ([0.0, 1.0, 0.0, 0.5], 4, [1, 3]),
        ([0.0, -1.0, 0.0, 0.5], 4, [3, 0]),
        ([0.0, 0.0], 2, []),
    ],
)
def test_no_more_latents_than_have_an_effect(effect, n, expected):
    assert rank_latents(torch.tensor(effect, dtype=torch.float64), n).tolist() == expected


def test_codes_that_are_not_finite_are_refused(lm, token_ids):
    codes = CodeMatrix(torch.full((20, 64), torch.nan))
    with pytest.raises(UsageError, match="NaN or infinite"):
        all_shifts(tiny_sae("relu"), codes, random_probes(3), some_ablations(), [1], TokenSource(lm, HOOK, token_ids))


def test_sparse_codes_give_the_same(lm, token_ids):
    from scipy import sparse

    sae = tiny_sae("topk")
    _, codes = pooled(lm, sae, token_ids)
    thin = CodeMatrix(sparse.csr_matrix(codes.rows(torch.arange(20)).numpy()))
    arguments = (random_probes(3), some_ablations(), SIZES, TokenSource(lm, HOOK, token_ids))
    for a, b in zip(all_shifts(sae, codes, *arguments)[0], all_shifts(sae, thin, *arguments)[0], strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize(
    "name", ["batch_topk", "gated", "jumprelu", "matryoshka_batch_topk", "p_anneal", "relu", "topk"]
)
def test_the_pooled_identity_holds_for_the_embedded_saes(embedded_lm, name):
    """Logits to 1e-4 of their size (about 100 here) on real texts; sums over tokens differ in rounding only."""
    from sae_bench.custom_saes.spec import LoadContext, resolve_spec
    from sae_bench.datasets import load_labelled

    (handle,) = resolve_spec(f"embedded:{name}")
    sae = handle.load(LoadContext(device=torch.device("cpu"), dtype=torch.float32, lm=embedded_lm))
    texts = load_labelled("embedded/emotions", train_set_size=10, test_set_size=4, seed=0)
    ids = embedded_lm.tokenize([t for of in texts.train.values() for t in of], max_length=32)
    hook = sae.cfg.hook_name
    tokens = token_activations(embedded_lm, hook, ids)
    member = Member("embedded", name, sae, hook)
    (values,) = run_pass(embedded_lm, [PooledTexts(ids)], [member]).served
    probes = random_probes(2, d=576)
    rows = torch.arange(20)
    job = Ablation(0, Contrast(rows[:10], rows[10:]), (0, 1), rows, signed=False)
    (shift_NJU,), _ = all_shifts(
        sae, values.codes[member.key], probes, [job], [10, 500], TokenSource(embedded_lm, hook, ids)
    )
    probe = torch.nn.Linear(576, 1).requires_grad_(False)
    probe.weight.copy_(probes.weights_PF[:1])
    latents = rank(sae, tokens, rows[:10], rows[10:], probe, signed=False)
    for size, shift_JU in zip((10, 500), shift_NJU, strict=True):
        x_UD = torch.stack([ablated(sae, tokens[row], latents[:size]) for row in range(20)])
        found_JU = probes.weights_PF @ values.activations[hook].T + shift_JU
        expected_JU = probes.weights_PF @ x_UD.T
        assert (found_JU - expected_JU).abs().max() <= 1e-4 * max(1.0, float(expected_JU.abs().max()))
        assert shift_JU.abs().max() > 0.01
