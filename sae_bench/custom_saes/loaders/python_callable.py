"""SAEs that a user's function builds: `python:<module>:<callable>`."""

from __future__ import annotations

import copy
import importlib
import inspect
import os
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch

from sae_bench.custom_saes import fingerprint
from sae_bench.custom_saes.interface import dtype_if_fixed
from sae_bench.custom_saes.spec import LoadContext, SAEHandle, check_shapes, malformed, unusable
from sae_bench.errors import SAELoadError, UnknownNameError, UsageError, no_exit

DEFAULT_ID = "custom_sae"


def resolve(rest: str, *, data_dir: Path | None = None) -> list[SAEHandle]:
    """Handles for what the function returns: an SAE, a dict name -> SAE, or a list of (name, SAE).

    The function takes a `LoadContext` (the CPU, float32, no model) or nothing. It runs once, here, since only its
    result tells how many SAEs there are; `handle.load` then moves an SAE to the run's device and dtype.
    """
    module_name, colon, attribute = rest.rpartition(":")
    if not colon or not module_name or not attribute:
        raise malformed(f"python:{rest}", "python")
    context = LoadContext(torch.device("cpu"), torch.float32, data_dir=data_dir)
    named = False
    try:
        with no_exit(f"{module_name}:{attribute}"):
            function = _find(module_name, attribute)
            named = True
            result = _call(function, _takes_context(function), context)
    except Exception as error:  # whatever the code of others raises is the failure of its SAE, not of the run
        if isinstance(error, UsageError) and not named:
            raise  # the name is wrong
        return [unusable(attribute, DEFAULT_ID, error)]
    return [_handle(name, sae) for name, sae in _named(result, default=attribute)]


def _handle(name: str, sae: Any) -> SAEHandle:
    cfg = getattr(sae, "cfg", None)

    @cache
    def identify() -> str:
        check_shapes(sae, name)
        return fingerprint.of_weights(sae)

    def load(context: LoadContext) -> Any:
        identify()  # before it is moved, cast or folded
        if not hasattr(sae, "to"):
            return sae
        own = copy.deepcopy(sae)  # baselines that are made from it load it again, as the function gave it
        moved = own.to(device=context.device, dtype=context.dtype)
        return own if moved is None else moved

    hook_name, model_name = getattr(cfg, "hook_name", None), getattr(cfg, "model_name", None)
    return SAEHandle(
        name, DEFAULT_ID, hook_name, model_name or None, load, lambda _context: identify(), dtype_if_fixed(sae)
    )


def _find(module_name: str, attribute: str) -> Callable[..., Any]:
    here = os.getcwd()
    added = here not in sys.path
    if added:
        sys.path.insert(0, here)  # a script beside which the command is run
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not module_name.startswith(error.name):
            raise
        raise UsageError(
            f"there is no Python module '{module_name}' (looked in {here} and in the installed packages)."
        ) from error
    finally:
        if added:
            sys.path.remove(here)
    function = getattr(module, attribute, None)
    if function is None:
        raise UnknownNameError(f"name in module {module_name}", attribute, [n for n in dir(module) if n[0] != "_"])
    if not callable(function):
        raise UsageError(f"'{module_name}:{attribute}' is {type(function).__name__}, a function is needed.")
    return function


def _takes_context(function: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    return any(
        p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and (p.default is p.empty or p.name == "context")
        for p in parameters
    )


def _call(function: Callable[..., Any], takes_context: bool, context: LoadContext) -> Any:
    return function(context) if takes_context else function()


def _named(result: Any, *, default: str) -> list[tuple[str, Any]]:
    if isinstance(result, Mapping):
        pairs = [(str(name), sae) for name, sae in result.items()]
    elif isinstance(result, list | tuple):
        pairs = []
        for item in result:
            if not (isinstance(item, tuple) and len(item) == 2):
                raise SAELoadError(f"'{default}' returned a list of {type(item).__name__}; (name, SAE) is needed.")
            pairs.append((str(item[0]), item[1]))
    else:
        pairs = [(default, result)]
    if not pairs:
        raise SAELoadError(f"'{default}' returned no SAE.")
    names = [name for name, _ in pairs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SAELoadError(
            f"'{default}' returned {', '.join(twice)} more than once; results would overwrite each other."
        )
    return pairs
