"""Pairs for scr on a synthetic model: a feature to be told from the others, and a spurious one of another tree."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import torch

from sae_bench.errors import DatasetError
from sae_bench.evals.families import synthetic_tasks as tasks
from sae_bench.evals.families.synthetic_tasks import PREFIX, Class, Concept
from sae_bench.evals.scr_and_tpp.eval_config import ScrEvalConfig
from sae_bench.evals.scr_and_tpp.texts import BIASED, QUADRANTS, PairTexts, Split
from sae_bench.language_models.synthetic.model import SyntheticModel
from sae_bench.seeding import named_generator

PAIRS = "pairs"
N_PAIRS = 24
FEWEST = 100
"""Samples of a quadrant, training and test, below which a pair is left out if more are asked for."""


def synthetic_pairs(name: str, config: ScrEvalConfig, lm: SyntheticModel) -> tuple[list[PairTexts], dict[str, str]]:
    """Pairs of features with samples of all four quadrants, and where they come from.

    Args:
        name: `synthetic/pairs`, or with `:<n>` for so many pairs.
        config: sizes and seed.
        lm: the model.
    Raises:
        UsageError: another name.
        DatasetError: the model has no pair with enough samples.
    """
    _, n = tasks.parse_name(name, (PAIRS,))
    chosen = feature_pairs(lm)[:n]
    classes: dict[tuple[str, str], Class] = {}
    sizes: dict[str, dict[tuple[str, str], int]] = {"train": {}, "test": {}}
    for target, spurious in chosen:
        for quadrant in QUADRANTS:
            key = (f"{target} {spurious}", f"{quadrant[0]}{quadrant[1]}")
            classes[key] = ((Concept((target,)), not quadrant[0]), (Concept((spurious,)), not quadrant[1]))
            for split, total in (("train", config.train_set_size), ("test", config.test_set_size)):
                sizes[split][key] = total // 4 * (2 if quadrant in BIASED else 1)
    drawn = tasks.draw(
        lm, classes, seed=config.random_seed, train_size=sizes["train"], test_size=sizes["test"], scanned=tasks.SCANNED
    )
    pairs = []
    for target, spurious in chosen:
        cells = {q: drawn[f"{target} {spurious}", f"{q[0]}{q[1]}"] for q in QUADRANTS}
        asked = config.train_set_size // 4 + config.test_set_size // 4
        if min(len(cell.train) + len(cell.test) for cell in cells.values()) >= min(FEWEST, asked):
            train, test = (_even({q: list(getattr(c, split)) for q, c in cells.items()}, lm) for split in sizes)
            pairs.append(PairTexts(f"{PREFIX}{PAIRS}", (str(target), str(spurious)), ("on", "off"), train, test))
    if not pairs:
        raise DatasetError(
            f"'{name}': no two features of different trees of '{lm.name}' have {FEWEST} samples of all four quadrants "
            f"among {tasks.SCANNED:,}. Next: leave scr out."
        )
    facts = {"source": "synthetic", "location": lm.name, "seed": str(config.random_seed), "pairs": str(len(pairs))}
    return pairs, facts


def feature_pairs(lm: SyntheticModel) -> list[tuple[int, int]]:
    """(target, spurious) features of different trees that are on together often enough, in a random, fixed order."""
    rate_G, tree_G = tasks.rates(lm), lm.features.hierarchy.tree_of(lm.n_features)
    frequent = np.flatnonzero((rate_G >= 0.02) & (rate_G <= 0.5) & (tree_G.numpy() >= 0)).tolist()
    possible = [
        (a, b)
        for a, b in combinations(frequent, 2)
        if tree_G[a] != tree_G[b] and rate_G[a] * rate_G[b] * tasks.SCANNED >= 2 * FEWEST
    ]
    generator = named_generator("synthetic pairs")
    order = torch.randperm(len(possible), generator=generator).tolist()[:N_PAIRS]
    swapped = torch.rand(len(order), generator=generator) < 0.5
    return [possible[i][::-1] if swap else possible[i] for i, swap in zip(order, swapped.tolist(), strict=True)]


def _even(cells: dict[tuple[int, int], list[int]], lm: SyntheticModel) -> Split:
    """Equally many of each quadrant, and twice as many of the biased ones."""
    size = min(len(numbers) // (2 if quadrant in BIASED else 1) for quadrant, numbers in cells.items())
    return {q: lm.texts(numbers[: size * (2 if q in BIASED else 1)]) for q, numbers in cells.items()}
