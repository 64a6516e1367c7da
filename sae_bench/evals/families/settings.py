"""Fields that the settings of several evals share: what they are called, what they mean and what they take.

A config names the type and its own default, `random_seed: RandomSeed = 42`; where a field means something of its own
there, `Field(default=..., description=...)` says so and the rest stays as declared here.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, Field, WithJsonSchema

from sae_bench.results.model import ReadAtOnce

ListT = TypeVar("ListT", bound=list[Any])


def option(default: Any, description: str, *, title: str | None = None, **limits: Any) -> Any:
    """A field of a config.

    Args:
        default, description, title: what the schema of result files says; the title is made from the name by default.
        limits: what it takes, as `pydantic.Field` names it (`ge=1`).
    """
    return Field(default=default, title=title, description=description, **limits)


def distinct(values: ListT, info: Any) -> ListT:
    """The values if none is there twice; raises `ValueError` with the field's name."""
    seen: list[Hashable] = list(values)
    if len(set(seen)) < len(seen):
        raise ValueError(f"{info.field_name} must differ from one another, got {values}.")
    return values


def positive(values: ListT, info: Any) -> ListT:
    """The numbers if all are above 0; raises `ValueError` with the field's name."""
    if any(value <= 0 for value in values):
        raise ValueError(f"{info.field_name} must be above 0, got {values}.")
    return values


def one_or_more(values: list[int], info: Any) -> list[int]:
    """The whole numbers if all are 1 or more; raises `ValueError` with the field's name."""
    if any(value < 1 for value in values):
        raise ValueError(f"{info.field_name} must be 1 or more, got {values}.")
    return values


def _of_a_dtype(name: str) -> str:
    from sae_bench.language_models.load import DTYPES  # loads torch, which reading a declaration need not

    if name not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, got {name!r}.")
    return name


def _named_once(names: list[str], info: Any) -> list[str]:
    if len(set(names)) < len(names):
        raise ValueError(f"{info.field_name} holds a name twice: {names}.")
    return names


def _at_least_one(names: list[str], info: Any) -> list[str]:
    if not names:
        raise ValueError(f"{info.field_name} is empty; name at least one data set.")
    return names


# ---- model

ModelName = Annotated[str, Field(title="Model Name", description="Language model; filled in by the run.")]
LLMDtype = Annotated[
    str,
    Field(
        title="LLM Data Type",
        description="dtype of the language model, such as bfloat16; empty chooses by model.",
    ),
]
DType = Annotated[str, AfterValidator(_of_a_dtype)]
"""A dtype by name, for what an eval trains."""
LLMBatchSize = Annotated[
    int | None,
    ReadAtOnce(),
    WithJsonSchema({"type": "integer", "minimum": 1}),  # what a result file holds: the size that was taken
    Field(
        title="LLM Batch Size",
        description="Largest number of texts the language model reads at once; null leaves it to the pass.",
        ge=1,
    ),
]
ContextLength = Annotated[
    int,
    Field(
        title="LLM Context Length",
        description="Tokens of a text that the language model reads; what comes after them is cut off.",
        ge=1,
    ),
]

# ---- data

RandomSeed = Annotated[
    int,
    Field(
        title="Random Seed",
        description="Seed of the texts that are sampled, and of the probes where a run names no other seeds.",
    ),
]
DatasetNames = Annotated[list[str], Field(title="Dataset Names"), AfterValidator(_named_once)]
SomeDatasetNames = Annotated[DatasetNames, AfterValidator(_at_least_one)]
CorpusName = Annotated[str, Field(title="Dataset Name", description="Corpus of the packed rows.")]
ProbeTrainTexts = Annotated[int, Field(description="Training texts of one probe; half of them are of its class.")]
ProbeTestTexts = Annotated[int, Field(description="Test texts of one probe; half of them are of its class.")]

# ---- SAE

SAEBatchSize = Annotated[
    int,
    Field(
        title="SAE Batch Size",
        description="Kept for published scripts; the shared pass encodes each of its batches at once.",
        ge=1,
    ),
]
Counts = Annotated[list[int], Field(min_length=1), AfterValidator(one_or_more), AfterValidator(distinct)]
"""Grid of whole numbers, such as how many latents a probe reads."""
