"""Labelled samples of a synthetic model: which features are on takes the place of what a text is about.

The concepts are those of the reliability audit (arXiv 2605.18229, appendix): single features, some of them rare,
combinations of features, and siblings that exclude one another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from scipy import sparse

from sae_bench.datasets import LabelledTexts
from sae_bench.errors import DatasetError, UnknownNameError, UsageError
from sae_bench.language_models.synthetic.model import SyntheticModel
from sae_bench.seeding import named_generator

PREFIX = "synthetic/"
FREQUENT, RARE = (0.005, 0.2), (0.0007, 0.005)
"""Rates of features: shares of the samples on which they are on."""
SCANNED = 60_000
"""Samples of a seed among which those of a concept are looked for."""
SCANNED_FOR_SIBLINGS = 1 << 17
RATE_SEED = 42
"""The seed whose samples say how frequent a feature is, so that concepts are the same for all seeds."""
TEST_SHARE = 5
"""One sample in so many, by its number, is a test sample."""
FEWEST = 20
"""A concept with fewer training samples is left out."""
LIKELY_IN_DICTIONARY = 4
"""Concepts are about the most frequent quarter of the features: those that an SAE of that width can have."""
_CHUNK = 8192

Rule = Literal["and", "or"]


@dataclass(frozen=True)
class Concept:
    """What a sample is asked for: all, or any, of some features."""

    features: tuple[int, ...]
    rule: Rule = "and"

    @property
    def name(self) -> str:
        """Such as `12_and_40`."""
        return f"_{self.rule}_".join(map(str, self.features))

    def holds(self, on: sparse.csc_matrix) -> np.ndarray:
        """For which samples (B,) it holds, given which features are on (B, G)."""
        n_on_B = np.asarray(on[:, list(self.features)].sum(axis=1)).ravel()
        return n_on_B == len(self.features) if self.rule == "and" else n_on_B > 0


Class = tuple[tuple[Concept, bool], ...]
"""Concepts that have to hold, or not to hold."""


@dataclass(frozen=True)
class Drawn:
    """Numbers of the samples of a class."""

    train: tuple[int, ...]
    test: tuple[int, ...]


def synthetic_sets(
    lm: SyntheticModel, names: Sequence[str], *, train_size: int, test_size: int, seed: int
) -> list[LabelledTexts]:
    """One labelled set per concept, or per group of siblings, of the named kinds.

    Args:
        lm: the model whose samples are labelled.
        names: `synthetic/<kind>`, or `synthetic/<kind>:<n>` for the first n of the kind.
        train_size, test_size: samples of each class at most; all classes of a set have equally many.
        seed: whose samples are drawn.
    Raises:
        UnknownNameError, UsageError: a name is of another kind, or has a count that is no number.
        DatasetError: no concept of a kind has enough samples.
    """
    sets: list[LabelledTexts] = []
    for name in names:
        kind, n = parse_name(name, (*_COUNTS, SIBLINGS))
        classes = _siblings(lm, n) if kind == SIBLINGS else _on_and_off(concepts(lm, kind, n))
        scanned = SCANNED_FOR_SIBLINGS if kind == SIBLINGS else SCANNED
        wanted = {(task, of): rule for task, rules in classes.items() for of, rule in rules.items()}
        drawn = draw(lm, wanted, seed=seed, train_size=train_size, test_size=test_size, scanned=scanned)
        made = [
            _labelled(lm, f"{PREFIX}{kind}/{task}", {of: drawn[task, of] for of in rules}, seed)
            for task, rules in classes.items()
        ]
        filled = [one for one in made if one is not None]
        if not filled:
            raise DatasetError(
                f"'{name}': no concept of '{lm.name}' has {FEWEST} training samples among {scanned:,}. "
                "Next: leave it out."
            )
        sets += filled
    return sets


def parse_name(name: str, kinds: Sequence[str]) -> tuple[str, int | None]:
    """The kind of a set of samples and how many of its concepts are asked for; None for all."""
    if not name.startswith(PREFIX):
        raise UsageError(
            f"'{name}' is a set of texts, and a synthetic model reads none. Next: choose from "
            f"{', '.join(PREFIX + kind for kind in kinds)}."
        )
    kind, colon, count = name.removeprefix(PREFIX).partition(":")
    if kind not in kinds:
        raise UnknownNameError("set of a synthetic model", name, [PREFIX + kind for kind in kinds])
    if colon and not (count.isdigit() and int(count) > 0):
        raise UsageError(f"'{name}': what follows the colon is how many concepts are taken, 1 or more.")
    return kind, int(count) if colon else None


# ---- concepts


_COUNTS: dict[str, int] = {
    "features": 24, "rare_features": 24, "combinations": 16, "rare_combinations": 12, "mixed_combinations": 16,
}  # fmt: skip
SIBLINGS = "siblings"
_N_SIBLINGS = 60


def rates(lm: SyntheticModel) -> np.ndarray:
    """On which share of the samples each feature (G,) is on."""
    activity = lm.activity(lm.numbers(RATE_SEED, SCANNED))
    return np.bincount(activity.indices, minlength=activity.shape[1]) / SCANNED


def concepts(lm: SyntheticModel, kind: str, n: int | None) -> list[Concept]:
    """The concepts of a kind, the same on every call; fewer where the model has fewer features of the rates."""
    rate_G, generator = rates(lm), named_generator("synthetic concepts", kind)
    known = np.arange(len(rate_G)) < len(rate_G) // LIKELY_IN_DICTIONARY
    frequent, rare = (
        np.flatnonzero(known & (rate_G >= low) & (rate_G <= high)).tolist() for low, high in (FREQUENT, RARE)
    )

    def pick(pool: Sequence[int], count: int) -> tuple[int, ...]:
        return tuple(pool[i] for i in torch.randperm(len(pool), generator=generator)[:count].tolist())

    total = _COUNTS[kind]
    if kind == "features":
        found = [Concept((feature,)) for feature in pick(frequent, total)]
    elif kind == "rare_features":
        found = [Concept((feature,)) for feature in pick(rare, total)]
    elif kind == "combinations":
        found = [Concept(pick(frequent, 2 + i // 2 % 2), ("and", "or")[i % 2]) for i in range(total)]
    elif kind == "rare_combinations":
        found = [Concept(pick(rare, 2 + i % 3), "or") for i in range(total)]
    else:
        found = [Concept(pick(frequent, 1) + pick(rare, 1 + i % 2), "or") for i in range(total)]
    return list(dict.fromkeys(concept for concept in found if concept.features))[:n]


def _on_and_off(found: Sequence[Concept]) -> dict[str, dict[str, Class]]:
    return {concept.name: {"on": ((concept, True),), "off": ((concept, False),)} for concept in found}


def _siblings(lm: SyntheticModel, n: int | None) -> dict[str, dict[str, Class]]:
    """Groups of features that exclude one another, of the greatest depth that has some among the frequent features."""
    known = lm.n_features // LIKELY_IN_DICTIONARY
    groups = [(depth, members) for depth, members in lm.features.hierarchy.groups if max(members) < known]
    deepest = [members for depth, members in groups if depth == max(depth for depth, _ in groups)]
    order = torch.randperm(len(deepest), generator=named_generator("synthetic siblings")).tolist()
    chosen = [deepest[i] for i in order[:_N_SIBLINGS]][:n]
    return {"_".join(map(str, of)): {str(f): ((Concept((f,)), True),) for f in of} for of in chosen}


# ---- their samples


def draw(
    lm: SyntheticModel,
    classes: Mapping[tuple[str, str], Class],
    *,
    seed: int,
    train_size: int | Mapping[tuple[str, str], int],
    test_size: int | Mapping[tuple[str, str], int],
    scanned: int,
) -> dict[tuple[str, str], Drawn]:
    """The first samples of every class, training and test samples apart.

    Args:
        lm: the model.
        classes: name -> what its samples have in common.
        seed: whose samples are looked through.
        train_size, test_size: how many are taken at most, of all classes or of each.
        scanned: how many are looked through at most.
    """
    found: dict[tuple[str, str], tuple[list[int], list[int]]] = {name: ([], []) for name in classes}
    sizes = {
        name: tuple(size if isinstance(size, int) else size[name] for size in (train_size, test_size))
        for name in classes
    }
    for numbers in lm.numbers(seed, scanned).split(_CHUNK):
        open_ = [name for name, lists in found.items() if any(map(_lacks, lists, sizes[name]))]
        if not open_:
            break
        on = (lm.activity(numbers) != 0).tocsc().astype(np.int32)
        is_test = numbers.numpy() % TEST_SHARE == 0
        holds: dict[Concept, np.ndarray] = {}
        for name in open_:
            member = np.ones(len(numbers), dtype=bool)
            for concept, wanted in classes[name]:
                if concept not in holds:
                    holds[concept] = concept.holds(on)
                member &= holds[concept] == wanted
            for part, rows, size in zip(found[name], (member & ~is_test, member & is_test), sizes[name], strict=True):
                part += numbers[np.flatnonzero(rows)[: size - len(part)]].tolist()
    return {name: Drawn(tuple(train), tuple(test)) for name, (train, test) in found.items()}


def _lacks(rows: Sequence[int], size: int) -> bool:
    return len(rows) < size


def _labelled(lm: SyntheticModel, name: str, drawn: Mapping[str, Drawn], seed: int) -> LabelledTexts | None:
    """A set with equally many samples of each class; None if there are too few."""
    n_train, n_test = (min(len(getattr(of, split)) for of in drawn.values()) for split in ("train", "test"))
    if n_train < FEWEST or n_test < FEWEST // TEST_SHARE:
        return None
    facts = {"source": "synthetic", "location": lm.name, "seed": str(seed)}
    return LabelledTexts(
        name,
        tuple(drawn),
        {of: lm.texts(one.train[:n_train]) for of, one in drawn.items()},
        {of: lm.texts(one.test[:n_test]) for of, one in drawn.items()},
        {**facts, "train_rows": str(n_train * len(drawn)), "test_rows": str(n_test * len(drawn))},
    )
