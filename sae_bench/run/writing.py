"""Results of a run on their way into files: provenance and error bars around the scores, failures beside them."""

from __future__ import annotations

import logging
import time
import traceback
import uuid
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from sae_bench.atomic import write_text_atomically
from sae_bench.custom_saes.interface import compute_dtype
from sae_bench.custom_saes.loading import Member
from sae_bench.evals.base import EvalSpec, Metric, Scores
from sae_bench.language_models import LanguageModel
from sae_bench.language_models.token_choice import ALL_TOKENS
from sae_bench.results import files
from sae_bench.results.metric_statistics import describe_metrics
from sae_bench.results.model import (
    BaseEvalConfig,
    BaseEvalOutput,
    MetricStatistics,
    MetricValidity,
    Provenance,
    as_taken,
)
from sae_bench.results.provenance import config_as_dict, describe_run, package_commit, sae_lens_version
from sae_bench.results.references import describe_references
from sae_bench.results.sample_files import samples_path, write_samples
from sae_bench.run.plan import EvalRequest, Failure, RunPlan, RunSummary

logger = logging.getLogger(__name__)


class ResultWriter:
    """Writes what a run computes, each result whole and at once, and keeps count in its summary.

    Args:
        model_fingerprint: of the model of the run.
        summary: what is written and what failed is added to it.
    """

    def __init__(self, plan: RunPlan, model_fingerprint: str, summary: RunSummary) -> None:
        self.plan = plan
        self.model_fingerprint = model_fingerprint
        self.summary = summary
        self.run_id = str(uuid.uuid4())

    def describe(
        self,
        request: EvalRequest,
        member: Member,
        scores: Scores,
        *,
        datasets: Mapping[str, Any],
        seconds: Mapping[str, float],
        since: float,
    ) -> BaseEvalOutput:
        """The result of one SAE on one eval.

        Args:
            datasets: source and revision of each data set.
            seconds: wall-clock time by phase, but for scoring.
            since: when scoring began, by `perf_counter`; error bars belong to it.
        """
        statistics = _statistics(
            request.spec, scores, given=request.spec.given_with(resample_data=self.plan.resample_data)
        )
        validity = _validity(request.spec, scores)
        seconds = {**seconds, "score": time.perf_counter() - since}
        provenance = self._provenance(request, member, scores, datasets, seconds)
        return request.spec.output(
            eval_type_id=request.spec.type_id,
            eval_config=as_taken(request.config, self.plan.pass_options.max_texts),
            eval_id=self.run_id,
            datetime_epoch_millis=int(time.time() * 1000),
            eval_result_metrics=scores.metrics,
            eval_result_details=list(scores.details),
            sae_bench_commit_hash=package_commit() or "Unknown",
            sae_lens_id=member.sae_id,
            sae_lens_release_id=member.release,
            sae_lens_version=sae_lens_version(),
            sae_cfg_dict=config_as_dict(member.sae.cfg) | _ladder(member),
            eval_result_unstructured=scores.unstructured,
            provenance=provenance,
            seed_results=scores.seed_results,
            statistics=statistics,
            validity=validity,
            not_computed=scores.not_computed,
        )

    def _provenance(
        self,
        request: EvalRequest,
        member: Member,
        scores: Scores,
        datasets: Mapping[str, Any],
        seconds: Mapping[str, float],
    ) -> Provenance:
        described = describe_run(
            self.plan.lm,
            protocol=request.spec.protocol,
            seeds=list(self.plan.seeds),
            fingerprint=self.model_fingerprint,
        )
        return described.model_copy(
            update={
                "resample_data": self.plan.resample_data,
                "sae_fingerprint": member.fingerprint or None,
                "sae_hook": member.hook_name,
                "sae_dtype": str(compute_dtype(member.sae)).removeprefix("torch."),
                "datasets": datasets,
                "seconds": {phase: round(value, 4) for phase, value in seconds.items()},
                "warnings": [
                    *member.warnings,
                    *_beyond_training(member, request.config),
                    *_read_anyway(request.spec, self.plan.lm),
                    *scores.warnings,
                ],
            }
        )

    def write(self, name: str, member: Member, output: BaseEvalOutput, scores: Scores) -> None:
        """Samples, then the result. A full disk or a missing permission will not mend itself: it ends the run."""
        folder = self.plan.eval_folder(name)
        path = files.result_path(folder, member.release, member.sae_id)
        beside = samples_path(folder, member.release, member.sae_id)
        write_samples(beside, scores.samples, eval_name=name, eval_id=output.eval_id, seeds=self.plan.seeds)
        try:
            files.write_result(path, output, published_nulls=self.plan.published_nulls)
        except OSError:
            beside.unlink(missing_ok=True)
            raise
        failure = files.failure_path(folder, name, member.release, member.sae_id)
        failure.unlink(missing_ok=True)
        with suppress(OSError):  # not there, or it still holds the failures of other SAEs
            failure.parent.rmdir()
        self.summary.written.append(path)
        self._tell()

    def failed(self, release: str, sae_id: str, name: str, error: Exception) -> None:
        """Keep the traceback of an (SAE, eval) that could not be done."""
        path = files.failure_path(self.plan.eval_folder(name), name, release, sae_id)
        write_text_atomically(path, "".join(traceback.format_exception(error)))
        self.summary.failures.append(Failure(f"{release}_{sae_id}", name, str(error) or type(error).__name__, path))
        said = "%s failed on %s_%s: %s (traceback: %s)"
        logger.error(said, name, release, sae_id, error, path, extra={"in_summary": True})
        self._tell()

    def _tell(self) -> None:
        asked = len(self.plan.evals) * len(self.plan.handles)
        self.plan.on_result(len(self.summary.results), len(self.summary.failures), asked)


def _ladder(member: Member) -> dict[str, Any]:
    """Where an SAE stands among several whose order is known."""
    if member.rung is None:
        return {}
    better = "lower" if member.rung.by == "level" else "higher"
    return {"ladder": {**asdict(member.rung), "better": better}}


def _beyond_training(member: Member, config: BaseEvalConfig) -> list[str]:
    """A warning if an eval reads longer texts than the SAE was trained on, where its file says how long those were."""
    trained = getattr(member.sae.cfg, "context_size", None)
    lengths = [
        getattr(config, name, None) for name in ("context_size", "context_length", "llm_context_size", "seq_len")
    ]
    longest = max((length for length in lengths if length), default=None)
    if not trained or not longest or longest <= trained:
        return []
    return [f"the SAE was trained on texts of {trained} tokens and is evaluated on texts of up to {longest}"]


def _read_anyway(spec: EvalSpec, lm: LanguageModel) -> list[str]:
    """A warning if positions or token ids are left out and an eval reads some tokens all the same."""
    if lm.choice == ALL_TOKENS or not spec.fixed_tokens:
        return []
    return [f"{spec.name} goes by {spec.fixed_tokens}, whatever positions and token ids this run leaves out"]


def _validity(spec: EvalSpec, scores: Scores) -> dict[str, MetricValidity]:
    """Floors, ceilings and controls of the headline metrics."""
    bounds = {path: spec.bounds_of(path) for path in scores.references}
    return describe_references(scores.references, scores.samples, bounds, _values(scores, scores.references))


def _statistics(spec: EvalSpec, scores: Scores, *, given: str) -> dict[str, MetricStatistics]:
    """The error bars of the headline metrics, and of every other metric that has samples."""
    paths = dict.fromkeys([*(metric.path for metric in spec.metrics), *scores.samples])
    return describe_metrics(
        _values(scores, paths),
        seed_results=scores.seed_results,
        samples=scores.samples,
        bounds={path: spec.bounds_of(path) for path in paths},
        given=given,
    )


def _values(scores: Scores, paths: Iterable[str]) -> dict[str, float | None]:
    """Metrics by path; None for one that is null."""
    metrics = scores.metrics.model_dump()
    read = {path: Metric(path, path).read(metrics) for path in paths}
    return {path: None if value is None else float(value) for path, value in read.items()}
