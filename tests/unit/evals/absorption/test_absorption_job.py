"""The eval as a whole: planted absorption, diagnostic SAEs, seeds, resuming, published functions, plain refusals."""

from __future__ import annotations

import inspect
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from absorption_tiny import (
    HOOK,
    MANY,
    TINY,
    PlantedSAE,
    absorbed_words,
    planted_activations,
    planted_words,
    word_model,
)
from tiny_runs import handle, read

from sae_bench.cli.process import run_command
from sae_bench.custom_saes.loaders import embedded
from sae_bench.custom_saes.loaders.native import save_sae
from sae_bench.custom_saes.loading import Member
from sae_bench.custom_saes.spec import SAEHandle
from sae_bench.errors import ResultError, UsageError
from sae_bench.evals.absorption import main
from sae_bench.evals.absorption.eval_config import AbsorptionEvalConfig
from sae_bench.evals.absorption.eval_output import AbsorptionEvalOutput
from sae_bench.evals.absorption.evaluate import AbsorptionJob
from sae_bench.evals.absorption.letters import prepare_letters, score_letters
from sae_bench.evals.absorption.spec import SPEC
from sae_bench.evals.absorption.word_codes import encode_words
from sae_bench.evals.absorption.words import letter_words
from sae_bench.evals.base import EvalContext, Scores
from sae_bench.run.planning import load_context, make_config
from sae_bench.run.runner import EvalRequest, RunPlan, run
from sae_bench.testing.tiny_models import tiny_sae

pytestmark = pytest.mark.slow

FRACTION = "mean.mean_absorption_fraction_score"
FULL = "mean.mean_full_absorption_score"
FLAGS = (
    "random_seed", "model_name", "f1_jump_threshold", "max_k_value", "prompt_template", "prompt_token_pos",
    "sae_regex_pattern", "sae_block_pattern", "output_folder", "llm_batch_size", "llm_dtype",
    "k_sparse_probe_l1_decay", "k_sparse_probe_batch_size", "force_rerun",
)  # fmt: skip


def scores_of(sae: Any, *, seeds: tuple[int, ...] = (42, 43, 44), **changes: Any) -> tuple[Any, Any]:
    """Prepared letters and scores of an SAE on planted activations."""
    words = planted_words()
    prepared = prepare_letters(words, planted_activations(words), seeds)
    codes = encode_words(sae, prepared.x_WD)
    settings = AbsorptionEvalConfig(k_sparse_probe_batch_size=64, **changes)  # steps enough for few words
    return prepared, score_letters(prepared, codes, sae.W_dec, settings)


def planted_sae(share: float, *, left: float = 0.0) -> PlantedSAE:
    words = planted_words()
    return PlantedSAE(words, planted_activations(words), absorbed_words(words, share), left=left)


# ---- planted truth


def test_planted_absorption_is_found_with_the_right_fraction():
    """A quarter of every letter's words is absorbed by latents of their own."""
    sae = planted_sae(0.25)
    prepared, scores = scores_of(sae)
    assert bool(scores.counts_SC.all())
    assert bool((prepared.f1_SC > 0.95).all())
    assert bool((scores.n_split_SC == 1).all())
    absorbed_W = absorbed_words(prepared.words, 0.25)
    for s, found in enumerate(prepared.solved):
        assert scores.latents.latents_SCK[s, :, 0].tolist() == [0, 1, 2]
        for c in range(3):
            rows = found.rows_N[found.letter_N == c]
            share = absorbed_W[rows].double().mean().item()
            assert scores.full_SC[s, c].item() == pytest.approx(share, abs=1e-6)
            assert scores.fraction_SC[s, c].item() == pytest.approx(share, abs=0.05)
            assert scores.thresholded_SC[s, c].item() == pytest.approx(share, abs=0.05)
            assert scores.n_full_SC[s, c].item() == round(share * len(rows))


def test_planted_partial_absorption_is_no_full_absorption():
    """Half of the letter's latent is left on every word: the other half is absorbed."""
    _, scores = scores_of(planted_sae(1.0, left=0.5))
    assert bool((scores.full_SC == 0).all())
    assert scores.fraction_SC.mean().item() == pytest.approx(0.5, abs=0.05)
    assert scores.thresholded_SC.mean().item() == pytest.approx(0.5, abs=0.05)


def test_an_oracle_beats_random_and_permuted_saes():
    oracle = planted_sae(0.0)
    generator = torch.Generator().manual_seed(3)
    permuted = planted_sae(0.0)
    permuted.codes_WF = permuted.codes_WF[torch.randperm(len(permuted.codes_WF), generator=generator)]
    random = tiny_sae("topk", d_in=48, d_sae=len(oracle.W_dec), seed=3)
    results = {name: scores_of(sae)[1] for name, sae in
               (("oracle", oracle), ("permuted", permuted), ("random", random))}  # fmt: skip
    fraction = {name: result.fraction_SC.nanmean().item() for name, result in results.items()}
    assert fraction["oracle"] < 0.05
    assert fraction["permuted"] > fraction["oracle"] + 0.1
    assert fraction["random"] > fraction["oracle"] + 0.1
    f1 = {name: result.latents.f1_SCK[:, :, 0].mean().item() for name, result in results.items()}
    assert f1["oracle"] > 0.99
    assert f1["permuted"] < 0.8


def test_a_latent_that_halves_a_letter_is_a_split_not_absorption():
    """Two latents that share a letter's words raise F1 by much: both are the letter's own."""
    words = planted_words()
    x_WD = planted_activations(words)
    sae = PlantedSAE(words, x_WD, absorbed_words(words, 0.0))
    second_W = (torch.arange(len(words.words)) // 3 % 2 == 0) & (words.labels_W == 0)
    sae.codes_WF[second_W, 0] = 0.0
    sae.codes_WF = torch.cat([sae.codes_WF, 4.0 * second_W.float()[:, None]], dim=1)
    sae.W_dec = torch.cat([sae.W_dec, torch.eye(48)[:1]])
    sae.cfg.d_sae += 1
    _, scores = scores_of(sae, seeds=(42,))
    assert scores.n_split_SC[0].tolist() == [2.0, 1.0, 1.0]
    assert scores.full_SC[0, 0].item() == 0.0


def test_letters_of_poor_probes_do_not_count():
    prepared, scores = scores_of(planted_sae(0.25), min_GT_probe_f1=1.0)
    assert not bool(scores.counts_SC.any())
    assert bool(scores.fraction_SC.isnan().all())
    assert prepared.f1_SC.shape == (3, 3)


# ---- the job


def config(**changes: Any) -> AbsorptionEvalConfig:
    return make_config(SPEC, {**TINY, "model_name": "tiny", **changes})


def job_scores(sae: Any = None, *, seeds: tuple[int, ...] = (42, 43), **changes: Any) -> Scores:
    job = AbsorptionJob(EvalContext(word_model(), (HOOK,), seeds), config(**changes))
    assert job.requests([]) == []
    return job.score(Member("tiny", "sae", sae or tiny_sae("topk", d_sae=64), HOOK))


def test_numbers_belong_together():
    scores = job_scores(seeds=(42, 43, 44))
    means = scores.metrics.model_dump()["mean"]
    details = [row.model_dump() for row in scores.details]
    assert [row["first_letter"] for row in details] == list(MANY)
    for row in details:
        assert row["num_train_words"] + row["num_test_words"] >= 24
        assert 0 <= row["mean_absorption_fraction"] <= 1
        assert 0 < row["num_probe_true_positives"] <= row["num_test_words"]
    for name in ("absorption_fraction_score", "full_absorption_score", "num_split_features"):
        path = f"mean.mean_{name}"
        per_seed = [result.metrics[path] for result in scores.seed_results]
        assert means[f"mean_{name}"] == pytest.approx(sum(per_seed) / 3)
        assert scores.samples[path].seed_values() == pytest.approx(per_seed)
        assert scores.samples[path].unit == "letter"
    letters = scores.unstructured["seeds"]["43"]
    assert set(letters) == set(MANY)
    assert details[0]["probe_f1"] == pytest.approx(
        sum(of["a"]["probe_f1"] for of in scores.unstructured["seeds"].values()) / 3
    )
    assert len(letters["a"]["sparse_probe_f1"]) == 3
    assert 1 <= len(letters["a"]["latents"]) <= 3
    left_out = scores.unstructured["words"]["letters_left_out"]
    assert left_out["d"] >= 6
    assert f"d ({left_out['d']})" in scores.warnings[0]
    assert "letters with fewer than 20 words are left out" in scores.warnings[0]


def test_a_seed_gives_the_same_whatever_the_others():
    both, alone = job_scores(seeds=(42, 43)), job_scores(seeds=(43,))
    ours, theirs = both.seed_results[1].metrics, alone.seed_results[0].metrics
    assert ours.keys() == theirs.keys()
    assert all(ours[path] == pytest.approx(theirs[path]) for path in ours)
    assert both.seed_results[0].metrics != pytest.approx(ours)


def test_shared_examples_are_named():
    shared = job_scores(words_per_examples=8)
    assert any("words_per_examples is 8" in warning for warning in shared.warnings)
    assert not any("words_per_examples" in warning for warning in job_scores().warnings)


def test_too_few_letters_give_null_and_the_reason():
    scores = job_scores(seeds=(42,), min_feats_for_eval=20)
    means = scores.metrics.model_dump()["mean"]
    assert means["mean_absorption_fraction_score"] is None
    assert means["mean_probe_f1"] is not None
    assert "of 3 letters 3 count" in scores.not_computed[f"eval_result_metrics.{FRACTION}"]
    assert "20 are needed. Next: lower min_feats_for_eval" in scores.not_computed[f"eval_result_metrics.{FRACTION}"]
    assert FRACTION not in scores.samples


def test_an_sae_that_is_silent_is_named():
    scores = job_scores(tiny_sae("zero"), seeds=(42,))
    assert scores.metrics.mean.mean_absorption_fraction_score == 0.0
    assert any("nothing can be absorbed" in warning for warning in scores.warnings)
    assert not any("nothing can be absorbed" in warning for warning in job_scores(seeds=(42,)).warnings)


def test_fewer_latents_than_k_are_all_read():
    scores = job_scores(tiny_sae("topk", d_sae=8), seeds=(42,), max_k_value=10)
    assert "the SAE has 8 latents, so sparse probes end at k = 8" in scores.warnings


@pytest.mark.parametrize("seeds", [(), (42, 42)])
def test_wrong_seeds_are_refused(seeds):
    with pytest.raises(UsageError, match="seeds must be one or more and differ"):
        AbsorptionJob(EvalContext(word_model(), (HOOK,), seeds), config())


@pytest.mark.parametrize("setting", [{"max_k_value": 0}, {"min_words_per_letter": 1}, {"words_per_examples": 0},
                                     {"max_words": 0}, {"nonsense": 1}])  # fmt: skip
def test_wrong_settings_are_refused(setting):
    with pytest.raises((UsageError, ValueError)):
        config(**setting)


# ---- runs


def plan(handles: list[SAEHandle], out: Path, *, settings: dict[str, Any] | None = None, **changes: Any) -> RunPlan:
    lm = word_model()
    values = {"model_name": lm.name, "llm_dtype": "float32", **TINY, "words_per_examples": 4, **(settings or {})}
    return RunPlan(
        lm=lm,
        evals=[EvalRequest(SPEC, make_config(SPEC, values))],
        handles=handles,
        output_folder=out,
        load_context=load_context(lm),
        **changes,
    )


SAES = [handle("topk", "topk"), handle("jumprelu", "jumprelu")]


def test_results_are_whole_resumed_and_the_same_in_any_order(tmp_path: Path):
    first = run(plan(SAES, tmp_path / "1", seeds=(42, 43)))
    assert first.failures == []
    assert [path.name for path in first.written] == [f"tiny_{n}_eval_results.json" for n in ("topk", "jumprelu")]
    result = json.loads(first.written[0].read_text())
    assert result["eval_type_id"] == "absorption_first_letter"
    assert AbsorptionEvalOutput.model_validate(result).eval_config.random_seed == 42
    assert result["provenance"]["seeds"] == [42, 43]
    assert result["provenance"]["datasets"]["vocabulary"]["source"] == "tokenizer of tiny-words-byte"
    for path in (FRACTION, FULL):
        bar = result["statistics"][path]
        assert (bar["unit"], bar["n_units"], bar["n_seeds"]) == ("letter", 3, 2)
    again = run(plan(SAES, tmp_path / "1", seeds=(42, 43)))
    assert (again.written, len(again.skipped)) == ([], 2)
    reverse = run(plan(SAES[::-1], tmp_path / "2", seeds=(42, 43)))
    for path in reverse.written:
        assert read(path) == read(tmp_path / "1" / "absorption" / path.name)
    with pytest.raises(ResultError, match="max_k_value"):
        run(plan(SAES, tmp_path / "1", seeds=(42, 43), settings={"max_k_value": 2}))


def test_texts_are_drawn_anew_for_every_seed_when_asked(tmp_path: Path):
    n_words = len(letter_words(word_model(), config()).words)
    changes: dict[str, Any] = {"seeds": (42, 43), "resample_data": True, "settings": {"max_words": n_words - 6}}
    (path,) = run(plan(SAES[:1], tmp_path, **changes)).written
    result = json.loads(path.read_text())
    assert result["provenance"]["resample_data"] is True
    assert [entry["seed"] for entry in result["seed_results"]] == [42, 43]
    assert result["statistics"][FRACTION]["n_units"] == 3, "the letters of both draws are laid over one another"


def test_an_sae_that_fails_is_recorded_and_the_others_go_on(tmp_path: Path):
    def broken(_context: Any) -> Any:
        sae = tiny_sae("relu", hook_name=HOOK)
        sae.encode = lambda x: torch.full((*x.shape[:-1], 64), float("nan"))
        return sae

    summary = run(plan([handle("bad", load=broken), SAES[0]], tmp_path))
    assert [failure.sae for failure in summary.failures] == ["tiny_bad"]
    assert "NaN or infinite" in summary.failures[0].message
    assert [path.name for path in summary.written] == ["tiny_topk_eval_results.json"]


# ---- published entry points


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("word_model")
    word_model().model.save_pretrained(folder)
    word_model().tokenizer.save_pretrained(folder)
    return str(folder)


def test_run_eval_and_run_eval_single_sae(model_dir: str, tmp_path: Path):
    assert list(inspect.signature(main.run_eval).parameters) == [
        "config", "selected_saes", "device", "output_path", "force_rerun"
    ]  # fmt: skip
    settings = AbsorptionEvalConfig(**TINY, model_name=model_dir)
    sae = tiny_sae("topk")
    results = main.run_eval(settings, [("mine", sae)], "cpu", str(tmp_path))
    content = results["mine_custom_sae"]
    assert (tmp_path / "mine_custom_sae_eval_results.json").exists()
    means, letters = main.run_eval_single_sae(settings, sae, model_dir, "cpu")
    assert means == content["eval_result_metrics"]["mean"]
    assert letters == content["eval_result_details"]
    assert set(means) >= {
        f"{kind}_{name}"
        for kind in ("mean", "std_dev")
        for name in ("absorption_fraction_score", "full_absorption_score", "num_split_features")
    }


def test_the_published_command(model_dir: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    options = {opt for param in main.command.params for opt in (*param.opts, *param.secondary_opts)}
    assert {f"--{flag}" for flag in FLAGS} <= options
    save_sae(tiny_sae("topk", model_name=model_dir), tmp_path / "suite" / "topk.safetensors")
    pair = embedded.pair_handles
    monkeypatch.setattr(embedded, "pair_handles", lambda _s, release: pair(tmp_path / "suite", release=release))
    arguments = [
        *("--sae_regex_pattern", "embedded", "--sae_block_pattern", ".*", "--model_name", model_dir),
        *("--output_folder", tmp_path / "out", "--random_seed", 7, "--max_k_value", 2, "--llm_dtype", "float32"),
        *("--k_sparse_probe_l1_decay", 0.02, "--k_sparse_probe_batch_size", 64, "--llm_batch_size", 8),
        *("--f1_jump_threshold", 0.05, "--prompt_token_pos", -6, "--prompt_template", "{word} begins with:"),
        *("--min_words_per_letter", 20, "--max_icl_examples", 2, "--seeds", 2, "--device", "cpu", "--force_rerun"),
    ]
    monkeypatch.setattr(sys, "argv", ["main", *map(str, arguments)])
    run_command(main.command)
    result = json.loads((tmp_path / "out" / "embedded_topk_eval_results.json").read_text())
    assert result["eval_config"]["prompt_template"] == "{word} begins with:"
    assert result["eval_config"]["k_sparse_probe_l1_decay"] == 0.02
    assert result["provenance"]["seeds"] == [7, 8]
