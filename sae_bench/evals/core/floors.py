"""What stands beside core's headline metrics: the mean activation, zeros, and the identity."""

from __future__ import annotations

from collections.abc import Mapping

from sae_bench.evals.core.row_samples import COSINE, EXPLAINED_VARIANCE, KL_SCORE, LOSS_SCORE
from sae_bench.results.references import Reference, References
from sae_bench.results.samples import Samples

FRACTION_ALIVE = "misc_metrics.frac_alive"
MEAN = "the mean activation in the place of every activation"
IDENTITY = Reference("the activation itself", 1.0)
ZEROS = Reference("zeros in the place of every activation", 0.0)


def core_references(of_mean: Mapping[str, Samples]) -> dict[str, References]:
    """Path of a metric -> its floor and ceiling.

    Args:
        of_mean: path -> samples with the mean activation in the reconstruction's place.
    """
    floors = {path: Reference(MEAN, of_mean.get(path), "its rows were not read") for path in (LOSS_SCORE, KL_SCORE)}
    return {
        **{path: References(floor=floor, ceiling=IDENTITY, others=(ZEROS,)) for path, floor in floors.items()},
        EXPLAINED_VARIANCE: References(floor=Reference(MEAN, 0.0), ceiling=IDENTITY),
        COSINE: References(floor=Reference(MEAN, of_mean.get(COSINE), "its rows were not read"), ceiling=IDENTITY),
        FRACTION_ALIVE: References(
            floor=Reference("no latent is ever active", 0.0), ceiling=Reference("every latent is", 1.0)
        ),
    }
