"""ground_truth against a plain recomputation, planted truths, and its refusals."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from synthetic_tiny import tiny_parameters

from sae_bench import evaluate
from sae_bench.activations.one_pass import run_pass
from sae_bench.custom_saes.loading import Member
from sae_bench.errors import UsageError
from sae_bench.evals.base import EvalContext, Scores
from sae_bench.evals.ground_truth.eval_config import GroundTruthEvalConfig
from sae_bench.evals.ground_truth.evaluate import GroundTruthJob
from sae_bench.evals.ground_truth.matching import cosines, mean_of_matching
from sae_bench.language_models.synthetic.model import SyntheticModel
from sae_bench.results.samples import Samples
from sae_bench.testing import tiny_model, tiny_sae

HOOK = "blocks.1.hook_resid_post"


@pytest.fixture(scope="module")
def lm() -> SyntheticModel:
    return SyntheticModel.of(tiny_parameters())


def scored(lm: SyntheticModel, sae: Any, **settings: Any) -> Scores:
    config = GroundTruthEvalConfig(**{"n_samples": 700, "batch_size": 64, **settings})
    job = GroundTruthJob(EvalContext(lm, (HOOK,), (42,)), config)
    member = Member("test", "sae", sae, HOOK)
    report = run_pass(lm, job.requests([member]), [member])
    assert not report.failed
    return job.score(member, report.served)


def numbers(scores: Scores) -> dict[str, float]:
    return {name: value for of in scores.metrics.model_dump().values() for name, value in of.items()}


def plain(lm: SyntheticModel, sae: Any, n: int = 700) -> dict[str, float]:
    """The definitions again, sample by sample and latent by latent, in numpy."""
    samples = lm.numbers(42, n)
    on = lm.activity(samples).toarray() > 0
    x = lm.capture(samples[:, None], [HOOK])[HOOK][:, 0]
    codes = sae.encode(x)
    rebuilt, x = sae.decode(codes).double().numpy(), x.double().numpy()
    active = codes.numpy() != 0
    W, D = sae.W_dec.double().numpy(), lm.features.directions_GD.double().numpy()
    cosine = np.abs((W / np.linalg.norm(W, axis=1, keepdims=True)) @ D.T)
    best = cosine.argmax(axis=1)
    rows = []
    for f, g in enumerate(best):
        tp, fp = (active[:, f] & on[:, g]).sum(), (active[:, f] & ~on[:, g]).sum()
        fn, tn = (~active[:, f] & on[:, g]).sum(), (~active[:, f] & ~on[:, g]).sum()
        precision = tp / (tp + fp) if tp + fp else 0.0
        recall = tp / (tp + fn) if tp + fn else 0.0
        both = precision + recall
        rows.append((precision, recall, 2 * precision * recall / both if both else 0.0, (tp + tn) / n))
    means = dict(zip(("precision", "recall", "f1", "accuracy"), np.mean(rows, axis=0), strict=True))
    return {
        **means,
        "uniqueness": len(set(best.tolist())) / len(best),
        "explained_variance": 1 - ((x - rebuilt) ** 2).sum() / ((x - x.mean(axis=0)) ** 2).sum(),
        "shrinkage": np.mean(np.linalg.norm(rebuilt, axis=1) / np.linalg.norm(x, axis=1)),
        "l0": active.sum(axis=1).mean(),
        "true_l0": on.sum(axis=1).mean(),
        "dead_latents": int((~active.any(axis=0)).sum()),
    }


@pytest.mark.parametrize("name", ["topk", "jumprelu", "relu", "random", "zero", "gated"])
def test_scores_are_those_of_the_plain_definitions(lm: SyntheticModel, name: str) -> None:
    sae = tiny_sae(name, d_in=32, d_sae=24)
    found, expected = numbers(scored(lm, sae)), plain(lm, sae)
    for key, value in expected.items():
        assert found[key] == pytest.approx(value, abs=1e-5), key  # float32 codes and reconstructions


def test_matching_is_the_best_of_all_one_to_one_matchings() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(4, 6, generator=generator), torch.randn(6, 6, generator=generator)
    cosine = cosines(a, b)
    best = max(cosine[range(4), list(columns)].mean().item() for columns in itertools.permutations(range(6), 4))
    assert mean_of_matching(cosine) == pytest.approx(best)
    assert mean_of_matching(cosine.T) == pytest.approx(best)


def test_error_bars_are_of_the_metrics(lm: SyntheticModel) -> None:
    scores = scored(lm, tiny_sae("topk", d_in=32, d_sae=24))
    values = numbers(scores)
    assert {"recovery.f1", "reconstruction.explained_variance", "sparsity.l0"} <= set(scores.samples)
    for path, samples in scores.samples.items():
        assert samples.n_units == 11
        assert samples.seed_values()[0] == pytest.approx(values[path.split(".")[1]], abs=1e-5), path
    assert not {"recovery.mcc", "recovery.uniqueness"} & set(scores.samples)


def test_blocks_are_at_most_a_hundred_and_do_not_change_the_metric(lm: SyntheticModel) -> None:
    sae = tiny_sae("topk", d_in=32, d_sae=24)
    fine, coarse = scored(lm, sae, batch_size=3), scored(lm, sae, batch_size=64)
    assert fine.samples["recovery.f1"].n_units == 100
    for key, value in numbers(coarse).items():
        assert numbers(fine)[key] == pytest.approx(value, abs=1e-7), key  # sums of float32 in another order


def floor(scores: Scores, path: str) -> float:
    reference = scores.references[path].floor
    assert reference is not None
    measured = reference.measured
    return measured.seed_values()[0] if isinstance(measured, Samples) else float(measured or 0.0)


def test_floors_are_what_no_knowledge_gives(lm: SyntheticModel) -> None:
    random = scored(lm, tiny_sae("random", d_in=32, d_sae=24), n_samples=5000)
    assert numbers(random)["mcc"] == pytest.approx(floor(random, "recovery.mcc"), abs=0.05)  # two draws of directions
    identity = scored(lm, tiny_sae("identity", d_in=32))  # always on: no knowledge of any feature
    assert numbers(identity)["f1"] == pytest.approx(floor(identity, "recovery.f1"), abs=1e-6)


def test_the_floor_of_f1_is_that_of_activity_that_was_shuffled(lm: SyntheticModel) -> None:
    sae = tiny_sae("topk", d_in=32, d_sae=24)
    samples = lm.numbers(42, 700)
    on = lm.activity(samples).toarray() > 0
    active = sae.encode(lm.capture(samples[:, None], [HOOK])[HOOK][:, 0]).numpy() != 0
    best = cosines(sae.W_dec, lm.features.directions_GD).argmax(dim=1).numpy()
    rng, f1 = np.random.default_rng(0), []
    for _ in range(200):
        mixed = active[rng.permutation(700)]
        f1.append(np.mean(2 * (mixed & on[:, best]).sum(0) / np.maximum(mixed.sum(0) + on[:, best].sum(0), 1)))
    expected = floor(scored(lm, sae), "recovery.f1")
    assert np.mean(f1) == pytest.approx(expected, abs=4 * np.std(f1) / np.sqrt(200))


def test_a_language_model_has_no_truth(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"ground_truth cannot be run on .*synthetic:small"):
        evaluate(tiny_model(), {"mine": tiny_sae("topk")}, ["ground_truth"], output_folder=tmp_path)
    with pytest.raises(UsageError, match="features are known"):
        GroundTruthJob(EvalContext(tiny_model(), (HOOK,), (42,)), GroundTruthEvalConfig())
    assert not list(tmp_path.rglob("*.json"))


def test_evals_of_language_refuse_a_synthetic_model_by_name(lm: SyntheticModel, tmp_path: Path) -> None:
    saes = {"mine": tiny_sae("topk")}
    asked = ["absorption", "ground_truth", "ravel", "unlearning", "autointerp"]
    with pytest.raises(UsageError, match=r"absorption, ravel, unlearning, autointerp cannot .* ground_truth"):
        evaluate(lm, saes, asked, output_folder=tmp_path)
    summary = evaluate(
        lm, saes, "ground_truth", output_folder=tmp_path, preset=None, settings={"ground_truth": {"n_samples": 100}}
    )
    assert len(summary.written) == 1
    assert not summary.failures
