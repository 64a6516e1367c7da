"""What a run found, in an experiment tracker: a tracked run per SAE, headline metrics with intervals and floors."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sae_bench.cli.console import is_quiet
from sae_bench.errors import PrerequisiteError

if TYPE_CHECKING:
    from sae_bench.evals.base import EvalSpec

TRACKERS = ("trackio", "wandb", "mlflow")
PROJECT = "sae-bench"
_BESIDE = {"statistics": ("ci_low", "ci_high"), "validity": ("floor", "ceiling", "control", "above_floor")}


def tracker_module(name: str) -> Any:
    """The library of a tracker.

    Raises:
        PrerequisiteError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise PrerequisiteError(
            f"--track {name}: it cannot be imported ({error}). Next: pip install {name}."
        ) from error


def track(name: str, specs: Sequence[EvalSpec], paths: Sequence[Path], project: str = PROJECT) -> None:
    """Log result files to a tracker; an SAE that was tracked before on its model goes on in its run.

    Args:
        name: one of `TRACKERS`.
        specs: the evals of the files.
        paths: result files.
        project: what the tracker files the runs under (an experiment, for mlflow).
    Raises:
        PrerequisiteError: the tracker is not installed, or does not take the numbers.
    """
    module = tracker_module(name)
    by_type = {spec.type_id: spec for spec in specs}
    values: dict[str, dict[str, float]] = {}
    configs: dict[str, dict[str, Any]] = {}
    for path in sorted(paths):
        content = json.loads(path.read_text(encoding="utf-8"))
        sae = f"{content['sae_lens_release_id']}:{content['sae_lens_id']}"
        if model := (content.get("provenance") or {}).get("model"):
            sae += f" on {model}"  # SAEs of two models may have one name
        values.setdefault(sae, {}).update(tracked_values(by_type[content["eval_type_id"]], content))
        configs.setdefault(sae, {}).update(_config(content))
    log = _log_mlflow if name == "mlflow" else _log_wandb
    with contextlib.redirect_stdout(io.StringIO() if is_quiet() else sys.stderr):  # what trackers say is no result
        for sae, numbers in values.items():
            try:
                log(module, project, sae, configs[sae], numbers)
            except Exception as error:  # a library's own: no network, no login, no space
                raise PrerequisiteError(
                    f"the results are written, but {name} did not take those of '{sae}': {error}. "
                    "Next: mend that and give the same command again."
                ) from error


def tracked_values(spec: EvalSpec, content: Mapping[str, Any]) -> dict[str, float]:
    """`<eval>/<metric>` -> value, and what stands beside it (`<eval>/<metric>/ci_low`, ...); what is null is left out.

    Args:
        content: of a result file of the eval.
    """
    values: dict[str, Any] = {}
    for metric in spec.metrics:
        key = f"{spec.name}/{metric.path.rpartition('.')[2]}"
        values[key] = metric.read(content["eval_result_metrics"])
        for part, fields in _BESIDE.items():
            beside = (content.get(part) or {}).get(metric.path) or {}
            values.update({f"{key}/{field}": beside.get(field) for field in fields})
    return {key: float(v) for key, v in values.items() if isinstance(v, int | float) and math.isfinite(v)}


def _config(content: Mapping[str, Any]) -> dict[str, Any]:
    """What made the numbers, in the few words that trackers filter by."""
    provenance, sae = content.get("provenance") or {}, content.get("sae_cfg_dict") or {}
    of_run = {
        key: provenance.get(key) for key in ("model", "llm_dtype", "sae_hook", "sae_fingerprint", "package_version")
    }
    of_sae = {key: sae.get(key) for key in ("architecture", "d_in", "d_sae", "training_tokens")}
    return {key: value for key, value in (of_run | of_sae).items() if value is not None}


def _log_wandb(module: Any, project: str, sae: str, config: Mapping[str, Any], numbers: Mapping[str, float]) -> None:
    """wandb, and trackio, which has its functions."""
    quiet = {"embed": False, "auto_log_cpu": False, "auto_log_gpu": False} if module.__name__ == "trackio" else {}
    identity = {} if quiet else {"id": "".join(c if c.isalnum() or c in "-_" else "-" for c in sae)}
    module.init(project=project, name=sae, config=dict(config), resume="allow", **identity, **quiet)
    module.log(dict(numbers))
    module.finish()


def _log_mlflow(module: Any, project: str, sae: str, config: Mapping[str, Any], numbers: Mapping[str, float]) -> None:
    module.set_experiment(project)
    tag = {"sae": sae}
    known = module.search_runs(filter_string=f"tags.sae = '{sae}'", max_results=1, output_format="list")
    with module.start_run(run_id=known[0].info.run_id if known else None, run_name=None if known else sae, tags=tag):
        if not known:
            module.log_params(dict(config))
        module.log_metrics(dict(numbers))
