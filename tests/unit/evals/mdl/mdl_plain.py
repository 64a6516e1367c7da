"""mdl done the slow way: one latent, one code at a time, in exact rational arithmetic as far as that goes."""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from sae_bench.activations.one_pass import run_pass
from sae_bench.custom_saes.loading import Member
from sae_bench.evals.base import EvalContext, Scores
from sae_bench.evals.mdl.eval_config import MDLEvalConfig
from sae_bench.evals.mdl.evaluate import MDLJob
from sae_bench.language_models import LanguageModel

LENGTH = 10


def settings(**changes: Any) -> MDLEvalConfig:
    base = {
        "k_values": [None, 2],
        "num_bins_values": [1, 3, 8],
        "context_length": LENGTH,
        "n_rows": 7,
        "sae_batch_size": 3,
        "mse_epsilon_threshold": 10.0,
    }
    return MDLEvalConfig(**(base | changes))


def corpus_rows(lm: LanguageModel, n: int, *, seed: int = 0) -> Tensor:
    """Rows with BOS first and a few EOS inside."""
    rows = torch.randint(10, lm.d_vocab, (n, LENGTH), generator=torch.Generator().manual_seed(seed))
    rows[:, 0] = lm.bos_token_id
    rows[::3, 4:6] = lm.tokenizer.eos_token_id
    return rows


def run_mdl(lm: LanguageModel, config: MDLEvalConfig, rows: Tensor, members: list[Member]) -> list[Scores]:
    job = MDLJob(EvalContext(lm, tuple(m.hook_name for m in members), (42,)), config, rows_NL=rows)
    report = run_pass(lm, job.requests(members), members)
    for error in report.failed.values():
        raise error
    return [job.score(m, report.served) for m in members]


def tokens_and_codes(lm: LanguageModel, sae: Any, hook: str, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Activations (N, D) of the tokens that are not special, and their dense codes (N, F)."""
    keep = ~torch.isin(rows, torch.tensor(sorted(lm.special_token_ids)))
    x = lm.capture(rows, [hook])[hook][keep]
    return x, sae.encode(x)


def plain_setting(x: Tensor, codes: Tensor, sae: Any, k: int | None, n_bins: int) -> dict[str, float]:
    """Every number of one setting."""
    codes = codes.double().clone()
    if k is not None:
        for token in codes:
            order = sorted(range(len(token)), key=lambda s: (-abs(float(token[s])), s))
            token[order[k:]] = 0.0
    binned = torch.zeros_like(codes)
    active_bits = bin_bits = 0.0
    for latent in range(codes.shape[1]):
        values = codes[:, latent].tolist()
        active = [v for v in values if v != 0]
        low, high = min(active, default=0.0), max(active, default=0.0)
        bins = {token: plain_bin(v, low, high, n_bins) for token, v in enumerate(values) if v != 0}
        p = len(active) / len(values)
        active_bits += entropy([len(active), len(values) - len(active)])
        bin_bits += p * entropy(list(Counter(bins.values()).values()))
        for token, place in bins.items():
            middle = Fraction(low) + (Fraction(high) - Fraction(low)) * (2 * place + 1) / (2 * n_bins)
            binned[token, latent] = float(middle)
    return {
        "description_length": active_bits + bin_bits,
        "active_bits": active_bits,
        "bin_bits": bin_bits,
        **plain_errors(x, binned, sae),
        **{f"{key}_unbinned": value for key, value in plain_errors(x, codes, sae).items()},
    }


def plain_bin(value: float, low: float, high: float, n_bins: int) -> int:
    """The last of the edges low + i (high - low) / n_bins that the value is not below, but never the top edge."""
    a, b, v = Fraction(low), Fraction(high), Fraction(value)
    if a == b:
        return 0
    place = 0
    while place < n_bins - 1 and v >= a + (b - a) * (place + 1) / n_bins:
        place += 1
    return place


def entropy(counts: list[int]) -> float:
    total = sum(counts)
    return -sum(n / total * math.log2(n / total) for n in counts if n)


def plain_errors(x: Tensor, codes: Tensor, sae: Any) -> dict[str, float]:
    error = (x.double() - sae.decode(codes.to(sae.W_dec.dtype)).double()).pow(2)
    spread = (x.double() - x.double().mean(0)).pow(2).sum()
    return {
        "mse_loss": math.sqrt(float(error.mean())) / x.shape[1],
        "explained_variance": 1 - float(error.sum() / spread),
    }
