"""From known prompts to pairs: the best entities and templates, then base and source prompts with different values.

A cause pair asks for the attribute whose latents are sought; after the change the model should name the source's value.
An isolation pair asks for another attribute; it should go on naming the base's value.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from sae_bench.errors import PrerequisiteError
from sae_bench.evals.ravel.eval_config import RAVELEvalConfig
from sae_bench.evals.ravel.prompts import Answer
from sae_bench.seeding import named_generator

MIN_KNOWN = 10
"""Known prompts of an attribute that are needed at least."""


@dataclass(frozen=True)
class Pair:
    """Two known prompts of one attribute with different values, as places among all known prompts."""

    base: int
    source: int
    is_cause: bool


@dataclass(frozen=True)
class PairSplit:
    """The pairs of one attribute of an entity class under one seed."""

    entity_class: str
    attribute: str
    seed: int
    train: tuple[Pair, ...]
    test: tuple[Pair, ...]


def keep_best(known: Sequence[Answer], *, top_n_entities: int, top_n_templates: int | None) -> list[Answer]:
    """Right answers on the entities and templates that have the most of them; ties go to those that come first."""
    entities = Counter(answer.prompt.question.entity for answer in known)
    best = {name for name, _ in entities.most_common(top_n_entities)}
    of_best = [answer for answer in known if answer.prompt.question.entity in best]
    if top_n_templates is None:
        return of_best
    templates = Counter((a.prompt.question.attribute, a.prompt.question.template) for a in of_best)
    chosen = {name for name, _ in templates.most_common(top_n_templates)}
    return [a for a in of_best if (a.prompt.question.attribute, a.prompt.question.template) in chosen]


def check_known(known: Sequence[Answer], counts: dict[str, dict[str, int]], *, model: str, entity_class: str) -> None:
    """Stop where the model knows too little.

    Raises:
        PrerequisiteError: an attribute has too few right completions, or all of them name one value.
    """
    lacking: list[str] = []
    for attribute in counts:
        values = [a.prompt.question.value for a in known if a.prompt.question.attribute == attribute]
        if len(values) < MIN_KNOWN:
            lacking.append(f"'{attribute}' has {len(values)}, at least {MIN_KNOWN} are needed")
        elif len(set(values)) < 2:
            lacking.append(f"all of '{attribute}' name the same value, '{values[0]}'")
    if not lacking:
        return
    asked = ", ".join(f"{name} {n['known']} of {n['asked']}" for name, n in counts.items())
    raise PrerequisiteError(
        f"ravel: '{model}' completes too few prompts on '{entity_class}' rightly: {'; '.join(lacking)}. Right "
        f"completions: {asked}. Next: leave attributes out of entity_attribute_selection, complete more prompts "
        "(full_dataset_downsample, top_n_entities, top_n_templates), or take a more capable model."
    )


def draw_pairs(
    known: Sequence[Answer], entity_class: str, attributes: Sequence[str], config: RAVELEvalConfig, *, seed: int
) -> list[PairSplit]:
    """The pairs of every attribute, split into those for training and those for scoring.

    Cause and isolation pairs are equally many where there are enough of the latter, in one random order.
    """
    drawer = _Drawer(known, entity_class, config.num_pairs_per_attribute, seed)
    splits: list[PairSplit] = []
    for cause in attributes:
        pairs = [Pair(base, source, True) for base, source in drawer.draw(cause, f"cause {cause}")]
        others = [other for other in attributes if other != cause]
        isolation = [
            Pair(base, source, False) for other in others for base, source in drawer.draw(other, f"{cause}: {other}")
        ]
        order = torch.randperm(len(isolation), generator=drawer.generator(f"isolation {cause}")).tolist()
        pairs += [isolation[number] for number in order[: len(pairs)]]
        order = torch.randperm(len(pairs), generator=drawer.generator(f"order {cause}")).tolist()
        mixed = tuple(pairs[number] for number in order)
        n_train = min(max(1, int(len(mixed) * config.train_test_split)), len(mixed) - 1)
        splits.append(PairSplit(entity_class, cause, seed, mixed[:n_train], mixed[n_train:]))
    return splits


class _Drawer:
    """Draws bases and sources of an attribute; every draw has a generator of its own."""

    def __init__(self, known: Sequence[Answer], entity_class: str, n_pairs: int, seed: int) -> None:
        self.known = known
        self.entity_class = entity_class
        self.n_pairs = n_pairs
        self.seed = seed
        self.prompts_of: dict[str, list[int]] = {}
        for number, answer in enumerate(known):
            self.prompts_of.setdefault(answer.prompt.question.attribute, []).append(number)

    def generator(self, purpose: str) -> torch.Generator:
        return named_generator("ravel", self.entity_class, purpose, self.seed)

    def draw(self, attribute: str, purpose: str) -> list[tuple[int, int]]:
        """Bases are a sample of the known prompts, a source any known prompt of another value."""
        numbers = self.prompts_of[attribute]
        generator = self.generator(purpose)
        bases = numbers
        if len(numbers) >= self.n_pairs:
            order = torch.randperm(len(numbers), generator=generator)[: self.n_pairs].tolist()
            bases = [numbers[i] for i in order]
        values = [self.known[number].prompt.question.value for number in numbers]
        sources_of = {
            value: [number for number, other in zip(numbers, values, strict=True) if other != value]
            for value in set(values)
        }
        pairs: list[tuple[int, int]] = []
        for base in bases:
            sources = sources_of[self.known[base].prompt.question.value]
            pairs.append((base, sources[int(torch.randint(len(sources), (1,), generator=generator))]))
        return pairs
