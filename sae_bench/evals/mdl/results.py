"""From the settings of a sweep to fields, and the blocks of rows behind the chosen one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sae_bench.custom_saes.interface import has_skip_path
from sae_bench.custom_saes.loading import Member
from sae_bench.evals.base import Scores
from sae_bench.evals.families.controls import SKIP_ONLY, highest_first
from sae_bench.evals.families.reported import finite, linearised, report
from sae_bench.evals.families.rows import block_unit
from sae_bench.evals.mdl.consumer import ROWS_PER_BLOCK, MDLConsumer
from sae_bench.evals.mdl.eval_config import MDLEvalConfig
from sae_bench.evals.mdl.eval_output import MDLMetricCategories, MDLMetrics, MDLResultDetail
from sae_bench.evals.mdl.sweep import Setting, bits_per_block, choose, error_without_latents, sweep
from sae_bench.results.references import Reference, References
from sae_bench.results.samples import Samples, units_key

UNIT = block_unit(ROWS_PER_BLOCK)
NOTHING_EXCLUDED = (
    "every setting reconstructs by its threshold, so the fewest bits win whatever the error: read explained_variance "
    "beside it, or set min_explained_variance_kept"
)
SILENT = (
    "no latent of this SAE is active on any token: its 0 bits per token say that it codes nothing, and are no sign of "
    "quality"
)
NOTHING_RANDOM = (
    "mdl draws nothing at random from its rows: more seeds change no number (unless data are resampled); error bars "
    "are over rows"
)
ALL_KEPT = "the chosen setting keeps all codes"
CONSTANT = "the activations do not vary"
NO_WORST = "there is no greatest number of bits"
NOT_ALONE = "an SAE that codes nothing takes no bits: fewer are better only among SAEs that reconstruct equally well"
EXPLAINED_VARIANCE = "mdl.explained_variance"
REFERENCES = {
    "mdl.description_length": References(
        floor=Reference("the longest code", None, NO_WORST), ceiling=Reference("the shortest code", None, NOT_ALONE)
    ),
    EXPLAINED_VARIANCE: References(
        floor=Reference("the mean activation in the place of every activation", 0.0),
        ceiling=Reference("the activation itself", 1.0),
    ),
}
"""Floors and ceilings that the definitions give."""


def score_sae(
    consumer: MDLConsumer,
    member: Member,
    config: MDLEvalConfig,
    units: str,
    clusters_U: Int[Tensor, " U"] | None = None,
    seeds: Sequence[int] = (),
) -> Scores:
    """All fields of one SAE.

    Args:
        units: what tells the rows that were read from any others.
        clusters_U: the document of every block of rows, if it is known.
        seeds: those of the run.
    """
    settings = sweep(consumer, member, config)
    chosen = choose(settings)
    key = units_key("mdl", (units,))
    of_chosen = {} if chosen is None else _detail(chosen).model_dump()
    return report(
        MDLMetricCategories,
        samples={} if chosen is None else _samples(consumer, member, chosen, key, clusters_U),
        values={f"mdl.{name}": of_chosen.get(name) for name in MDLMetrics.model_fields},
        references={} if chosen is None else _references(consumer, member, key, clusters_U),
        reasons=_reasons(chosen, settings, config),
        details=[_detail(setting) for setting in settings],
        unstructured={},
        warnings=[
            *([NOTHING_EXCLUDED] if len(settings) > 1 and all(s.reconstructs for s in settings) else []),
            *([SILENT] if all(consumer.ranges(member, k).is_empty for k in config.k_values) else []),
            *([NOTHING_RANDOM] if len(seeds) > 1 else []),
        ],
    )


def _references(
    consumer: MDLConsumer, member: Member, key: str, clusters_U: Int[Tensor, " U"] | None
) -> dict[str, References]:
    """Floors and ceilings; the explained variance of a skip transcoder has the better of skip path and mean."""
    if not has_skip_path(member.sae):
        return REFERENCES
    counts_U = consumer.tokens_U > 0
    error_U = error_without_latents(consumer, member)[counts_U]
    spread_U = consumer.spread_U(member.hook_name_out)[counts_U]
    of_definition = REFERENCES[EXPLAINED_VARIANCE]
    explained_U = linearised(1 - float(error_U.sum() / spread_U.sum()), spread_U - error_U, spread_U)
    samples = replace(_of_blocks(explained_U, torch.ones_like(spread_U), key), clusters_U=clusters_U)
    assert of_definition.floor is not None
    floor, other = highest_first(Reference(SKIP_ONLY, samples), of_definition.floor)
    beside = References(floor, of_definition.ceiling, others=(other,))
    return {**REFERENCES, EXPLAINED_VARIANCE: beside}


def _detail(setting: Setting) -> MDLResultDetail:
    return MDLResultDetail(
        num_bins=setting.num_bins,
        k=setting.k,
        description_length=setting.bits.description_length,
        within_threshold=setting.within_threshold,
        reconstructs=setting.reconstructs,
        mse_loss=setting.binned.mse_loss,
        mse_loss_unbinned=setting.unbinned.mse_loss,
        explained_variance=finite(setting.binned.explained_variance),
        explained_variance_unbinned=finite(setting.unbinned.explained_variance),
        active_bits=float(setting.bits.active_F.sum()),
        bin_bits=float(setting.bits.bin_F.sum()),
    )


def _reasons(chosen: Setting | None, settings: Sequence[Setting], config: MDLEvalConfig) -> dict[str, str]:
    """Path of every metric -> why it is null, should it be."""
    paths = [f"mdl.{name}" for name in MDLMetrics.model_fields]
    if chosen is not None:
        return {**dict.fromkeys(paths, CONSTANT), "mdl.k": ALL_KEPT}
    closest = min(setting.binned.mse_loss for setting in settings)
    reason = (
        f"none of the {len(settings)} settings reconstructs: the smallest mse_loss is {closest:.4g}, the threshold "
        f"{config.mse_epsilon_threshold:g}"
    )
    if config.min_explained_variance_kept is not None:
        reason += f", explained variance to keep {config.min_explained_variance_kept:g}"
    return dict.fromkeys(paths, reason)


def _samples(
    consumer: MDLConsumer, member: Member, chosen: Setting, key: str, clusters_U: Int[Tensor, " U"] | None
) -> dict[str, Samples]:
    """Blocks behind the chosen setting, the choice itself taken as given.

    The description length is the mean over tokens of the bits that a token takes. The other two are linearised: a
    root r of a mean m moves by r (m_u - m) / 2m, a ratio as usual.
    """
    tokens_U = consumer.tokens_U
    counts_U = tokens_U > 0
    tokens_U = tokens_U[counts_U]
    bits_U = bits_per_block(consumer, member, chosen)[counts_U]
    error_U, spread_U = chosen.binned.error_U[counts_U], consumer.spread_U(member.hook_name_out)[counts_U]
    values = {"description_length": (bits_U / tokens_U, tokens_U)}
    if float(error_U.sum()) > 0:
        relative_U = (error_U / tokens_U) / (error_U.sum() / tokens_U.sum())
        values["mse_loss"] = (chosen.binned.mse_loss * (1 + (relative_U - 1) / 2), tokens_U)
    explained = chosen.binned.explained_variance
    if math.isfinite(explained):
        values["explained_variance"] = (
            linearised(explained, spread_U - error_U, spread_U),
            torch.ones_like(tokens_U),
        )
    return {
        f"mdl.{name}": replace(_of_blocks(value_U, weight_U, key), clusters_U=clusters_U)
        for name, (value_U, weight_U) in values.items()
    }


def _of_blocks(values_U: Float[Tensor, " U"], weights_U: Float[Tensor, " U"], key: str) -> Samples:
    return Samples(values_U[None].float(), weights_U.float(), (0,) * len(values_U), UNIT, key, random=False)
