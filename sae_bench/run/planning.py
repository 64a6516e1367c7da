"""From what a user asks for to a run plan: settings resolved once, seeds, where baselines sit."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sae_bench.custom_saes.derived.calibration import RememberedActivations
from sae_bench.custom_saes.derived.grammar import innermost_scheme
from sae_bench.custom_saes.derived.handles import nulls_of
from sae_bench.custom_saes.spec import LoadContext, Rung, SAEHandle, resolve_spec
from sae_bench.datasets import load_corpus
from sae_bench.datasets.packing import pack_corpus
from sae_bench.errors import UnknownNameError, UsageError
from sae_bench.evals.base import EvalSpec
from sae_bench.evals.registry import eval_names, evals_of, get_eval
from sae_bench.language_models import LanguageModel
from sae_bench.language_models.aliases import ModelKind
from sae_bench.language_models.load import DTYPES, EMBEDDED
from sae_bench.language_models.numbers import dtype_name
from sae_bench.language_models.synthetic.model import SyntheticModel
from sae_bench.results.model import BaseEvalConfig, config_fields, config_from

PRESETS = ("paper", "quick")
FIRST_SEED = 42
PCA_TOKENS = 32_768
EMBEDDED_PCA_CORPUS = "embedded_train"

RUN_FIELDS = {"model_name": "--model", "llm_dtype": "--llm-dtype", "random_seed": "--random-seed"}
"""Setting of an eval that describes the run -> the flag of the run that decides it."""

NAMED_ONCE = ("embedded", "synthetic", "sae_lens", "baseline")
"""Kinds of SAE whose release and id name one SAE wherever they are written; elsewhere they come from folders."""


def choose_evals(chosen: Sequence[EvalSpec | str]) -> list[EvalSpec]:
    """The chosen evals, each once; names may be joined by commas or be `package.module:SPEC`; `all` is every eval.

    Raises:
        UsageError: none is chosen, one is unknown, or two have the same name.
    """
    names: list[EvalSpec | str] = []
    for one in chosen:
        names += [part.strip() for part in one.split(",") if part.strip()] if isinstance(one, str) else [one]
    if not names:
        raise UsageError(f"name at least one eval: {', '.join(eval_names())}, or all.")
    if "all" in names:
        names = [*eval_names(), *(name for name in names if name != "all" and name not in eval_names())]
    specs: dict[str, EvalSpec] = {}
    for name in names:
        spec = get_eval(name) if isinstance(name, str) else name
        if specs.setdefault(spec.name, spec) is not spec:
            raise UsageError(f"two different evals of this run are called '{spec.name}'.")
    return list(specs.values())


def fitting(specs: Sequence[EvalSpec], kind: ModelKind, model: str, *, leave_out: bool) -> list[EvalSpec]:
    """The evals that can read a model.

    Args:
        specs: those of the run.
        kind: of the model.
        model: its name, for the error.
        leave_out: whether others are left out (they were asked for as `all`) and are no error.
    Raises:
        UsageError: an eval cannot read this kind of model, or none can.
    """
    usable = [spec for spec in specs if kind in spec.models]
    others = [spec.name for spec in specs if kind not in spec.models]
    if others and (not leave_out or not usable):
        needs = "a model whose features are known" if kind == "language" else "language: words, or what follows them"
        do = "it needs" if len(others) == 1 else "they need"
        advice = ", or --model synthetic:small" if kind == "language" else ""
        raise UsageError(
            f"{', '.join(others)} cannot be run on '{model}': {do} {needs}. Next: choose from "
            f"{', '.join(evals_of(kind))}{advice}."
        )
    return usable


def run_fields(spec: EvalSpec) -> tuple[str, ...]:
    """Settings of an eval that say which run it is part of: the run fills them in, nobody sets them."""
    fields = config_fields(spec.config)
    seeded = "random_seed" in fields and fields["random_seed"].default is not None
    return tuple(name for name in ("model_name", "llm_dtype") if name in fields) + (("random_seed",) if seeded else ())


def refuse_run_fields(spec: EvalSpec, values: Mapping[str, Any]) -> None:
    """Raise `UsageError` if settings would make a result say of the run what is not true."""
    for name in run_fields(spec):
        if name in values:
            raise UsageError(
                f"{spec.name}.{name} describes the run and cannot be set for one eval. Next: {RUN_FIELDS[name]} sets "
                "it for the whole run."
            )


def resolve_saes(specs: Sequence[SAEHandle | str], *, data_dir: Path | None = None) -> list[SAEHandle]:
    """The SAEs of all specs in order; one that several specs name is taken once.

    Raises:
        SAEBenchError: as `resolve_spec`.
    """
    handles: dict[tuple[str, str, str], SAEHandle] = {}
    for spec in specs:
        if isinstance(spec, SAEHandle):
            handles[f"object {id(spec)}", spec.release, spec.sae_id] = spec
            continue
        scheme = innermost_scheme(spec)
        for handle in resolve_spec(spec, data_dir=data_dir):
            handles.setdefault((scheme if scheme in NAMED_ONCE else spec, handle.release, handle.sae_id), handle)
    return list(handles.values())


def with_nulls(handles: Sequence[SAEHandle], *, nulls: bool) -> list[SAEHandle]:
    """The SAEs and, if they are asked for, the null baselines of each."""
    return [*handles, *(nulls_of(handles) if nulls else [])]


def on_ladders(
    handles: Sequence[SAEHandle], ladders: Sequence[str], *, data_dir: Path | None = None
) -> list[SAEHandle]:
    """The SAEs, those that a ladder's spec names marked as snapshots of one training run.

    Args:
        handles: of the run.
        ladders: specs, each of the snapshots of one training run.
        data_dir: as for `resolve_spec`.
    """
    ladder_of = {h.name: spec for spec in ladders for h in resolve_saes([spec], data_dir=data_dir)}
    return [
        dataclasses.replace(handle, rung=Rung(ladder_of[handle.name], "training_tokens"))
        if handle.name in ladder_of
        else handle
        for handle in handles
    ]


def resolve_config(
    spec: EvalSpec, *, preset: str | None, overrides: Mapping[str, Any], lm: LanguageModel, seed: int = FIRST_SEED
) -> BaseEvalConfig:
    """The settings of one eval: defaults, then preset (None: none), then embedded data, then what the user set.

    Raises:
        UsageError: a setting that the eval does not have, or a value that it does not take.
    """
    if preset is not None and preset not in PRESETS:
        raise UnknownNameError("preset", preset, PRESETS)
    values: dict[str, Any] = {"model_name": lm.name, "llm_dtype": dtype_name(lm.dtype)}
    if "random_seed" in run_fields(spec):
        values["random_seed"] = seed
    values |= spec.presets.get(preset, {}) if preset is not None else {}
    if lm.name == EMBEDDED:
        values |= spec.embedded
    if lm.kind == "synthetic":
        values |= spec.synthetic
    values |= overrides
    return make_config(spec, values)


def make_config(spec: EvalSpec, values: Mapping[str, Any]) -> BaseEvalConfig:
    """Checked settings of one eval. Raises `UsageError` as `config_from`."""
    return config_from(spec.config, values, named=spec.name)


def seed_list(n: int, first: int = FIRST_SEED) -> tuple[int, ...]:
    """`n` seeds from `first` on."""
    if n < 1:
        raise UsageError(f"--seeds is the number of seeds, 1 or more; got {n}.")
    return tuple(range(first, first + n))


def place_baselines(handles: Sequence[SAEHandle], hook: str | None) -> list[SAEHandle]:
    """Baselines without a hook sit at `hook`, or wherever the other SAEs of the run sit.

    With SAEs at several hooks, a baseline becomes one baseline per hook, its id naming the hook.
    """
    hooks = [hook] if hook else sorted({h.hook_name for h in handles if h.hook_name})
    placed: list[SAEHandle] = []
    for handle in handles:
        if not handle.placed_by_run or handle.hook_name is not None or not hooks:
            placed.append(handle)
            continue
        for name in hooks:
            sae_id = handle.sae_id if len(hooks) == 1 else f"{handle.sae_id}_{name}"
            placed.append(dataclasses.replace(handle, sae_id=sae_id, hook_name=name, load=_load_at(handle, name)))
    return placed


def load_context(
    lm: LanguageModel,
    *,
    sae_dtype: str = "auto",
    hook: str | None = None,
    data_dir: Path | None = None,
    pca_corpus: str = EMBEDDED_PCA_CORPUS,
) -> LoadContext:
    """How SAEs are loaded for a run: on the model's device, in its dtype unless another is asked for."""
    if sae_dtype != "auto" and sae_dtype not in DTYPES:
        raise UnknownNameError("dtype", sae_dtype, [*DTYPES, "auto"])
    return LoadContext(
        device=lm.device,
        dtype=lm.dtype if sae_dtype == "auto" else DTYPES[sae_dtype],
        lm=lm,
        hook_name=hook,
        data_dir=data_dir,
        corpus=pca_corpus,
        activations=RememberedActivations(lambda name: corpus_activations(lm, name, pca_corpus, data_dir=data_dir)),
    )


@torch.no_grad()
def corpus_activations(
    lm: LanguageModel, hook: str, corpus: str, *, data_dir: Path | None = None, context_length: int = 128
) -> Iterator[Tensor]:
    """Batches (N, D) of activations at a hook on the start of a corpus, special tokens left out.

    A synthetic model has no corpus: samples of the first seed take its place.
    """
    if isinstance(lm, SyntheticModel):
        for numbers in lm.numbers(FIRST_SEED, PCA_TOKENS).split(4096):
            yield lm.capture(numbers[:, None], [hook])[hook][:, 0].float()
        return
    texts = load_corpus(corpus, data_dir=data_dir)
    rows = pack_corpus(texts, lm, n_rows=PCA_TOKENS // context_length, context_length=context_length)
    for batch in rows.split(32):
        valid = lm.is_read(batch)
        yield lm.capture(batch, [hook])[hook][valid.to(lm.device)].float()


def _load_at(handle: SAEHandle, hook: str) -> Callable[[LoadContext], Any]:
    return lambda context: handle.load(dataclasses.replace(context, hook_name=hook))
