"""What stands behind the `run_eval` functions and `main` modules of each eval: thin adapters over the one engine."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sae_bench.activations.one_pass import PassOptions, run_pass
from sae_bench.activations.store import ActivationStore
from sae_bench.custom_saes.loading import load_member
from sae_bench.custom_saes.spec import SAEHandle, compile_pattern, resolve_spec
from sae_bench.errors import IncompleteRunError, UsageError
from sae_bench.evals.base import EvalContext, EvalSpec, Scores
from sae_bench.language_models import LanguageModel, load_language_model
from sae_bench.language_models.numbers import dtype_name
from sae_bench.published.models import GivenModel, borrowed
from sae_bench.results.files import read_result
from sae_bench.results.model import BaseEvalConfig
from sae_bench.run import planning
from sae_bench.run.evaluate import SILENT, Listener, execute
from sae_bench.run.objects import object_handle
from sae_bench.run.request import RunRequest
from sae_bench.run.runner import RunSummary

SelectedSAE = tuple[str, Any]
"""(release, id) of a pretrained SAE, or (name, SAE object)."""

EMBEDDED_RELEASE = "embedded"


@dataclass(frozen=True)
class EntryOptions:
    """What the published functions take beside the config and the SAEs.

    Attributes:
        output_path: results go straight into this folder.
        artifacts_path: the model's activations are kept in `<artifacts_path>/<eval>`; None keeps none.
        clean_up_activations: delete what was kept there for this model at the end.
        n_seeds: seeds from the config's `random_seed` on.
    """

    output_path: Path
    device: str = "auto"
    force_rerun: bool = False
    artifacts_path: Path | None = None
    clean_up_activations: bool = False
    n_seeds: int = 1
    data_dir: Path | None = None
    listener: Listener = SILENT
    judge_key: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Settings:
    """The settings of one eval before the model is known.

    Attributes:
        model_name: empty takes the model that each SAE names.
        llm_dtype: empty or `auto` chooses by hardware.
        values: settings over the defaults, or the whole configuration.
        random_seed: the first seed.
    """

    model_name: str
    llm_dtype: str
    values: Mapping[str, Any] | BaseEvalConfig
    random_seed: int = planning.FIRST_SEED


# ---- which SAEs


def select_saes(release_pattern: str, id_pattern: str, *, data_dir: Path | None = None) -> list[SAEHandle]:
    """SAEs whose release and id match as a whole.

    A release pattern that matches `embedded` selects the SAEs that come with the package; any other is looked up
    among SAELens' releases.

    Raises:
        UsageError: a pattern is no regular expression, or nothing matches.
        PrerequisiteError: SAELens is needed and not installed.
    """
    if compile_pattern(release_pattern).fullmatch(EMBEDDED_RELEASE):
        return resolve_spec(f"embedded:{id_pattern}", data_dir=data_dir)
    return resolve_spec(f"sae_lens:{release_pattern}:{id_pattern}", data_dir=data_dir)


def handles_of(selected_saes: Sequence[SelectedSAE], *, data_dir: Path | None = None) -> list[SAEHandle]:
    """Handles for (release, id) and (name, SAE object) pairs.

    Raises:
        UsageError: there are none, or an id is unknown.
    """
    if not selected_saes:
        raise UsageError("no SAEs were selected: give pairs (release, id) or (name, SAE object).")
    handles: list[SAEHandle] = []
    for name, sae in selected_saes:
        if isinstance(sae, str):
            handles.extend(select_saes(re.escape(name), re.escape(sae), data_dir=data_dir))
        else:
            handles.append(object_handle(name, sae))
    return handles


# ---- running


def settings_of(config: BaseEvalConfig) -> Settings:
    """The settings that a caller's config object stands for; the config itself is not changed."""
    named: Any = config
    return Settings(named.model_name, named.llm_dtype, config, _first_seed(config))


def evaluate_selected(
    spec: EvalSpec, handles: Sequence[SAEHandle], settings: Settings, options: EntryOptions
) -> RunSummary:
    """Evaluate SAEs on one eval, model after model.

    Raises:
        SAEBenchError: something is wrong or missing before the first SAE of a model is touched.
    """
    target = {"model": settings.model_name or None, "saes": tuple(handles), "llm_dtype": settings.llm_dtype or "auto"}
    request = RunRequest.of(
        targets=[target],
        evals=[spec],
        preset=None,
        settings={spec.name: settings.values},
        seeds=options.n_seeds,
        random_seed=settings.random_seed,
        output_folder=options.output_path,
        folder_per_eval=False,
        device=options.device,
        data_dir=options.data_dir,
        cache_activations=None if options.artifacts_path is None else options.artifacts_path / spec.name,
        clean_up_activations=options.clean_up_activations,
        force_rerun=options.force_rerun,
        judge_key=options.judge_key,
    )
    return execute(request, options.listener)


def run_eval(
    spec: EvalSpec, config: BaseEvalConfig, selected_saes: Sequence[SelectedSAE], options: EntryOptions
) -> dict[str, dict[str, Any]]:
    """`<release>_<id>` -> the content of its result file, for all selected SAEs, newly computed or there before.

    Raises:
        SAEBenchError: as `evaluate_selected`.
        IncompleteRunError: some SAEs failed; the results of the others are written.
    """
    handles = handles_of(selected_saes, data_dir=options.data_dir)
    return finished(evaluate_selected(spec, handles, settings_of(config), options))


def finished(summary: RunSummary) -> dict[str, dict[str, Any]]:
    """The results of a run by name of the SAE. Raises `IncompleteRunError` if some failed."""
    if summary.failures:
        listed = "; ".join(f"{f.eval_name} on {f.sae}: {f.message} ({f.traceback_file})" for f in summary.failures)
        raise IncompleteRunError(f"{len(summary.failures)} of {summary.n_asked} failed, the rest is written. {listed}")
    contents = [read_result(path) for path in summary.results]
    return {f"{c['sae_lens_release_id']}_{c['sae_lens_id']}": c for c in contents}


def score_single_sae(
    spec: EvalSpec,
    config: BaseEvalConfig,
    sae: Any,
    model: GivenModel,
    *,
    device: str = "auto",
    artifacts_path: Path | None = None,
    judge_key: str | None = None,
) -> Scores:
    """The scores of one SAE object; nothing is written but what an eval keeps, if a folder for it is given.

    Raises:
        SAEBenchError, or whatever the SAE itself raises.
    """
    with borrowed(model) as lm:
        if not isinstance(lm, LanguageModel):
            lm = load_language_model(lm, device=device, dtype=settings_of(config).llm_dtype or "auto")
        config = _for_model(config, lm)
        member = load_member(object_handle("sae", sae), planning.load_context(lm), lm)
        seeds = (_first_seed(config),)
        context = EvalContext(lm, (member.hook_name,), seeds, artifacts_folder=artifacts_path, judge_key=judge_key)
        job = spec.start(context, config)
        store = None if artifacts_path is None else ActivationStore(artifacts_path)
        report = run_pass(lm, job.requests([member]), [member], PassOptions(store=store))
        if member.key in report.failed:
            raise report.failed[member.key]
        return job.score(member, report.served)


def _for_model(config: BaseEvalConfig, lm: LanguageModel) -> BaseEvalConfig:
    changes: dict[str, Any] = {"model_name": lm.name, "llm_dtype": dtype_name(lm.dtype)}
    return replace(config, **changes)


def _first_seed(config: BaseEvalConfig) -> int:
    first = getattr(config, "random_seed", None)
    return planning.FIRST_SEED if first is None else first
