"""From the sums of one SAE to the published fields; a field without a number holds null and has a reason."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from sae_bench.custom_saes.loading import Member
from sae_bench.evals.core.consumer import CoreConsumer
from sae_bench.evals.core.eval_config import CoreEvalConfig
from sae_bench.evals.core.eval_output import CoreFeatureMetric, CoreMetricCategories
from sae_bench.evals.core.token_statistics import summarise_densities
from sae_bench.evals.core.weights import weight_metrics

UNDEFINED = "not a finite number for this SAE (a division by zero, or a vector of length zero)"
NEVER_FIRED = "null for latents that were never active"

_LOSS_SWITCHES = {"model_behavior_preservation": "compute_kl", "model_performance_preservation": "compute_ce_loss"}
_SWITCHES = {
    **_LOSS_SWITCHES,
    "reconstruction_quality": "compute_variance_metrics",
    "shrinkage": "compute_l2_norms",
    "sparsity": "compute_sparsity_metrics",
}
_WEIGHTS = "compute_featurewise_weight_based_metrics"
_DENSITIES = "compute_featurewise_density_statistics"
_DENSITY_COLUMNS = ("feature_density", "consistent_activation_heuristic")


def score_sae(
    consumer: CoreConsumer, member: Member
) -> tuple[CoreMetricCategories, list[CoreFeatureMetric], dict[str, str]]:
    """Metrics by category, per-latent details, and the reason for each field that holds null."""
    config = consumer.config
    values: dict[str, dict[str, Any]] = {name: {} for name in CoreMetricCategories.model_fields}
    if consumer.losses.n_tokens:
        behavior, performance = _loss_metrics(consumer, member)
        values["model_behavior_preservation"] = behavior if config.compute_kl else {}
        values["model_performance_preservation"] = performance if config.compute_ce_loss else {}
    latents = _add_statistics(values, consumer, member)
    reasons: dict[str, str] = {}
    if config.compute_featurewise_weight_based_metrics:
        weights, reasons = weight_metrics(member.weights)
        latents |= weights
        for side in ("encoder", "decoder"):
            if (cosine := weights.get(f"max_{side}_cosine_sim")) is not None:
                values["misc_metrics"][f"average_max_{side}_cosine_sim"] = float(cosine.double().mean())
    row_tokens = config.context_size * config.batch_size_prompts
    values["token_stats"] = {
        "total_tokens_eval_reconstruction": config.n_eval_reconstruction_batches * row_tokens,
        "total_tokens_eval_sparsity_variance": config.n_eval_sparsity_variance_batches * row_tokens,
    }
    finite = {category: {k: _finite_or_none(v) for k, v in group.items()} for category, group in values.items()}
    metrics = CoreMetricCategories.model_validate(finite)
    missing = _missing_metrics(metrics, config, reasons) | _missing_details(latents, config, reasons)
    return metrics, _details(latents, int(member.sae.cfg.d_sae)), missing


def _add_statistics(values: dict[str, dict[str, Any]], consumer: CoreConsumer, member: Member) -> dict[str, Tensor]:
    """Fill in what comes from the tokens; returns the per-latent columns."""
    config = consumer.config
    statistics, inputs = consumer.statistics[member.key], consumer.inputs[member.hook_name]
    if not statistics.n_tokens:
        return {}
    if config.compute_l2_norms:
        values["shrinkage"] = statistics.shrinkage(inputs)
    if config.compute_sparsity_metrics:
        values["sparsity"] = statistics.sparsity()
    if config.compute_variance_metrics:
        values["reconstruction_quality"] = statistics.quality(inputs)
    if not config.compute_featurewise_density_statistics:
        return {}
    density_F, consistency_F = statistics.densities()
    values["misc_metrics"] |= summarise_densities(density_F)
    return dict(zip(_DENSITY_COLUMNS, (density_F, consistency_F), strict=True))


def _loss_metrics(consumer: CoreConsumer, member: Member) -> tuple[dict[str, float], dict[str, float]]:
    n_tokens, n_targets = consumer.losses.n_tokens, max(consumer.losses.n_targets, 1)
    sae, ablated = consumer.sae_sums[member.key], consumer.ablation_sums[member.hook_name]
    kl_sae, kl_ablated = sae.kl / n_tokens, ablated.kl / n_tokens
    original, with_sae, with_ablation = (s.loss / n_targets for s in (consumer.losses, sae, ablated))
    behavior = {
        "kl_div_score": _ratio(kl_ablated - kl_sae, kl_ablated),
        "kl_div_with_ablation": kl_ablated,
        "kl_div_with_sae": kl_sae,
    }
    performance = {
        "ce_loss_score": _ratio(with_ablation - with_sae, with_ablation - original),
        "ce_loss_with_ablation": with_ablation,
        "ce_loss_with_sae": with_sae,
        "ce_loss_without_sae": original,
    }
    return behavior, performance


def _details(latents: dict[str, Tensor], d_sae: int) -> list[CoreFeatureMetric]:
    if not latents:
        return []
    columns = {name: [_finite_or_none(v) for v in values.tolist()] for name, values in latents.items()}
    return [
        CoreFeatureMetric.model_validate({"index": i, **{name: column[i] for name, column in columns.items()}})
        for i in range(d_sae)
    ]


def _missing_metrics(
    metrics: CoreMetricCategories, config: CoreEvalConfig, weight_reasons: dict[str, str]
) -> dict[str, str]:
    missing: dict[str, str] = {}
    for category in CoreMetricCategories.model_fields:
        for field, value in getattr(metrics, category):
            if value is None:
                column = field.removeprefix("average_")
                switch = _SWITCHES.get(category) or (_WEIGHTS if column != field else _DENSITIES)
                reason = weight_reasons.get(column) or _why_null(config, switch)
                missing[f"eval_result_metrics.{category}.{field}"] = reason
    return missing


def _missing_details(
    latents: dict[str, Tensor], config: CoreEvalConfig, weight_reasons: dict[str, str]
) -> dict[str, str]:
    missing: dict[str, str] = {}
    for column in CoreFeatureMetric.model_fields:
        if column in latents:
            if not bool(latents[column].isfinite().all()):
                never_fired = column == "consistent_activation_heuristic"
                missing[f"eval_result_details.{column}"] = NEVER_FIRED if never_fired else UNDEFINED
        elif latents and column != "index":
            switch = _DENSITIES if column in _DENSITY_COLUMNS else _WEIGHTS
            missing[f"eval_result_details.{column}"] = weight_reasons.get(column) or _why_null(config, switch)
    return missing


def _why_null(config: CoreEvalConfig, switch: str) -> str:
    if not getattr(config, switch):
        return f"{switch} is off"
    of_loss = switch in _LOSS_SWITCHES.values()
    batches = "n_eval_reconstruction_batches" if of_loss else "n_eval_sparsity_variance_batches"
    return f"{batches} is 0" if switch != _WEIGHTS and getattr(config, batches) == 0 else UNDEFINED


def _finite_or_none(value: float | int) -> float | int | None:
    return value if math.isfinite(value) else None


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator else float("nan")
