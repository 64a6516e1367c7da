"""Core on SAEs whose latents are worked on in blocks: the numbers of the dense path."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from core_plain import corpus_rows, flat, run_core, settings

import sae_bench
from sae_bench.custom_saes import codes
from sae_bench.custom_saes.loading import Member
from sae_bench.evals.core import weights
from sae_bench.evals.core.eval_output import CoreEvalOutput
from sae_bench.results import model
from sae_bench.results.files import read_result
from sae_bench.testing import tiny_model, tiny_sae

HOOK = "blocks.1.hook_resid_post"


@pytest.mark.parametrize("architecture", ["relu", "jumprelu", "gated", "batch_topk", "topk"])
def test_numbers_of_a_wide_sae_are_those_of_the_dense_path(architecture: str, monkeypatch: pytest.MonkeyPatch):
    lm = tiny_model("llama")
    rows = corpus_rows(lm, 4)
    member = Member("tiny", architecture, tiny_sae(architecture, hook_name=HOOK, d_sae=600), HOOK)
    (dense,) = run_core(lm, settings(), rows, [member])
    monkeypatch.setattr(codes, "WIDE", 600)
    monkeypatch.setattr(codes, "VALUES_AT_ONCE", 100)
    monkeypatch.setattr(weights, "LATENTS_AT_ONCE", 256)
    (wide,) = run_core(lm, settings(), rows, [member])
    expected = {key: value for key, value in flat(dense).items() if value is not None}
    found = flat(wide)
    mean_cosine = expected.pop("mean_abs_decoder_cosine_sim")
    assert {key: found[key] for key in expected} == {
        key: pytest.approx(v, rel=1e-6, abs=1e-6) for key, v in expected.items()
    }
    assert found["mean_abs_decoder_cosine_sim"] == pytest.approx(mean_cosine, rel=1e-4)  # bfloat16, few pairs
    for column in ("feature_density", "consistent_activation_heuristic", "encoder_norm", "max_decoder_cosine_sim"):
        pairs = [[getattr(row, column) for row in of.details] for of in (wide, dense)]
        one, other = (torch.tensor([float("nan") if v is None else v for v in values]) for values in pairs)
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-6, equal_nan=True)


def test_rows_of_many_latents_are_written_as_the_whole_text_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    lm = tiny_model("llama")
    sae = tiny_sae("jumprelu", hook_name=HOOK)
    sae.threshold[5] = 1e9
    monkeypatch.setattr(model, "MANY_ROWS", 64)
    summary = sae_bench.evaluate(
        lm, {"wide": sae}, "core", preset=None, output_folder=tmp_path,
        settings={"core": {"dataset": "embedded", "context_size": 16, "batch_size_prompts": 2}},
    )  # fmt: skip
    (path,) = summary.written
    text = path.read_text(encoding="utf-8")
    result = CoreEvalOutput.model_validate(read_result(path))
    assert len(result.eval_result_details) == 64
    assert any(row.consistent_activation_heuristic is None for row in result.eval_result_details)
    assert text == result.to_json()
