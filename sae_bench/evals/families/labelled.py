"""Labelled texts in pooled matrices: where those of each class stand, and balanced one-vs-rest problems on them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from sae_bench.datasets import LabelledTexts, load_labelled
from sae_bench.errors import DatasetError
from sae_bench.evals.base import EvalContext
from sae_bench.evals.families.synthetic_tasks import synthetic_sets
from sae_bench.language_models.synthetic.model import SyntheticModel


@dataclass(frozen=True)
class PooledDataset:
    """Where the texts of each class stand in the pooled (T, ...) matrices."""

    name: str
    classes: tuple[str, ...]
    train_rows: Mapping[str, Tensor]
    test_rows: Mapping[str, Tensor]


def load_sets(
    names: Sequence[str], context: EvalContext, *, train_set_size: int, test_set_size: int, seed: int
) -> list[LabelledTexts]:
    """The named data sets; on a synthetic model, samples of it labelled by their features.

    Args:
        names: as `load_labelled` takes them, or those of `synthetic_sets`.
        context: has the model and the folder of local data.
        train_set_size, test_set_size: texts of one probe, half of them of its class.
        seed: of the texts that are drawn.
    """
    if isinstance(context.lm, SyntheticModel):
        train_size, test_size = max(1, train_set_size // 2), max(1, test_set_size // 2)
        return synthetic_sets(context.lm, names, train_size=train_size, test_size=test_size, seed=seed)
    sizes = {"train_set_size": train_set_size, "test_set_size": test_set_size}
    return [load_labelled(name, **sizes, seed=seed, data_dir=context.data_dir) for name in names]


def one_vs_rest(
    dataset: PooledDataset,
    split: str,
    rows: Mapping[str, Tensor],
    class_name: str,
    generator: torch.Generator,
) -> tuple[Int[Tensor, " N"], Int[Tensor, " N"]]:
    """Rows of all n texts of a class and of n others in one split, and labels 1 and 0.

    From each of the C - 1 other classes ceil(n / (C - 1)) texts are drawn, and n of those at random.

    Args:
        dataset: the data set that the class belongs to.
        split: what errors call it.
        rows: class -> rows of its texts.
        class_name: the class to tell from the rest.
        generator: of the draws.
    Raises:
        DatasetError: there is no other class, or too few texts.
    """
    others = [name for name in dataset.classes if name != class_name]
    if not others:
        raise DatasetError(f"'{dataset.name}' has the classes {dataset.classes}; one-vs-rest probes need at least two.")
    positive = rows[class_name].cpu()
    n = len(positive)
    share = math.ceil(n / len(others))
    parts = [rows[name].cpu()[torch.randperm(len(rows[name]), generator=generator)[:share]] for name in others]
    pool = torch.cat(parts)
    if n == 0 or len(pool) < n:
        raise DatasetError(
            f"'{dataset.name}': the {split} texts of class '{class_name}' number {n}, and its negatives, {share} from "
            f"each other class, only {len(pool)}; there must be at least one, and as many negatives."
        )
    negative = pool[torch.randperm(len(pool), generator=generator)[:n]]
    labels = torch.cat([torch.ones(n, dtype=torch.long), torch.zeros(n, dtype=torch.long)])
    return torch.cat([positive, negative]), labels
