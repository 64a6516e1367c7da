"""The only loop over SAEs: skip what is done, group what fits in memory, run the pass, score, write at once.

Nothing is lost: jobs are prepared before anything is written, every result is written whole as soon as its (SAE, eval)
is done, an SAE that fails is recorded with its traceback while the others go on.
"""

from __future__ import annotations

import logging
import time
import traceback
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from time import perf_counter

from sae_bench.activations.one_pass import PassOptions, PassReport, count_tokens, run_pass
from sae_bench.activations.requests import Request, Served
from sae_bench.atomic import remove_partial_files, write_text_atomically
from sae_bench.custom_saes.loading import GroupLimits, Member, load_members
from sae_bench.custom_saes.spec import LoadContext, SAEHandle
from sae_bench.errors import HookError, ResultError, UsageError, no_exit
from sae_bench.evals.base import EvalContext, EvalSpec, Job, Metric, Scores
from sae_bench.language_models import LanguageModel
from sae_bench.results import files
from sae_bench.results.metric_statistics import describe_metrics
from sae_bench.results.model import BaseEvalConfig, BaseEvalOutput, MetricStatistics, Provenance, as_taken, own_copy
from sae_bench.results.provenance import config_as_dict, describe_run, package_commit, sae_lens_version
from sae_bench.results.sample_files import samples_path, write_samples
from sae_bench.run.resampled import start_resampled

logger = logging.getLogger(__name__)

BASELINE = "baseline"
"""Release of the SAEs that need a hook from the run."""


@dataclass(frozen=True)
class EvalRequest:
    """One eval with its settings: a checked copy, so that a change of the caller's config does not reach the run."""

    spec: EvalSpec
    config: BaseEvalConfig

    def __post_init__(self) -> None:
        object.__setattr__(self, "config", own_copy(self.config))


@dataclass(frozen=True)
class RunPlan:
    """Everything a run needs to know.

    Attributes:
        output_folder: where results go.
        folder_per_eval: whether each eval has its own folder there, or all files go straight into it.
        load_context: device, dtype and what baselines need.
        seeds: seeds of everything random; published fields are means over them.
        resample_data: whether every seed draws texts of its own, which costs a pass over them per seed.
        published_nulls: write -1 for null in the fields where published result files always hold a number.
        judge_key: for evals that ask a judge; written nowhere.
        on_phase: told what happens next and how many tokens it will read (0 if it reads none).
    """

    lm: LanguageModel
    evals: Sequence[EvalRequest]
    handles: Sequence[SAEHandle]
    output_folder: Path
    load_context: LoadContext
    seeds: tuple[int, ...] = (42,)
    resample_data: bool = False
    data_dir: Path | None = None
    folder_per_eval: bool = True
    force_rerun: bool = False
    published_nulls: bool = False
    limits: GroupLimits = field(default_factory=lambda: GroupLimits())
    pass_options: PassOptions = field(default_factory=lambda: PassOptions())
    judge_key: str | None = field(default=None, repr=False)
    on_phase: Callable[[str, int], None] = lambda _phase, _tokens: None

    def eval_folder(self, name: str) -> Path:
        """Where the results of an eval go."""
        return self.output_folder / name if self.folder_per_eval else self.output_folder


@dataclass(frozen=True)
class Failure:
    """An (SAE, eval) that could not be done, and the file that holds the traceback."""

    sae: str
    eval_name: str
    message: str
    traceback_file: Path


@dataclass
class RunSummary:
    """What came of a run."""

    written: list[Path] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    pass_seconds: dict[str, float] = field(default_factory=dict)
    n_tokens: int = 0

    @property
    def results(self) -> list[Path]:
        """All result files of the request, new and old."""
        return [*self.skipped, *self.written]

    @property
    def n_asked(self) -> int:
        """How many (SAE, eval) the request has."""
        return len(self.results) + len(self.failures)

    def add(self, other: RunSummary) -> None:
        """Take in what came of another run of the same request."""
        self.written += other.written
        self.skipped += other.skipped
        self.failures += other.failures
        self.n_tokens += other.n_tokens
        for phase, seconds in other.pass_seconds.items():
            self.pass_seconds[phase] = self.pass_seconds.get(phase, 0.0) + seconds


def run(plan: RunPlan) -> RunSummary:
    """Evaluate every SAE of the plan on every eval of the plan.

    Raises:
        SAEBenchError: something is missing or wrong before the first SAE is touched; nothing has been written then.
    """
    return _Run(plan).execute()


class _Run:
    def __init__(self, plan: RunPlan) -> None:
        self.plan = plan
        self.summary = RunSummary()
        self.run_id = str(uuid.uuid4())
        self.fingerprint = plan.lm.fingerprint()
        self.jobs: dict[str, Job] = {}
        self.prepare_seconds: dict[str, float] = {}
        self._pending: set[tuple[str, str, str]] = set()
        self._unnameable: dict[str, ResultError] = {}

    def execute(self) -> RunSummary:
        self._check_plan()
        handles = [handle for handle in self.plan.handles if self._pending_evals(handle.release, handle.sae_id)]
        if not handles:
            return self.summary
        handles = self._usable(handles)
        if not handles:
            return self.summary
        self._start_jobs(handles)
        for group in self._groups(handles):
            self._run_group(group)
            group.clear()  # the SAEs of one group leave the memory before those of the next enter it
        return self.summary

    # ---- before the first SAE is touched

    def _check_plan(self) -> None:
        """Find what is still to do; whatever stands in the way of writing it stops the run here."""
        paths = [files.result_path("", h.release, h.sae_id) for h in self.plan.handles]
        if len(set(paths)) < len(paths):
            twice = sorted({p.name for p in paths if paths.count(p) > 1})
            raise ResultError(
                f"several SAEs would write the same result file: {', '.join(twice)}. Next: give the SAEs different "
                "names (rename a folder, say), or evaluate them into different output folders."
            )
        for handle in self.plan.handles:
            try:
                files.check_name(handle.release, handle.sae_id)
            except ResultError as error:
                self._unnameable[handle.name] = error
        for request in self.plan.evals:
            name, folder = request.spec.name, self.plan.eval_folder(request.spec.name)
            files.check_writable(folder)
            made = files.Made(
                request.spec.type_id,
                request.spec.protocol,
                request.config,
                self.plan.seeds,
                self.fingerprint,
                resample_data=self.plan.resample_data,
            )
            for handle in self.plan.handles:
                path = files.result_path(folder, handle.release, handle.sae_id)
                if handle.name in self._unnameable:
                    self._pending.add((handle.release, handle.sae_id, name))
                elif not self.plan.force_rerun and files.is_done(path, made):
                    self.summary.skipped.append(path)
                else:
                    self._pending.add((handle.release, handle.sae_id, name))
        self._remove_leftovers()

    def _remove_leftovers(self) -> None:
        """Delete what a killed run was writing."""
        folders = [folder for name in self._names() for folder in self._result_folders(name)]
        if self.plan.pass_options.store is not None:
            folders += self.plan.pass_options.store.folder.glob("*/*")
        for folder in folders:
            remove_partial_files(folder)

    def _result_folders(self, name: str) -> tuple[Path, ...]:
        folder = self.plan.eval_folder(name)
        return folder, files.failure_path(folder, name, "", "").parent, samples_path(folder, "", "").parent

    def _names(self) -> list[str]:
        return [request.spec.name for request in self.plan.evals]

    def _pending_evals(self, release: str, sae_id: str) -> tuple[str, ...]:
        return tuple(name for name in self._names() if (release, sae_id, name) in self._pending)

    def _usable(self, handles: Sequence[SAEHandle]) -> list[SAEHandle]:
        """The SAEs whose name and hook, as far as it is known without loading, can be; the others have failed.

        Raises:
            HookError, UsageError: the hook of the whole run does not exist, or a baseline has none.
        """
        if self.plan.load_context.hook_name is not None:
            self.plan.lm.hook_site(self.plan.load_context.hook_name)
        usable = []
        for handle in handles:
            hook = handle.hook_name or self.plan.load_context.hook_name
            if hook is None and handle.release == BASELINE:
                raise UsageError(
                    f"the baseline '{handle.sae_id}' has no place in the model. Next: name a hook, e.g. --hook "
                    f"blocks.{self.plan.lm.n_layers // 3}.hook_resid_post, or choose it beside an SAE that has one."
                )
            try:
                if handle.name in self._unnameable:
                    raise self._unnameable[handle.name]
                if hook is not None:
                    self.plan.lm.hook_site(hook)
            except (HookError, ResultError) as error:
                self._sae_failed(handle, error)
            else:
                usable.append(handle)
        return usable

    def _start_jobs(self, handles: Sequence[SAEHandle]) -> None:
        hooks = tuple(sorted({h.hook_name or self.plan.load_context.hook_name or "" for h in handles} - {""}))
        context = EvalContext(
            lm=self.plan.lm,
            hook_names=hooks,
            seeds=self.plan.seeds,
            data_dir=self.plan.data_dir,
            artifacts_folder=self.plan.output_folder,
            judge_key=self.plan.judge_key,
        )
        for request in self.plan.evals:
            name = request.spec.name
            if any(key[2] == name for key in self._pending):
                self.plan.on_phase(f"preparing {name}", 0)
                start = perf_counter()
                start_job = start_resampled if self.plan.resample_data else _start
                self.jobs[name] = start_job(request.spec, context, request.config)
                self.prepare_seconds[name] = perf_counter() - start

    # ---- group by group

    def _groups(self, handles: Sequence[SAEHandle]) -> Iterator[list[Member]]:
        n_texts = sum(len(getattr(r, "token_ids", ())) for job in self.jobs.values() for r in job.requests([]))
        loaded = load_members(
            handles,
            self.plan.load_context,
            self.plan.lm,
            limits=self.plan.limits,
            n_texts=n_texts,
            on_failure=self._sae_failed,
        )
        while True:
            self.plan.on_phase("loading SAEs", 0)
            group = next(loaded, None)
            if group is None:
                return
            yield group

    def _run_group(self, group: Sequence[Member]) -> None:
        """One pass for the SAEs of a group, then the scores that each of them lacks."""
        lacking = {
            name: [m for m in group if (m.release, m.sae_id, name) in self._pending] for name in self.jobs
        }  # not all alike when a run that was cut short is taken up again
        asked = {name: self._requests(name, members) for name, members in lacking.items()}
        requests = [request for of_job in asked.values() for request in of_job]
        self.plan.on_phase(f"one pass for {len(group)} SAEs", count_tokens(requests))
        report = run_pass(self.plan.lm, requests, group, self.plan.pass_options)
        self._add_pass(report)
        served = iter(report.served)
        for name, members in lacking.items():
            self.plan.on_phase(f"scoring {name}", 0)
            of_job = list(islice(served, len(asked[name])))
            for member in members:
                if member.key in report.failed:
                    self._failed(member.release, member.sae_id, name, report.failed[member.key])
                else:
                    self._score(name, member, of_job, report.seconds)

    def _requests(self, name: str, members: Sequence[Member]) -> list[Request]:
        """What a job wants for these SAEs and no others.

        A job without SAEs in a group still places its texts: jobs rely on a text having the same row in every pass.
        """
        keys = frozenset(member.key for member in members)
        return [replace(request, sae_keys=keys) for request in self.jobs[name].requests(members)]

    def _score(self, name: str, member: Member, served: Sequence[Served], pass_seconds: Mapping[str, float]) -> None:
        start = perf_counter()
        try:
            with no_exit(member.key):
                scores = self.jobs[name].score(member, served)
            request = next(r for r in self.plan.evals if r.spec.name == name)
            seconds = {
                "prepare (shared)": self.prepare_seconds[name],
                **{f"{phase} (shared)": value for phase, value in pass_seconds.items()},
                "score": perf_counter() - start,
            }
            output = self._output(request, member, scores, self._provenance(request, member, scores, seconds))
        except Exception as error:
            self._failed(member.release, member.sae_id, name, error)
            return
        self._write(name, member, output, scores)

    def _write(self, name: str, member: Member, output: BaseEvalOutput, scores: Scores) -> None:
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

    def _output(self, request: EvalRequest, member: Member, scores: Scores, provenance: Provenance) -> BaseEvalOutput:
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
            sae_cfg_dict=config_as_dict(member.sae.cfg),
            eval_result_unstructured=scores.unstructured,
            provenance=provenance,
            seed_results=scores.seed_results,
            statistics=_statistics(
                request.spec, scores, given=request.spec.given_with(resample_data=self.plan.resample_data)
            ),
            not_computed=scores.not_computed,
        )

    def _provenance(
        self, request: EvalRequest, member: Member, scores: Scores, seconds: dict[str, float]
    ) -> Provenance:
        described = describe_run(
            self.plan.lm, protocol=request.spec.protocol, seeds=list(self.plan.seeds), fingerprint=self.fingerprint
        )
        return described.model_copy(
            update={
                "resample_data": self.plan.resample_data,
                "sae_dtype": str(member.sae.W_dec.dtype).removeprefix("torch."),
                "datasets": self.jobs[request.spec.name].datasets,
                "seconds": {phase: round(value, 4) for phase, value in seconds.items()},
                "warnings": [*member.warnings, *_beyond_training(member, request.config), *scores.warnings],
            }
        )

    def _add_pass(self, report: PassReport) -> None:
        self.summary.n_tokens += report.n_tokens
        for phase, value in report.seconds.items():
            self.summary.pass_seconds[phase] = self.summary.pass_seconds.get(phase, 0.0) + value

    def _sae_failed(self, handle: SAEHandle, error: Exception) -> None:
        for name in self._pending_evals(handle.release, handle.sae_id):
            self._failed(handle.release, handle.sae_id, name, error)

    def _failed(self, release: str, sae_id: str, name: str, error: Exception) -> None:
        path = files.failure_path(self.plan.eval_folder(name), name, release, sae_id)
        write_text_atomically(path, "".join(traceback.format_exception(error)))
        self.summary.failures.append(Failure(f"{release}_{sae_id}", name, str(error) or type(error).__name__, path))
        logger.error("%s failed on %s_%s: %s", name, release, sae_id, error)


def _beyond_training(member: Member, config: BaseEvalConfig) -> list[str]:
    """A warning if an eval reads longer texts than the SAE was trained on, where its file says how long those were."""
    trained = getattr(member.sae.cfg, "context_size", None)
    lengths = [getattr(config, name, None) for name in ("context_size", "context_length", "llm_context_size")]
    longest = max((length for length in lengths if length), default=None)
    if not trained or not longest or longest <= trained:
        return []
    return [f"the SAE was trained on texts of {trained} tokens and is evaluated on texts of up to {longest}"]


def _start(spec: EvalSpec, context: EvalContext, config: BaseEvalConfig) -> Job:
    return spec.start(context, config)


def _statistics(spec: EvalSpec, scores: Scores, *, given: str) -> dict[str, MetricStatistics]:
    """The error bars of the headline metrics, and of every other metric that has samples."""
    metrics = scores.metrics.model_dump()
    paths = dict.fromkeys([*(metric.path for metric in spec.metrics), *scores.samples])
    read = {path: Metric(path, path).read(metrics) for path in paths}
    values = {path: None if value is None else float(value) for path, value in read.items()}
    return describe_metrics(
        values,
        seed_results=scores.seed_results,
        samples=scores.samples,
        bounds={path: spec.bounds_of(path) for path in paths},
        given=given,
    )
