"""All evals by name; a spec is imported when it is asked for."""

from __future__ import annotations

import importlib

from sae_bench.errors import UnknownNameError
from sae_bench.evals.base import EvalSpec

_SPECS: dict[str, str] = {
    "core": "sae_bench.evals.core.evaluate:SPEC",
    "sparse_probing": "sae_bench.evals.sparse_probing.evaluate:SPEC",
    "sparse_probing_sae_probes": "sae_bench.evals.sparse_probing_sae_probes.evaluate:SPEC",
    "scr": "sae_bench.evals.scr_and_tpp.evaluate:SCR_SPEC",
    "tpp": "sae_bench.evals.scr_and_tpp.evaluate:TPP_SPEC",
    "mdl": "sae_bench.evals.mdl.evaluate:SPEC",
    "meta_structure": "sae_bench.evals.meta_structure.evaluate:SPEC",
    "absorption": "sae_bench.evals.absorption.evaluate:SPEC",
    "unlearning": "sae_bench.evals.unlearning.evaluate:SPEC",
    "ravel": "sae_bench.evals.ravel.evaluate:SPEC",
    "autointerp": "sae_bench.evals.autointerp.evaluate:SPEC",
}


def eval_names() -> tuple[str, ...]:
    """Names of all evals in the order in which they are listed."""
    return tuple(_SPECS)


def get_eval(name: str) -> EvalSpec:
    """The spec of an eval.

    Raises:
        UnknownNameError: no such eval; close names are proposed.
    """
    if name not in _SPECS:
        raise UnknownNameError("eval", name, _SPECS)
    module, attribute = _SPECS[name].split(":")
    return getattr(importlib.import_module(module), attribute)


def register_eval(name: str, target: str) -> None:
    """Add an eval of one's own as `package.module:SPEC`.

    Raises:
        ValueError: the name is taken.
    """
    if name in _SPECS:
        raise ValueError(f"there is an eval named '{name}' already")
    _SPECS[name] = target
