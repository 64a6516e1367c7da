"""What a synthetic model is made of, in a handful of numbers: SynthSAEBench (arXiv 2602.14687, section 3)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from sae_bench.errors import UsageError
from sae_bench.language_models.aliases import SYNTHETIC_NAMES
from sae_bench.text_files import read_yaml

HOOK = "blocks.0.hook_resid_post"
"""Where a synthetic model has its activations, unless it says otherwise."""


class SyntheticParameters(BaseModel):
    """A synthetic model; the defaults of what is not its size are the published ones."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    n_features: int = Field(ge=2, description="Features, from the most frequent to the rarest.")
    d_model: int = Field(ge=2, description="Width of the activations.")
    largest_probability: float = Field(default=0.4, gt=0, le=1, description="Of the first feature.")
    smallest_probability: float = Field(default=5e-4, gt=0, le=1, description="Of the last feature.")
    exponent: float = Field(default=0.5, gt=0, description="Probabilities fall with rank to the power of minus this.")
    n_trees: int = Field(default=0, ge=0, description="Roots of the hierarchy: the first features.")
    branching: int = Field(default=4, ge=2, description="Children of a feature that has some.")
    depth: int = Field(default=3, ge=1, description="Levels of a tree below its root.")
    exclusive_children: bool = Field(
        default=True, description="Whether of the children of a feature one at most is on."
    )
    scale_by_parent: bool = Field(default=True, description="Whether a child is multiplied by parent / parent's mean.")
    compensate: bool = Field(default=True, description="Whether probabilities are raised by what the hierarchy takes.")
    correlation_rank: int = Field(default=25, ge=0, description="Common causes of features; 0: none.")
    correlation_scale: float = Field(default=0.1, ge=0, description="Size of their influence.")
    first_magnitude: float = Field(default=5.0, gt=0, description="Mean size of the first feature when it is on.")
    last_magnitude: float = Field(default=4.0, gt=0, description="Mean size of the last feature when it is on.")
    spread_mean: float = Field(default=0.5, ge=0, description="A feature's spread is |N(spread_mean, spread_std^2)|.")
    spread_std: float = Field(default=0.5, ge=0, description="See spread_mean.")
    orthogonal_steps: int = Field(default=100, ge=0, description="Adam steps that push directions apart.")
    orthogonal_lr: float = Field(default=3e-4, gt=0, description="Learning rate of these steps.")
    bias_norm: float = Field(default=0.5, ge=0, description="Length of the vector that is added to all activations.")
    seed: int = Field(default=42, ge=0, description="Of directions; those after it are of spreads and correlations.")
    hook_name: str = Field(default=HOOK, description="Where the activations are.")

    @model_validator(mode="after")
    def _is_consistent(self) -> SyntheticParameters:
        if self.smallest_probability >= self.largest_probability:
            raise ValueError("smallest_probability has to be below largest_probability")
        if self.n_trees > self.n_features:
            raise ValueError(f"n_trees is {self.n_trees}, there are {self.n_features} features")
        return self


PUBLISHED = SyntheticParameters(n_features=16_384, d_model=768, n_trees=128)
"""SynthSAEBench-16k."""

SMALL = SyntheticParameters(n_features=2_048, d_model=128, n_trees=16)
"""An eighth of the published features and trees in a sixth of the dimensions: minutes on two cores."""

NAMED: dict[str, SyntheticParameters] = dict(zip(SYNTHETIC_NAMES, (SMALL, PUBLISHED), strict=True))


def read_parameters(path: Path) -> SyntheticParameters:
    """The parameters in a YAML file of one's own.

    Raises:
        UsageError: the file is not there, is no mapping, or has a field that does not exist or fit.
    """
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise UsageError(f"'{path}' has to map parameters to values, such as 'n_features: 512'.")
    return parameters_from(content, source=str(path))


def parameters_from(values: dict[str, Any], *, source: str) -> SyntheticParameters:
    """Checked parameters; `source` is what errors call their origin.

    Raises:
        UsageError: a field that does not exist or fit; the message names it.
    """
    try:
        return SyntheticParameters.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        allowed = ", ".join(SyntheticParameters.model_fields)
        message = first["msg"].removeprefix("Value error, ")
        raise UsageError(f"{source}{': ' + where if where else ''}: {message}. Fields: {allowed}.") from error
