"""Language models: find, load, and run them at TransformerLens-style hooks.

Names are imported when they are first used, so that the table of aliases can be read without torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sae_bench.language_models.hooks import HookPoint, parse_hook_name
    from sae_bench.language_models.interventions import Resume
    from sae_bench.language_models.load import load_language_model, resolve_device, resolve_dtype
    from sae_bench.language_models.model import LanguageModel
    from sae_bench.language_models.token_texts import TokenTexts

__all__ = [
    "HookPoint",
    "LanguageModel",
    "Resume",
    "TokenTexts",
    "load_language_model",
    "parse_hook_name",
    "resolve_device",
    "resolve_dtype",
]

_HOMES = {
    "HookPoint": "hooks",
    "LanguageModel": "model",
    "Resume": "interventions",
    "TokenTexts": "token_texts",
    "load_language_model": "load",
    "parse_hook_name": "hooks",
    "resolve_device": "load",
    "resolve_dtype": "load",
}
"""Name -> the module that it is in."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    module = importlib.import_module(f"{__name__}.{_HOMES[name]}")
    globals()[name] = value = getattr(module, name)
    return value
