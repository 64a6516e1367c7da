"""Settings of scr and tpp."""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import Field, field_validator
from pydantic.dataclasses import dataclass

from sae_bench.evals.families.settings import (
    ContextLength,
    Counts,
    LLMBatchSize,
    LLMDtype,
    ModelName,
    ProbeTestTexts,
    ProbeTrainTexts,
    RandomSeed,
    SAEBatchSize,
    SomeDatasetNames,
    option,
)
from sae_bench.results.model import BaseEvalConfig

MAX_PROBE_TEST_BATCH = 500
TextChoice = Literal["first", "drawn"]

Pairs = dict[str, list[tuple[str, str]]]
"""Data set -> pairs of classes by name."""


def _pairs(text: str) -> list[tuple[str, str]]:
    """`a b, c d` -> pairs of names."""
    first_and_second = (pair.split() for pair in text.split(","))
    return [(first, second) for first, second in first_and_second]


PUBLISHED_PAIRS: Pairs = {
    "LabHC/bias_in_bios_class_set1": _pairs(
        "professor nurse, architect journalist, surgeon psychologist, attorney teacher"
    ),
    "canrager/amazon_reviews_mcauley_1and5": _pairs(
        "Books CDs_and_Vinyl, Software Electronics, Pet_Supplies Office_Products, "
        "Industrial_and_Scientific Toys_and_Games"
    ),
}
PUBLISHED_N_VALUES: tuple[int, ...] = (2, 5, 10, 20, 50, 100, 500)


@dataclass
class ScrAndTppEvalConfig(BaseEvalConfig):
    """Settings that scr and tpp share; the defaults are the published ones."""

    random_seed: RandomSeed = 42
    dataset_names: SomeDatasetNames = Field(
        default=list(PUBLISHED_PAIRS),
        description="Labelled text data sets; scr needs a second attribute with two values (gender, rating).",
    )
    perform_scr: bool = option(
        True,
        "True: spurious correlation removal (scr); false: targeted probe perturbation (tpp).",
        title="Perform Spurious Correlation Removal",
    )
    early_stopping_patience: int = option(
        20, "Epochs without a better accuracy after which a probe stops; as many as probe_epochs: never.", ge=1
    )
    train_set_size: ProbeTrainTexts = Field(default=4000, title="Train Set Size", ge=4)
    test_set_size: ProbeTestTexts = Field(default=1000, title="Test Set Size", ge=4)
    context_length: ContextLength = 128
    probe_train_batch_size: int = option(
        16,
        "Texts per step of a probe's training. It decides how much of the spurious correlation a biased "
        "probe learns, so scores compare only between equal values.",
        ge=1,
    )
    probe_test_batch_size: int = option(
        MAX_PROBE_TEST_BATCH,
        "Kept for published scripts (at most 500, as there); accuracies do not depend on it.",
        ge=1,
    )
    probe_epochs: int = option(20, "Epochs of a probe's training; many of them make scr depend less on the seed.", ge=1)
    probe_lr: float = option(1e-3, "Learning rate of the probes.", title="Probe LR", gt=0)
    probe_l1_penalty: float = option(1e-3, "Weight of the sum of a probe's absolute weights in its loss.", ge=0)
    sae_batch_size: SAEBatchSize = 125
    llm_batch_size: LLMBatchSize = None
    llm_dtype: LLMDtype = ""
    lower_vram_usage: bool = option(
        False, "Kept for published scripts; pooled codes stay in main memory in any case.", title="Lower Memory Usage"
    )
    model_name: ModelName = ""
    n_values: Counts = option(list(PUBLISHED_N_VALUES), "How many latents are set to zero; one score per value.")
    column1_vals_lookup: Pairs = Field(
        default_factory=lambda: {name: list(pairs) for name, pairs in PUBLISHED_PAIRS.items()},
        title="Column 1 Values Lookup",
        description="scr only: data set -> pairs of classes, each made into a fully biased set (all professors male, "
        "all nurses female). A set that is not listed pairs its classes in order.",
    )
    probe_selection: Literal["test", "validation"] = option(
        "test",
        "What chooses the epoch of a probe: 'test' is the published definition and picks the epoch with the best "
        "test accuracy; 'validation' picks on a tenth of the training texts.",
    )

    @field_validator("probe_test_batch_size")
    @classmethod
    def _at_most_500(cls, value: int) -> int:
        return min(value, MAX_PROBE_TEST_BATCH)

    @field_validator("column1_vals_lookup", mode="before")
    @classmethod
    def _from_json(cls, value: Any) -> Any:
        """A flag gives text: '{"set": [["a", "b"]]}'."""
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"column1_vals_lookup must be JSON such as {{'set': [['a', 'b']]}}: {error}") from error

    @field_validator("column1_vals_lookup")
    @classmethod
    def _check_pairs(cls, lookup: Pairs) -> Pairs:
        for name, pairs in lookup.items():
            if not pairs or len(set(pairs)) < len(pairs) or any(a == b for a, b in pairs):
                raise ValueError(f"'{name}' needs one or more pairs of two different classes each, got {pairs}.")
        return lookup


@dataclass
class ScrEvalConfig(ScrAndTppEvalConfig):
    """Settings of spurious correlation removal."""

    perform_scr: Literal[True] = option(
        True, "Always true here; tpp is the eval of the other value.", title="Perform Spurious Correlation Removal"
    )
    text_choice: TextChoice = option(
        "first",
        "Which texts of each quadrant are read: 'first', in the order of the source, as published, or "
        "'drawn' with random_seed, which --resample-data does for every seed.",
    )


@dataclass
class TppEvalConfig(ScrAndTppEvalConfig):
    """Settings of targeted probe perturbation."""

    perform_scr: Literal[False] = option(
        False, "Always false here; scr is the eval of the other value.", title="Perform Spurious Correlation Removal"
    )
