"""What stands beside core's headline metrics: the mean activation, a skip path alone, zeros, and the identity."""

from __future__ import annotations

from collections.abc import Mapping

from sae_bench.evals.core.row_samples import COSINE, EXPLAINED_VARIANCE, KL_SCORE, LOSS_SCORE
from sae_bench.evals.families.controls import SKIP_ONLY, highest_first
from sae_bench.results.references import Reference, References
from sae_bench.results.samples import Samples

FRACTION_ALIVE = "misc_metrics.frac_alive"
MEAN = "the mean activation in the place of every activation"
IDENTITY = Reference("the activation itself", 1.0)
ZEROS = Reference("zeros in the place of every activation", 0.0)


NOT_READ = "its rows were not read"


def core_references(
    of_mean: Mapping[str, Samples], of_skip_path: Mapping[str, Samples] | None = None
) -> dict[str, References]:
    """Path of a metric -> its floor and ceiling.

    The floor of a skip transcoder is its skip path where that is better than the mean: its latents get no credit for
    what it explains, nor for what it spoils.

    Args:
        of_mean: path -> samples with the mean activation in the reconstruction's place.
        of_skip_path: path -> samples of the skip path alone; None for an SAE that has none.
    """
    beside = {
        LOSS_SCORE: (Reference(MEAN, of_mean.get(LOSS_SCORE), NOT_READ), ZEROS),
        KL_SCORE: (Reference(MEAN, of_mean.get(KL_SCORE), NOT_READ), ZEROS),
        EXPLAINED_VARIANCE: (Reference(MEAN, 0.0),),
        COSINE: (Reference(MEAN, of_mean.get(COSINE), NOT_READ),),
    }
    if of_skip_path is not None:
        beside = {
            path: (*highest_first(Reference(SKIP_ONLY, of_skip_path.get(path), NOT_READ), mean), *others)
            for path, (mean, *others) in beside.items()
        }
    return {
        **{path: References(floor, IDENTITY, others=tuple(others)) for path, (floor, *others) in beside.items()},
        FRACTION_ALIVE: References(
            floor=Reference("no latent is ever active", 0.0), ceiling=Reference("every latent is", 1.0)
        ),
    }
