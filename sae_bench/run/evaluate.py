"""The one door: carries out a `RunRequest`, model after model. Nothing else calls the runner."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from sae_bench.activations.one_pass import PassOptions
from sae_bench.activations.store import ActivationStore
from sae_bench.custom_saes.loading import GroupLimits
from sae_bench.custom_saes.spec import SAEHandle
from sae_bench.datasets import register_yaml
from sae_bench.errors import ResultError, UsageError
from sae_bench.evals.base import EvalSpec
from sae_bench.language_models import LanguageModel, load_language_model, resolve_device
from sae_bench.language_models.aliases import ModelKind, kind_of_model
from sae_bench.language_models.load import find_model
from sae_bench.language_models.numbers import dtype_name
from sae_bench.language_models.token_choice import TokenChoice
from sae_bench.results.files import check_writable, result_path
from sae_bench.results.model import BaseEvalConfig
from sae_bench.run import planning
from sae_bench.run.objects import GivenModel, GivenSAE, HeldModel, borrowed, handles_of
from sae_bench.run.plan import SILENT, Listener
from sae_bench.run.ray_engine import Item, check_engine, evaluate_on_ray
from sae_bench.run.request import OF_A_MODEL, Overrides, RunRequest, Target
from sae_bench.run.runner import EvalRequest, RunPlan, RunSummary, run
from sae_bench.run.shares import Share, members_of_share

logger = logging.getLogger(__name__)


def evaluate(
    model: GivenModel,
    saes: GivenSAE | Mapping[str, Any] | Sequence[GivenSAE],
    evals: str | EvalSpec | Sequence[str | EvalSpec] = ("core",),
    *,
    output_folder: str | Path = "eval_results",
    preset: str | None = "paper",
    settings: Mapping[str, Mapping[str, Any] | BaseEvalConfig] | None = None,
    seeds: int = 1,
    listener: Listener = SILENT,
    **options: Any,
) -> RunSummary:
    """Evaluate SAEs on a language model and write a result file per SAE and eval.

    Args:
        model: hub id, directory, .gguf file, TransformerLens alias or `embedded`; a `LanguageModel`; or a transformers
            model with its tokenizer as a pair, which is given back as it came.
        saes: SAE specs as on the command line, (name, SAE object) pairs, or name -> SAE object.
        evals: names of evals, `all`, `package.module:SPEC`, or specs.
        output_folder: results go to `<output_folder>/<eval>/<release>_<id>_eval_results.json`.
        preset: `paper`, `quick`, or None for the defaults.
        settings: eval -> setting -> value, over the preset; or eval -> its whole configuration.
        seeds: number of seeds; scores are means over them.
        listener: told how the run goes.
        options: any other field of `RunRequest`, and of `Target` besides its model and SAEs.
    Returns:
        the files that were written and those that were there, and what failed.
    Raises:
        SAEBenchError: something is wrong or missing; nothing has been written then.
    """
    of_target = {key: options.pop(key) for key in OF_A_MODEL if key in options}
    with borrowed(model) as lm:
        request = RunRequest.of(
            targets=[{"model": lm, "saes": handles_of(saes), **of_target}],
            evals=evals,
            output_folder=output_folder,
            preset=preset,
            settings=settings or {},
            seeds=seeds,
            **options,
        )
        return execute(request, listener)


def execute(request: RunRequest, listener: Listener = SILENT) -> RunSummary:
    """Check what can be checked without a model, then evaluate model after model, one in memory at a time.

    Raises:
        SAEBenchError: something is wrong or missing before the first SAE of a model is touched.
    """
    specs, overrides, parts = _checked(request)
    if request.engine == "ray":
        return evaluate_on_ray(request, _items(request, specs, parts), evaluate_saes, listener)
    if request.shard is not None:
        parts = _of_share(parts, Share.parse(request.shard))
    return _evaluate(request, specs, overrides, parts, HeldModel(), listener)


def plans(request: RunRequest) -> Iterator[RunPlan]:
    """What `execute` would carry out in this process, model after model, each loaded when it is its turn.

    Raises:
        SAEBenchError: as `execute`.
    """
    specs, overrides, parts = _checked(request)
    if request.shard is not None:
        parts = _of_share(parts, Share.parse(request.shard))
    for part in parts:
        lm = _load(request, part)
        yield _plan(request, _fitting(request, specs, part), overrides, part, lm, SILENT)
        del lm


def _checked(request: RunRequest) -> tuple[list[EvalSpec], Overrides, list[_Part]]:
    """The evals, their settings and the models with their SAEs, as far as they can be checked without a model."""
    check_engine(request)
    specs = request.specs()
    overrides = request.overrides(specs)
    for path in request.dataset_files:
        register_yaml(path)
    parts = list(_parts(request))
    _check_files(request, specs, parts)
    for part in parts:
        _fitting(request, specs, part)
    return specs, overrides, parts


def evaluate_saes(
    request: RunRequest, places: Sequence[int], held: HeldModel, listener: Listener = SILENT
) -> RunSummary:
    """Evaluate some SAEs of a request, as a worker does that was given no other.

    Args:
        places: of the SAEs among all of the request, those of its first model first.
        held: keeps the model from one call to the next.
        listener: told how it goes.
    """
    specs = request.specs()
    for path in request.dataset_files:
        register_yaml(path)
    parts = _chosen(list(_parts(request)), places)
    return _evaluate(request, specs, request.overrides(specs), parts, held, listener)


def _evaluate(
    request: RunRequest,
    specs: Sequence[EvalSpec],
    overrides: Overrides,
    parts: Sequence[_Part],
    held: HeldModel,
    listener: Listener,
) -> RunSummary:
    """Model after model."""
    summary = RunSummary()
    for part in parts:
        listener.on_phase(f"loading {part.name}", 0)
        how = part.target.model_dump(exclude={"model", "saes", "ladder", "hook", "output_folder"})
        lm = held.take((part.model, str(how)), partial(_load, request, part))
        try:
            summary.add(run(_plan(request, _fitting(request, specs, part), overrides, part, lm, listener)))
        finally:
            if request.cache_activations is not None and request.clean_up_activations:
                shutil.rmtree(request.cache_activations / lm.fingerprint(), ignore_errors=True)
        del lm  # before the next one is loaded
    return summary


@dataclass(frozen=True)
class _Part:
    """One model of a request with its SAEs."""

    model: LanguageModel | str
    handles: Sequence[SAEHandle]
    target: Target
    output_folder: Path

    @property
    def name(self) -> str:
        return self.model if isinstance(self.model, str) else self.model.name

    @property
    def kind(self) -> ModelKind:
        return kind_of_model(self.model) if isinstance(self.model, str) else self.model.kind


def _parts(request: RunRequest) -> Iterator[_Part]:
    """The targets with their SAEs known; one without a model becomes one per model that its SAEs name."""
    for target in request.targets:
        handles = planning.resolve_saes(target.saes, data_dir=request.data_dir)
        handles = planning.on_ladders(handles, target.ladder, data_dir=request.data_dir)
        by_model: dict[LanguageModel | str, list[SAEHandle]] = {}
        for handle in handles:
            model = target.model or handle.model_name
            if not model:
                raise UsageError(
                    f"'{handle.release}:{handle.sae_id}' does not say which model it belongs to. Next: give model_name."
                )
            by_model.setdefault(model, []).append(handle)
        for model, of_model in by_model.items():
            placed = planning.place_baselines(planning.with_nulls(of_model, nulls=request.nulls), target.hook)
            yield _Part(model, placed, target, target.output_folder or request.output_folder)


def _of_share(parts: Sequence[_Part], share: Share) -> list[_Part]:
    """What one share evaluates: SAEs of a model and hook stay together as far as shares of equal length allow."""
    handles = [(n, handle) for n, part in enumerate(parts) for handle in part.handles]
    mine = members_of_share([(n, handle.hook_name or parts[n].target.hook) for n, handle in handles], share)
    logger.info("share %d of %d: %d of %d SAEs", share.index, share.count, len(mine), len(handles))
    return _chosen(parts, mine)


def _chosen(parts: Sequence[_Part], places: Sequence[int]) -> list[_Part]:
    """The parts with those of their SAEs that are at some places among all."""
    handles = [(n, handle) for n, part in enumerate(parts) for handle in part.handles]
    chosen = [handles[place] for place in sorted(places)]
    of_part = {n: [handle for m, handle in chosen if m == n] for n in range(len(parts))}
    return [replace(part, handles=of_part[n]) for n, part in enumerate(parts) if of_part[n]]


def _items(request: RunRequest, specs: Sequence[EvalSpec], parts: Sequence[_Part]) -> list[Item]:
    """Every SAE of the request: what an engine has to know to hand it out and to see what is done."""
    items = []
    for n, part in enumerate(parts):
        names = [spec.name for spec in _fitting(request, specs, part)]
        folders = {name: part.output_folder / name if request.folder_per_eval else part.output_folder for name in names}
        items += [Item(n, h.hook_name or part.target.hook, h.release, h.sae_id, folders) for h in part.handles]
    return items


def _fitting(request: RunRequest, specs: Sequence[EvalSpec], part: _Part) -> list[EvalSpec]:
    """The evals that can read the model of a part. Raises `UsageError` as `planning.fitting`."""
    return planning.fitting(specs, part.kind, part.name, leave_out="all" in request.eval_words())


def _check_files(request: RunRequest, specs: Sequence[EvalSpec], parts: Sequence[_Part]) -> None:
    """Find models that are not there, and results of two models that would be one file, before any is loaded."""
    written: dict[Path, str] = {}
    for part in parts:
        check_writable(part.output_folder)
        if isinstance(part.model, str) and len(parts) > 1:
            find_model(part.model, data_dir=request.data_dir)
        for path in {result_path(part.output_folder, h.release, h.sae_id) for h in part.handles}:
            if path in written:
                raise ResultError(
                    f"'{path.name}' would be written for '{written[path]}' and for '{part.name}'. Next: give each "
                    "model an output_folder of its own."
                )
            written[path] = part.name
    if not request.folder_per_eval and len(specs) > 1:
        raise UsageError("several evals cannot share one folder. Next: folder_per_eval.")


def _load(request: RunRequest, part: _Part) -> LanguageModel:
    """The model of a part, its texts and tokens as they are asked for."""
    lm, target = _loaded(request, part), part.target
    asked = (target.exclude_tokens, target.seqpos_slice)
    if target.prepend_bos is None and asked == ((), None):
        return lm
    return lm.reading(TokenChoice.of(*asked), prepend_bos=target.prepend_bos)


def _loaded(request: RunRequest, part: _Part) -> LanguageModel:
    dtype = part.target.llm_dtype or "auto"
    if isinstance(part.model, str):
        return load_language_model(
            part.model,
            device=request.device,
            dtype=dtype,
            data_dir=request.data_dir,
            device_map=part.target.device_map,
            attn_implementation=part.target.attn_implementation,
            quantize=part.target.quantize,
        )
    lm = part.model
    for key in ("device_map", "attn_implementation", "quantize"):
        if getattr(part.target, key) is not None:
            raise UsageError(f"{key}: '{lm.name}' is loaded already. Next: give it to load_model instead.")
    if dtype not in ("auto", dtype_name(lm.dtype)):
        raise UsageError(f"'{lm.name}' is loaded in {dtype_name(lm.dtype)}, {dtype} was asked for. Next: load it anew.")
    if request.device != "auto" and resolve_device(request.device).type != lm.device.type:
        raise UsageError(f"'{lm.name}' is on {lm.device}, {request.device} was asked for. Next: move the model.")
    return lm


def _plan(
    request: RunRequest,
    specs: Sequence[EvalSpec],
    overrides: Overrides,
    part: _Part,
    lm: LanguageModel,
    listener: Listener,
) -> RunPlan:
    """What the runner needs to know for one model."""
    store = None if request.cache_activations is None else ActivationStore(request.cache_activations)
    configs = {
        spec.name: planning.resolve_config(
            spec, preset=request.preset_of(spec), overrides=overrides[spec.name], lm=lm, seed=request.random_seed
        )
        for spec in specs
    }
    context = planning.load_context(
        lm, sae_dtype=request.sae_dtype, hook=part.target.hook, data_dir=request.data_dir, pca_corpus=request.pca_corpus
    )
    key = request.judge_key
    return RunPlan(
        lm=lm,
        evals=[EvalRequest(spec, configs[spec.name]) for spec in specs],
        handles=part.handles,
        output_folder=part.output_folder,
        load_context=context,
        seeds=planning.seed_list(request.seeds, request.random_seed),
        resample_data=request.resample_data,
        data_dir=request.data_dir,
        folder_per_eval=request.folder_per_eval,
        force_rerun=request.force_rerun,
        controls=request.controls,
        published_nulls=request.published_nulls,
        limits=GroupLimits(max_saes=request.max_saes),
        pass_options=PassOptions(max_tokens=request.batch_tokens, store=store, on_progress=listener.on_tokens),
        judge_key=None if key is None else key.get_secret_value(),
        on_phase=listener.on_phase,
        on_result=listener.on_result,
        on_forecast=listener.on_forecast,
    )
