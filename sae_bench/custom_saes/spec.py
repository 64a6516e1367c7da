"""From the text a user writes (`embedded:.*topk.*`) to SAEs that are known but not loaded yet."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from sae_bench.custom_saes.interface import SAE, writes_elsewhere
from sae_bench.custom_saes.listing import SPEC_FORMS
from sae_bench.errors import SAELoadError, UnknownNameError, UsageError
from sae_bench.language_models.model import LanguageModel
from sae_bench.plugins import SAES, load_plugin, plugins

_LOADERS: dict[str, str] = {
    "sae_lens": "sae_lens",
    "dictionary_learning": "dictionary_learning",
    "gemma_scope": "gemma_scope",
    **{name: name for name in ("sparsify", "circuit_tracer", "llama_scope", "qwen_scope", "goodfire", "temporal")},
    "path": "safetensors_dir",
    "decoder": "decoder",
    "baseline": "baseline",
    "embedded": "embedded",
    "synthetic": "synthetic",
    "python": "python_callable",
}


BASELINE = "baseline"
"""Scheme and release of what SAEs are measured against."""


@dataclass(frozen=True)
class LoadContext:
    """Where and for what an SAE is loaded."""

    device: torch.device
    dtype: torch.dtype
    lm: LanguageModel | None = None
    hook_name: str | None = None
    """Where baselines sit: they have no hook of their own."""
    activations: Callable[[str], Iterator[Tensor]] | None = None
    """Gives batches (N, D) of corpus activations at a hook, for baselines that are fitted to text."""
    data_dir: Path | None = None
    corpus: str = ""
    """Where those activations come from."""
    cast_afterwards: bool = False
    """Whether what is loaded will be cast in place, so that it has to be nobody else's."""


@dataclass(frozen=True)
class Rung:
    """That an SAE is one of several whose order is known.

    Attributes:
        ladder: name of the several.
        by: what orders them: `level` (of degrading: lower is better) or `training_tokens` (higher is better).
        value: its place in that; None where only loading tells.
    """

    ladder: str
    by: Literal["level", "training_tokens"]
    value: float | None = None


@dataclass(frozen=True)
class SAEHandle:
    """One SAE, known but not loaded; its results go to `<release>_<sae_id>_eval_results.json`."""

    release: str
    sae_id: str
    hook_name: str | None
    """None where the SAE takes the run's hook (baselines) or where only loading tells."""
    model_name: str | None
    load: Callable[[LoadContext], SAE]
    fingerprint: Callable[[LoadContext], str] | None = None
    """Tells without loading which SAE it is (see `custom_saes.fingerprint`); None where only its weights do."""
    fixed_dtype: str | None = None
    """The dtype of an SAE that cannot be cast."""
    parent: SAEHandle | None = None
    """The SAE that a baseline is made from."""
    rung: Rung | None = None
    format: str = ""
    """Whose layout its files have, for lists."""
    limits: str = ""
    """What it cannot be evaluated for, as far as that is known without loading it, for lists."""

    @property
    def placed_by_run(self) -> bool:
        """Whether it sits where the run says: a baseline, unless it is made from an SAE that has a place."""
        return self.release == BASELINE if self.parent is None else self.parent.placed_by_run

    @property
    def name(self) -> str:
        """`<release>_<sae_id>` with `/` as `_`: how result files are called."""
        return f"{self.release}_{self.sae_id}".replace("/", "_")


def resolve_spec(spec: str, *, data_dir: str | Path | None = None) -> list[SAEHandle]:
    """The SAEs that a spec names, in a stable order; their weights are read by `handle.load` only.

    Args:
        spec: one of `SPEC_FORMS`.
        data_dir: a mirror whose `<org>/<name>` folders go before the hub.
    Raises:
        UsageError: the spec has none of the forms, its regular expression is invalid, or it matches nothing.
        UnknownNameError: the scheme is unknown.
        SAELoadError, PrerequisiteError: files or packages are missing.
    """
    scheme, colon, rest = spec.partition(":")
    if not colon or not rest:
        raise malformed(spec)
    if scheme in SPEC_FORMS:
        resolve = importlib.import_module(f"sae_bench.custom_saes.loaders.{_LOADERS[scheme]}").resolve
    elif scheme in plugins(SAES):
        resolve = load_plugin(plugins(SAES)[scheme])
    else:
        known = [*SPEC_FORMS, *plugins(SAES)]
        raise UnknownNameError("kind of SAE", scheme, known, f"A spec is one of: {_forms()}.")
    handles = resolve(rest, data_dir=None if data_dir is None else Path(data_dir))
    return [replace(handle, load=_checked(handle)) for handle in handles]


def unusable(release: str, sae_id: str, error: Exception) -> SAEHandle:
    """The handle of an SAE that is known to be there and cannot be read: loading it raises `error`.

    So a run records it as failed and goes on with the others.
    """

    def load(_context: LoadContext) -> SAE:
        raise error

    return SAEHandle(release, sae_id, None, None, load)


def malformed(spec: str, scheme: str | None = None) -> UsageError:
    """The error for a spec that does not have the form of its scheme (of any scheme, if None)."""
    forms = _forms() if scheme is None else SPEC_FORMS[scheme]
    return UsageError(f"'{spec}' is no SAE spec. Allowed: {forms}.")


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """A regular expression that a user wrote. Raises `UsageError` if it is none."""
    try:
        return re.compile(pattern)
    except re.error as error:
        raise UsageError(
            f"'{pattern}' is no regular expression: {error}. '.*' matches everything; write '\\.' for a dot."
        ) from error


def nothing_matches(pattern: str, names: Iterable[str], where: str) -> UnknownNameError:
    """The error for a pattern that matches no name, with the closest names."""
    all_names = sorted(set(names))
    kind = f"SAE (searched {len(all_names)} in {where}, the whole name must match)"
    error = UnknownNameError(kind, pattern, all_names)
    plain = re.sub(r"\\(.)|\.\*|[$^()]", lambda match: match[1] or "", pattern)
    near = [name for name in all_names if plain and plain.lower() in name.lower()][:3]
    if error.close_names or not near:
        return error
    return UnknownNameError(kind, pattern, all_names, f"Closest: {', '.join(near)}.")


def _checked(handle: SAEHandle) -> Callable[[LoadContext], SAE]:
    """The handle's loading, then a check that what came out is an SAE."""

    def load(context: LoadContext) -> SAE:
        sae = handle.load(context)
        check_shapes(sae, handle.name)
        return sae

    return load


def check_shapes(sae: object, name: str) -> None:
    """Raise `SAELoadError` if the object lacks what an SAE has or its shapes contradict its configuration."""
    missing = [a for a in ("cfg", "W_dec", "encode", "decode") if not hasattr(sae, a)]
    cfg = getattr(sae, "cfg", None)
    missing += [f"cfg.{a}" for a in ("d_in", "d_sae", "hook_name") if cfg is not None and not hasattr(cfg, a)]
    if missing:
        raise SAELoadError(f"'{name}' ({type(sae).__name__}) is no SAE: it has no {', '.join(missing)}.")
    assert cfg is not None
    assert isinstance(sae, SAE)
    if sae.W_dec.is_meta:
        raise SAELoadError(
            f"'{name}': its weights are not in memory (they are on the meta device: offloaded, or never loaded). Next: "
            "load it whole, without a device map."
        )
    if not sae.W_dec.is_floating_point():
        raise SAELoadError(
            f"'{name}': W_dec is of {sae.W_dec.dtype}; weights that are quantised are not read. Next: convert it to "
            "float16 or wider."
        )
    d_out = cfg.d_in
    if writes_elsewhere(sae):
        d_out = getattr(cfg, "d_out", None) or sae.W_dec.shape[-1]
    if tuple(sae.W_dec.shape) != (cfg.d_sae, d_out):
        raise SAELoadError(
            f"'{name}': W_dec has shape {tuple(sae.W_dec.shape)}, its configuration says (d_sae, "
            f"{'d_out' if writes_elsewhere(sae) else 'd_in'}) = ({cfg.d_sae}, {d_out})."
        )


def _forms() -> str:
    return " | ".join(SPEC_FORMS.values())
