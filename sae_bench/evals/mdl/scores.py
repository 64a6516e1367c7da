"""From the settings of a sweep to fields, and the blocks of rows behind the chosen one."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sae_bench.custom_saes.loading import Member
from sae_bench.evals.base import Scores
from sae_bench.evals.mdl.consumer import ROWS_PER_BLOCK, MDLConsumer
from sae_bench.evals.mdl.eval_config import MDLEvalConfig
from sae_bench.evals.mdl.eval_output import MDLMetricCategories, MDLMetrics, MDLResultDetail
from sae_bench.evals.mdl.sweep import Setting, bits_per_block, choose, sweep
from sae_bench.results.samples import Samples, units_key

UNIT = f"block of {ROWS_PER_BLOCK} rows"
NOTHING_EXCLUDED = (
    "every setting reconstructs by its threshold, so the fewest bits win whatever the error: read explained_variance "
    "beside it, or set min_explained_variance_kept"
)
SILENT = (
    "no latent of this SAE is active on any token: its 0 bits per token say that it codes nothing, and are no sign of "
    "quality"
)
ALL_KEPT = "the chosen setting keeps all codes"
CONSTANT = "the activations do not vary"


def score_sae(
    consumer: MDLConsumer,
    member: Member,
    config: MDLEvalConfig,
    units: str,
    clusters_U: Int[Tensor, " U"] | None = None,
) -> Scores:
    """All fields of one SAE.

    Args:
        units: what tells the rows that were read from any others.
        clusters_U: the document of every block of rows, if it is known.
    """
    settings = sweep(consumer, member, config)
    chosen = choose(settings)
    metrics = MDLMetrics() if chosen is None else _metrics(chosen)
    return Scores(
        metrics=MDLMetricCategories(mdl=metrics),
        details=[_detail(setting) for setting in settings],
        unstructured={},
        not_computed=_not_computed(metrics, settings, config),
        samples={} if chosen is None else _samples(consumer, member, chosen, units_key("mdl", (units,)), clusters_U),
        warnings=[
            *([NOTHING_EXCLUDED] if len(settings) > 1 and all(s.reconstructs for s in settings) else []),
            *([SILENT] if all(consumer.ranges(member, k).is_empty for k in config.k_values) else []),
        ],
    )


def _metrics(setting: Setting) -> MDLMetrics:
    values = _detail(setting).model_dump()
    return MDLMetrics.model_validate({name: values[name] for name in MDLMetrics.model_fields})


def _detail(setting: Setting) -> MDLResultDetail:
    return MDLResultDetail(
        num_bins=setting.num_bins,
        k=setting.k,
        description_length=setting.bits.description_length,
        within_threshold=setting.within_threshold,
        reconstructs=setting.reconstructs,
        mse_loss=setting.binned.mse_loss,
        mse_loss_unbinned=setting.unbinned.mse_loss,
        explained_variance=_finite(setting.binned.explained_variance),
        explained_variance_unbinned=_finite(setting.unbinned.explained_variance),
        active_bits=float(setting.bits.active_F.sum()),
        bin_bits=float(setting.bits.bin_F.sum()),
    )


def _not_computed(metrics: MDLMetrics, settings: list[Setting], config: MDLEvalConfig) -> dict[str, str]:
    missing = [name for name, value in metrics if value is None]
    if metrics.description_length is None:
        closest = min(setting.binned.mse_loss for setting in settings)
        reason = (
            f"none of the {len(settings)} settings reconstructs: the smallest mse_loss is {closest:.4g}, the threshold "
            f"{config.mse_epsilon_threshold:g}"
        )
        if config.min_explained_variance_kept is not None:
            reason += f", explained variance to keep {config.min_explained_variance_kept:g}"
        return {f"eval_result_metrics.mdl.{name}": reason for name in missing}
    return {f"eval_result_metrics.mdl.{name}": ALL_KEPT if name == "k" else CONSTANT for name in missing}


def _samples(
    consumer: MDLConsumer, member: Member, chosen: Setting, key: str, clusters_U: Int[Tensor, " U"] | None
) -> dict[str, Samples]:
    """Blocks behind the chosen setting, the choice itself taken as given.

    The description length is the mean over tokens of the bits that a token takes. The other two are linearised: a
    root r of a mean m moves by r (m_u - m) / 2m, a ratio as usual.
    """
    tokens_U = consumer.tokens_U
    kept_U = tokens_U > 0
    tokens_U = tokens_U[kept_U]
    bits_U = bits_per_block(consumer, member, chosen)[kept_U]
    error_U, spread_U = chosen.binned.error_U[kept_U], consumer.spread_U(member.hook_name)[kept_U]
    values = {"description_length": (bits_U / tokens_U, tokens_U)}
    if float(error_U.sum()) > 0:
        relative_U = (error_U / tokens_U) / (error_U.sum() / tokens_U.sum())
        values["mse_loss"] = (chosen.binned.mse_loss * (1 + (relative_U - 1) / 2), tokens_U)
    explained = chosen.binned.explained_variance
    if math.isfinite(explained):
        gained_U = spread_U - error_U - explained * spread_U
        values["explained_variance"] = (explained + gained_U / spread_U.mean(), torch.ones_like(tokens_U))
    of_kept_U = None if clusters_U is None else clusters_U[: len(kept_U)][kept_U]  # special tokens may end the rows
    return {
        f"mdl.{name}": replace(_of_blocks(value_U, weight_U, key), clusters_U=of_kept_U)
        for name, (value_U, weight_U) in values.items()
    }


def _of_blocks(values_U: Float[Tensor, " U"], weights_U: Float[Tensor, " U"], key: str) -> Samples:
    return Samples(values_U[None].float(), weights_U.float(), (0,) * len(values_U), UNIT, key, random=False)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
