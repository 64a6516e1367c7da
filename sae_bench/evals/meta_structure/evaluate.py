"""meta_structure: needs the weights of an SAE alone, nothing of the pass."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from sae_bench.custom_saes.loading import Member
from sae_bench.evals.base import EvalContext, Job, Scores
from sae_bench.evals.families.reported import linearised, report
from sae_bench.evals.meta_structure.eval_config import MetaStructureEvalConfig
from sae_bench.evals.meta_structure.eval_output import MetaStructureMetricCategories
from sae_bench.evals.meta_structure.meta_sae import train
from sae_bench.evals.meta_structure.spec import EXPLAINED, MSE
from sae_bench.language_models.load import DTYPES
from sae_bench.results.references import Reference, References
from sae_bench.results.samples import Samples, units_key

MEAN_ROW, EVERY_ROW = "the mean row in the place of every row", "every row itself"


class MetaStructureJob(Job):
    """Trains meta-SAEs when an SAE is scored; asks for nothing of the pass."""

    def __init__(self, context: EvalContext, config: MetaStructureEvalConfig) -> None:
        self.config, self.seeds = config, context.seeds

    def score(self, member: Member, served: Sequence[Any] = ()) -> Scores:  # noqa: ARG002 (nothing was asked for)
        return score_decoder(member.weights.W_dec.detach(), self.seeds, self.config)


def score_decoder(W_dec_FD: Tensor, seeds: Sequence[int], config: MetaStructureEvalConfig) -> Scores:
    """The result for decoder rows (F, D): means over seeds, each seed's own values, the rows behind them."""
    W_dec_FD = W_dec_FD.to(DTYPES[config.dtype]).contiguous()
    start = perf_counter()
    saes = [train(W_dec_FD, seed, config) for seed in seeds]
    if W_dec_FD.is_cuda:
        torch.cuda.synchronize(W_dec_FD.device)
    seconds = (perf_counter() - start) / len(seeds)
    error_SF = torch.stack([sae.errors(W_dec_FD, config) for sae in saes])
    spread_F = (W_dec_FD - W_dec_FD.mean(dim=0)).double().pow(2).sum(dim=1).cpu()
    total = float(spread_F.sum())  # 0, as published, where all rows are equal
    explained = [1 - float(error_F.sum()) / total if total > 0 else 0.0 for error_F in error_SF]
    values_SF = {MSE: error_SF / W_dec_FD.shape[1]}
    if total > 0:
        values_SF[EXPLAINED] = linearised(torch.tensor(explained).double()[:, None], spread_F - error_SF, spread_F)
    key = units_key("meta_structure", (W_dec_FD.cpu().view(torch.uint8).numpy().tobytes(),))
    samples = {path: Samples.of_equal_units(v, unit="decoder row", key=key) for path, v in values_SF.items()}
    of_mean_F = Samples.of_equal_units(spread_F[None] / W_dec_FD.shape[1], unit="decoder row", key=key, random=False)
    return report(
        MetaStructureMetricCategories,
        seeds,
        samples=samples,
        seed_values={EXPLAINED: explained, MSE: [float(e.mean()) / W_dec_FD.shape[1] for e in error_SF]},
        values={"meta_structure.train_time_seconds": seconds},
        references={
            EXPLAINED: References(Reference(MEAN_ROW, 0.0), Reference(EVERY_ROW, 1.0)),
            MSE: References(Reference(MEAN_ROW, of_mean_F), Reference(EVERY_ROW, 0.0)),
        },
        unstructured={},
    )
