"""From the sums of one SAE to the published fields; a field without a number holds null and has a reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from sae_bench.custom_saes.interface import decoder_is_linear, has_skip_path, weights_only
from sae_bench.custom_saes.loading import Member
from sae_bench.evals.base import Scores
from sae_bench.evals.core.consumer import CoreConsumer
from sae_bench.evals.core.eval_config import CoreEvalConfig
from sae_bench.evals.core.eval_output import CoreFeatureMetric, CoreMetricCategories
from sae_bench.evals.core.floors import core_references
from sae_bench.evals.core.row_samples import mean_samples, row_samples, skip_only_samples
from sae_bench.evals.core.token_statistics import summarise_densities
from sae_bench.evals.core.weights import weight_metrics
from sae_bench.evals.families.reported import finite, report
from sae_bench.evals.families.rows import CorpusRows
from sae_bench.results.references import References

UNDEFINED = "not a finite number for this SAE (a division by zero, or a vector of length zero)"
NEVER_FIRED = "null for latents that were never active"
NOT_LINEAR = "the decoder of this SAE is not linear"
NOTHING_RANDOM = "core draws nothing at random from its rows: more seeds change no number; error bars are over rows"

_LOSS_SWITCHES = {"model_behavior_preservation": "compute_kl", "model_performance_preservation": "compute_ce_loss"}
_SWITCHES = {
    **_LOSS_SWITCHES,
    "reconstruction_quality": "compute_variance_metrics",
    "shrinkage": "compute_l2_norms",
    "sparsity": "compute_sparsity_metrics",
}
_WEIGHTS = "compute_featurewise_weight_based_metrics"
_DENSITIES = "compute_featurewise_density_statistics"
_SWITCHES_OF_MISC = {
    "nth_decoder_projection": "compute_sparsity_metrics",
    **dict.fromkeys(("mean_abs_decoder_cosine_sim", "opposite_decoder_pairs", "frac_with_opposite_decoder"), _WEIGHTS),
}
_DENSITY_COLUMNS = ("feature_density", "consistent_activation_heuristic")


def score_sae(consumer: CoreConsumer, member: Member, corpus: CorpusRows, seeds: Sequence[int] = ()) -> Scores:
    """Everything that is reported of one SAE; of a decoder without an encoder, what its weights say."""
    config, no_codes = consumer.config, weights_only(member.sae)
    latents: dict[str, Tensor] = {}
    values: dict[str, Any] = {}
    if consumer.losses.n_tokens and not no_codes:
        values |= _loss_metrics(consumer, member)
    if not no_codes and consumer.statistics[member.key].n_tokens:
        latents |= _add_statistics(values, consumer, member)
    without = {} if decoder_is_linear(member.sae) else {"nth_decoder_projection": NOT_LINEAR}
    if config.compute_featurewise_weight_based_metrics:
        of_latents, summary, missing = weight_metrics(
            member.weights,
            pairwise=config.compute_pairwise_cosines,
            writes_elsewhere=member.hook_name_out != member.hook_name,
        )
        without |= missing
        latents |= of_latents
        values |= _paths("misc_metrics", summary)
    values = {path: finite(value) for path, value in values.items()}
    samples, references = {}, dict[str, References]()
    if not no_codes:
        of_skip_path = skip_only_samples(consumer, member, corpus) if has_skip_path(member.sae) else None
        references = core_references(mean_samples(consumer, member.hook_name_out, corpus), of_skip_path)
        samples = row_samples(consumer, member, values, corpus)
    return report(
        CoreMetricCategories,
        samples=samples,
        references={path: of for path, of in references.items() if values.get(path) is not None},
        values={**values, **({} if no_codes else _token_counts(config))},
        reasons=_reasons(config, without, no_codes),
        details=_details(latents, int(member.sae.cfg.d_sae)),
        detail_reasons=_detail_reasons(latents, config, without, no_codes),
        unstructured={},
        warnings=[NOTHING_RANDOM] if len(seeds) > 1 else [],
    )


def _token_counts(config: CoreEvalConfig) -> dict[str, int]:
    row_tokens = config.context_size * config.batch_size_prompts
    return {
        "token_stats.total_tokens_eval_reconstruction": config.n_eval_reconstruction_batches * row_tokens,
        "token_stats.total_tokens_eval_sparsity_variance": config.n_eval_sparsity_variance_batches * row_tokens,
    }


def _paths(category: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{category}.{name}": value for name, value in values.items()}


def _add_statistics(values: dict[str, Any], consumer: CoreConsumer, member: Member) -> dict[str, Tensor]:
    """Fill in what comes from the tokens; returns the per-latent columns."""
    config = consumer.config
    statistics, targets = consumer.statistics[member.key], consumer.targets[member.hook_name_out]
    if config.compute_l2_norms:
        values |= _paths("shrinkage", statistics.shrinkage(targets))
    if config.compute_sparsity_metrics:
        values |= _paths("sparsity", statistics.sparsity())
        values["misc_metrics.nth_decoder_projection"] = consumer.projections[member.key]
    if config.compute_variance_metrics:
        values |= _paths("reconstruction_quality", statistics.quality(targets))
    if not config.compute_featurewise_density_statistics:
        return {}
    density_F, consistency_F = statistics.densities()
    values |= _paths("misc_metrics", summarise_densities(density_F))
    return dict(zip(_DENSITY_COLUMNS, (density_F, consistency_F), strict=True))


def _loss_metrics(consumer: CoreConsumer, member: Member) -> dict[str, float]:
    config, n_tokens, n_targets = consumer.config, consumer.losses.n_tokens, max(consumer.losses.n_targets, 1)
    sae, ablated = consumer.sae_sums[member.key], consumer.ablation_sums[member.hook_name_out]
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
    return {
        **(_paths("model_behavior_preservation", behavior) if config.compute_kl else {}),
        **(_paths("model_performance_preservation", performance) if config.compute_ce_loss else {}),
    }


def _details(latents: dict[str, Tensor], d_sae: int) -> list[CoreFeatureMetric]:
    if not latents:
        return []
    columns = {name: [finite(value) for value in values_F.tolist()] for name, values_F in latents.items()}
    given = {"index", *columns}  # one set for all: with one each, a million latents take a gigabyte more
    return [
        CoreFeatureMetric.model_construct(given, index=i, **{name: column[i] for name, column in columns.items()})
        for i in range(d_sae)
    ]


def _reasons(config: CoreEvalConfig, without: Mapping[str, str], no_codes: str) -> dict[str, str]:
    """Path of every metric -> why it is null, should it be."""
    reasons: dict[str, str] = {}
    for category, of_category in CoreMetricCategories.model_fields.items():
        for field in getattr(of_category.annotation, "model_fields", {}):
            column = field.removeprefix("average_")
            switch = _SWITCHES.get(category) or _SWITCHES_OF_MISC.get(field)
            switch = switch or (_WEIGHTS if column != field else _DENSITIES)
            reasons[f"{category}.{field}"] = without.get(column) or _why_null(config, switch, no_codes)
    return reasons


def _detail_reasons(
    latents: dict[str, Tensor], config: CoreEvalConfig, without: Mapping[str, str], no_codes: str
) -> dict[str, str]:
    """Column of the latents -> why it is null, for all of them or some."""
    reasons: dict[str, str] = {}
    for column in CoreFeatureMetric.model_fields:
        if column in latents:
            if not bool(latents[column].isfinite().all()):
                reasons[column] = NEVER_FIRED if column == "consistent_activation_heuristic" else UNDEFINED
        elif latents and column != "index":
            switch = _DENSITIES if column in _DENSITY_COLUMNS else _WEIGHTS
            reasons[column] = without.get(column) or _why_null(config, switch, no_codes)
    return reasons


def _why_null(config: CoreEvalConfig, switch: str, no_codes: str) -> str:
    if no_codes and switch != _WEIGHTS:
        return no_codes
    if not getattr(config, switch):
        return f"{switch} is off"
    of_loss = switch in _LOSS_SWITCHES.values()
    batches = "n_eval_reconstruction_batches" if of_loss else "n_eval_sparsity_variance_batches"
    return f"{batches} is 0" if switch != _WEIGHTS and getattr(config, batches) == 0 else UNDEFINED


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator else float("nan")
