"""What every eval has to keep, as named checks: `for check in check_eval(SPEC): check()`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from sae_bench.activations.one_pass import run_pass
from sae_bench.activations.requests import PooledTexts, Request
from sae_bench.custom_saes.loading import Member
from sae_bench.errors import ResultError, SAEBenchError
from sae_bench.evals.base import EvalContext, EvalSpec, Metric
from sae_bench.language_models import LanguageModel
from sae_bench.results.model import config_fields
from sae_bench.run.planning import make_config, refuse_run_fields
from sae_bench.testing.checks import Check, declared
from sae_bench.testing.eval_trial import (
    BETWEEN_NAMES,
    RELEASE,
    TO_ITSELF,
    EvalTrial,
    check_saes,
    comparable,
    differences,
)
from sae_bench.testing.tiny_models import tiny_model

TOLERANCE = 1e-4
"""Sums over latents in another order differ by rounding; so may scores, float32."""
ROUNDING = 1e-5
"""A cosine of float32 vectors may be so much above 1."""
RANK_TOLERANCE = 0.05
"""So much a control may be better than the identity on the few texts of a check."""
CONTROLS = ("zero", "random", "permuted")
NOT_COMPUTED = ("eval_result_metrics.", "eval_result_details.", "eval_result_unstructured.")
SCORES = ("eval_result_metrics", "seed_results", "validity")
HALF_WRITTEN = '{"eval_type_id": '


def check_eval(
    spec: EvalSpec,
    *,
    lm: LanguageModel | None = None,
    settings: Mapping[str, Any] | None = None,
    saes: Mapping[str, Any] | None = None,
    hook_name: str | None = None,
    seeds: tuple[int, ...] = (42, 43),
    expected_failures: Mapping[str, str] | None = None,
    data_dir: str | Path | None = None,
) -> Iterator[Check]:
    """The checks of an eval; nothing runs before the first of them is called, and all share the same few runs.

    Args:
        spec: the eval.
        lm: the model that it runs on; by default a tiny random one.
        settings: of the eval, over its defaults, so small that a run takes seconds.
        saes: name -> further SAEs whose results are checked; they sit at `hook_name`.
        hook_name: by default the middle of the model.
        seeds: of its runs.
        expected_failures: name of a check -> why this eval cannot keep it.
        data_dir: a mirror whose `<org>/<name>` folders go before the hub.
    Raises:
        UsageError: an expected failure names no check.
    """
    model = tiny_model() if lm is None else lm
    hook = hook_name or f"blocks.{model.n_layers // 2}.hook_resid_post"
    mirror = None if data_dir is None else Path(data_dir)
    all_saes = {**(saes or {}), **check_saes(model.d_model, hook, model.n_layers)}
    trial = EvalTrial(spec, model, all_saes, settings or {}, hook, seeds, mirror)
    yield from declared(_checks(trial), expected_failures or {})


def _checks(trial: EvalTrial) -> Iterator[Check]:
    whole: dict[str, Callable[[EvalTrial], Iterator[str]]] = {
        "declaration": _declaration,
        "requests": _requests,
        "company": _company,
        "seeds": _seeds,
        "resume": _resume,
        "order_of_latents": _order_of_latents,
        "dead_sae": _dead_sae,
        "references": _references,
    }
    for name, check in whole.items():
        yield Check(name, partial(check, trial))
    for name in CONTROLS:
        yield Check(f"ranks[{name}]", partial(_ranks, trial, name))
    for name in (TO_ITSELF, BETWEEN_NAMES):
        yield Check(f"as_sae[{name}]", partial(_as_sae, trial, name))
    for name in trial.saes:
        yield Check(f"result[{name}]", partial(_result, trial, name))


# ---- the eval itself


def _declaration(trial: EvalTrial) -> Iterator[str]:
    """Names and settings that the spec declares exist."""
    spec = trial.spec
    if not spec.metrics:
        yield "the spec declares no metric: name at least one headline number."
    if not (spec.title and spec.summary and spec.protocol and spec.cost):
        yield "title, summary, protocol and cost all have to say something."
    for name in ("model_name", "llm_dtype"):
        if name not in config_fields(spec.config):
            yield f"the config has no {name}: the run fills it in."
    declared_settings = {f"preset {name}": values for name, values in spec.presets.items()}
    declared_settings |= {"embedded": spec.embedded, "demo": spec.demo, "resampled": spec.resampled}
    for name, values in declared_settings.items():
        try:
            refuse_run_fields(spec, values)
            make_config(spec, values)
        except SAEBenchError as error:
            yield f"the settings of {name} are not taken: {error}"
    for path in (path for caveat in spec.caveats for path in caveat.paths):
        if not _is_metric(trial, path):
            yield f"a caveat is about {path}, which results do not have."


def _is_metric(trial: EvalTrial, path: str) -> bool:
    categories: Any = trial.spec.output.model_fields["eval_result_metrics"].annotation
    category, _, name = path.partition(".")
    return category in categories.model_fields and name in categories.model_fields[category].annotation.model_fields


def _requests(trial: EvalTrial) -> Iterator[str]:
    """Requests are the same every time, and the pass leaves them as they were."""
    context = EvalContext(trial.lm, (trial.hook_name,), trial.seeds, data_dir=trial.data_dir)
    job = trial.spec.start(context, trial.config)
    members = [Member(RELEASE, name, trial.saes[name], trial.hook_name) for name in ("topk", "identity")]
    first = job.requests(members)
    before = [_read(request) for request in first]
    report = run_pass(trial.lm, first, members)
    for error in report.failed.values():
        yield f"the pass failed: {type(error).__name__}: {error}"
    if [_read(request) for request in first] != before:
        yield "the pass, or what reads along, changed a request: its tokens are others now."
    if [_read(request) for request in job.requests(members[:1])] != before:
        yield "requests for another group of SAEs read other texts, or in another order."


def _read(request: Request) -> tuple[str, list[list[int]]]:
    rows = request.token_ids if isinstance(request, PooledTexts) else request.rows_NL
    return type(request).__name__, [[int(token) for token in row] for row in rows]


# ---- runs


def _company(trial: EvalTrial) -> Iterator[str]:
    """A score does not depend on the order or the company of SAEs, nor on which run made it."""
    for name, result in trial.alone.results.items():
        paths = differences(comparable(result), comparable(trial.whole.results.get(name, {})))
        if paths:
            yield f"{name} alone differs from {name} among others in {_some(paths)}."


def _seeds(trial: EvalTrial) -> Iterator[str]:
    """Either nothing is random, or there is a result per seed and the metric is their mean."""
    for name, result in trial.whole.results.items():
        recorded = [entry["seed"] for entry in result["seed_results"]]
        if recorded and recorded != list(trial.seeds):
            yield f"{name} has results of the seeds {recorded}; the run has {list(trial.seeds)}."
        if result["provenance"]["seeds"] != list(trial.seeds):
            yield f"{name} says that it was made with the seeds {result['provenance']['seeds']}."
        for metric in trial.spec.metrics if recorded else ():
            values = [entry["metrics"].get(metric.path) for entry in result["seed_results"]]
            known = [value for value in values if value is not None]
            value = metric.read(result["eval_result_metrics"])
            if value is None or not known:
                continue
            if not min(known) - TOLERANCE <= value <= max(known) + TOLERANCE:
                yield f"{name}: {metric.path} is {value:g}; its seeds have {known}."


def _resume(trial: EvalTrial) -> Iterator[str]:
    """What is done is left alone, what is half-written is not taken for done, what is gone is made again, the same."""
    made = trial.alone
    names = list(made.results)
    before = {name: made.path(name).read_bytes() for name in names}
    again = trial.run(names, "alone")
    if again.summary.written:
        yield f"results that are done were made again: {[path.name for path in again.summary.written]}."
    made.path("topk").write_text(HALF_WRITTEN, encoding="utf-8")
    with suppress(ResultError):  # a file that is no result may stop the run, but is not taken for done
        if made.path("topk") in trial.run(["topk"], "alone").summary.skipped:
            yield "a half-written result was taken for done."
    for name in ("topk", "zero"):
        made.path(name).unlink()
    mended = trial.run(names, "alone")
    written = sorted(path.name for path in mended.summary.written)
    if written != sorted(made.path(name).name for name in ("topk", "zero")):
        yield f"two results were gone; made again were {written}."
    if made.path("identity").read_bytes() != before["identity"]:
        yield "a result that was done has been touched."
    for name in ("topk", "zero"):
        paths = differences(comparable(mended.results.get(name, {})), comparable(made.results[name]))
        if paths:
            yield f"{name} made again differs in {_some(paths)}."


def _result(trial: EvalTrial, name: str) -> Iterator[str]:
    """The result is there, is what its schema says, has every declared metric, and a reason for each that is null."""
    sae = trial.saes[name]
    if trial.spec.refusal(Member(RELEASE, name, sae, sae.cfg.hook_name)):
        if name in trial.whole.results:
            yield "the eval refuses it, and there is a result."
        return
    for failure in trial.whole.summary.failures:
        if failure.sae == f"{RELEASE}_{name}":
            yield f"failed: {failure.message}\n{failure.traceback_file.read_text(encoding='utf-8')}"
    result = trial.whole.results.get(name)
    if result is None:
        return
    try:
        trial.spec.output.model_validate(result)
    except ValueError as error:
        yield f"the file is not what its model says: {error}"
    metrics, reasons = result["eval_result_metrics"], result["not_computed"]
    for metric in trial.spec.metrics:
        if not _is_metric(trial, metric.path):
            yield f"there is no {metric.path} in eval_result_metrics."
            continue
        value = metric.read(metrics)
        key = f"eval_result_metrics.{metric.path}"
        if value is None and not reasons.get(key):
            yield f"{metric.path} is null without a reason: not_computed has no '{key}'."
        if value is not None and key in reasons:
            yield f"{metric.path} is {value:g}, but not_computed gives a reason why it is null."
        yield from () if value is None else _out_of_bounds(metric, value)
    for key in reasons:
        if not key.startswith(NOT_COMPUTED):
            yield f"not_computed has '{key}': its keys are paths from the root of the file."
    for key, reason in reasons.items():
        if not reason.strip():
            yield f"not_computed['{key}'] is empty: say why the field is null."


def _out_of_bounds(metric: Metric, value: float) -> Iterator[str]:
    low, high = metric.bounds
    below = low is not None and value < low - ROUNDING
    if not math.isfinite(value) or below or (high is not None and value > high + ROUNDING):
        yield f"{metric.path} is {value:g}; its range is {low} to {high}."


# ---- SAEs of which the answer is known


def _values(trial: EvalTrial, sae: str) -> dict[str, float]:
    """Path -> value of the headline metrics that say which direction is better and are not null."""
    metrics = trial.whole.results.get(sae, {}).get("eval_result_metrics", {})
    read = {metric.path: metric.read(metrics) for metric in trial.spec.metrics if metric.higher_is_better is not None}
    return {path: value for path, value in read.items() if value is not None}


def _ranks(trial: EvalTrial, control: str) -> Iterator[str]:
    """No control is better than the identity."""
    identity, other = _values(trial, "identity"), _values(trial, control)
    for metric in trial.spec.metrics:
        if metric.path not in identity or metric.path not in other:
            continue
        gain = (other[metric.path] - identity[metric.path]) * (1 if metric.higher_is_better else -1)
        if gain > RANK_TOLERANCE * max(1.0, abs(identity[metric.path])):
            yield (
                f"{metric.path}: {control} has {other[metric.path]:g}, the identity {identity[metric.path]:g}, and "
                f"{'higher' if metric.higher_is_better else 'lower'} is better."
            )


def _order_of_latents(trial: EvalTrial) -> Iterator[str]:
    """An SAE with its latents in another order scores the same."""
    one, other = _values(trial, "topk"), _values(trial, "reordered")
    if one.keys() != other.keys():
        yield f"with its latents in another order, an SAE has other metrics: {sorted(one.keys() ^ other.keys())}."
    for path in one.keys() & other.keys():
        if abs(one[path] - other[path]) > TOLERANCE * max(1.0, abs(one[path])):
            yield f"{path} is {one[path]:g}, and {other[path]:g} with the latents in another order."


def _dead_sae(trial: EvalTrial) -> Iterator[str]:
    """An SAE of which no latent is ever active is named: a warning says so, or no metric has a value."""
    result = trial.whole.results.get("dead")
    if result is None:
        yield "an SAE of which no latent is active ends in a failure."
    elif not result["provenance"]["warnings"] and _values(trial, "dead"):
        yield "no latent of this SAE is active, and neither a warning nor a null says so."


def _as_sae(trial: EvalTrial, name: str) -> Iterator[str]:
    """A transcoder that writes what it reads has the numbers of the SAE that it is, bit for bit."""
    one, other = trial.whole.results.get("topk"), trial.whole.results.get(name)
    if one is None or other is None:  # an eval may not take it: that it says so is checked elsewhere
        return
    for part in SCORES:
        paths = differences(comparable(one[part]), comparable(other[part]), part)
        if paths:
            yield f"{name} differs from the SAE that it is in {_some(paths)}."


def _references(trial: EvalTrial) -> Iterator[str]:
    """Every headline metric with a better direction stands beside a floor and a ceiling, or says why there is none."""
    for name, result in trial.whole.results.items():
        for path in _values(trial, name):
            validity = result["validity"].get(path, {})
            for end in ("floor", "ceiling"):
                reference = validity.get(end) or {}
                if reference.get("value") is None and not reference.get("reason"):
                    yield f"{name}: {path} has neither a {end} nor a reason why there is none."
            relative = validity.get("above_floor") or {}
            if relative.get("value") is None and not relative.get("reason"):
                yield f"{name}: {path} has no place between floor and ceiling, and no reason."


def _some(paths: list[str]) -> str:
    return ", ".join(paths[:5]) + (f" and {len(paths) - 5} more" if len(paths) > 5 else "")
