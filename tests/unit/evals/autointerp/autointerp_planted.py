"""An SAE whose latents are active on planted letters, and autointerp on texts that have them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from sae_bench.activations.one_pass import run_pass
from sae_bench.custom_saes.loading import Member
from sae_bench.evals.autointerp.eval_config import AutoInterpEvalConfig
from sae_bench.evals.autointerp.evaluate import AutoInterpJob
from sae_bench.evals.base import EvalContext, Scores
from sae_bench.judges import CachedJudge, ReplyCache
from sae_bench.language_models import LanguageModel

LETTERS = "QXZ"
SETTINGS: dict[str, Any] = {
    "total_tokens": 6000,
    "llm_context_size": 64,
    "buffer": 4,
    "n_latents": 3,
    "n_top_ex_for_generation": 4,
    "n_iw_sampled_ex_for_generation": 2,
    "embeddings": "none",
}


class Planted:
    """An SAE at the embedding whose latents 0 to 2 are active, each to varying degree, on one letter's tokens."""

    def __init__(self, lm: LanguageModel) -> None:
        self.tokens = [
            torch.tensor([lm.tokenizer(t, add_special_tokens=False)["input_ids"][-1] for t in (x, f" {x}")])
            for x in LETTERS
        ]
        self.embedding = lm.embedding.weight
        rows_FD = torch.randn(6, 32, generator=torch.Generator().manual_seed(3))
        self.W_dec = rows_FD / rows_FD.norm(dim=1, keepdim=True)
        self.cfg = SimpleNamespace(d_in=32, d_sae=6, hook_name="hook_embed", model_name="tiny-gpt2", hook_layer=0)

    def encode(self, x: Tensor) -> Tensor:
        flat = x.reshape(-1, 32)
        codes = torch.zeros(len(flat), 6)
        for latent, tokens in enumerate(self.tokens):
            fires = (torch.cdist(flat, self.embedding[tokens]) < 1e-3).any(dim=1)
            codes[:, latent] = fires * (1.0 + torch.arange(len(flat)) % 13 / 13)
        return codes.view(*x.shape[:-1], 6)

    def decode(self, f: Tensor) -> Tensor:
        return f @ self.W_dec


def job_on(lm: LanguageModel, rows_RL: Tensor, answers: Any, folder: Path, **changes: Any) -> AutoInterpJob:
    seeds = changes.pop("seeds", (42,))
    config = AutoInterpEvalConfig(**{**SETTINGS, **changes})
    cached = None if answers is None else CachedJudge(answers, ReplyCache(folder))
    return AutoInterpJob(EvalContext(lm, ("hook_embed",), seeds), config, rows_RL=rows_RL, judge=cached)


def scores_of(job: AutoInterpJob, sae: Any, *, hook: str = "hook_embed", name: str = "sae") -> Scores:
    member = Member("tiny", name, sae, hook)
    report = run_pass(job.lm, job.requests([member]), [member])
    assert not report.failed
    return job.score(member, report.served)
