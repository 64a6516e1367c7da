"""SAEs whose order is known, end to end: a planted SAE, its nulls, ladders down from it, and what validate says."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from synthetic_tiny import tiny_parameters

from sae_bench import evaluate
from sae_bench.analysis.table import load_results
from sae_bench.analysis.validity import Validation, validate
from sae_bench.custom_saes.jumprelu_sae import JumpReluSAE
from sae_bench.custom_saes.listing import DEGRADING, NULLS
from sae_bench.custom_saes.loaders.native import save_sae
from sae_bench.language_models.synthetic.model import SyntheticModel
from sae_bench.run import planning

pytestmark = pytest.mark.slow

PLANTED, NAME = "saes:planted", "saes_planted"
TPP = "tpp_metrics.tpp_threshold_2_total_metric"
LADDERS = {
    "recovery.mcc": ("decoder_noise", "merged"),  # it reads decoder rows alone, in any order
    "recovery.f1": tuple(
        kind for kind in DEGRADING if kind != "decoder_noise"
    ),  # the nearest feature stays the nearest
    "reconstruction.explained_variance": tuple(DEGRADING),
}
"""Metric -> the ladders that it has to put in order."""


@torch.no_grad()
def planted(lm: SyntheticModel) -> JumpReluSAE:
    """An SAE of the 24 most frequent features: it reads along their directions, and takes the large values for on."""
    sae = JumpReluSAE(lm.d_model, 24, lm.name, 1, "cpu", torch.float32, lm.features.hook_name)
    directions_FD = lm.features.directions_GD[:24]
    sae.W_enc.copy_(directions_FD.T)
    sae.W_dec.copy_(directions_FD)
    sae.b_dec.copy_(lm.features.bias_D)
    sae.b_enc.copy_(-(lm.features.bias_D @ sae.W_enc))
    sae.threshold.fill_(2.5)
    return sae


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("known")
    lm = SyntheticModel.of(tiny_parameters())
    save_sae(planted(lm), folder / "saes" / "planted.safetensors")
    spec = f"path:{folder / 'saes'}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planning, "PCA_TOKENS", 1024)
        summary = evaluate(
            lm,
            [spec, *(f"baseline:degraded({spec},{kind})" for kind in DEGRADING)],
            ["ground_truth", "sparse_probing", "tpp"],
            nulls=True,
            preset="quick",
            settings={
                "ground_truth": {"n_samples": 1000, "batch_size": 50},
                "sparse_probing": {
                    "dataset_names": ["synthetic/features:2"], "probe_train_set_size": 80, "probe_test_set_size": 40,
                    "k_values": [1],
                },
                "tpp": {
                    "dataset_names": ["synthetic/siblings:1"], "train_set_size": 240, "test_set_size": 80,
                    "n_values": [1, 2], "probe_epochs": 20,
                },
            },
            output_folder=folder / "results",
        )  # fmt: skip
    assert summary.failures == []
    return folder / "results"


@pytest.fixture(scope="module")
def validation(results: Path) -> Validation:
    return validate(results)


def scores(results: Path, eval_name: str, sae: str) -> dict[str, float]:
    (record,) = [record for record in load_results(results).of_eval(eval_name) if record.sae == sae]
    return record.values


@pytest.mark.parametrize("path", LADDERS)
def test_metrics_of_the_truth_put_ladders_in_order(validation: Validation, path: str) -> None:
    (found,) = validation.of("ground_truth", path)
    for kind in LADDERS[path]:
        assert found.ladders.by_ladder[f"baseline:degraded({NAME},{kind})"] == 1.0, kind


def test_what_ranks_saes_puts_the_planted_one_above_its_nulls(validation: Validation) -> None:
    ranking = [one for one in validation.metrics if one.verdict == "ranks SAEs here"]
    assert "recovery.f1" in [one.metric for one in ranking]
    for one in ranking:
        assert one.nulls.n_better == one.nulls.n_pairs
        assert one.ladders.n_wrong == 0


def test_a_null_that_wins_makes_a_metric_invalid_and_is_named(validation: Validation) -> None:
    """A decoder fitted to random codes explains more than 24 true directions of 64 do."""
    (found,) = validation.of("ground_truth", "reconstruction.explained_variance")
    assert found.verdict == "not valid here"
    assert f"against baseline:frozen_encoder({NAME})" in found.sentence


def test_a_permuted_decoder_keeps_what_reads_codes_or_rows_alone_and_loses_the_rest(results: Path) -> None:
    permuted = f"baseline:permuted_decoder({NAME})"
    own, ruined = (scores(results, "ground_truth", sae) for sae in (PLANTED, permuted))
    for path in ("recovery.mcc", "sparsity.l0", "sparsity.dead_latents"):
        assert own[path] == ruined[path], path
    assert ruined["recovery.f1"] < own["recovery.f1"] / 3
    assert ruined["reconstruction.explained_variance"] < 0 < own["reconstruction.explained_variance"]


def test_a_permuted_decoder_leaves_probing_as_it_is_and_ruins_tpp(results: Path) -> None:
    permuted = f"baseline:permuted_decoder({NAME})"
    probing, of_permuted = (scores(results, "sparse_probing", sae) for sae in (PLANTED, permuted))
    assert probing == of_permuted
    own, ruined = (scores(results, "tpp", sae)[TPP] for sae in (PLANTED, permuted))
    assert ruined < own / 3


@pytest.mark.parametrize("kind", ["decoder_noise", "permuted", "dead"])
def test_ladders_lead_tpp_from_the_planted_sae_down(results: Path, kind: str) -> None:
    own, best, worst = (
        scores(results, "tpp", sae)[TPP]
        for sae in (PLANTED, *(f"baseline:degraded({NAME},{kind},{level})" for level in (0, 1)))
    )
    assert own == best
    assert worst < own / 3


@pytest.mark.parametrize("name", NULLS)
def test_nulls_of_a_planted_sae_score_less_in_tpp(results: Path, name: str) -> None:
    own, of_null = (scores(results, "tpp", sae)[TPP] for sae in (PLANTED, f"baseline:{name}({NAME})"))
    assert of_null < own / 2


@pytest.mark.parametrize("name", NULLS)
def test_nulls_are_as_sparse_as_their_sae(results: Path, name: str) -> None:
    of_null, own = (scores(results, "ground_truth", sae) for sae in (f"baseline:{name}({NAME})", PLANTED))
    assert of_null["sparsity.l0"] == pytest.approx(own["sparsity.l0"], rel=0.01)
