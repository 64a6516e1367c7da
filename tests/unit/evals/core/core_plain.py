"""The core eval done the slow way: full forwards, full logits, everything kept, float64."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sae_bench.activations.one_pass import run_pass
from sae_bench.custom_saes.loading import Member
from sae_bench.evals.base import EvalContext, Scores
from sae_bench.evals.core.eval_config import CoreEvalConfig
from sae_bench.evals.core.evaluate import CoreJob
from sae_bench.language_models import LanguageModel

LENGTH = 10


def corpus_rows(lm: LanguageModel, n: int, *, seed: int = 0, length: int = LENGTH) -> Tensor:
    """Rows with BOS first and a few EOS inside, so that batches hold unequal numbers of valid tokens."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randint(10, lm.d_vocab, (n, length), generator=generator)
    rows[:, 0] = lm.bos_token_id
    rows[::3, 4:6] = lm.tokenizer.eos_token_id
    return rows


def settings(**changes: Any) -> CoreEvalConfig:
    base = {
        "batch_size_prompts": 2,
        "n_eval_reconstruction_batches": 2,
        "n_eval_sparsity_variance_batches": 2,
        "context_size": LENGTH,
    }
    return CoreEvalConfig(**(base | changes))


def run_core(lm: LanguageModel, config: CoreEvalConfig, rows: Tensor, members: list[Member]) -> list[Scores]:
    job = CoreJob(EvalContext(lm, tuple(m.hook_name for m in members), (42,)), config, rows_NL=rows)
    report = run_pass(lm, job.requests(members), members)
    for error in report.failed.values():
        raise error
    return [job.score(m, report.served) for m in members]


def flat(scores: Scores) -> dict[str, float | None]:
    """Field name -> value of all scalar metrics."""
    return {k: v for group in scores.metrics.model_dump().values() for k, v in group.items()}


def valid_tokens(lm: LanguageModel, ids: Tensor) -> Tensor:
    return ~torch.isin(ids, torch.tensor(sorted(lm.special_token_ids)))


def plain_core(
    lm: LanguageModel, config: CoreEvalConfig, rows: Tensor, sae: Any, hook: str, hook_out: str | None = None
) -> dict[str, float]:
    """All numbers of an SAE at `hook`, or of a transcoder from there to `hook_out`."""
    hook_out = hook_out or hook
    size = config.batch_size_prompts
    loss_rows = rows[: config.n_eval_reconstruction_batches * size]
    other_rows = rows[: config.n_eval_sparsity_variance_batches * size]
    found: dict[str, float] = {}
    if len(loss_rows):
        found |= plain_losses(lm, loss_rows, sae, (hook, hook_out), config.exclude_special_tokens_from_reconstruction)
    if len(other_rows):
        batches, beside = [], []
        for ids in other_rows.split(size):
            captured, keep = lm.capture(ids, [hook, hook_out]), valid_tokens(lm, ids)
            batches.append((captured[hook_out][keep], sae.encode(captured[hook])[keep], keep.nonzero()[:, 0]))
            beside.append(skipped(sae, captured[hook])[keep])
        found |= plain_statistics(sae, batches, beside)
        found["nth_decoder_projection"] = plain_projection(sae, batches[0][0] - beside[0])
    return found


def skipped(sae: Any, x: Tensor) -> Tensor:
    """What a skip transcoder or a temporal SAE gives beside its latents; zeros (that broadcast) for anything else."""
    if hasattr(sae, "beside_latents"):
        return sae.beside_latents(x)
    W_skip = getattr(sae, "W_skip", None)
    return torch.zeros(*x.shape[:-1], 1) if W_skip is None else x @ W_skip.T


def plain_losses(
    lm: LanguageModel, ids: Tensor, sae: Any, hooks: tuple[str, str], keep_special: bool
) -> dict[str, float]:
    keep, hook = valid_tokens(lm, ids), hooks[1]
    x = lm.capture(ids, hooks)[hooks[0]]

    def reconstruct(y: Tensor) -> Tensor:
        y_hat = sae.decode(sae.encode(x)) + skipped(sae, x)
        return torch.where(keep[..., None], y_hat, y) if keep_special else y_hat

    log_p = log_probabilities(lm, lm.final_hidden(ids))
    log_sae = log_probabilities(lm, lm.final_hidden(ids, replace={hook: reconstruct}))
    log_zero = log_probabilities(lm, lm.final_hidden(ids, replace={hook: torch.zeros_like}))
    kl_sae, kl_zero = (divergence(log_p, q)[keep].mean().item() for q in (log_sae, log_zero))
    loss, loss_sae, loss_zero = (cross_entropy(q, ids)[keep[:, :-1]].mean().item() for q in (log_p, log_sae, log_zero))
    return {
        "kl_div_with_sae": kl_sae,
        "kl_div_with_ablation": kl_zero,
        "kl_div_score": (kl_zero - kl_sae) / kl_zero,
        "ce_loss_without_sae": loss,
        "ce_loss_with_sae": loss_sae,
        "ce_loss_with_ablation": loss_zero,
        "ce_loss_score": (loss_zero - loss_sae) / (loss_zero - loss),
    }


def log_probabilities(lm: LanguageModel, hidden: Tensor) -> Tensor:
    return torch.log_softmax(lm.unembed(hidden).double(), dim=-1)


def divergence(log_p: Tensor, log_q: Tensor) -> Tensor:
    return (log_p.exp() * (log_p - log_q)).sum(-1)


def cross_entropy(log_q: Tensor, ids: Tensor) -> Tensor:
    return -log_q[:, :-1].gather(-1, ids[:, 1:, None])[..., 0]


def plain_statistics(
    sae: Any, batches: list[tuple[Tensor, Tensor, Tensor]], beside: list[Tensor] | None = None
) -> dict[str, float]:
    """From (target, codes, row of each token) of every batch, and what a skip path adds to its reconstruction.

    Densities come from `plain_densities`.
    """
    beside = [torch.zeros(1)] * len(batches) if beside is None else beside
    legacy, mse, bias = [], [], []
    for (x, codes, _), added in zip(batches, beside, strict=True):
        x, x_hat = x.double(), (sae.decode(codes) + added).double()
        error = (x - x_hat).pow(2).sum(-1)
        legacy.append(1 - error / (x - x.mean(0)).pow(2).sum(-1))
        mse.append(error / len(x))
        bias.append(x_hat.pow(2).sum(-1).mean() / (x * x_hat).sum(-1).mean())
    x = torch.cat([b[0] for b in batches]).double()
    codes = torch.cat([b[1] for b in batches])
    x_hat = torch.cat([sae.decode(b[1]) + added for b, added in zip(batches, beside, strict=True)]).double()
    error = (x - x_hat).pow(2).sum(-1)
    density, _ = plain_densities(batches)
    return {
        "explained_variance": float(1 - error.mean() / (x - x.mean(0)).pow(2).sum(-1).mean()),
        "explained_variance_legacy": float(torch.cat(legacy).mean()),
        "mse": float(torch.cat(mse).mean()),
        "mse_per_token": float(error.mean()),
        "cossim": float(((x * x_hat).sum(-1) / x.norm(dim=-1) / x_hat.norm(dim=-1)).mean()),
        "l2_norm_in": float(x.norm(dim=-1).mean()),
        "l2_norm_out": float(x_hat.norm(dim=-1).mean()),
        "l2_ratio": float((x_hat.norm(dim=-1) / x.norm(dim=-1)).mean()),
        "relative_reconstruction_bias": float(torch.stack(bias).mean()),
        "l0": float((codes != 0).sum(-1).double().mean()),
        "l1": float(codes.double().sum(-1).mean()),
        "frac_alive": float((density > 0).double().mean()),
        "freq_over_1_percent": float((density > 0.01).double().mean()),
        "freq_over_10_percent": float((density > 0.1).double().mean()),
        "normalized_freq_over_1_percent": float(density[density > 0.01].sum() / density.sum()),
        "normalized_freq_over_10_percent": float(density[density > 0.1].sum() / density.sum()),
    }


def plain_projection(sae: Any, x: Tensor) -> float:
    """Sort all projections of a batch on the unit decoder rows."""
    unit = sae.W_dec.double() / sae.W_dec.double().norm(dim=1, keepdim=True).clamp(min=1e-12)
    zero = sae.decode(torch.zeros(1, len(unit))).double()
    descending = sorted(((x.double() - zero) @ unit.T).flatten().tolist(), reverse=True)
    return descending[len(unit) // 4 * len(x) - 1]


def plain_densities(batches: list[tuple[Tensor, Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    n_tokens, tokens, rows = 0, 0.0, 0.0
    for _, codes, row_of_token in batches:
        n_tokens += len(codes)
        tokens = tokens + (codes != 0).double().sum(0)
        for row in range(int(row_of_token.max()) + 1):
            rows = rows + (codes[row_of_token == row] != 0).any(0).double()
    return tokens / n_tokens, tokens / rows
