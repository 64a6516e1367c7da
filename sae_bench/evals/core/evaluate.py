"""The core eval: reconstruction, sparsity, loss recovered, densities and weight geometry.

The rows of the packed corpus go through the model once for all SAEs. For the loss metrics, layers up to the hook are
not run again: the original, the ablated and every reconstructed branch resume from what the pass captured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from sae_bench.activations.batches import ActivationBatch
from sae_bench.activations.requests import Request, TokenRows
from sae_bench.custom_saes.interface import SparseCodes, decode_tokens, encode_tokens
from sae_bench.custom_saes.members import Member
from sae_bench.datasets import corpus_provenance, load_corpus
from sae_bench.datasets.packing import pack_corpus
from sae_bench.errors import UsageError
from sae_bench.evals.base import EvalContext, EvalSpec, Metric, Scores
from sae_bench.evals.base_eval_output import SeedResult
from sae_bench.evals.core import loss as branches
from sae_bench.evals.core.eval_config import CoreEvalConfig
from sae_bench.evals.core.eval_output import CoreEvalOutput, CoreFeatureMetric, CoreMetricCategories
from sae_bench.evals.core.loss import BranchSums, LossSums
from sae_bench.evals.core.statistics import InputStatistics, ReconstructionStatistics, summarise_densities
from sae_bench.evals.core.weights import weight_metrics
from sae_bench.language_models import LanguageModel
from sae_bench.language_models.hooks import parse_hook_name

UNDEFINED = "not a finite number for this SAE (a division by zero, or a vector of length zero)"
NEVER_FIRED = "null for latents that were never active"


class CoreConsumer:
    """Reads the packed rows of the pass and keeps the sums of every SAE."""

    def __init__(self, lm: LanguageModel, config: CoreEvalConfig, members: Sequence[Member]) -> None:
        self.lm = lm
        self.config = config
        self.hooks = {m.hook_name: parse_hook_name(m.hook_name) for m in members}
        self.inputs = {hook: InputStatistics() for hook in self.hooks}
        self.statistics = {m.key: ReconstructionStatistics(int(m.sae.cfg.d_sae)) for m in members}
        self.losses = LossSums()
        self.sae_sums = {m.key: BranchSums() for m in members}
        self.ablation_sums = {hook: BranchSums() for hook in self.hooks}
        self.constant_ablations = {
            name: branches.zero_stream_logits(lm, name)
            for name, point in self.hooks.items()
            if point.is_residual and self.n_loss_rows
        }
        self._branch_hidden: dict[str, Tensor] = {}

    @property
    def n_loss_rows(self) -> int:
        wanted = self.config.compute_kl or self.config.compute_ce_loss
        return self.config.n_eval_reconstruction_batches * self.config.batch_size_prompts if wanted else 0

    @property
    def n_statistics_rows(self) -> int:
        return self.config.n_eval_sparsity_variance_batches * self.config.batch_size_prompts

    def extra_hooks(self) -> tuple[str, ...]:
        """Residual streams that branches at other hooks start from."""
        if not self.n_loss_rows:
            return ()
        needed = (p for p in self.hooks.values() if p.kind not in (*branches.STREAMS_BETWEEN_LAYERS, "hook_embed"))
        return tuple(dict.fromkeys(branches.stream_before(p) for p in needed))

    def on_activations(self, batch: ActivationBatch) -> None:
        self._branch_hidden = {}
        if batch.rows[0] < self.n_statistics_rows:
            for hook, statistics in self.inputs.items():
                statistics.update(batch.tokens(hook))

    def on_codes(self, batch: ActivationBatch, member: Member, codes: SparseCodes | Tensor) -> None:
        hook = member.hook_name
        reconstruction_ND = decode_tokens(member.sae, codes).to(batch.x_BLD[hook].dtype)
        if batch.rows[0] < self.n_statistics_rows:
            self.statistics[member.key].update(
                self.inputs[hook], batch.tokens(hook), reconstruction_ND, codes, batch.text_of_token_N, len(batch.rows)
            )
        if batch.rows[0] < self.n_loss_rows:
            value_BLD = self._replacement(batch, member, reconstruction_ND)
            start = branches.resume_point(self.hooks[hook], batch.x_BLD)
            self._branch_hidden[member.key] = branches.run_branch(
                self.lm, self.hooks[hook], batch.ids_BL, start, value_BLD
            )

    def on_batch_end(self, batch: ActivationBatch) -> None:
        if batch.rows[0] >= self.n_loss_rows:
            return
        ablated: dict[str, Tensor] = {}
        for name, point in self.hooks.items():
            if name not in self.constant_ablations:
                start = branches.resume_point(point, batch.x_BLD)
                zeros = torch.zeros_like(batch.x_BLD[name])
                ablated[name] = branches.run_branch(self.lm, point, batch.ids_BL, start, zeros)
        branches.compare_branches(
            self.lm,
            self._original(batch),
            {**self._branch_hidden, **ablated},
            self.constant_ablations,
            batch.ids_BL,
            batch.valid_BL,
            self.losses,
            {**self.sae_sums, **self.ablation_sums},
        )
        self._branch_hidden = {}

    def drop(self, member: Member) -> None:
        self._branch_hidden.pop(member.key, None)

    def _original(self, batch: ActivationBatch) -> Tensor:
        """Final hidden states of the untouched model, resumed from the deepest stream that was captured."""
        points = [parse_hook_name(name) for name in batch.x_BLD]
        streams = [p for p in points if p.kind in branches.STREAMS_BETWEEN_LAYERS]
        if not streams:
            return self.lm.final_hidden(batch.ids_BL)
        deepest = max(streams, key=lambda p: p.first_downstream_layer)
        return self.lm.final_hidden(batch.ids_BL, resume=branches.resume_point(deepest, batch.x_BLD))

    def _replacement(self, batch: ActivationBatch, member: Member, reconstruction_ND: Tensor) -> Tensor:
        """The reconstruction at every token, special ones included unless the configuration leaves them alone."""
        value = batch.x_BLD[member.hook_name].clone()
        value[batch.valid_BL] = reconstruction_ND
        special = ~batch.valid_BL
        if not self.config.exclude_special_tokens_from_reconstruction and bool(special.any()):
            x = batch.x_BLD[member.hook_name][special].to(member.sae.W_dec.dtype)
            value[special] = decode_tokens(member.sae, encode_tokens(member.sae, x)).to(value.dtype)
        return value


class CoreJob:
    """The core eval on one model and corpus."""

    def __init__(self, context: EvalContext, config: CoreEvalConfig, rows_NL: Tensor | None = None) -> None:
        if max(config.n_eval_reconstruction_batches, config.n_eval_sparsity_variance_batches) == 0:
            raise UsageError(
                "core: n_eval_reconstruction_batches and n_eval_sparsity_variance_batches are both 0: nothing to do."
            )
        self.lm = context.lm
        self.config = config
        self.seeds = context.seeds
        self.rows_NL = self._pack(context) if rows_NL is None else rows_NL
        self._origin = corpus_provenance(config.dataset, data_dir=context.data_dir) if rows_NL is None else {}
        self.consumer: CoreConsumer | None = None

    @property
    def datasets(self) -> dict[str, dict[str, str]]:
        return {self.config.dataset: {**self._origin, "rows": str(len(self.rows_NL))}}

    def requests(self, members: Sequence[Member]) -> Sequence[Request]:
        self.consumer = CoreConsumer(self.lm, self.config, members)
        return [TokenRows(self.rows_NL, self.config.batch_size_prompts, self.consumer, self.consumer.extra_hooks())]

    def score(self, member: Member) -> Scores:
        assert self.consumer is not None
        values, details, not_computed = _results(self.consumer, member)
        metrics = CoreMetricCategories.model_validate(values)
        flat = {f"{c}.{k}": v for c, group in values.items() for k, v in group.items() if c != "token_stats"}
        not_computed |= {f"eval_result_metrics.{key}": UNDEFINED for key, value in flat.items() if value is None}
        return Scores(
            metrics=metrics,
            details=details,
            unstructured={},
            not_computed=not_computed,
            seed_results=[SeedResult(seed=seed, metrics=flat) for seed in self.seeds],
        )

    def _pack(self, context: EvalContext) -> Tensor:
        batches = max(self.config.n_eval_reconstruction_batches, self.config.n_eval_sparsity_variance_batches)
        return pack_corpus(
            load_corpus(self.config.dataset, data_dir=context.data_dir),
            context.lm,
            n_rows=batches * self.config.batch_size_prompts,
            context_length=self.config.context_size,
            seed=self.config.random_seed,
        )


def _results(
    consumer: CoreConsumer, member: Member
) -> tuple[dict[str, dict[str, Any]], list[CoreFeatureMetric], dict[str, str]]:
    """Metrics by category, per-latent details and reasons for what is missing."""
    config = consumer.config
    values: dict[str, dict[str, Any]] = {name: {} for name in CoreMetricCategories.model_fields}
    missing: dict[str, str] = {}
    if consumer.losses.n_tokens:
        behavior, performance = _loss_metrics(consumer, member)
        values["model_behavior_preservation"] = behavior if config.compute_kl else {}
        values["model_performance_preservation"] = performance if config.compute_ce_loss else {}
    statistics, inputs = consumer.statistics[member.key], consumer.inputs[member.hook_name]
    latents: dict[str, Tensor] = {}
    if statistics.n_tokens:
        if config.compute_l2_norms:
            values["shrinkage"] = statistics.shrinkage(inputs)
        if config.compute_sparsity_metrics:
            values["sparsity"] = statistics.sparsity()
        if config.compute_variance_metrics:
            values["reconstruction_quality"] = statistics.quality(inputs)
        if config.compute_featurewise_density_statistics:
            density, consistency = statistics.densities()
            latents |= {"feature_density": density, "consistent_activation_heuristic": consistency}
            values["misc_metrics"] |= summarise_densities(density)
            if bool(consistency.isnan().any()):
                missing["eval_result_details.consistent_activation_heuristic"] = NEVER_FIRED
    if config.compute_featurewise_weight_based_metrics:
        weights, reasons = weight_metrics(member.sae)
        latents |= weights
        missing |= {f"eval_result_details.{name}": reason for name, reason in reasons.items()}
        for side in ("encoder", "decoder"):
            if (cosine := weights.get(f"max_{side}_cosine_sim")) is not None:
                values["misc_metrics"][f"average_max_{side}_cosine_sim"] = float(cosine.double().mean())
    row_tokens = config.context_size * config.batch_size_prompts
    values["token_stats"] = {
        "total_tokens_eval_reconstruction": config.n_eval_reconstruction_batches * row_tokens,
        "total_tokens_eval_sparsity_variance": config.n_eval_sparsity_variance_batches * row_tokens,
    }
    return _finite(values), _details(latents, int(member.sae.cfg.d_sae)), missing


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


def _finite(values: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {category: {k: _finite_or_none(v) for k, v in group.items()} for category, group in values.items()}


def _finite_or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator else float("nan")


SPEC = EvalSpec(
    name="core",
    title="Core",
    summary="Reconstruction, sparsity, loss recovered, densities and weight geometry.",
    protocol="core-1",
    config=CoreEvalConfig,
    output=CoreEvalOutput,
    metrics=(
        Metric("model_performance_preservation.ce_loss_score", "Loss recovered", True, 0.0),
        Metric("model_behavior_preservation.kl_div_score", "KL score", True, 0.0),
        Metric("reconstruction_quality.explained_variance", "Explained variance", True, 0.0),
        Metric("reconstruction_quality.cossim", "Cosine", True),
        Metric("sparsity.l0", "L0", None),
        Metric("shrinkage.l2_ratio", "L2 ratio", None),
        Metric("misc_metrics.frac_alive", "Alive", True),
    ),
    cost="one pass over the rows; for the loss rows, the layers after the hook once more per SAE",
    start=CoreJob,
    presets={
        "paper": {
            "n_eval_reconstruction_batches": 200,
            "n_eval_sparsity_variance_batches": 2000,
            "exclude_special_tokens_from_reconstruction": True,
        },
        "quick": {
            "n_eval_reconstruction_batches": 4,
            "n_eval_sparsity_variance_batches": 16,
            "exclude_special_tokens_from_reconstruction": True,
        },
    },
)
