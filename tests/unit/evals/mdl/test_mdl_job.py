"""The whole eval against the slow way, planted truths, what is kept between pass and sweep, runs and flags."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from mdl_plain import corpus_rows, plain_setting, run_mdl, settings, tokens_and_codes
from pydantic import ValidationError
from tiny_runs import files, handle, read

from sae_bench.activations.one_pass import run_pass
from sae_bench.custom_saes.loading import Member
from sae_bench.evals.base import EvalContext
from sae_bench.evals.mdl import main
from sae_bench.evals.mdl.consumer import MDLConsumer
from sae_bench.evals.mdl.eval_config import MDLEvalConfig
from sae_bench.evals.mdl.eval_output import MDLEvalOutput
from sae_bench.evals.mdl.evaluate import MDLJob
from sae_bench.evals.mdl.results import score_sae
from sae_bench.evals.registry import get_eval
from sae_bench.language_models import LanguageModel
from sae_bench.results.metric_statistics import describe_metrics
from sae_bench.results.references import describe_references
from sae_bench.run.planning import make_config
from sae_bench.run.runner import EvalRequest, RunPlan, run
from sae_bench.testing import tiny_model, tiny_sae

HOOK = "blocks.1.hook_resid_post"
OTHER = "blocks.2.hook_mlp_out"


def at(hook: str, architecture: str = "topk", **kwargs: Any) -> Member:
    return Member("tiny", f"{architecture}_{hook}", tiny_sae(architecture, hook_name=hook, **kwargs), hook)


def test_all_numbers_equal_the_slow_way(lm: LanguageModel):
    """Histograms are counts, so bits agree to the rounding of float64; errors to that of float32 decodes."""
    rows, config = corpus_rows(lm, 4), settings(sae_batch_size=3)
    members = [at(HOOK), at(OTHER, "relu"), at(HOOK, "jumprelu"), at(HOOK, "pca")]
    for member, scores in zip(members, run_mdl(lm, config, rows, members), strict=True):
        x, codes = tokens_and_codes(lm, member.sae, member.hook_name, rows)
        assert [(d.num_bins, d.k) for d in scores.details] == [(n, k) for n in (1, 3, 8) for k in (None, 2)]
        for detail in scores.details:
            expected = plain_setting(x, codes, member.sae, detail.k, detail.num_bins)
            for name in ("description_length", "active_bits", "bin_bits"):
                assert getattr(detail, name) == pytest.approx(expected[name], rel=1e-9, abs=1e-9), (member.key, name)
            for name in ("mse_loss", "explained_variance", "mse_loss_unbinned", "explained_variance_unbinned"):
                assert getattr(detail, name) == pytest.approx(expected[name], rel=1e-4, abs=1e-5), (member.key, name)


@pytest.mark.parametrize("sae_batch_size", [1, 2, 64])
def test_batches_change_nothing(lm: LanguageModel, sae_batch_size: int):
    rows = corpus_rows(lm, 7)
    (one,), (other,) = (
        run_mdl(lm, settings(sae_batch_size=size), rows, [at(HOOK, "relu")]) for size in (3, sae_batch_size)
    )
    for a, b in zip(one.details, other.details, strict=True):
        assert a.description_length == pytest.approx(b.description_length, rel=1e-12)
        assert a.mse_loss == pytest.approx(b.mse_loss, rel=1e-5)
    assert torch.allclose(
        one.samples["mdl.description_length"].values_SU, other.samples["mdl.description_length"].values_SU
    )


def test_codes_that_are_not_kept_are_made_again(lm: LanguageModel):
    rows, config, member = corpus_rows(lm, 7), settings(), at(HOOK, "relu")
    results, encoded = [], []
    encode = member.sae.encode
    for limit in (1 << 20, 4000, 0):
        calls: list[int] = []
        member.sae.encode = lambda x, calls=calls: (calls.append(1), encode(x))[1]
        job = MDLJob(EvalContext(lm, (HOOK,), (42,)), config, rows_NL=rows)
        (request,) = job.requests([member])
        consumer = MDLConsumer([member], config.k_values, max_code_bytes=limit)
        run_pass(lm, [replace(request, consumer=consumer)], [member])
        n_pass = len(calls)
        results.append(score_sae(consumer, member, config, "rows"))
        encoded.append(len(calls) - n_pass)
    assert results[0].details == results[1].details == results[2].details
    assert encoded[0] == 0
    assert 0 < encoded[1] < encoded[2]


def test_the_model_runs_once(lm: LanguageModel, monkeypatch: pytest.MonkeyPatch):
    rows, seen = corpus_rows(lm, 7), []
    capture = LanguageModel.capture
    monkeypatch.setattr(
        LanguageModel, "capture", lambda self, ids, *a, **k: (seen.append(ids.numel()), capture(self, ids, *a, **k))[1]
    )
    run_mdl(lm, settings(), rows, [at(HOOK), at(HOOK, "relu"), at(OTHER, "relu")])
    assert sum(seen) == rows.numel()


def test_company_changes_nothing(lm: LanguageModel):
    rows, a, b = corpus_rows(lm, 7), at(HOOK), at(OTHER, "relu")
    alone = run_mdl(lm, settings(), rows, [a])[0]
    assert run_mdl(lm, settings(), rows, [b, a])[1].details == alone.details


# ---- planted truths


class Planted:
    """An SAE whose codes are chosen: latent s of token x is `table[s](x)`; decodes through unit vectors."""

    def __init__(self, encode: Callable[[torch.Tensor], torch.Tensor], d_sae: int) -> None:
        self.cfg = tiny_sae("relu", d_sae=d_sae).cfg
        self.W_dec = torch.eye(d_sae, 32)
        self.encode = encode

    def decode(self, f: torch.Tensor) -> torch.Tensor:
        return f @ self.W_dec


def test_coins_take_one_bit_each(lm: LanguageModel):
    """4 latents that are 1 or 0 by halves, independent of one another: 4 bits per token, exact with a single bin."""
    rows = corpus_rows(lm, 20)

    def coins(x: torch.Tensor) -> torch.Tensor:
        codes = torch.zeros(len(x), 6)
        codes[: len(x) // 2, :4] = 1.0
        return codes

    member = Member("planted", "coins", Planted(coins, 6), HOOK)
    config = settings(k_values=[None], num_bins_values=[1, 16], sae_batch_size=20)
    (scores,) = run_mdl(lm, config, rows, [member])
    n = sum(row.weights_U.sum() for row in [scores.samples["mdl.description_length"]])
    share = float((n // 2) / n)
    expected = 4 * (-share * torch.log2(torch.tensor(share)) - (1 - share) * torch.log2(torch.tensor(1 - share)))
    for detail in scores.details:
        assert detail.description_length == pytest.approx(float(expected), rel=1e-5)
        assert detail.bin_bits == 0
        assert detail.mse_loss == detail.mse_loss_unbinned, "a code of one value loses nothing in bins"


def test_an_sae_whose_latents_are_all_dead_says_so(lm: LanguageModel):
    dead = Member("planted", "dead", Planted(lambda x: torch.zeros(len(x), 6), 6), HOOK)
    (scores,) = run_mdl(lm, settings(k_values=[None]), corpus_rows(lm, 8), [dead])
    assert scores.metrics.mdl.description_length in (0.0, None)
    assert any("no latent of this SAE is active on any token" in warning for warning in scores.warnings)


def test_the_shortest_code_that_reconstructs_is_chosen(lm: LanguageModel):
    """Identity codes of continuous values: more bins, more bits, smaller error; the threshold decides."""
    rows, member = corpus_rows(lm, 24), at(HOOK, "identity")
    base = {"k_values": [None], "num_bins_values": [64, 2, 4, 16]}
    (scores,) = run_mdl(lm, settings(**base), rows, [member])
    by_bins = {d.num_bins: d for d in scores.details}
    errors = [by_bins[n].mse_loss for n in (2, 4, 16, 64)]
    lengths = [by_bins[n].description_length for n in (2, 4, 16, 64)]
    assert errors == sorted(errors, reverse=True)
    assert lengths == sorted(lengths)
    assert by_bins[64].explained_variance > 0.99 > by_bins[2].explained_variance
    assert scores.metrics.mdl.num_bins == 2
    assert any("every setting reconstructs" in w for w in scores.warnings)

    between = (by_bins[4].mse_loss + by_bins[16].mse_loss) / 2
    (scores,) = run_mdl(lm, settings(**base, mse_epsilon_threshold=between), rows, [member])
    assert scores.metrics.mdl.num_bins == 16
    assert scores.metrics.mdl.description_length == by_bins[16].description_length
    assert [d.within_threshold for d in scores.details] == [True, False, False, True]
    assert scores.warnings == []

    (scores,) = run_mdl(lm, settings(**base, min_explained_variance_kept=0.999), rows, [member])
    assert scores.metrics.mdl.num_bins == 64
    assert [d.within_threshold for d in scores.details] == [True] * 4
    assert [d.reconstructs for d in scores.details] == [True, False, False, False]

    (scores,) = run_mdl(lm, settings(**base, mse_epsilon_threshold=1e-9), rows, [member])
    assert all(value is None for _, value in scores.metrics.mdl)
    reason = scores.not_computed["eval_result_metrics.mdl.description_length"]
    assert "none of the 4 settings reconstructs" in reason
    assert f"{by_bins[64].mse_loss:.4g}" in reason
    assert scores.samples == {}


def test_an_sae_that_never_fires_takes_no_bits(lm: LanguageModel):
    (scores,) = run_mdl(lm, settings(), corpus_rows(lm, 7), [at(HOOK, "zero")])
    assert {d.description_length for d in scores.details} == {0.0}
    assert scores.metrics.mdl.explained_variance < 0.01


def test_samples_average_to_the_metrics(lm: LanguageModel):
    (scores,) = run_mdl(lm, settings(num_bins_values=[8]), corpus_rows(lm, 24), [at(HOOK, "relu")])
    values = {f"mdl.{name}": value for name, value in scores.metrics.mdl}
    assert set(scores.samples) == {"mdl.description_length", "mdl.mse_loss", "mdl.explained_variance"}
    for path, samples in scores.samples.items():
        assert samples.n_units == 6
        assert samples.seed_values() == pytest.approx([values[path]], rel=1e-5)
    statistics = describe_metrics({"mdl.description_length": values["mdl.description_length"]},
                                  seed_results=[], samples=scores.samples)  # fmt: skip
    found = statistics["mdl.description_length"]
    assert found.ci_low is not None
    assert found.ci_low < found.mean < found.ci_high


# ---- runs, results, flags


def plan_of(
    make_plan: Callable[..., RunPlan], data: Path, lm: LanguageModel, names: list[str], **changes: Any
) -> RunPlan:
    values = {
        "model_name": lm.name,
        "llm_dtype": "float32",
        "dataset_name": str(data / "corpus.jsonl"),
        "n_rows": 8,
        "context_length": 16,
        "k_values": [None],
        "num_bins_values": [4, 8],
        "mse_epsilon_threshold": 10.0,
    }
    spec = get_eval("mdl")
    plan = make_plan([handle(name) for name in names], evals=(), **changes)
    return RunPlan(**{**plan.__dict__, "evals": [EvalRequest(spec, make_config(spec, values))]})


def test_a_run_writes_results_and_resumes(make_plan, data: Path, lm: LanguageModel, tmp_path: Path):
    first = run(plan_of(make_plan, data, lm, ["a"], seeds=(42, 43)))
    assert [p.name for p in first.written] == ["tiny_a_eval_results.json"]
    output = MDLEvalOutput.model_validate_json(first.written[0].read_text())
    assert output.eval_result_metrics.mdl.description_length > 0
    assert len(output.eval_result_details) == 2
    assert any("nothing at random" in w for w in output.provenance.warnings)
    statistics = output.statistics["mdl.description_length"]
    assert statistics.n_seeds == 1
    assert statistics.ci_low is not None
    again = run(plan_of(make_plan, data, lm, ["a", "b"], seeds=(42, 43)))
    assert (len(again.skipped), len(again.written)) == (1, 1)
    a, b = (read(p) for p in again.results)
    assert a["eval_result_details"] == b["eval_result_details"], "the same weights under another name"


def test_resampled_rows_differ_by_seed(make_plan, data: Path, lm: LanguageModel):
    (path,) = run(plan_of(make_plan, data, lm, ["a"], seeds=(42, 43), resample_data=True)).written
    values = [r["metrics"]["mdl.description_length"] for r in json.loads(path.read_text())["seed_results"]]
    assert len(values) == 2
    assert values[0] != values[1]


def test_the_published_functions(lm: LanguageModel, data: Path, tmp_path: Path):
    folder = tmp_path / "model"
    model = tiny_model("gpt2")
    model.model.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)
    config = MDLEvalConfig(model_name=str(folder), n_rows=4, context_length=16, k_values=[None, 2], num_bins_values=[4],
                           mse_epsilon_threshold=1.0)  # fmt: skip
    records = main.run_eval_single_sae(config, tiny_sae("topk"), lm, "cpu", dataset_name=str(data / "corpus.jsonl"))
    assert [(r["num_bins"], r["k"]) for r in records] == [(4, None), (4, 2)]
    config = replace(config, dataset_name=str(data / "corpus.jsonl"))
    results = main.run_eval(config, [("mine", tiny_sae("topk"))], "cpu", tmp_path / "out")
    assert results["mine_custom_sae"]["eval_result_details"] == records
    assert files(tmp_path / "out") >= {"mine_custom_sae_eval_results.json"}


def test_the_published_flags():
    flags = {name for p in main.command.params for name in (*p.opts, *p.secondary_opts)}
    published = ("random_seed", "model_name", "sae_regex_pattern", "sae_block_pattern", "output_folder", "force_rerun",
                 "clean_up_activations", "llm_batch_size", "llm_dtype")  # fmt: skip
    assert {f"--{name}" for name in published} <= flags


def test_settings():
    published = MDLEvalConfig()
    assert published.k_values == [16, 24, 32]
    assert published.num_bins_values == [4, 6, 8, 12, 16, 32]
    assert published.mse_epsilon_threshold == 0.01
    assert MDLEvalConfig(k_values=None).k_values == [None]
    assert MDLEvalConfig(k_values=["none", "8"]).k_values == [None, 8]
    paper = make_config(get_eval("mdl"), get_eval("mdl").presets["paper"])
    assert (paper.k_values, paper.num_bins_values, paper.mse_epsilon_threshold) == ([None], [8, 16, 32, 64], 0.2)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"k_values": [0]}, "1 or more"),
        ({"k_values": [4, 4]}, "differ"),
        ({"num_bins_values": []}, "at least 1"),
        ({"num_bins_values": [0]}, "1 or more"),
        ({"num_bins_values": [8, 8]}, "differ"),
        ({"n_rows": 0}, "greater than 0"),
        ({"min_explained_variance_kept": 1.5}, "less than or equal to 1"),
    ],
)
def test_bad_settings(values: dict[str, Any], message: str):
    with pytest.raises(ValidationError, match=message):
        MDLEvalConfig(**values)


def test_explained_variance_stands_between_the_mean_and_the_identity_and_bits_nowhere(lm: LanguageModel):
    (scores,) = run_mdl(lm, settings(), corpus_rows(lm, 4), [at(HOOK)])
    beside = describe_references(scores.references, scores.samples, {})
    explained = beside["mdl.explained_variance"]
    assert explained.above_floor.value == pytest.approx(flat_value(scores, "explained_variance"), abs=1e-5)
    bits = beside["mdl.description_length"]
    assert bits.above_floor.value is None
    assert bits.ceiling is not None
    assert "reconstruct equally well" in (bits.ceiling.reason or "")


def flat_value(scores: Any, name: str) -> float:
    return float(scores.metrics.model_dump()["mdl"][name])
