"""From what an eval measured on one SAE to its `Scores`: values, seeds, reasons and warnings said in one way.

A metric is named by its path, `category.field`. Its value is the mean over the seeds that have one, unless the eval
gives another; a value that is not finite is null. `not_computed` names fields by their path from the root of the
result file.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sae_bench.evals.base import Scores
from sae_bench.results.model import BaseMetricCategories, BaseResultDetail, SeedResult
from sae_bench.results.references import References
from sae_bench.results.samples import Samples

METRICS = "eval_result_metrics"
DETAILS = "eval_result_details"


def report(
    categories: type[BaseMetricCategories],
    seeds: Sequence[int] = (),
    *,
    samples: Mapping[str, Samples] | None = None,
    seed_values: Mapping[str, Sequence[float | None]] | None = None,
    values: Mapping[str, Any] | None = None,
    references: Mapping[str, References] | None = None,
    reasons: Mapping[str, str] | None = None,
    details: Sequence[BaseResultDetail] = (),
    detail_reasons: Mapping[str, str] | None = None,
    unstructured: Any = None,
    warnings: Iterable[str] = (),
) -> Scores:
    """The scores of one SAE.

    Args:
        categories: the eval's model of its headline numbers.
        seeds: those of the run; none where nothing is random, and then there are no results per seed.
        samples: path -> what the metric is a mean of.
        seed_values: path -> the metric of every seed, None where it has none; by default that of its samples.
        values: path -> the published value, where it is not the mean over seeds (other order of summation, a count).
        references: path -> floor, ceiling and control of the metric.
        reasons: path -> why the metric is null; those of metrics that have a value are left out.
        details: one row per latent, data set, letter.
        detail_reasons: `<row>.<field>` -> why that field of the details is null.
        unstructured: further results.
        warnings: what a reader of the scores has to know; each is said once.
    """
    samples = dict(samples or {})
    by_seed = {path: [finite(value) for value in of.seed_values()] for path, of in samples.items() if seeds}
    by_seed |= {path: [finite(value) for value in of_seeds] for path, of_seeds in (seed_values or {}).items()}
    means: dict[str, Any] = {path: mean_of_known(of_seeds) for path, of_seeds in by_seed.items()}
    if not seeds:
        means = {path: finite(of.seed_values()[0]) for path, of in samples.items()}
    metrics = nested(categories, {**means, **(values or {})})
    known = {f"{category}.{name}" for category, fields in metrics for name, value in fields if value is not None}
    return Scores(
        metrics=metrics,
        details=details,
        unstructured=unstructured,
        not_computed={
            **{f"{METRICS}.{path}": reason for path, reason in (reasons or {}).items() if path not in known},
            **{f"{DETAILS}.{path}": reason for path, reason in (detail_reasons or {}).items()},
        },
        seed_results=[
            SeedResult(seed=seed, metrics={path: of_seeds[n] for path, of_seeds in by_seed.items()})
            for n, seed in enumerate(seeds)
        ],
        samples=samples,
        references=dict(references or {}),
        warnings=list(dict.fromkeys(warnings)),
    )


def nested(categories: type[BaseMetricCategories], values: Mapping[str, Any]) -> BaseMetricCategories:
    """`category.field` -> value as the model of the categories; a number that is not finite is null."""
    by_category: dict[str, dict[str, Any]] = {name: {} for name in categories.model_fields}
    for path, value in values.items():
        category, _, name = path.partition(".")
        by_category[category][name] = finite(value)
    return categories.model_validate(by_category)


def finite(value: Any) -> Any:
    """The value; None in the place of a number that is not finite."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def mean_of_known(values: Iterable[float | None]) -> float | None:
    """Mean of the values that there are; None if there are none."""
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def columns(rows: Iterable[Mapping[str, float | None]], category: str = "") -> dict[str, list[float | None]]:
    """Field -> its value in every row (one per seed), for `report`; with `category`, the fields are paths in it."""
    listed = list(rows)
    prefix = f"{category}." if category else ""
    return {f"{prefix}{name}": [row[name] for row in listed] for name in (listed[0] if listed else ())}


# ---- samples


def linearised(
    metric: float | Float[Tensor, "S 1"], num_U: Float[Tensor, "... U"], den_U: Float[Tensor, "... U"]
) -> Float[Tensor, "... U"]:
    """What each unit adds to a ratio of sums, to first order: metric + (num_u - metric den_u) / mean of den.

    Args:
        metric: the ratio, sum of `num_U` by sum of `den_U`.
        num_U, den_U: what every unit adds to numerator and denominator.
    """
    return metric + (num_U - metric * den_U) / den_U.mean(dim=-1, keepdim=True)


def of_uneven_units(
    num_SU: Float[Tensor, "S U"],
    den_SU: Float[Tensor, "S U"],
    weights_U: Float[Tensor, " U"],
    metric_S: Float[Tensor, " S"] | None = None,
) -> Float[Tensor, "S U"]:
    """Values of units that enter a metric unequally often, by chance of the draw.

    A text is tested for its own class and, as a negative, for some of the others. With den its share of a seed's
    metric, num what it adds to it and w the share of such a unit on average, its value is
    metric + (num - metric den) / w: the weighted mean of these is the metric, and a unit that happened to be drawn more
    often weighs more in that seed.

    Args:
        num_SU: what each unit adds to the metric.
        den_SU: the share of the metric that it has; each seed's add up to 1.
        weights_U: the share that it has on average.
        metric_S: the metric itself; by default the sums of `num_SU`, from which it may differ by rounding.
    """
    counted_S1 = num_SU.sum(dim=1, keepdim=True)
    metric_S1 = counted_S1 if metric_S is None else metric_S[:, None]
    return metric_S1 + (num_SU - counted_S1 * den_SU) / weights_U


def strata(sizes: Iterable[int]) -> tuple[int, ...]:
    """`Samples.groups_U` for strata of these sizes, one after the other."""
    return tuple(group for group, size in enumerate(sizes) for _ in range(size))


def unit_ids(names: Iterable[str | bytes]) -> Int[Tensor, " U"]:
    """`Samples.ids_U`: a hash of what names each unit."""
    parts = (name.encode() if isinstance(name, str) else name for name in names)
    hashes = [int.from_bytes(hashlib.sha256(part).digest()[:8], "little", signed=True) for part in parts]
    return torch.tensor(hashes, dtype=torch.int64)
