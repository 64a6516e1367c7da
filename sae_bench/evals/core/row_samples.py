"""Core metrics block by block: the samples behind their error bars. Nothing is random, so there is one row of values.

Means over tokens weigh a block by its tokens. Ratios of sums (explained variance, loss recovered, KL score) hold
metric + (num_u - metric * den_u) / den, den the mean over blocks; for the explained variance the distance to the mean
of a token's batch stands in for that to the mean of all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sae_bench.custom_saes.loading import Member
from sae_bench.evals.core.blocks import ROWS_PER_BLOCK, STATISTICS_COLUMNS
from sae_bench.evals.core.consumer import CoreConsumer, skip_only
from sae_bench.evals.core.loss import BranchSums
from sae_bench.evals.families.rows import CorpusRows, block_unit
from sae_bench.results.samples import Samples

UNIT = block_unit(ROWS_PER_BLOCK)

COSINE = "reconstruction_quality.cossim"
_MEANS = {
    "sparsity.l0": "l0",
    "reconstruction_quality.mse_per_token": "squared_error",
    COSINE: "cosine",
    "shrinkage.l2_ratio": "norm_ratio",
}
EXPLAINED_VARIANCE = "reconstruction_quality.explained_variance"
LOSS_SCORE = "model_performance_preservation.ce_loss_score"
KL_SCORE = "model_behavior_preservation.kl_div_score"


def row_samples(
    consumer: CoreConsumer, member: Member, values: Mapping[str, float | None], corpus: CorpusRows
) -> dict[str, Samples]:
    """Path of a metric -> its samples, for the metrics that have a value and are means or ratios over tokens."""
    known = {path: value for path, value in values.items() if value is not None}
    samples = {
        **_clustered(
            _of_statistics(
                consumer, member.key, known, _key("statistics", consumer, corpus, consumer.n_statistics_rows)
            ),
            corpus.clusters(consumer.statistics_rows),
        ),
        **_clustered(
            _of_losses(consumer, member, known, _key("loss", consumer, corpus, consumer.n_loss_rows)),
            corpus.clusters(consumer.loss_rows),
        ),
    }
    return {path: of for path, of in samples.items() if bool(of.values_SU.isfinite().any())}


def mean_samples(consumer: CoreConsumer, hook: str, corpus: CorpusRows) -> dict[str, Samples]:
    """Path of a metric -> its samples with the mean activation in the reconstruction's place."""
    mean, samples = consumer.means[hook], dict[str, Samples]()
    if mean.cosine_blocks:
        tokens_U, cosine_U = torch.cat(mean.cosine_blocks).cpu().double().unbind(dim=1)
        key = _key("statistics", consumer, corpus, consumer.n_statistics_rows)
        samples |= _clustered(
            {COSINE: _samples(cosine_U / tokens_U, tokens_U, key)}, corpus.clusters(consumer.statistics_rows)
        )
    key = _key("loss", consumer, corpus, consumer.n_loss_rows)
    losses = _loss_scores(consumer, hook, mean.losses, {}, key)
    return samples | _clustered(losses, corpus.clusters(consumer.loss_rows))


def skip_only_samples(consumer: CoreConsumer, member: Member, corpus: CorpusRows) -> dict[str, Samples]:
    """Path of a metric -> its samples with what a skip transcoder predicts while none of its latents is active."""
    name, hook = skip_only(member), member.hook_name_out
    samples: dict[str, Samples] = {}
    if consumer.statistics[name].n_tokens:
        quality = consumer.statistics[name].quality(consumer.targets[hook])
        values = {COSINE: quality["cossim"], EXPLAINED_VARIANCE: quality["explained_variance"]}
        key = _key("statistics", consumer, corpus, consumer.n_statistics_rows)
        samples |= _clustered(_of_statistics(consumer, name, values, key), corpus.clusters(consumer.statistics_rows))
    key = _key("loss", consumer, corpus, consumer.n_loss_rows)
    losses = _loss_scores(consumer, hook, consumer.sae_sums[name], {}, key)
    return samples | _clustered(losses, corpus.clusters(consumer.loss_rows))


def _clustered(samples: dict[str, Samples], clusters_U: Int[Tensor, " U"] | None) -> dict[str, Samples]:
    return {path: replace(of, clusters_U=clusters_U) for path, of in samples.items()}


def _of_statistics(consumer: CoreConsumer, name: str, values: Mapping[str, float], key: str) -> dict[str, Samples]:
    blocks = consumer.statistics[name].blocks
    if not blocks:
        return {}
    column = dict(zip(STATISTICS_COLUMNS, torch.cat(blocks).cpu().double().unbind(dim=1), strict=True))
    tokens_U = column["tokens"]
    samples = {path: _samples(column[of] / tokens_U, tokens_U, key) for path, of in _MEANS.items() if path in values}
    if EXPLAINED_VARIANCE in values:
        spread_U = column["distance_to_mean"]
        value = values[EXPLAINED_VARIANCE]
        samples[EXPLAINED_VARIANCE] = _ratio(value, spread_U - column["squared_error"], spread_U, key)
    return samples


def _of_losses(consumer: CoreConsumer, member: Member, values: Mapping[str, float], key: str) -> dict[str, Samples]:
    branch = consumer.sae_sums[member.key]
    known = {path: values.get(path) for path in (LOSS_SCORE, KL_SCORE)}
    samples = _loss_scores(consumer, member.hook_name_out, branch, known, key)
    return {path: of for path, of in samples.items() if known[path] is not None}


def _loss_scores(
    consumer: CoreConsumer,
    hook: str,
    branch: BranchSums,
    values: Mapping[str, float | None],
    key: str,
) -> dict[str, Samples]:
    """The two scores of a branch.

    Args:
        hook: where the branch replaces the activation, and zeros do for the zero of the scores.
        branch: its sums.
        values: the scores; where one is not known, it is taken from the sums.
        key: of the samples.
    """
    if not consumer.losses.n_tokens:
        return {}
    original_U = consumer.losses.of_blocks()[:, 1]
    ablated_kl_U, ablated_U = consumer.ablation_sums[hook].of_blocks().unbind(dim=1)
    branch_kl_U, branch_U = branch.of_blocks().unbind(dim=1)
    gain_U, possible_gain_U = ablated_U - branch_U, ablated_U - original_U
    return {
        LOSS_SCORE: _ratio(values.get(LOSS_SCORE), gain_U, possible_gain_U, key),
        KL_SCORE: _ratio(values.get(KL_SCORE), ablated_kl_U - branch_kl_U, ablated_kl_U, key),
    }


def _ratio(metric: float | None, num_U: Float[Tensor, " U"], den_U: Float[Tensor, " U"], key: str) -> Samples:
    """Linearised values of a ratio of sums; their mean is the metric exactly (by default the ratio)."""
    ratio = num_U.sum() / den_U.sum()
    metric = float(ratio) if metric is None else metric
    return _samples(metric + (num_U - ratio * den_U) / den_U.mean(), torch.ones_like(num_U), key)


def _samples(values_U: Float[Tensor, " U"], weights_U: Float[Tensor, " U"], key: str) -> Samples:
    groups = (0,) * len(values_U)
    return Samples(values_U[None].float(), weights_U.float(), groups, UNIT, key, random=False)


def _key(kind: str, consumer: CoreConsumer, corpus: CorpusRows, n_rows: int) -> str:
    config = consumer.config
    shape = f"{config.batch_size_prompts} {ROWS_PER_BLOCK} {config.exclude_special_tokens_from_reconstruction}"
    return corpus.key(f"core {kind}", shape, n_rows=n_rows)
