"""Sparse probing on the tasks of sae-probes: texts in, activations and codes at their last tokens out, then probes."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from sae_bench.activations.pooled import CodeMatrix
from sae_bench.custom_saes.loading import Member
from sae_bench.errors import DatasetError
from sae_bench.evals.base import EvalContext, Scores
from sae_bench.evals.families.reported import report, unit_ids
from sae_bench.evals.families.texts import SEEN, SEEN_SHARE, TextsJob
from sae_bench.evals.sparse_probing_sae_probes import probing
from sae_bench.evals.sparse_probing_sae_probes.eval_config import SparseProbingSaeProbesEvalConfig
from sae_bench.evals.sparse_probing_sae_probes.eval_output import (
    METRICS,
    PUBLISHED_K_VALUES,
    SaeProbesMetricCategories,
    SaeProbesResultDetail,
    llm_key,
    metric_path,
    metrics_by_k,
    top_k_key,
)
from sae_bench.evals.sparse_probing_sae_probes.probing import Draw, ScoreTable
from sae_bench.evals.sparse_probing_sae_probes.reference_probes import (
    direction_scores,
    majority_scores,
    probe_references,
)
from sae_bench.evals.sparse_probing_sae_probes.tasks import (
    BinaryTask,
    choose_tasks,
    load_task,
    provenance,
    sharing_texts,
)
from sae_bench.language_models import LanguageModel, TokenTexts
from sae_bench.language_models.token_texts import text_key
from sae_bench.results.samples import Samples, units_key

_ATTRIBUTES = {"test_accuracy": "accuracy", "test_auc": "auc", "test_f1": "f1"}
ALL_LATENTS = "the published package declares this field and never fills it; see sparse_probing for such a probe."


class SaeProbesJob(TextsJob[SparseProbingSaeProbesEvalConfig, "StreamScores"]):
    """The tasks of one model: texts tokenised and splits drawn once, the residual stream probed once per hook."""

    tokens = "last"

    def __init__(
        self,
        context: EvalContext,
        config: SparseProbingSaeProbesEvalConfig,
        tasks: Sequence[BinaryTask] | None = None,
    ) -> None:
        super().__init__(context, config)
        if tasks is None:
            chosen = choose_tasks(config.dataset_names, config.max_tasks)
            tasks = [load_task(name, max_texts=config.max_texts) for name in chosen]
        self.datasets = {task.name: provenance(task) for task in tasks}
        row_of: dict[bytes, int] = {}  # tokens of a text -> its row: tasks share texts
        self.draws = [draw for task in tasks for draw in self._draws(task, row_of)]
        self.token_ids = TokenTexts(array("i", key) for key in row_of)
        names = [task.name for task in tasks]
        self._tasks = Tasks(
            tuple(names),
            key=units_key("sae_probes_tasks", [config.setting, *row_of, *names]),
            clusters_U=unit_ids(names[first] for first in sharing_texts(tasks)),
        )

    def prepare(self, activations_TD: Tensor) -> StreamScores:
        guessing = majority_scores(self.draws)
        if not self.config.include_llm_baseline:
            return StreamScores(guessing)
        device = self.lm.device if self.lm.device.type == "cuda" else None
        probes = probing.score_stream(self.draws, activations_TD, device=device)
        return StreamScores(guessing, probes, direction_scores(self.draws, activations_TD))

    def score_codes(self, member: Member, codes: CodeMatrix, prepared: StreamScores) -> Scores:
        del member
        config = self.config
        by_k = probing.score_codes(self.draws, codes, config.ks, penalty=config.reg_type, binarize=config.binarize)
        return Collected(self.draws, self._tasks, self.seeds, prepared, by_k).scores(config)

    def _draws(self, task: BinaryTask, row_of: dict[bytes, int]) -> list[Draw]:
        """Tokenise a task, note where each of its texts stands among the distinct ones of the run, draw its splits."""
        ids = tokenize_ends(self.lm, task.texts, self.config.context_length)
        if not all(ids):
            raise DatasetError(f"'{task.name}' has a text without tokens; its last token cannot be read.")
        rows_T = np.array([row_of.setdefault(text_key(text), len(row_of)) for text in ids])
        return probing.draw_all(task, rows_T, self.config.setting, self.seeds)


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
class Tasks:
    """The units of the intervals.

    Attributes:
        key: what tells them, their texts and the setting from any others.
        clusters_U: tasks that share their texts have one number.
    """

    names: tuple[str, ...]
    key: str
    clusters_U: Int[Tensor, " U"]


@dataclass(frozen=True)
class StreamScores:
    """What no SAE at a hook changes: scores of guessing, of probes on the residual stream and of a direction in it.

    The latter two are empty where they were left out.
    """

    guessing: ScoreTable
    probes: ScoreTable = field(default_factory=dict)
    direction: ScoreTable = field(default_factory=dict)


@dataclass(frozen=True)
class Collected:
    """The probe scores of one SAE and of the residual stream on all draws."""

    draws: Sequence[Draw]
    tasks: Tasks
    seeds: Sequence[int]
    stream: StreamScores
    by_k: Mapping[int, ScoreTable]

    def scores(self, config: SparseProbingSaeProbesEvalConfig) -> Scores:
        """Means over steps, tasks and seeds."""
        names = self.tasks.names
        table = self._table()
        samples = {metric_path(name): self._samples(of) for name, of in table.items()}
        return report(
            SaeProbesMetricCategories,
            self.seeds,
            samples=samples,
            seed_values={
                metric_path(name): [fmean(of[task][seed] for task in names) for seed in self.seeds]
                for name, of in table.items()
            },
            values={
                metric_path(name): fmean(fmean(by_seed.values()) for by_seed in of.values())
                for name, of in table.items()
            },
            references=probe_references(
                samples, self._samples_by_metric(self.stream.guessing), self._samples_by_metric(self.stream.direction)
            ),
            reasons=self._reasons(config),
            details=[self._detail(task, table, config.ks) for task in names],
            unstructured={task: self._steps(task) for task in names},
            warnings=self._warnings(),
        )

    def _samples(self, of: Mapping[str, Mapping[int, float]]) -> Samples:
        """Task -> seed -> value as samples; tasks are the units."""
        values_SU = torch.tensor([[of[task][seed] for task in self.tasks.names] for seed in self.seeds])
        equal = Samples.of_equal_units(values_SU, unit="task", key=self.tasks.key)
        return replace(equal, clusters_U=self.tasks.clusters_U)

    def _samples_by_metric(self, table: ScoreTable) -> dict[str, Samples]:
        """Metric -> samples of the scores on all draws; none of an empty table."""
        if not table:
            return {}
        return {
            metric: self._samples(probing.step_means(table, attribute)) for metric, attribute in _ATTRIBUTES.items()
        }

    def _tables(self) -> dict[str, ScoreTable]:
        """Prefix of the field names -> scores."""
        tables = {"llm": self.stream.probes} if self.stream.probes else {}
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
        steps: dict[str, Any] = {}
        for name in dict.fromkeys(draw.step for draw in self.draws if draw.task == task):
            draws = [draw for draw in self.draws if draw.task == task and draw.step == name]
            step: dict[str, Any] = {
                "n_train": len(draws[0].train_rows),
                "n_test": len(draws[0].test_rows),
                SEEN: fmean(draw.seen_share for draw in draws),
            }
            for prefix, table in self._tables().items():
                for attribute in ("accuracy", "auc", "f1"):
                    step[f"{prefix}_test_{attribute}"] = fmean(getattr(table[draw], attribute) for draw in draws)
                step[f"{prefix}_val_auc"] = fmean(table[draw].val_auc for draw in draws)
                step[f"{prefix}_c"] = [table[draw].c for draw in draws]
            steps[name] = step
        return steps

    def _reasons(self, config: SparseProbingSaeProbesEvalConfig) -> dict[str, str]:
        """Path of a metric -> why it may be null."""
        reasons = {"sae_test_accuracy": ALL_LATENTS}
        for k in (*PUBLISHED_K_VALUES, *config.ks):
            why = f"k = {k} is more than the SAE's latents." if k in config.ks else f"k = {k} is not among ks."
            reasons |= {top_k_key(k, metric): why for metric in METRICS}
        reasons |= {llm_key(metric): "left out: include_llm_baseline is off." for metric in METRICS}
        return {metric_path(name): why for name, why in reasons.items()}

    def _warnings(self) -> list[str]:
        warnings: list[str] = []
        for prefix, table in self._tables().items():
            unfinished = sum(not scores.converged for scores in table.values())
            if unfinished:
                warnings.append(f"{unfinished} of {len(table)} {prefix} probes stopped before their optimum.")
        seen = fmean(draw.seen_share for draw in self.draws)
        if seen > SEEN_SHARE:
            warnings.append(
                f"{seen:.0%} of the test texts are among the training texts, too: the package's files hold "
                "duplicates, which are kept as published (shares per task: test_texts_seen_in_training)."
            )
        return warnings
