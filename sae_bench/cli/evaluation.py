"""From the options of a command to a run of the engine."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import yaml

from sae_bench.activations.one_pass import PassOptions
from sae_bench.activations.store import ActivationStore
from sae_bench.cli.console import RunProgress, run_progress, show_summary
from sae_bench.cli.settings_files import read_settings
from sae_bench.custom_saes.loading import GroupLimits
from sae_bench.custom_saes.spec import SAEHandle
from sae_bench.datasets import register_yaml
from sae_bench.errors import UsageError
from sae_bench.evals.base import EvalSpec
from sae_bench.language_models import LanguageModel, load_language_model
from sae_bench.run import planning
from sae_bench.run.runner import EvalRequest, RunPlan, RunSummary
from sae_bench.run.runner import run as run_plan

Overrides = Mapping[str, Mapping[str, Any]]
"""Eval -> setting -> value, as a user gave them."""


@dataclass(frozen=True)
class RunOptions:
    """What `sae-bench run` can be asked for; its flags explain each field."""

    model: str
    sae_specs: tuple[str, ...]
    output_folder: Path
    evals: tuple[str, ...] = ("core",)
    preset: str = "paper"
    settings: tuple[str, ...] = ()
    settings_files: tuple[str, ...] = ()
    seeds: int = 1
    resample_data: bool = False
    random_seed: int = planning.FIRST_SEED
    data_dir: Path | None = None
    dataset_files: tuple[Path, ...] = ()
    hook: str | None = None
    pca_corpus: str = planning.EMBEDDED_PCA_CORPUS
    device: str = "auto"
    llm_dtype: str = "auto"
    sae_dtype: str = "auto"
    batch_tokens: int | None = None
    max_saes: int | None = None
    cache_activations: Path | None = None
    force_rerun: bool = False
    judge: str | None = None
    judge_model: str | None = None
    judge_base_url: str | None = None


def evaluate_and_show(options: RunOptions) -> None:
    """Run, show the results; exit code 1 if some SAE or eval failed.

    Raises:
        SAEBenchError: something is wrong or missing; nothing has been written then.
    """
    start = perf_counter()
    specs = planning.choose_evals(options.evals)
    with run_progress() as progress:
        summary = evaluate(options, specs, progress)
    show_summary(specs, summary, options.output_folder, perf_counter() - start)
    if summary.failures:
        raise SystemExit(1)


def evaluate(options: RunOptions, specs: Sequence[EvalSpec], progress: RunProgress) -> RunSummary:
    """Check what can be checked without the model, load it, run."""
    names = [spec.name for spec in specs]
    overrides: dict[str, Mapping[str, Any]] = {**read_settings(options.settings_files, names)}
    for name, values in parse_settings([*options.settings, *_judge_settings(options)], names).items():
        overrides[name] = {**overrides.get(name, {}), **values}
    for spec in specs:
        planning.make_config(spec, overrides.get(spec.name, {}))
    planning.seed_list(options.seeds, options.random_seed)
    for path in options.dataset_files:
        register_yaml(path)
    handles = planning.resolve_saes(options.sae_specs, data_dir=options.data_dir)
    progress.phase(f"loading {options.model}", 0)
    lm = load_language_model(options.model, device=options.device, dtype=options.llm_dtype, data_dir=options.data_dir)
    return run_plan(make_plan(options, specs, overrides, handles, lm, progress))


def make_plan(
    options: RunOptions,
    specs: Sequence[EvalSpec],
    overrides: Overrides,
    handles: Sequence[SAEHandle],
    lm: LanguageModel,
    progress: RunProgress,
) -> RunPlan:
    """The engine's plan for these options."""
    store = ActivationStore(options.cache_activations) if options.cache_activations else None
    requests = [
        EvalRequest(
            spec,
            planning.resolve_config(
                spec, preset=options.preset, overrides=overrides.get(spec.name, {}), lm=lm, seed=options.random_seed
            ),
        )
        for spec in specs
    ]
    return RunPlan(
        lm=lm,
        evals=requests,
        handles=planning.place_baselines(handles, options.hook),
        output_folder=options.output_folder,
        load_context=planning.load_context(
            lm,
            sae_dtype=options.sae_dtype,
            hook=options.hook,
            data_dir=options.data_dir,
            pca_corpus=options.pca_corpus,
        ),
        seeds=planning.seed_list(options.seeds, options.random_seed),
        resample_data=options.resample_data,
        data_dir=options.data_dir,
        force_rerun=options.force_rerun,
        limits=GroupLimits(max_saes=options.max_saes),
        pass_options=PassOptions(max_tokens=options.batch_tokens, store=store, on_progress=progress.advance),
        on_phase=progress.phase,
    )


def _judge_settings(options: RunOptions) -> list[str]:
    """The judge's flags as settings of the eval that has a judge."""
    flags = {name: getattr(options, name) for name in ("judge", "judge_model", "judge_base_url")}
    return [f"autointerp.{name}={json.dumps(value)}" for name, value in flags.items() if value is not None]


def parse_settings(settings: Sequence[str], names: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """`eval.field=value` texts as eval -> field -> value; values are read as YAML."""
    parsed: dict[str, dict[str, Any]] = {}
    for text in settings:
        left, equals, value = text.partition("=")
        name, dot, field = left.strip().partition(".")
        if not equals or not dot:
            raise UsageError(f"--set {text}: write EVAL.FIELD=VALUE, e.g. core.context_size=256.")
        if name not in names:
            raise UsageError(f"--set {text}: '{name}' is not among the evals of this run ({', '.join(names)}).")
        try:
            parsed.setdefault(name, {})[field.strip()] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            problem = getattr(error, "problem", None) or "it is no YAML"
            raise UsageError(f"--set {text}: cannot read the value ({problem}).") from error
    return dict(parsed)
