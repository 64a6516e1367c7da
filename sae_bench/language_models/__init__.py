"""Language models: find, load, and run them at TransformerLens-style hooks."""

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
