"""Settings of RAVEL."""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import Field, field_validator
from pydantic.dataclasses import dataclass

from sae_bench.datasets.names import RAVEL
from sae_bench.evals.families.settings import LLMBatchSize, LLMDtype, ModelName, RandomSeed, option
from sae_bench.results.model import BaseEvalConfig

PAIRS_PER_STEP = {"gemma-2": 8, "pythia-70m": 128, "pythia-160m": 64}
"""Start of a model's name -> pairs per training step of the published command."""
DEFAULT_PAIRS_PER_STEP = 16
PromptBOS = Literal["tokenizer", "always", "never"]


@dataclass
class RAVELEvalConfig(BaseEvalConfig):
    """Settings of RAVEL; the defaults are the published ones."""

    counted = frozenset({"llm_batch_size"})

    entity_attribute_selection: dict[str, list[str]] = option(
        {
            "city": ["Country", "Continent", "Language"],
            "nobel_prize_winner": ["Country of Birth", "Field", "Gender"],
        },
        "Entity class -> at least two of its attributes; as a flag, JSON text.",
        title="Selection of entity and attribute classes",
    )
    top_n_entities: int = option(
        500,
        "Entities that are kept: those with the most right completions.",
        title="Number of distinct entities in the dataset",
        ge=2,
    )
    top_n_templates: int | None = option(
        90,
        "Templates that are kept: those with the most right completions; null keeps all.",
        title="Number of distinct templates in the dataset",
        ge=1,
    )
    full_dataset_downsample: int | None = option(
        None, "Complete a random sample of so many prompts; null completes every template of every entity.", ge=1
    )
    num_pairs_per_attribute: int = option(
        5000,
        "Cause pairs of an attribute at most, and as many isolation pairs of the others.",
        title="Number of Pairs per Attribute",
        ge=2,
    )
    train_test_split: float = option(
        0.7, "Share of the pairs that masks are trained on; the rest is scored.", gt=0, lt=1
    )
    force_dataset_recompute: bool = option(
        False, "Complete the prompts again, even if the completions of this model are there."
    )
    model_name: ModelName = ""
    llm_dtype: LLMDtype = ""
    llm_batch_size: LLMBatchSize = Field(
        default=None,
        description="Pairs of one training step, which decides the number of steps; null takes those of the published "
        "command: 8 for Gemma 2, 128 and 64 for Pythia 70M and 160M, 16 for other models.",
    )
    learning_rate: float = option(1e-3, "Learning rate of the mask (Adam).", gt=0)
    num_epochs: int = option(2, "Passes over the training pairs.", title="Number of Epochs", ge=1)
    train_mdas: bool = option(
        False,
        "Leave the SAE aside and train a rotation of the activation space with a mask over its axes: the "
        "supervised skyline. The published command then runs 10 epochs.",
        title="Train MDAS",
    )
    n_generated_tokens: int = option(
        6, "Tokens of a completion; the RAVEL paper takes 8.", title="Number of Generated Tokens", ge=1
    )
    random_seed: RandomSeed = Field(
        default=42,
        description="Seed of the prompts that are sampled, and of the pairs where a run names no other seeds.",
    )
    artifact_dir: str = option(
        "artifacts/ravel",
        "Folder of the completions, which do not depend on the SAE; below the output folder unless absolute.",
        title="Artifact Directory",
    )
    dataset_name: str = option(
        RAVEL,
        "Where entities and templates come from: adamkarvonen/ravel_prompts (RAVEL), a folder with such "
        "files, or embedded/cities.",
    )
    prompt_bos: PromptBOS = option(
        "tokenizer",
        "tokenizer: what the model's tokenizer adds to a text by itself, as published (BOS for Gemma, "
        "nothing for Pythia and SmolLM2); always: BOS; never: the text's tokens alone. The BOS rule of the run has no "
        "part in it.",
        title="BOS before a Prompt",
    )

    @field_validator("entity_attribute_selection", mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value)
        except (ValueError, RecursionError) as error:
            raise ValueError('write it as JSON, such as {"city": ["Country", "Language"]}.') from error

    @field_validator("entity_attribute_selection")
    @classmethod
    def _has_two_attributes(cls, selection: dict[str, list[str]]) -> dict[str, list[str]]:
        if not selection:
            raise ValueError("entity_attribute_selection is empty; name at least one entity class.")
        for entity_class, attributes in selection.items():
            if len(set(attributes)) < 2 or len(set(attributes)) < len(attributes):
                raise ValueError(f"'{entity_class}' needs at least two different attributes, got {attributes}.")
        return selection

    @property
    def pairs_per_step(self) -> int:
        """Pairs of one training step."""
        if self.llm_batch_size is not None:
            return self.llm_batch_size
        name = self.model_name.split("/")[-1].lower()
        return next((n for start, n in PAIRS_PER_STEP.items() if name.startswith(start)), DEFAULT_PAIRS_PER_STEP)

    def batch_taken(self, limit_of_pass: int) -> int:
        """Here it is the pairs of a training step."""
        del limit_of_pass
        return self.pairs_per_step
