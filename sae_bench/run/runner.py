"""The only loop over SAEs: skip what is done, group what fits in memory, run the pass, score, write at once.

Nothing is lost: jobs are prepared before anything is written, every result is written whole as soon as its (SAE, eval)
is done, an SAE that fails is recorded with its traceback while the others go on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from time import perf_counter

from sae_bench.activations.one_pass import count_tokens, run_pass
from sae_bench.activations.pass_report import PassReport
from sae_bench.activations.requests import Request, Served
from sae_bench.custom_saes.loading import Member, load_members
from sae_bench.custom_saes.spec import SAEHandle
from sae_bench.errors import HookError, ResultError, SAEMismatchError, UsageError, no_exit
from sae_bench.evals.base import EvalContext, EvalSpec, Job, Scores
from sae_bench.results.model import BaseEvalConfig, BaseEvalOutput
from sae_bench.run.forecasting import forecast_of, hooks_of
from sae_bench.run.pending import find_pending, made_meanwhile
from sae_bench.run.plan import EvalRequest, RunPlan, RunSummary
from sae_bench.run.resampled import start_resampled
from sae_bench.run.threads import side_by_side
from sae_bench.run.writing import ResultWriter

__all__ = ["EvalRequest", "RunPlan", "RunSummary", "run"]


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
        fingerprint = plan.lm.fingerprint()
        self.writer = ResultWriter(plan, fingerprint, self.summary)
        self.pending = find_pending(plan, fingerprint)
        self.jobs: dict[str, Job] = {}
        self.prepare_seconds: dict[str, float] = {}

    def execute(self) -> RunSummary:
        self.summary.skipped += self.pending.done
        handles = [handle for handle in self.plan.handles if self.pending.has(handle.release, handle.sae_id)]
        if not handles:
            return self.summary
        handles = self._usable(handles)
        if not handles:
            return self.summary
        self._start_jobs(handles)
        if self.plan.on_forecast is not None:
            asked = {name: job.requests([]) for name, job in self.jobs.items()}
            self.plan.on_forecast(forecast_of(self.plan, handles, self.pending, asked, calibration=0.0))
        for group in self._groups(handles):
            self._run_group(group)
            group.clear()  # the SAEs of one group leave the memory before those of the next enter it
        return self.summary

    # ---- before the first SAE is touched

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
            if hook is None and handle.placed_by_run:
                raise UsageError(
                    f"the baseline '{handle.sae_id}' has no place in the model. Next: name a hook, e.g. --hook "
                    f"blocks.{self.plan.lm.n_layers // 3}.hook_resid_post, or choose it beside an SAE that has one."
                )
            try:
                if handle.name in self.pending.unnameable:
                    raise self.pending.unnameable[handle.name]
                if hook is not None:
                    self.plan.lm.check_readable(hook)
            except (HookError, ResultError) as error:
                self._sae_failed(handle, error)
            else:
                usable.append(handle)
        return usable

    def _start_jobs(self, handles: Sequence[SAEHandle]) -> None:
        context = EvalContext(
            lm=self.plan.lm,
            hook_names=hooks_of(self.plan, handles),
            seeds=self.plan.seeds,
            data_dir=self.plan.data_dir,
            artifacts_folder=self.plan.output_folder,
            controls=self.plan.controls,
            judge_key=self.plan.judge_key,
        )
        for request in self.plan.evals:
            name = request.spec.name
            if name in self.pending.evals():
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
            name: [m for m in group if self._lacks(name, m) and not self._refused(name, m)] for name in self.jobs
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
            for member in [member for member in members if member.key in report.failed]:
                self.writer.failed(member.release, member.sae_id, name, report.failed[member.key])
            usable = [member for member in members if member.key not in report.failed and self._lacks(name, member)]
            self._score_all(name, usable, of_job, report.seconds)

    def _lacks(self, name: str, member: Member) -> bool:
        """Whether a result is still to be made: another run on this folder may have made it by now."""
        key = (member.release, member.sae_id, name)
        if key not in self.pending.keys:
            return False
        try:
            path = made_meanwhile(self.plan, self.pending, name, member)
        except ResultError as error:
            self.pending.keys.remove(key)
            self.writer.failed(*key, error)
            return False
        if path is not None:
            self.pending.keys.remove(key)
            self.summary.skipped.append(path)
        return path is None

    def _refused(self, name: str, member: Member) -> bool:
        """Whether an eval cannot take an SAE, which is then recorded."""
        reason = next(r.spec.refusal(member) for r in self.plan.evals if r.spec.name == name)
        if reason:
            self.writer.failed(member.release, member.sae_id, name, SAEMismatchError(reason))
        return bool(reason)

    def _requests(self, name: str, members: Sequence[Member]) -> list[Request]:
        """What a job wants for these SAEs and no others.

        A job without SAEs in a group still places its texts: jobs rely on a text having the same row in every pass.
        """
        keys = frozenset(member.key for member in members)
        return [replace(request, sae_keys=keys) for request in self.jobs[name].requests(members)]

    def _score_all(
        self, name: str, members: Sequence[Member], served: Sequence[Served], pass_seconds: Mapping[str, float]
    ) -> None:
        """Score SAE after SAE, several at a time where the eval allows it, and write each result at once."""
        request = next(r for r in self.plan.evals if r.spec.name == name)
        work = partial(self._score, request, served=served, pass_seconds=pass_seconds)
        together = request.spec.side_by_side and self.plan.lm.device.type == "cpu"
        for member, scored in (
            side_by_side(work, members) if together else zip(members, map(work, members), strict=True)
        ):
            if isinstance(scored, Exception):
                self.writer.failed(member.release, member.sae_id, name, scored)
            else:
                self.writer.write(name, member, *scored)

    def _score(
        self, request: EvalRequest, member: Member, served: Sequence[Served], pass_seconds: Mapping[str, float]
    ) -> tuple[BaseEvalOutput, Scores] | Exception:
        """The result of one SAE, or why there is none."""
        name, start = request.spec.name, perf_counter()
        try:
            with no_exit(member.key):
                scores = self.jobs[name].score(member, served)
            seconds = {
                "prepare (shared)": self.prepare_seconds[name],
                **{f"{phase} (shared)": value for phase, value in pass_seconds.items()},
            }
            datasets = self.jobs[name].datasets
            output = self.writer.describe(request, member, scores, datasets=datasets, seconds=seconds, since=start)
            return output, scores
        except Exception as error:
            return error

    def _add_pass(self, report: PassReport) -> None:
        self.summary.n_tokens += report.n_tokens
        for phase, value in report.seconds.items():
            self.summary.pass_seconds[phase] = self.summary.pass_seconds.get(phase, 0.0) + value

    def _sae_failed(self, handle: SAEHandle, error: Exception) -> None:
        for request in self.plan.evals:
            name = request.spec.name
            if (handle.release, handle.sae_id, name) in self.pending.keys:
                self.writer.failed(handle.release, handle.sae_id, name, error)


def _start(spec: EvalSpec, context: EvalContext, config: BaseEvalConfig) -> Job:
    return spec.start(context, config)
