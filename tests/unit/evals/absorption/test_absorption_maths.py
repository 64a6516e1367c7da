"""Probes and scores against plain, slow code: torch's autograd and Adam, scikit-learn, loops over words."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, precision_score, recall_score
from torch import nn

from sae_bench.custom_saes.interface import SparseCodes
from sae_bench.errors import UsageError
from sae_bench.evals.absorption import absorption_scores, word_codes
from sae_bench.evals.absorption.absorption_scores import absorption, probe_cosines, score_words
from sae_bench.evals.absorption.probe_training import LetterProbes, ProbeSettings, initial_probes, train_letter_probes
from sae_bench.evals.absorption.sparse_probes import (
    Split,
    count_splits,
    f1_scores,
    merge_inactive,
    sparse_f1,
    top_latents,
)
from sae_bench.evals.absorption.word_codes import DenseRows, SparseRows, encode_words
from sae_bench.probes import fit_logistic
from sae_bench.seeding import named_generator
from sae_bench.testing.tiny_models import tiny_sae

W, F = 60, 12


def sparse_matrix(n_rows: int = W, n_columns: int = F, *, seed: int = 0, density: float = 0.2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    on_WF = torch.rand(n_rows, n_columns, generator=generator) < density
    return torch.rand(n_rows, n_columns, generator=generator) * on_WF


def as_sparse_rows(x_WF: torch.Tensor) -> SparseRows:
    row_A, latent_A = x_WF.nonzero(as_tuple=True)
    counts_W = torch.bincount(row_A, minlength=len(x_WF))
    return SparseRows(counts_W, latent_A.to(torch.int32), x_WF[row_A, latent_A], x_WF.shape[1])


# ---- codes of words


@pytest.mark.parametrize("kind", [DenseRows, as_sparse_rows])
def test_rows_columns_and_active_latents_are_those_of_the_matrix(kind):
    x_WF = sparse_matrix()
    x_WF[7] = 0.0
    rows = kind(x_WF)
    chosen_B = torch.tensor([7, 3, 3, 59, 0])
    batch = rows.take(chosen_B)
    weights_FC = torch.randn(F, 4, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(batch.times(weights_FC), x_WF[chosen_B] @ weights_FC)
    slope_BC = torch.randn(5, 4, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(batch.transposed_times(slope_BC), x_WF[chosen_B].T @ slope_BC)
    latents_M = torch.tensor([5, 0, 5, 11])
    assert torch.equal(rows.columns(latents_M), x_WF[:, latents_M])
    values_NK, latents_NK = rows.active(chosen_B)
    dense_NF = torch.zeros(5, F).scatter_add_(1, latents_NK, values_NK)
    assert torch.equal(dense_NF, x_WF[chosen_B])
    assert rows.active(torch.tensor([7]))[0].abs().sum() == 0


@pytest.mark.parametrize("architecture", ["topk", "relu", "jumprelu", "identity"])
def test_words_are_encoded_once_whatever_the_chunks(architecture, monkeypatch):
    sae = tiny_sae(architecture)
    x_WD = torch.randn(50, 32, generator=torch.Generator().manual_seed(3))
    monkeypatch.setattr(word_codes, "WORDS_AT_ONCE", 7)
    codes = encode_words(sae, x_WD)
    with torch.no_grad():
        expected_WF = sae.encode(x_WD)
    few_are_on = (expected_WF[:7] != 0).double().mean() < word_codes.SPARSE_BELOW
    assert isinstance(codes, SparseRows) == bool(few_are_on)
    assert few_are_on or architecture != "topk"
    torch.testing.assert_close(codes.columns(torch.arange(sae.cfg.d_sae)), expected_WF)


def test_codes_that_are_not_finite_are_refused():
    sae = tiny_sae("relu")
    with torch.no_grad():
        sae.W_enc[0, 0] = float("nan")
    with pytest.raises(UsageError, match="codes that are NaN or infinite"):
        encode_words(sae, torch.ones(4, 32))


def test_sparse_codes_of_an_sae_are_kept_as_they_are(monkeypatch):
    sae = tiny_sae("topk")
    codes = SparseCodes(torch.tensor([[2.0, 0.0], [1.0, 3.0]]), torch.tensor([[4, 0], [1, 9]]), sae.cfg.d_sae)
    monkeypatch.setattr(sae, "encode_sparse", lambda x_ND: codes)
    rows = encode_words(sae, torch.ones(2, sae.cfg.d_in))
    assert isinstance(rows, SparseRows)
    assert torch.equal(rows.columns(torch.arange(sae.cfg.d_sae)), codes.to_dense())


# ---- the published probe


def plain_probe(x_WF, labels_W, train_N, letters, name, settings: ProbeSettings) -> tuple[torch.Tensor, torch.Tensor]:
    """26 outputs as published, with torch's own modules; the outputs of letters without words are never read."""
    x_NF, labels_N = x_WF[train_N], labels_W[train_N]
    generator = named_generator(*name)
    start_JC = initial_probes(x_WF.shape[1], len(letters), generator)
    probe = nn.Linear(x_WF.shape[1], 26)
    with torch.no_grad():
        probe.weight.zero_()
        probe.bias.zero_()
        probe.weight[list(letters)] = start_JC[:-1].T
        probe.bias[list(letters)] = start_JC[-1]
    y_NC = nn.functional.one_hot(labels_N, 26).float()
    positives_C = y_NC.sum(dim=0)
    positive_weight_C = torch.where(positives_C > 0, (len(y_NC) - positives_C) / positives_C.clamp(min=1), 1.0)
    loss_fn = nn.BCEWithLogitsLoss(pos_weight=positive_weight_C)
    optimizer = torch.optim.Adam(probe.parameters(), lr=settings.lr, weight_decay=settings.weight_decay)
    gamma = math.exp(math.log(settings.end_lr / settings.lr) / settings.epochs)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=gamma)
    for _ in range(settings.epochs):
        for rows in torch.randperm(len(y_NC), generator=generator).split(settings.batch_size):
            optimizer.zero_grad()
            loss = loss_fn(probe(x_NF[rows]), y_NC[rows]) + settings.l1 * probe.weight.abs().sum(dim=-1).mean()
            loss.backward()
            optimizer.step()
        schedule.step()
    return probe.weight[list(letters)].detach().T, probe.bias[list(letters)].detach()


@pytest.mark.parametrize("kind", [DenseRows, as_sparse_rows])
@pytest.mark.parametrize("settings", [ProbeSettings(batch_size=16, epochs=6),
                                      ProbeSettings(batch_size=25, epochs=8, weight_decay=1e-6, l1=0.01)])  # fmt: skip
def test_probes_are_those_of_autograd_and_adam(kind, settings):
    x_WF = sparse_matrix(density=0.5)
    labels_W = torch.arange(W) % 3
    labels_W[labels_W == 2] = 20
    letters = (0, 1, 20)
    train = [torch.arange(0, 48), torch.arange(12, 60)]
    names = [("test", seed) for seed in (1, 2)]
    probes = train_letter_probes(kind(x_WF), labels_W, letters, train, names, settings=settings)
    for seed in (0, 1):
        weights_FC, bias_C = plain_probe(x_WF, labels_W, train[seed], letters, names[seed], settings)
        torch.testing.assert_close(probes.weights_SFC[seed], weights_FC, atol=2e-5, rtol=1e-4)
        torch.testing.assert_close(probes.bias_SC[seed], bias_C, atol=2e-5, rtol=1e-4)


def test_a_seed_does_not_depend_on_the_others():
    x_WF, labels_W = sparse_matrix(), torch.arange(W) % 2
    train = torch.arange(48)
    settings = ProbeSettings(batch_size=16, epochs=3)
    both = train_letter_probes(DenseRows(x_WF), labels_W, (0, 1), [train, train], [("a",), ("b",)], settings=settings)
    alone = train_letter_probes(DenseRows(x_WF), labels_W, (0, 1), [train], [("b",)], settings=settings)
    torch.testing.assert_close(both.weights_SFC[1], alone.weights_SFC[0])
    assert not torch.allclose(both.weights_SFC[0], both.weights_SFC[1])


def test_wrong_inputs_of_probes_are_refused():
    x_WF, labels_W = sparse_matrix(), torch.arange(W) % 2
    with pytest.raises(UsageError, match="a letter has no word to train on"):
        train_letter_probes(DenseRows(x_WF), labels_W, (0, 5), [torch.arange(W)], [("a",)])
    x_WF[3, 3] = float("inf")
    with pytest.raises(UsageError, match="the letter probes diverged"):
        train_letter_probes(
            DenseRows(x_WF), labels_W, (0, 1), [torch.arange(W)], [("a",)], settings=ProbeSettings(epochs=1)
        )


# ---- k-sparse probes


def test_top_latents_by_signed_weight_and_first_of_equal_ones():
    weights_SFC = torch.tensor([[[1.0, 0.0], [-9.0, 2.0], [3.0, 0.0], [1.0, 2.0]]])
    latents_SCK = top_latents(LetterProbes(weights_SFC, torch.zeros(1, 2)), 3)
    assert latents_SCK.tolist() == [[[2, 0, 3], [1, 3, 0]]]


@pytest.mark.parametrize("kind", [DenseRows, as_sparse_rows])
def test_sparse_f1_is_that_of_scikit_learn(kind):
    x_WF = sparse_matrix(200, F, density=0.3)
    labels_W = torch.randint(0, 3, (200,), generator=torch.Generator().manual_seed(5))
    x_WF[:, 0] += 0.7 * (labels_W == 0) * (torch.arange(200) % 4 != 0)
    splits = [Split(seed, *torch.randperm(200, generator=named_generator(seed)).split([150, 50])) for seed in (1, 2)]
    latents_SCK = torch.tensor([[[0, 3, 4], [1, 2, 7]], [[5, 0, 2], [6, 1, 8]]])
    found_SCK, n_unfinished = sparse_f1(kind(x_WF), labels_W[:, None] == torch.tensor([0, 2]), splits, latents_SCK)
    assert n_unfinished == 0
    for s, split in enumerate(splits):
        for c, letter in enumerate((0, 2)):
            for k in (1, 2, 3):
                columns = latents_SCK[s, c, :k]
                model = LogisticRegression(max_iter=5000, tol=1e-10, class_weight="balanced")
                model.fit(x_WF[split.train_N][:, columns].numpy(), (labels_W[split.train_N] == letter).numpy())
                predicted = model.decision_function(x_WF[split.test_M][:, columns].numpy()) > 0
                expected = f1_score((labels_W[split.test_M] == letter).numpy(), predicted, zero_division=0)
                assert found_SCK[s, c, k - 1].item() == pytest.approx(expected, abs=1e-12)


def test_merging_silent_words_changes_no_regression():
    x_NK = sparse_matrix(80, 3, density=0.2)
    x_NK[:40, 1:] = 0.0
    labels_N = torch.arange(80) % 5 == 0
    merged = merge_inactive(x_NK, labels_N)
    assert len(merged[0]) < 60
    weights_N = torch.where(labels_N, 80 / (2 * 16), 80 / (2 * 64)).double()
    assert merged[2].sum().item() == pytest.approx(weights_N.sum().item())
    together = fit_logistic(merged[0][None], merged[1][None], merged[2][None] > 0, sample_weight_PN=merged[2][None])
    plain = fit_logistic(x_NK[None], labels_N[None], sample_weight_PN=weights_N[None])
    torch.testing.assert_close(together.weights_PK, plain.weights_PK, atol=1e-8, rtol=0)
    torch.testing.assert_close(together.bias_P, plain.bias_P, atol=1e-8, rtol=0)


def test_quality_is_that_of_scikit_learn():
    generator = torch.Generator().manual_seed(4)
    predicted = torch.rand(4, 30, generator=generator) < 0.4
    truth = torch.rand(4, 30, generator=generator) < 0.3
    predicted[1], truth[2], predicted[3], truth[3] = False, False, False, False
    quality = f1_scores(predicted, truth)
    for row in range(4):
        y, p = truth[row].numpy(), predicted[row].numpy()
        assert quality.f1[row].item() == pytest.approx(f1_score(y, p, zero_division=0))
        assert quality.precision[row].item() == pytest.approx(precision_score(y, p, zero_division=0))
        assert quality.recall[row].item() == pytest.approx(recall_score(y, p, zero_division=0))


@pytest.mark.parametrize(("f1", "n"), [([0.5, 0.53, 0.9], 1), ([0.5, 0.54, 0.58], 3), ([0.5, 0.6, 0.55], 2),
                                       ([0.9, 0.1, 0.99], 1), ([0.4], 1)])  # fmt: skip
def test_splits_are_counted_as_long_as_f1_jumps(f1, n):
    assert count_splits(torch.tensor([[f1]], dtype=torch.float64), 0.03).item() == n


# ---- scores


def plain_scores(f_F, cosine_F, own: set[int], projection: float) -> tuple[float, float, bool]:
    """The three definitions, one word at a time."""
    share = [float(f * c) for f, c in zip(f_F, cosine_F, strict=True)]
    mine = sum(share[j] for j in own)
    whole = sum(share)
    fraction = 0.0
    if mine < projection and whole > 0:
        fraction = min(1.0, max(0.0, (whole - mine) / whole))
    others = sorted(share[j] for j in range(len(share)) if j not in own and cosine_F[j] >= 0.1 and share[j] > 0)
    absorbed = sum(others[-3:])
    thresholded = 0.0
    if mine < projection and absorbed / projection >= 0.4:
        taken = min(absorbed, projection - mine)
        thresholded = 1.0 if mine <= 0 else min(1.0, max(0.0, taken / (taken + mine)))
    top = int(np.argmax(share))
    full = (
        all(f_F[j] < 1e-8 for j in own) and cosine_F[top] >= 0.025 and projection > 0 and share[top] / projection >= 0.4
    )
    return fraction, thresholded, bool(full)


@pytest.mark.parametrize("negative", [False, True])
def test_scores_are_those_of_the_definitions(negative):
    generator = torch.Generator().manual_seed(6)
    n_words = 400
    f_NF = sparse_matrix(n_words, F, seed=7, density=0.3)
    if negative:
        f_NF = f_NF * torch.where(torch.rand(n_words, F, generator=generator) < 0.3, -1.0, 1.0)
    cosine_FC = 0.6 * torch.randn(F, 3, generator=generator).clamp(-1, 1)
    own_FC = torch.rand(F, 3, generator=generator) < 0.25
    letter_N = torch.randint(0, 3, (n_words,), generator=generator)
    projection_N = torch.rand(n_words, generator=generator) - 0.2
    for codes in (DenseRows(f_NF), as_sparse_rows(f_NF)):
        found = score_words(codes, torch.arange(n_words), letter_N, projection_N, cosine_FC=cosine_FC, is_own_FC=own_FC)
        expected = [
            plain_scores(f_NF[n], cosine_FC[:, c], set(own_FC[:, c].nonzero()[:, 0].tolist()), float(projection_N[n]))
            for n, c in enumerate(letter_N.tolist())
        ]
        fraction, thresholded, full = zip(*expected, strict=True)
        torch.testing.assert_close(found.fraction_N, torch.tensor(fraction), atol=1e-5, rtol=0)
        torch.testing.assert_close(found.thresholded_N, torch.tensor(thresholded), atol=1e-5, rtol=0)
        assert found.full_N.tolist() == list(full)
        assert 0 < sum(full) < n_words
        assert len(set(thresholded)) > 5
        assert len(set(fraction)) > 5


def test_scores_do_not_depend_on_how_many_words_are_scored_at_once(monkeypatch):
    f_NF = sparse_matrix(50, F, density=0.4)
    arguments = (torch.arange(50), torch.arange(50) % 2, torch.ones(50))
    matrices = {
        "cosine_FC": torch.linspace(-1, 1, F * 2).view(F, 2),
        "is_own_FC": torch.arange(F * 2).view(F, 2) % 5 == 0,
    }
    whole = score_words(as_sparse_rows(f_NF), *arguments, **matrices)
    monkeypatch.setattr(absorption_scores, "ELEMENTS_AT_ONCE", 7 * F)
    parts = score_words(as_sparse_rows(f_NF), *arguments, **matrices)
    torch.testing.assert_close(parts.fraction_N, whole.fraction_N, atol=1e-6, rtol=0)
    assert torch.equal(parts.full_N, whole.full_N)
    nothing = score_words(as_sparse_rows(f_NF), *(a[:0] for a in arguments), **matrices)
    assert nothing.fraction_N.shape == nothing.full_N.shape == (0,)


def test_a_word_half_absorbed_and_one_wholly():
    found = absorption(
        values_NK=torch.tensor([[2.0, 2.0], [0.0, 4.0], [4.0, 0.0]]),
        cosine_NK=torch.full((3, 2), 0.5),
        is_own_NK=torch.tensor([[True, False]]).expand(3, 2),
        projection_N=torch.full((3,), 2.0),
    )
    assert found.fraction_N.tolist() == [0.5, 1.0, 0.0]
    assert found.thresholded_N.tolist() == [0.5, 1.0, 0.0]
    assert found.full_N.tolist() == [False, True, False]


def test_cosines_of_a_direction_of_length_zero_are_zero():
    W_dec_FD = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
    cosine_FC = probe_cosines(W_dec_FD, torch.tensor([[2.0, 0.0], [0.0, 0.0]]))
    torch.testing.assert_close(cosine_FC, torch.tensor([[0.6, 0.0], [0.0, 0.0]]))
