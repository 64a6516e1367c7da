"""What a run would do and what it would take, without doing it.

Texts are counted as the run would read them, and the model's speed is measured. How long preparing and scoring take is
read off results of the same evals that are there, made on this kind of device: without any it is not known, and one
SAE, evaluated first, tells.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import torch

from sae_bench.activations.device_limits import tokens_at_once
from sae_bench.activations.one_pass import count_tokens
from sae_bench.activations.requests import Request
from sae_bench.errors import ResultError
from sae_bench.evals.base import EvalContext
from sae_bench.judges.pricing import Estimate
from sae_bench.language_models.numbers import dtype_name
from sae_bench.results.files import differing_settings, read_result
from sae_bench.results.model import config_fields
from sae_bench.run import planner
from sae_bench.run.evaluate import plans
from sae_bench.run.pending import Pending, find_pending
from sae_bench.run.plan import EvalRequest, RunPlan
from sae_bench.run.request import RunRequest
from sae_bench.run.resampled import start_resampled

CALIBRATION = 2.0
"""Seconds for which a model's speed is measured."""

_ROW = 128
_RESULTS = 64
"""So many results of an eval are enough to know what it takes, and most often hold all SAEs of a pass."""


@dataclass(frozen=True)
class EvalForecast:
    """One eval on one model.

    Attributes:
        n_saes: how many lack a result.
        tokens: of its texts in the pass, those that it shares with others included.
        prepare_seconds, score_seconds: once, and per SAE; None if no result of it tells.
        judge: what its judge reads and writes for all SAEs; None if it asks none, or a local one.
    """

    name: str
    n_saes: int
    tokens: int
    prepare_seconds: float | None = None
    score_seconds: float | None = None
    judge: Estimate | None = None


@dataclass(frozen=True)
class ModelForecast:
    """One model with its SAEs.

    Attributes:
        n_done: results that are there.
        load_seconds: of the model, as it was loaded just now.
        model_bytes: of its weights.
        tokens: of the pass; texts that evals share count once.
        tokens_per_second: what the model reads, up to the deepest hook of the SAEs.
        codes_seconds: per SAE, encoding and summing up in the pass; None if no result tells.
        units: what each worker takes, in the order in which they are handed out.
        seconds: from the start to the end with these workers; None unless all parts of it are known.
    """

    name: str
    device: str
    dtype: str
    n_saes: int
    n_done: int
    load_seconds: float
    model_bytes: int
    tokens: int
    tokens_per_second: float | None
    codes_seconds: float | None
    evals: Sequence[EvalForecast]
    n_workers: int = 1
    units: Sequence[planner.Unit] = field(default_factory=tuple)
    seconds: float | None = None

    @property
    def pass_seconds(self) -> float | None:
        """One pass of the model over all texts."""
        return None if self.tokens_per_second is None else self.tokens / self.tokens_per_second


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
    hooks = sorted({h.hook_name or plan.load_context.hook_name or "" for h in handles} - {""})
    past = {request.spec.name: _Past(plan, request) for request in plan.evals}
    by_settings = {request.spec.name for request in plan.evals if request.spec.tokens_of is not None}
    requests: list[Request] = []
    evals = []
    for request in plan.evals:
        one, of_eval = _of_eval(plan, request, pending, tuple(hooks), past[request.spec.name])
        evals.append(one)
        requests += of_eval
    tokens = count_tokens(requests) + sum(one.tokens for one in evals if one.name in by_settings)
    speed = _tokens_per_second(plan, hooks) if tokens and hooks and plan.lm.kind == "language" else None
    codes = [one.codes_seconds for one in past.values() if one.codes_seconds is not None]
    forecast = ModelForecast(
        name=plan.lm.name,
        device=str(plan.lm.device),
        dtype=dtype_name(plan.lm.dtype),
        n_saes=len(handles),
        n_done=len(pending.done),
        load_seconds=load_seconds,
        model_bytes=sum(weight.nbytes for weight in plan.lm.model.parameters()),
        tokens=tokens,
        tokens_per_second=speed,
        codes_seconds=max(codes, default=None),
        evals=evals,
        n_workers=n_workers,
    )
    return _divided(forecast, [handle.hook_name for handle in handles])


def _of_eval(
    plan: RunPlan, request: EvalRequest, pending: Pending, hooks: tuple[str, ...], past: _Past
) -> tuple[EvalForecast, Sequence[Request]]:
    """One eval, and what it asks the pass for; nothing if asking would be much of the work."""
    spec = request.spec
    n_saes = sum(name == spec.name for _, _, name in pending.keys)
    asked: Sequence[Request] = ()
    tokens = 0
    if n_saes and spec.tokens_of is not None:
        draws = len(plan.seeds) if plan.resample_data and "random_seed" in config_fields(spec.config) else 1
        tokens = draws * spec.tokens_of(request.config)
    elif n_saes:
        context = EvalContext(
            lm=plan.lm, hook_names=hooks, seeds=plan.seeds, data_dir=plan.data_dir, controls=plan.controls
        )
        job = (
            start_resampled(spec, context, request.config)
            if plan.resample_data
            else spec.start(context, request.config)
        )
        asked = job.requests([])
        tokens = count_tokens(asked)
    judge = None
    if n_saes and spec.judge_price is not None:
        judge = spec.judge_price(request.config, len(plan.seeds), plan.controls, n_saes)
    return EvalForecast(spec.name, n_saes, tokens, past.prepare_seconds, past.score_seconds, judge), asked


class _Past:
    """What results of an eval say of the time that it takes on this kind of device, with these settings.

    The encoding of SAEs is shared by the SAEs of a pass: those of one run (`eval_id`) that took it the same time.
    """

    def __init__(self, plan: RunPlan, request: EvalRequest) -> None:
        self.prepare_seconds: float | None = None
        self.score_seconds: float | None = None
        self.codes_seconds: float | None = None
        folder = plan.eval_folder(request.spec.name)
        alike = [one for one in _results(folder, request.spec.type_id) if _is_alike(one, plan, request)]
        if not alike:
            return
        seconds = [one["provenance"]["seconds"] for one in alike]
        self.prepare_seconds = median(one["prepare (shared)"] for one in seconds)
        self.score_seconds = sum(one["score"] for one in seconds) / len(seconds)
        last = alike[-1]
        shared = last["provenance"]["seconds"]
        n_saes = sum(one["eval_id"] == last["eval_id"] and _of_pass(one) == _of_pass(last) for one in alike)
        self.codes_seconds = sum(shared.get(f"{phase} (shared)", 0.0) for phase in ("sae_encode", "consume")) / n_saes


def _of_pass(result: Mapping[str, Any]) -> Mapping[str, float]:
    """What the pass took that a result came from."""
    seconds = result["provenance"]["seconds"]
    return {name: value for name, value in seconds.items() if name.endswith(" (shared)")}


def _results(folder: Path, type_id: str) -> list[Mapping[str, Any]]:
    """The newest results of an eval, oldest first, those of one run together."""
    newest = sorted(folder.glob("*_eval_results.json"), key=lambda path: path.stat().st_mtime)[-_RESULTS:]
    contents = []
    for path in newest:
        try:
            contents.append(read_result(path))
        except ResultError:
            continue  # the run itself says what is wrong with it
    return [one for one in contents if one.get("eval_type_id") == type_id and one.get("provenance")]


def _is_alike(result: Mapping[str, Any], plan: RunPlan, request: EvalRequest) -> bool:
    """Whether a result was made in the way of this run, so that its seconds are those to be expected."""
    made = result["provenance"]
    return (
        made.get("device", "").split(":")[0] == plan.lm.device.type
        and made.get("llm_dtype") == dtype_name(plan.lm.dtype)
        and made.get("model") == plan.lm.name
        and len(made.get("seeds") or ()) == len(plan.seeds)
        and made.get("protocol") == request.spec.protocol
        and bool(made.get("resample_data")) == plan.resample_data
        and not differing_settings(result.get("eval_config") or {}, request.config)
        and {"prepare (shared)", "score"} <= (made.get("seconds") or {}).keys()
    )


@torch.no_grad()
def _tokens_per_second(plan: RunPlan, hooks: Sequence[str]) -> float:
    """How fast the model reads rows of text up to the deepest hook, in batches as the pass makes them."""
    lm = plan.lm
    at_once = plan.pass_options.max_tokens or tokens_at_once(lm.device)
    ids_BL = torch.arange(max(at_once // _ROW, 1) * _ROW).view(-1, _ROW) % lm.embedding.num_embeddings
    times: list[float] = []
    while len(times) < 2 or sum(times) < CALIBRATION:
        start = perf_counter()
        x_BLD = lm.capture(ids_BL, hooks)[hooks[-1]]
        float(x_BLD[-1, -1, 0])  # waits for the device
        times.append(perf_counter() - start)
    return ids_BL.numel() / median(times[1:])


def _divided(forecast: ModelForecast, hooks: Sequence[str | None]) -> ModelForecast:
    """The forecast with its units, and with the time that they take, if all parts of it are known."""
    evals = [one for one in forecast.evals if one.n_saes]
    scores = [one.score_seconds for one in evals]
    prepare = [one.prepare_seconds for one in evals]
    known = None not in scores and None not in prepare and (not forecast.tokens or forecast.codes_seconds is not None)
    price = planner.NOMINAL
    if known:
        of_scores = sum((one.score_seconds or 0.0) * one.n_saes for one in evals) / max(len(hooks), 1)
        price = planner.Price(
            start=forecast.load_seconds + sum(seconds or 0.0 for seconds in prepare),
            read=forecast.pass_seconds or 0.0,
            hook=0.0,
            sae=max((forecast.codes_seconds or 0.0) + of_scores, 1e-6),
        )
    groups = planner.groups_of([(0, hook) for hook in hooks], [price])
    units = planner.divide(groups, forecast.n_workers) if forecast.n_workers > 1 else groups
    seconds = planner.end_of(units, forecast.n_workers) if known else None
    return dataclasses.replace(forecast, units=units, seconds=seconds)
