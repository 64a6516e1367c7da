"""The models that the published functions are called with, as this package takes them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from torch import nn

from sae_bench.errors import ModelError, UsageError
from sae_bench.language_models import LanguageModel
from sae_bench.language_models.load import find_model
from sae_bench.run.objects import given_back

GivenModel = Any
"""A `LanguageModel`, a name, or a transformers model with its tokenizer: as its attribute, or the two as a pair."""


@contextmanager
def borrowed(given: GivenModel) -> Iterator[LanguageModel | str]:
    """`as_language_model` for a while; a transformers model is given back in the mode in which it came."""
    model = given[0] if isinstance(given, tuple) and given else given
    with given_back(model) if isinstance(model, nn.Module) else nullcontext():
        yield as_language_model(given)


def as_language_model(given: GivenModel) -> LanguageModel | str:
    """A model as the engine takes it.

    A transformers model without a tokenizer gets that of the repository or directory that it was loaded from. It is
    put into evaluation mode, and its weights no longer require gradients.

    Raises:
        UsageError: a HookedTransformer, whose weights are folded and centred, or something that is no model.
        ModelError: the model's tokenizer cannot be found.
    """
    if isinstance(given, LanguageModel | str):
        return given
    model, tokenizer = given if isinstance(given, tuple) and len(given) == 2 else (given, None)
    if _comes_from("transformer_lens", model):
        raise UsageError(
            f"a {type(model).__name__} was given; evals run on the transformers model itself. Next: pass the model's "
            f"name ({getattr(model.cfg, 'model_name', '')!r}), load_language_model(name), or the transformers model."
        )
    if not hasattr(model, "get_input_embeddings") or not hasattr(model, "config"):
        raise UsageError(
            f"a {type(model).__name__} is no model. Allowed: a name, a LanguageModel, a transformers model, or a pair "
            "(transformers model, tokenizer)."
        )
    name = str(getattr(model.config, "_name_or_path", "") or type(model).__name__)
    return LanguageModel(model, tokenizer or getattr(model, "tokenizer", None) or _tokenizer(name), name=name)


def _comes_from(package: str, given: object) -> bool:
    return any(cls.__module__.split(".")[0] == package for cls in type(given).__mro__)


def _tokenizer(name: str) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(find_model(name).name_or_path)
    except Exception as error:  # readers of foreign files fail in every way; the cause stays attached
        raise ModelError(
            f"the tokenizer of '{name}' was not found ({error}). Next: pass a pair (model, tokenizer)."
        ) from error
