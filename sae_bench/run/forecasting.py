"""What a run takes: texts counted, the model's speed measured, the rest read off results that are there.

How long preparing, encoding and scoring take depends on device, settings and SAEs. Results of the same evals that were
made on this kind of device tell; without any it is not known, and one SAE, evaluated first, tells.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import torch

from sae_bench.activations.device_limits import capture_with_halving, tokens_at_once
from sae_bench.activations.one_pass import count_tokens, lengths_of_texts
from sae_bench.activations.requests import Request
from sae_bench.custom_saes.spec import SAEHandle
from sae_bench.errors import ResultError
from sae_bench.language_models.numbers import dtype_name
from sae_bench.results.files import differing_settings, read_result
from sae_bench.run import planner
from sae_bench.run.forecast import EvalForecast, ModelForecast
from sae_bench.run.pending import Pending
from sae_bench.run.plan import EvalRequest, RunPlan
from sae_bench.run.threads import scored_at_once

CALIBRATION = 2.0
"""Seconds for which a dry run measures a model's speed."""

BATCHES_WORTH_IT = 20
"""A run measures the speed with two batches, unless it has less than so many: it would be done before that helps."""

_ROW = 128
_RESULTS = 64
"""So many results of an eval are enough to know what it takes, and most often hold all SAEs of a pass."""


def forecast_of(
    plan: RunPlan,
    handles: Sequence[SAEHandle],
    pending: Pending,
    asked: Mapping[str, Sequence[Request]],
    *,
    load_seconds: float = 0.0,
    n_workers: int = 1,
    calibration: float = CALIBRATION,
) -> ModelForecast:
    """What a run takes.

    Args:
        plan: of the run.
        handles: its SAEs that lack a result.
        pending: what of it is to do.
        asked: eval -> what it asks the pass for.
        load_seconds: that loading the model took.
        n_workers: devices like this one.
        calibration: seconds for which the model's speed is measured, at least; 0: in two batches, if there are many.
    """
    hooks = hooks_of(plan, handles)
    past = {request.spec.name: _Past(plan, request) for request in plan.evals}
    requests = [request for of_eval in asked.values() for request in of_eval]
    tokens, n_texts = count_tokens(requests), len(lengths_of_texts(requests))
    least = 0 if calibration else BATCHES_WORTH_IT * _tokens_at_once(plan)
    measured = tokens > least and hooks and plan.lm.kind == "language"
    codes = [one.codes_seconds for one in past.values() if one.codes_seconds is not None]
    forecast = ModelForecast(
        name=plan.lm.name,
        device=str(plan.lm.device),
        dtype=dtype_name(plan.lm.dtype),
        n_saes=len(handles),
        n_done=len(pending.done),
        load_seconds=load_seconds,
        model_bytes=plan.lm.weight_bytes,
        tokens=tokens,
        n_texts=n_texts,
        pooled_bytes=n_texts * len(hooks) * plan.lm.d_model * 4,
        tokens_per_second=_tokens_per_second(plan, hooks, calibration) if measured else None,
        codes_seconds=max(codes, default=None),
        evals=[
            _of_eval(plan, request, pending, asked.get(request.spec.name, ()), past[request.spec.name])
            for request in plan.evals
        ],
        n_workers=n_workers,
    )
    return _divided(forecast, [handle.hook_name for handle in handles])


def hooks_of(plan: RunPlan, handles: Sequence[SAEHandle]) -> tuple[str, ...]:
    """Where SAEs sit, as far as it is known without loading them."""
    return tuple(sorted({h.hook_name or plan.load_context.hook_name or "" for h in handles} - {""}))


def _of_eval(
    plan: RunPlan, request: EvalRequest, pending: Pending, asked: Sequence[Request], past: _Past
) -> EvalForecast:
    spec = request.spec
    n_saes = sum(name == spec.name for _, _, name in pending.keys)
    judge = None
    if n_saes and spec.judge_price is not None:
        judge = spec.judge_price(request.config, len(plan.seeds), plan.controls, n_saes)
    at_once = scored_at_once(n_saes) if spec.side_by_side and plan.lm.device.type == "cpu" else 1
    return EvalForecast(
        spec.name, n_saes, count_tokens(asked), past.prepare_seconds, past.score_seconds, at_once, judge
    )


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


def _tokens_at_once(plan: RunPlan) -> int:
    return plan.pass_options.max_tokens or tokens_at_once(plan.lm.device)


@torch.no_grad()
def _tokens_per_second(plan: RunPlan, hooks: Sequence[str], calibration: float) -> float:
    """How fast the model reads rows of text up to the deepest hook, in batches as the pass makes them."""
    lm = plan.lm
    ids_BL = torch.arange(max(_tokens_at_once(plan) // _ROW, 1) * _ROW).view(-1, _ROW) % lm.embedding.num_embeddings
    times: list[float] = []
    while len(times) < 2 or sum(times) < calibration:
        start = perf_counter()
        x_BLD = capture_with_halving(lm, ids_BL, hooks)[hooks[-1]]
        float(x_BLD[-1, -1, 0])  # waits for the device
        times.append(perf_counter() - start)
    return ids_BL.numel() / median(times[1:])


def _divided(forecast: ModelForecast, hooks: Sequence[str | None]) -> ModelForecast:
    """The forecast with its units, and with the time that they take, if all parts of it are known."""
    evals = [one for one in forecast.evals if one.n_saes]
    prepare = [one.prepare_seconds for one in evals]
    scores = forecast.all_score_seconds
    known = scores is not None and None not in prepare and (not forecast.tokens or forecast.codes_seconds is not None)
    price = planner.NOMINAL
    if known:
        of_scores = (scores or 0.0) / max(len(hooks), 1)
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
