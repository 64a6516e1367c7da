"""Sparse probing on the tasks of sae-probes: texts in, activations and codes at their last tokens out, then probes."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
import torch

from sae_bench.activations.requests import PooledTexts, PooledValues, Request, Served, only
from sae_bench.activations.text_pools import text_key
from sae_bench.custom_saes.loading import Member
from sae_bench.errors import DatasetError
from sae_bench.evals.base import EvalContext, EvalSpec, Metric, Scores, Shows
from sae_bench.evals.sparse_probing_sae_probes import probing
from sae_bench.evals.sparse_probing_sae_probes.eval_config import QUICK_TASKS, SparseProbingSaeProbesEvalConfig
from sae_bench.evals.sparse_probing_sae_probes.eval_output import (
    METRICS,
    SaeProbesLlmMetrics,
    SaeProbesMetricCategories,
    SaeProbesResultDetail,
    SaeProbesSaeMetrics,
    SparseProbingSaeProbesEvalOutput,
    llm_key,
    metrics_by_k,
    top_k_key,
)
from sae_bench.evals.sparse_probing_sae_probes.probing import Draw, ScoreTable
from sae_bench.evals.sparse_probing_sae_probes.tasks import BinaryTask, choose_tasks, load_task, provenance
from sae_bench.language_models import LanguageModel
from sae_bench.results.model import SeedResult
from sae_bench.results.samples import Samples, units_key

_ATTRIBUTES = {"test_accuracy": "accuracy", "test_auc": "auc", "test_f1": "f1"}
ALL_LATENTS = "the published package declares this field and never fills it; see sparse_probing for such a probe."
_SEEN_SHARE = 0.01


class SaeProbesJob:
    """The tasks of one model: texts tokenised and splits drawn once, the residual stream probed once per hook."""

    def __init__(
        self,
        context: EvalContext,
        config: SparseProbingSaeProbesEvalConfig,
        tasks: Sequence[BinaryTask] | None = None,
    ) -> None:
        self.lm = context.lm
        self.config = config
        self.seeds = context.seeds
        if tasks is None:
            names = choose_tasks(config.dataset_names, config.max_tasks)
            tasks = [load_task(name, max_texts=config.max_texts) for name in names]
        self.datasets = {task.name: provenance(task) for task in tasks}
        self.task_names = tuple(task.name for task in tasks)
        self._row_of: dict[bytes, int] = {}
        self.draws = [draw for task in tasks for draw in self._draws(task)]
        self._token_ids = [array("i", key) for key in self._row_of]
        self._unit_key = units_key("sae_probes_tasks", [config.setting, *self._row_of, *self.task_names])
        self._row_of.clear()
        self._streams: dict[str, ScoreTable] = {}

    def requests(self, members: Sequence[Member]) -> Sequence[Request]:
        return [PooledTexts(self._token_ids, frozenset(member.key for member in members), tokens="last")]

    def score(self, member: Member, served: Sequence[Served]) -> Scores:
        pooled = only(served, PooledValues)
        stream = self._stream(member.hook_name, pooled)
        codes = pooled.codes[member.key]
        config = self.config
        by_k = probing.score_codes(self.draws, codes, config.ks, penalty=config.reg_type, binarize=config.binarize)
        collected = Collected(self.draws, self.task_names, self.seeds, stream, by_k)
        return collected.scores(config, self._unit_key)

    def _draws(self, task: BinaryTask) -> list[Draw]:
        """Tokenise a task, note where each of its texts stands among the distinct ones of the run, draw its splits."""
        ids = tokenize_ends(self.lm, task.texts, self.config.context_length)
        if not all(ids):
            raise DatasetError(f"'{task.name}' has a text without tokens; its last token cannot be read.")
        rows_T = np.array([self._row_of.setdefault(text_key(text), len(self._row_of)) for text in ids])
        return probing.draw_all(task, rows_T, self.config.setting, self.seeds)

    def _stream(self, hook: str, pooled: PooledValues) -> ScoreTable:
        """Scores of the residual stream at a hook; computed once, however many groups of SAEs follow."""
        activations = pooled.activations.pop(hook, None)  # let go as soon as it has been used
        if hook not in self._streams:
            table: ScoreTable = {}
            if self.config.include_llm_baseline and activations is not None:
                device = self.lm.device if self.lm.device.type == "cuda" else None
                table = probing.score_stream(self.draws, activations, device=device)
            self._streams[hook] = table
        return self._streams[hook]


def tokenize_ends(lm: LanguageModel, texts: Sequence[str], length: int) -> list[list[int]]:
    """Token ids of the texts, BOS first where the model takes one, the middle left out of texts that are too long.

    Of these the last tokens are kept, at most `length` in all and no more than the model has positions.
    """
    most = min(length, getattr(lm.config, "max_position_embeddings", None) or length)
    n_start = int(lm.prepend_bos)
    return [
        ids if len(ids) <= most else [*ids[:n_start], *ids[len(ids) - most + n_start :]] for ids in lm.tokenize(texts)
    ]


@dataclass(frozen=True)
class Collected:
    """The probe scores of one SAE and of the residual stream on all draws."""

    draws: Sequence[Draw]
    tasks: Sequence[str]
    seeds: Sequence[int]
    stream: ScoreTable
    by_k: Mapping[int, ScoreTable]

    def scores(self, config: SparseProbingSaeProbesEvalConfig, unit_key: str) -> Scores:
        """Means over steps, tasks and seeds; each task is a unit of the intervals."""
        table = self._table()
        means = {key: fmean(fmean(by_seed.values()) for by_seed in of.values()) for key, of in table.items()}
        per_seed = {
            seed: {key: fmean(of[task][seed] for task in self.tasks) for key, of in table.items()}
            for seed in self.seeds
        }
        samples = {
            f"{key.split('_', 1)[0]}.{key}": Samples.of_equal_units(
                torch.tensor([[of[task][seed] for task in self.tasks] for seed in self.seeds]),
                unit="task",
                key=unit_key,
            )
            for key, of in table.items()
        }
        return Scores(
            metrics=SaeProbesMetricCategories(
                llm=SaeProbesLlmMetrics.model_validate(_of_source(means, "llm")),
                sae=SaeProbesSaeMetrics.model_validate(_of_source(means, "sae")),
            ),
            details=[self._detail(task, table, config.ks) for task in self.tasks],
            unstructured={task: self._steps(task) for task in self.tasks},
            not_computed=self._not_computed(config),
            seed_results=[
                SeedResult(seed=seed, metrics={f"{key.split('_', 1)[0]}.{key}": v for key, v in values.items()})
                for seed, values in per_seed.items()
            ],
            samples=samples,
            warnings=self._warnings(),
        )

    def _tables(self) -> dict[str, ScoreTable]:
        """Prefix of the field names -> scores."""
        tables = {"llm": self.stream} if self.stream else {}
        return {**tables, **{f"sae_top_{k}": table for k, table in self.by_k.items()}}

    def _table(self) -> dict[str, dict[str, dict[int, float]]]:
        """Field -> task -> seed -> mean over steps."""
        return {
            llm_key(metric) if prefix == "llm" else f"{prefix}_{metric}": probing.step_means(table, attribute)
            for prefix, table in self._tables().items()
            for metric, attribute in _ATTRIBUTES.items()
        }

    def _detail(self, task: str, table: Mapping[str, Any], ks: Sequence[int]) -> SaeProbesResultDetail:
        values = {key: fmean(of[task].values()) for key, of in table.items()}
        return SaeProbesResultDetail.model_validate(
            {"dataset_name": task, **values, "sae_metrics_by_k": metrics_by_k(values, list(ks)) or None}
        )

    def _steps(self, task: str) -> dict[str, Any]:
        """Step -> sizes, scores averaged over seeds, and the C that each seed chose."""
        found: dict[str, Any] = {}
        for name in dict.fromkeys(draw.step for draw in self.draws if draw.task == task):
            draws = [draw for draw in self.draws if draw.task == task and draw.step == name]
            step: dict[str, Any] = {
                "n_train": len(draws[0].train_rows),
                "n_test": len(draws[0].test_rows),
                "test_texts_seen_in_training": fmean(draw.seen_share for draw in draws),
            }
            for prefix, table in self._tables().items():
                for attribute in ("accuracy", "auc", "f1"):
                    step[f"{prefix}_test_{attribute}"] = fmean(getattr(table[draw], attribute) for draw in draws)
                step[f"{prefix}_val_auc"] = fmean(table[draw].val_auc for draw in draws)
                step[f"{prefix}_c"] = [table[draw].c for draw in draws]
            found[name] = step
        return found

    def _not_computed(self, config: SparseProbingSaeProbesEvalConfig) -> dict[str, str]:
        reasons = {"sae.sae_test_accuracy": ALL_LATENTS}
        for k in config.ks:
            if k not in self.by_k:
                reasons |= {f"sae.{top_k_key(k, m)}": f"k = {k} is more than the SAE's latents." for m in METRICS}
        if not self.stream:
            reasons |= {f"llm.{llm_key(m)}": "left out: include_llm_baseline is off." for m in METRICS}
        return reasons

    def _warnings(self) -> list[str]:
        warnings: list[str] = []
        for prefix, table in self._tables().items():
            unfinished = sum(not scores.converged for scores in table.values())
            if unfinished:
                warnings.append(f"{unfinished} of {len(table)} {prefix} probes stopped before their optimum.")
        seen = fmean(draw.seen_share for draw in self.draws)
        if seen > _SEEN_SHARE:
            warnings.append(
                f"{seen:.0%} of the test texts are among the training texts, too: the package's files hold "
                "duplicates, which are kept as published (shares per task: test_texts_seen_in_training)."
            )
        return warnings


def _of_source(means: Mapping[str, float], source: str) -> dict[str, float]:
    return {key: value for key, value in means.items() if key.startswith(f"{source}_")}


SPEC = EvalSpec(
    name="sparse_probing_sae_probes",
    title="Sparse probing (sae-probes)",
    summary="How well the few best latents at the last token predict 113 binary concepts; cross-validated probes.",
    protocol="sparse_probing_sae_probes-1",
    config=SparseProbingSaeProbesEvalConfig,
    output=SparseProbingSaeProbesEvalOutput,
    metrics=(
        Metric("sae.sae_top_1_test_auc", "Top-1 AUC", True, 0.5),
        Metric("sae.sae_top_2_test_auc", "Top-2 AUC", True, 0.5),
        Metric("sae.sae_top_5_test_auc", "Top-5 AUC", True, 0.5),
        Metric("sae.sae_top_5_test_accuracy", "Top-5 accuracy", True),
        Metric("llm.llm_test_auc", "Residual stream AUC", True, 0.5),
    ),
    cost="one pass over up to 270,000 texts, of which only last tokens are encoded; then seconds of probes per SAE",
    start=SaeProbesJob,
    presets={
        "paper": {},
        "quick": {"dataset_names": list(QUICK_TASKS), "max_texts": 400},
    },
    demo={"max_tasks": 8, "max_texts": 240},
    shows=Shows("dataset_name"),
)
