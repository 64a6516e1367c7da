"""Sparse probing on the shared pass: texts in, pooled activations and codes out, then probes."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from sae_bench.activations.pooled import CodeMatrix
from sae_bench.custom_saes.loading import Member
from sae_bench.datasets import LabelledTexts
from sae_bench.evals.base import EvalContext, Scores
from sae_bench.evals.families.labelled import load_sets
from sae_bench.evals.families.reported import columns, report
from sae_bench.evals.families.texts import TextsJob
from sae_bench.evals.sparse_probing import probing
from sae_bench.evals.sparse_probing.eval_config import SparseProbingEvalConfig
from sae_bench.evals.sparse_probing.eval_output import (
    PUBLISHED_K_VALUES,
    Source,
    SparseProbingMetricCategories,
    SparseProbingResultDetail,
    metric_path,
    top_k_key,
)
from sae_bench.evals.sparse_probing.probing import Accuracies, PreparedDataset
from sae_bench.evals.sparse_probing.reference_probes import probe_references
from sae_bench.evals.sparse_probing.text_samples import ProbedTexts, text_samples

TEST_SELECTED = (
    "probes on all features keep the epoch with the best test accuracy, as published, which flatters them; "
    "probe_selection=validation does not"
)


class SparseProbingJob(TextsJob[SparseProbingEvalConfig, list[PreparedDataset]]):
    """Sparse probing of one model; texts are drawn once, the residual stream is probed once per hook."""

    def __init__(
        self, context: EvalContext, config: SparseProbingEvalConfig, labelled: Sequence[LabelledTexts] | None = None
    ) -> None:
        super().__init__(context, config)
        if labelled is None:
            labelled = load_sets(
                config.dataset_names,
                context,
                train_set_size=config.probe_train_set_size,
                test_set_size=config.probe_test_set_size,
                seed=config.random_seed,
            )
        self.pooled = [self.place_labelled(texts) for texts in labelled]
        self._units = ProbedTexts.of(labelled)

    def prepare(self, activations_TD: Tensor) -> list[PreparedDataset]:
        return [
            probing.prepare_dataset(dataset, activations_TD, self.config, seeds=self.seeds, device=self.lm.device)
            for dataset in self.pooled
        ]

    def score_codes(self, member: Member, codes: CodeMatrix, prepared: list[PreparedDataset]) -> Scores:
        del member
        config, device = self.config, self.lm.device
        results = [one.llm.joined(probing.score_sae(one, codes, config, device=device)) for one in prepared]
        per_seed = probing.seed_metrics(results)
        samples = text_samples(prepared, results, self._units)
        return report(
            SparseProbingMetricCategories,
            self.seeds,
            samples=samples,
            seed_values=columns({metric_path(k): v for k, v in of_seed.items()} for of_seed in per_seed.values()),
            references=probe_references(prepared, samples, self._units),
            reasons=_reasons(results, config),
            details=[SparseProbingResultDetail.model_validate(probing.detail_row(result)) for result in results],
            detail_reasons={
                f"{probing.published_dataset_key(result.dataset_name)}.{key}": reason
                for result in results
                for key, reason in result.not_computed.items()
            },
            unstructured=probing.unstructured_results(results),
            warnings=[
                *(warning for result in results for warning in result.warnings),
                *([TEST_SELECTED] if config.probe_selection == "test" else []),
            ],
        )


def _reasons(results: Sequence[Accuracies], config: SparseProbingEvalConfig) -> dict[str, str]:
    """Path of a metric -> why it may be null."""
    sources: tuple[Source, ...] = ("llm", "sae")
    unasked = {
        top_k_key(source, k): f"k = {k} is not among k_values."
        for source in sources
        for k in PUBLISHED_K_VALUES
        if k not in config.k_values
    }
    lacking = {key: reason for result in results for key, reason in result.not_computed.items()}
    return {metric_path(key): reason for key, reason in {**unasked, **lacking}.items()}
