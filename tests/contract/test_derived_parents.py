"""Baselines made from an SAE, through core: what reads codes alone does not move, what reads the decoder is ruined."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from sae_bench import evaluate
from sae_bench.custom_saes.listing import LEVELS
from sae_bench.custom_saes.loaders.native import save_sae
from sae_bench.testing import tiny_model, tiny_sae

pytestmark = pytest.mark.slow

HOOK = "blocks.2.hook_resid_post"


@torch.no_grad()
def perfect() -> Any:
    """A ReLU SAE that reconstructs everything: a latent for either sign of every dimension."""
    sae: Any = tiny_sae("relu", hook_name=HOOK)
    rows_DD = torch.eye(sae.cfg.d_in)
    sae.W_dec.copy_(torch.cat([rows_DD, -rows_DD]))
    sae.W_enc.copy_(sae.W_dec.T)
    sae.b_enc.zero_()
    sae.b_dec.zero_()
    return sae


def test_another_decoder_leaves_codes_as_they_are_and_ruins_core(tmp_path: Path) -> None:
    save_sae(perfect(), tmp_path / "saes" / "own.safetensors")
    spec = f"path:{tmp_path / 'saes'}"
    corpus = tmp_path / "corpus.jsonl"
    texts = [f"the water number {i} of a river in the city and the bread of the cat" for i in range(40)]
    corpus.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    summary = evaluate(
        tiny_model("llama"),
        [spec, f"baseline:permuted_decoder({spec})", f"baseline:degraded({spec},decoder_noise)"],
        "core",
        preset="quick",
        settings={
            "core": {
                "dataset": str(corpus), "context_size": 16, "batch_size_prompts": 4,
                "n_eval_reconstruction_batches": 2, "n_eval_sparsity_variance_batches": 2,
            },
        },
        output_folder=tmp_path / "results",
    )  # fmt: skip
    assert summary.failures == []
    contents = [json.loads(path.read_text()) for path in summary.written]
    metrics = {content["sae_lens_id"]: content["eval_result_metrics"] for content in contents}
    own = metrics["own"]
    for of_made in metrics.values():
        assert of_made["sparsity"] == own["sparsity"]
    explained = {sae: of["reconstruction_quality"]["explained_variance"] for sae, of in metrics.items()}
    ladder = [explained[f"degraded(saes_own,decoder_noise,{level:g})"] for level in LEVELS]
    assert explained["own"] == ladder[0] == pytest.approx(1.0, abs=1e-5)
    assert ladder == sorted(ladder, reverse=True)
    assert explained["permuted_decoder(saes_own)"] < 0
