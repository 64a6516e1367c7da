"""meta_structure: needs the weights of an SAE alone, nothing of the pass."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

import torch
from torch import Tensor

from sae_bench.activations.requests import Request, Served
from sae_bench.custom_saes.loading import Member
from sae_bench.evals.base import EvalContext, EvalSpec, Metric, Scores
from sae_bench.evals.meta_structure.eval_config import MetaStructureEvalConfig
from sae_bench.evals.meta_structure.eval_output import (
    MetaStructureEvalOutput,
    MetaStructureMetricCategories,
    MetaStructureMetrics,
)
from sae_bench.evals.meta_structure.training import Trained, explain_decoder
from sae_bench.language_models.load import DTYPES
from sae_bench.results.model import SeedResult
from sae_bench.results.samples import Samples, units_key

UNIT = "decoder row"
EXPLAINED = "meta_structure.decoder_fraction_variance_explained"
MSE = "meta_structure.final_reconstruction_mse"


class MetaStructureJob:
    """Trains meta-SAEs when an SAE is scored; no text is read."""

    def __init__(self, context: EvalContext, config: MetaStructureEvalConfig) -> None:
        self.config = config
        self.seeds = context.seeds

    @property
    def datasets(self) -> dict[str, dict[str, str]]:
        return {}

    def requests(self, members: Sequence[Member]) -> Sequence[Request]:  # noqa: ARG002 (there is nothing to read)
        return []

    def score(self, member: Member, served: Sequence[Served] = ()) -> Scores:  # noqa: ARG002 (nothing was asked)
        return score_decoder(member.sae.W_dec.detach(), self.seeds, self.config)


def score_decoder(W_dec_FD: Tensor, seeds: Sequence[int], config: MetaStructureEvalConfig) -> Scores:
    """The result for decoder rows: means over seeds, each seed's own values, the rows behind them."""
    W_dec_FD = W_dec_FD.to(DTYPES[config.dtype]).contiguous()
    found = explain_decoder(W_dec_FD, seeds, config)
    metrics = MetaStructureMetrics(
        decoder_fraction_variance_explained=fmean(one.variance_explained for one in found),
        train_time_seconds=fmean(one.seconds for one in found),
        final_reconstruction_mse=fmean(one.mse for one in found),
    )
    return Scores(
        metrics=MetaStructureMetricCategories(meta_structure=metrics),
        unstructured={},
        seed_results=[SeedResult(seed=o.seed, metrics={EXPLAINED: o.variance_explained, MSE: o.mse}) for o in found],
        samples=row_samples(found, W_dec_FD),
    )


def row_samples(found: Sequence[Trained], W_dec_FD: Tensor) -> dict[str, Samples]:
    """Every decoder row's part: its squared error, and the variance explained, a ratio of sums, linearised."""
    key = units_key("meta_structure", (W_dec_FD.cpu().view(torch.uint8).numpy().tobytes(),))
    error_SF = torch.stack([one.error_F for one in found])
    spread_F = found[0].spread_F
    samples = {MSE: Samples.of_equal_units(error_SF / found[0].d_in, unit=UNIT, key=key)}
    if float(spread_F.sum()) > 0:
        explained_S1 = torch.tensor([[one.variance_explained] for one in found], dtype=torch.float64)
        gained_SF = spread_F - error_SF - explained_S1 * spread_F
        values_SF = explained_S1 + gained_SF / spread_F.mean()
        samples[EXPLAINED] = Samples.of_equal_units(values_SF, unit=UNIT, key=key)
    return samples


SPEC = EvalSpec(
    name="meta_structure",
    title="Meta-structure",
    summary="How much of the variance of the decoder rows a small BatchTopK SAE on them explains.",
    protocol="meta_structure-1",
    config=MetaStructureEvalConfig,
    output=MetaStructureEvalOutput,
    metrics=(
        Metric(EXPLAINED, "Decoder variance explained", True, 0.0, (None, 1.0)),
        Metric(MSE, "MSE", False, bounds=(0.0, None)),
    ),
    cost="no pass; one small SAE trained per SAE and seed",
    start=MetaStructureJob,
    presets={"paper": {}, "quick": {"train_steps": 300}},
    demo={"train_steps": 40},
)
