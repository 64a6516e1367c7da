"""What other packages add by entry points: evals, kinds of SAEs, datasets.

A plug-in that cannot be loaded is named in a warning and left out; nothing else is touched by it.
"""

from __future__ import annotations

import logging
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from sae_bench.errors import UsageError, no_exit

logger = logging.getLogger(__name__)

EVALS, SAES, DATASETS = "sae_bench.evals", "sae_bench.saes", "sae_bench.datasets"


@lru_cache(maxsize=8)
def plugins(group: str) -> dict[str, EntryPoint]:
    """Name -> entry point of a group, in the order of the names."""
    return {entry.name: entry for entry in sorted(entry_points(group=group), key=lambda entry: entry.name)}


def load_plugin(entry: EntryPoint) -> Any:
    """The object that a plug-in gives.

    Raises:
        UsageError: it cannot be imported; the message names it, its package and the cause.
    """
    try:
        with no_exit(entry.name):
            return entry.load()
    except Exception as error:  # another package's code fails in every way; the cause stays attached
        package = entry.dist.name if entry.dist is not None else "an unknown package"
        raise UsageError(
            f"the plug-in '{entry.name}' of {package} ({entry.group}, {entry.value}) cannot be loaded: "
            f"{type(error).__name__}: {error}. Next: mend or uninstall {package}."
        ) from error


@lru_cache(maxsize=8)
def working_plugins(group: str) -> dict[str, Any]:
    """Name -> object of the plug-ins that can be loaded; the others are named in a warning, once."""
    loaded: dict[str, Any] = {}
    for name, entry in plugins(group).items():
        try:
            loaded[name] = load_plugin(entry)
        except UsageError as error:
            logger.warning("%s", error)
    return loaded


def forget_plugins() -> None:
    """Look for plug-ins again: packages were installed or removed since."""
    plugins.cache_clear()
    working_plugins.cache_clear()
