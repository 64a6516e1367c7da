"""All evals by name; a spec is imported when it is asked for."""

from __future__ import annotations

import importlib

from sae_bench.errors import UnknownNameError, UsageError, no_exit
from sae_bench.evals.base import EvalSpec
from sae_bench.language_models.aliases import ModelKind
from sae_bench.plugins import EVALS, load_plugin, plugins, working_plugins

_SPECS: dict[str, str] = {
    "core": "sae_bench.evals.core.spec:SPEC",
    "sparse_probing": "sae_bench.evals.sparse_probing.spec:SPEC",
    "sparse_probing_sae_probes": "sae_bench.evals.sparse_probing_sae_probes.spec:SPEC",
    "scr": "sae_bench.evals.scr_and_tpp.spec:SCR_SPEC",
    "tpp": "sae_bench.evals.scr_and_tpp.spec:TPP_SPEC",
    "mdl": "sae_bench.evals.mdl.spec:SPEC",
    "meta_structure": "sae_bench.evals.meta_structure.spec:SPEC",
    "absorption": "sae_bench.evals.absorption.spec:SPEC",
    "unlearning": "sae_bench.evals.unlearning.spec:SPEC",
    "ravel": "sae_bench.evals.ravel.spec:SPEC",
    "autointerp": "sae_bench.evals.autointerp.spec:SPEC",
    "ground_truth": "sae_bench.evals.ground_truth.spec:SPEC",
}


def eval_names() -> tuple[str, ...]:
    """Names of all evals in the order in which they are listed, those of plug-ins last."""
    return tuple(dict.fromkeys([*_SPECS, *working_plugins(EVALS)]))


def evals_of(kind: ModelKind) -> tuple[str, ...]:
    """Names of the evals that can read a kind of model, in the order of `eval_names`."""
    return tuple(name for name in eval_names() if kind in get_eval(name).models)


def get_eval(name: str) -> EvalSpec:
    """The spec of an eval, by name or as `package.module:SPEC`.

    Raises:
        UnknownNameError: no such eval; close names are proposed.
        UsageError: what stands there cannot be imported, or is no `EvalSpec`.
    """
    if name in _SPECS:
        return _import(_SPECS[name])
    if ":" in name:
        return _import(name)
    if name not in plugins(EVALS):
        raise UnknownNameError("eval", name, eval_names())
    spec = load_plugin(plugins(EVALS)[name])
    if not isinstance(spec, EvalSpec) or spec.name != name:
        raise UsageError(f"the plug-in '{name}' gives {_shown(spec)}, not an EvalSpec of that name.")
    return spec


def _import(target: str) -> EvalSpec:
    module, _, attribute = target.partition(":")
    try:
        with no_exit(target):
            spec = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # another package's code fails in every way; the cause stays attached
        raise UsageError(f"the eval '{target}' cannot be imported: {error}. Next: package.module:SPEC.") from error
    if not isinstance(spec, EvalSpec):
        raise UsageError(f"'{target}' is {_shown(spec)}, not an EvalSpec.")
    return spec


def _shown(thing: object) -> str:
    return f"an EvalSpec named '{thing.name}'" if isinstance(thing, EvalSpec) else f"a {type(thing).__name__}"
