"""Language models: find, load, and run them at TransformerLens-style hooks.

Names are imported when they are first used, so that the table of aliases can be read without torch.
"""

from typing import TYPE_CHECKING

from sae_bench.forwarding import imported_when_used

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

__getattr__ = imported_when_used(__name__, {name: f"{__name__}.{home}" for name, home in _HOMES.items()})
