"""Sparse probing on the shared pass: texts in, pooled activations and codes out, then probes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sae_bench.activations.requests import PooledTexts, PooledValues, Request, Served, only
from sae_bench.custom_saes.loading import Member
from sae_bench.datasets import LabelledTexts, load_labelled
from sae_bench.evals.base import Caveat, EvalContext, EvalSpec, Metric, Scores, Shows
from sae_bench.evals.sparse_probing import probing
from sae_bench.evals.sparse_probing.eval_config import SparseProbingEvalConfig
from sae_bench.evals.sparse_probing.eval_output import (
    SparseProbingEvalOutput,
    SparseProbingLlmMetrics,
    SparseProbingMetricCategories,
    SparseProbingResultDetail,
    SparseProbingSaeMetrics,
)
from sae_bench.evals.sparse_probing.probing import Accuracies, PooledDataset, PreparedDataset
from sae_bench.evals.sparse_probing.text_samples import ProbedTexts, text_samples
from sae_bench.results.model import SeedResult

TEST_SELECTED = (
    "probes on all features keep the epoch with the best test accuracy, as published, which flatters them; "
    "probe_selection=validation does not"
)


class SparseProbingJob:
    """Sparse probing of one model; texts are drawn once, the residual stream is probed once per hook."""

    def __init__(
        self, context: EvalContext, config: SparseProbingEvalConfig, labelled: Sequence[LabelledTexts] | None = None
    ) -> None:
        self.lm = context.lm
        self.config = config
        self.seeds = context.seeds
        self.labelled = list(labelled) if labelled is not None else self._load(context)
        self._token_ids: list[list[int]] = []
        self._places: list[tuple[dict[str, Tensor], dict[str, Tensor]]] = []
        for texts in self.labelled:
            self._places.append((self._add(texts.train, texts.classes), self._add(texts.test, texts.classes)))
        self._units = ProbedTexts.of(self.labelled)
        self._prepared: dict[str, list[PreparedDataset]] = {}

    @property
    def datasets(self) -> dict[str, dict[str, str]]:
        return {texts.name: texts.provenance for texts in self.labelled}

    def requests(self, members: Sequence[Member]) -> Sequence[Request]:
        return [PooledTexts(self._token_ids, frozenset(member.key for member in members))]

    def score(self, member: Member, served: Sequence[Served]) -> Scores:
        device = self.lm.device
        pooled = only(served, PooledValues)
        codes = pooled.codes[member.key]
        prepared = self._prepare(member.hook_name, pooled)
        results = [one.llm.joined(probing.score_sae(one, codes, self.config, device=device)) for one in prepared]
        scores = _scores(results, self.config)
        scores.samples = text_samples(prepared, results, self._units)
        return scores

    def _load(self, context: EvalContext) -> list[LabelledTexts]:
        return [
            load_labelled(
                name,
                train_set_size=self.config.probe_train_set_size,
                test_set_size=self.config.probe_test_set_size,
                seed=self.config.random_seed,
                data_dir=context.data_dir,
            )
            for name in self.config.dataset_names
        ]

    def _add(self, texts_of: dict[str, list[str]], classes: Sequence[str]) -> dict[str, Tensor]:
        """Tokenise one split; returns where its texts of each class stand among all texts of the request."""
        places: dict[str, Tensor] = {}
        for name in classes:
            start = len(self._token_ids)
            self._token_ids.extend(self.lm.tokenize(texts_of[name], max_length=self.config.context_length))
            places[name] = torch.arange(start, len(self._token_ids))
        return places

    def _prepare(self, hook: str, pooled: PooledValues) -> list[PreparedDataset]:
        """Draws and residual-stream baselines at a hook; computed once, however many groups of SAEs follow."""
        if hook not in self._prepared:
            self._prepared[hook] = [
                probing.prepare_dataset(
                    PooledDataset(
                        texts.name,
                        texts.classes,
                        train,
                        test,
                    ),
                    pooled.activations[hook],
                    self.config,
                    seeds=self.seeds,
                    device=self.lm.device,
                )
                for texts, (train, test) in zip(self.labelled, self._places, strict=True)
            ]
        return self._prepared[hook]


def _scores(results: Sequence[Accuracies], config: SparseProbingEvalConfig) -> Scores:
    per_seed = probing.seed_metrics(results)
    means = probing.mean_over_seeds(per_seed)
    not_computed = {
        f"eval_result_details.{result.dataset_name}.{key}": reason
        for result in results
        for key, reason in result.not_computed.items()
    }
    warnings = [warning for result in results for warning in result.warnings]
    if config.probe_selection == "test":
        warnings.append(TEST_SELECTED)
    return Scores(
        metrics=SparseProbingMetricCategories(
            llm=SparseProbingLlmMetrics.model_validate(_of_source(means, "llm")),
            sae=SparseProbingSaeMetrics.model_validate(_of_source(means, "sae")),
        ),
        details=[
            SparseProbingResultDetail.model_validate(
                {
                    "dataset_name": probing.published_dataset_key(result.dataset_name),
                    **probing.dataset_metrics(result),
                }
            )
            for result in results
        ],
        unstructured=probing.unstructured_results(results),
        not_computed=not_computed,
        seed_results=[
            SeedResult(seed=seed, metrics={f"{key.split('_', 1)[0]}.{key}": value for key, value in values.items()})
            for seed, values in per_seed.items()
        ],
        warnings=warnings,
    )


def _of_source(means: dict[str, float], source: str) -> dict[str, float]:
    return {key: value for key, value in means.items() if key.startswith(f"{source}_")}


SPEC = EvalSpec(
    name="sparse_probing",
    title="Sparse probing",
    summary="How well the few best latents predict labelled concepts, beside the residual stream.",
    protocol="sparse_probing-1",
    config=SparseProbingEvalConfig,
    output=SparseProbingEvalOutput,
    metrics=(
        Metric("sae.sae_top_1_test_accuracy", "Top-1 accuracy", True, 0.5),
        Metric("sae.sae_top_2_test_accuracy", "Top-2 accuracy", True, 0.5),
        Metric("sae.sae_top_5_test_accuracy", "Top-5 accuracy", True, 0.5),
        Metric("sae.sae_test_accuracy", "All latents", True, 0.5),
        Metric("llm.llm_test_accuracy", "Residual stream", True, 0.5),
    ),
    cost="one pass over the labelled texts; then seconds of probe fitting per SAE",
    start=SparseProbingJob,
    presets={
        "paper": {},
        "quick": {"probe_train_set_size": 1000, "probe_test_set_size": 400},
    },
    embedded={"dataset_names": ["embedded/news_topics", "embedded/code_languages", "embedded/ag_news"]},
    demo={
        "dataset_names": ["embedded/news_topics", "embedded/code_languages"],
        "context_length": 64,
        "probe_train_set_size": 240,
        "probe_test_set_size": 120,
    },
    caveats=(
        Caveat(
            "Probes on all latents and on the residual stream keep the epoch with the best TEST accuracy, as "
            "published: a little too high for every SAE.",
            ("sae.sae_test_accuracy", "llm.llm_test_accuracy"),
        ),
    ),
    shows=Shows("dataset_name"),
)
