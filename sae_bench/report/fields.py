"""Titles and descriptions of all numbers of an eval, from its output class."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, get_args

from pydantic import BaseModel

from sae_bench.evals.base import EvalSpec


@dataclass(frozen=True)
class FieldText:
    """What a number is called, and what it is."""

    title: str
    description: str = ""


@lru_cache(maxsize=64)
def metric_texts(output: type[BaseModel]) -> dict[str, FieldText]:
    """`category.field` -> texts, in the order in which the class declares them."""
    texts: dict[str, FieldText] = {}
    for category, field in _model_of(output.model_fields["eval_result_metrics"].annotation).items():
        for name, inner in _model_of(field.annotation).items():
            texts[f"{category}.{name}"] = FieldText(inner.title or readable(name), inner.description or "")
    return texts


@lru_cache(maxsize=64)
def detail_texts(output: type[BaseModel]) -> dict[str, FieldText]:
    """Column of the details -> texts."""
    arguments = get_args(output.model_fields["eval_result_details"].annotation)
    fields = _model_of(arguments[0]) if arguments else {}
    return {name: FieldText(field.title or readable(name), field.description or "") for name, field in fields.items()}


def metric_text(spec: EvalSpec | None, path: str) -> FieldText:
    """Texts of one number; those of a number that no class declares come from its name."""
    known = metric_texts(spec.output) if spec is not None else {}
    return known.get(path) or FieldText(readable(path.split(".", 1)[-1]))


def readable(name: str) -> str:
    """`full_absorption_rate` as `Full absorption rate`."""
    words = name.replace("_", " ").replace(".", " ").strip()
    return words[:1].upper() + words[1:] if words else name


def _model_of(annotation: Any) -> dict[str, Any]:
    return annotation.model_fields if isinstance(annotation, type) and issubclass(annotation, BaseModel) else {}
