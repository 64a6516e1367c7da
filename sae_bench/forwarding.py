"""Names that lead to where their bodies are: published names and paths that moved, and imports at the first use."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def imported_when_used(module: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """A module's `__getattr__` for names whose modules are imported at their first use.

    Args:
        module: `__name__` of the module that offers the names.
        homes: name -> the module that holds it.
    """

    def look_up(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(homes[name]), name)
        setattr(sys.modules[module], name, value)
        return value

    return look_up


def forwarded(module: str, home: str, *names: str) -> Callable[[str], Any]:
    """A module's `__getattr__` for names that live in another module.

    Args:
        module: `__name__` of the module under whose path the names were published.
        home: the module that holds them now; imported at the first use of a name.
        names: the published names.
    """
    return imported_when_used(module, dict.fromkeys(names, home))


def published_path(module: str, home: str) -> None:
    """Make a module that was published under this path the same object as the module that holds its body.

    So a name that is replaced under the published path, as tests do, is replaced where it is used. A script that is
    started by its path stays what it is.
    """
    if module != "__main__":
        sys.modules[module] = importlib.import_module(home)
