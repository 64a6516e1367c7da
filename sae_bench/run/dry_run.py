"""What a run would do and what it would take, without doing it.

Texts are counted as the run would read them; evals that do more than read texts before they ask the pass say what they
will ask for (`EvalSpec.texts`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from time import perf_counter

from sae_bench.activations.requests import Request
from sae_bench.evals.base import EvalContext
from sae_bench.run.evaluate import plans
from sae_bench.run.forecast import ModelForecast
from sae_bench.run.forecasting import forecast_of, hooks_of
from sae_bench.run.pending import find_pending
from sae_bench.run.plan import EvalRequest, RunPlan
from sae_bench.run.request import RunRequest
from sae_bench.run.resampled import settings_of_draws, start_resampled


def dry_run(request: RunRequest, n_workers: int = 1) -> Iterator[ModelForecast]:
    """What each model of a request would take on devices like this one.

    Args:
        n_workers: how many such devices.
    Raises:
        SAEBenchError: as the run itself would, before it starts.
    """
    start = perf_counter()
    for plan in plans(request):
        yield _of_plan(plan, perf_counter() - start, n_workers)
        start = perf_counter()


def _of_plan(plan: RunPlan, load_seconds: float, n_workers: int) -> ModelForecast:
    pending = find_pending(plan, plan.lm.fingerprint())
    handles = [handle for handle in plan.handles if pending.has(handle.release, handle.sae_id)]
    context = EvalContext(
        lm=plan.lm, hook_names=hooks_of(plan, handles), seeds=plan.seeds, data_dir=plan.data_dir, controls=plan.controls
    )
    todo = [request for request in plan.evals if request.spec.name in pending.evals()]
    asked = {request.spec.name: _asked(plan, request, context) for request in todo}
    return forecast_of(plan, handles, pending, asked, load_seconds=load_seconds, n_workers=n_workers)


def _asked(plan: RunPlan, request: EvalRequest, context: EvalContext) -> Sequence[Request]:
    """What an eval will ask the pass for."""
    spec, config = request.spec, request.config
    if spec.texts is not None:
        draws = settings_of_draws(spec, config, plan.seeds) if plan.resample_data else [config]
        return [asked for draw in draws for asked in spec.texts(context, draw)]
    job = start_resampled(spec, context, config) if plan.resample_data else spec.start(context, config)
    return job.requests([])
