"""From the sums of the pass to the scores of one SAE.

Shapes: U blocks of samples, F latents, G true features, M ratios that a metric is the mean of.
"""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float, Int
from torch import Tensor

from sae_bench.evals.base import Scores
from sae_bench.evals.families.reported import report
from sae_bench.evals.ground_truth import spec
from sae_bench.evals.ground_truth.counts import InputSums, LatentSums
from sae_bench.evals.ground_truth.eval_output import GroundTruthMetricCategories, GroundTruthResultDetail
from sae_bench.evals.ground_truth.matching import ratio, uniqueness
from sae_bench.results.references import Reference, References
from sae_bench.results.samples import Samples

UNIT = "block of samples"
CONSTANT = "all samples have the same activation: there is no variance to explain"
RANDOM_DIRECTIONS = "as many random directions"
WHENEVER = "latents that are active as often, but independently of their features"
PERFECT = Reference("an SAE whose latents are the features", 1.0)
SILENT = "no latent of this SAE is active on any sample: its F1 is 0 for that reason"


def score_sae(
    inputs: InputSums,
    sums: LatentSums,
    feature_F: Int[Tensor, " F"],
    cosine_F: Float[Tensor, " F"],
    *,
    mcc: float,
    mcc_floor: float,
    key: str,
) -> Scores:
    """The scores of one SAE.

    Args:
        inputs, sums: what the pass added up, of the samples and of the SAE.
        feature_F: the feature that each latent is held against.
        cosine_F: |cosine| of its decoder row with that feature's direction.
        mcc, mcc_floor: of the SAE's decoder rows, and of as many random directions.
        key: of the samples, for paired comparison.
    """
    ratios = detection(inputs, sums, feature_F)
    means = {
        spec.L0: (sums.active_UF.sum(dim=1).double(), inputs.samples_U),
        spec.TRUE_L0: (inputs.features_UG.sum(dim=1), inputs.samples_U),
        spec.SHRINKAGE: (sums.shrinkage_U, inputs.measured_U),
    }
    ratios |= {path: (num_U[:, None], den_U[:, None]) for path, (num_U, den_U) in means.items()}
    spread_U = inputs.spread_U
    if bool(spread_U.sum() > 0):
        ratios[spec.EXPLAINED] = ((spread_U - sums.error_U)[:, None], spread_U[:, None])
    values: dict[str, float | int | None] = {
        path: float(ratio(num.sum(dim=0), den.sum(dim=0)).mean()) for path, (num, den) in ratios.items()
    }
    values |= {
        spec.MCC: mcc,
        spec.UNIQUENESS: uniqueness(feature_F),
        spec.DEAD: int((sums.active_UF.sum(dim=0) == 0).sum()),
    }
    return report(
        GroundTruthMetricCategories,
        samples={path: _samples(num, den, key) for path, (num, den) in ratios.items()},
        values=values,
        reasons={spec.EXPLAINED: CONSTANT},
        references={
            spec.MCC: References(Reference(RANDOM_DIRECTIONS, mcc_floor), PERFECT),
            spec.F1: References(Reference(WHENEVER, f1_floor(inputs, sums, feature_F, key)), PERFECT),
            spec.UNIQUENESS: References(Reference("one feature for all latents", 1.0 / len(feature_F)), PERFECT),
            spec.EXPLAINED: References(Reference("the mean activation", 0.0), PERFECT),
        },
        details=_details(inputs, sums, feature_F, cosine_F),
        warnings=[SILENT] if not bool(sums.active_UF.any()) else [],
    )


def detection(
    inputs: InputSums, sums: LatentSums, feature_F: Int[Tensor, " F"]
) -> dict[str, tuple[Float[Tensor, "U F"], Float[Tensor, "U F"]]]:
    """Path -> numerators and denominators of 'latent is not 0' against 'its feature is on', per block and latent.

    F1 is 2 TP / (TP + FP + TP + FN), which is the harmonic mean of precision and recall.
    """
    on_UF, active_UF, both_UF = inputs.features_UG[:, feature_F], sums.active_UF.double(), sums.both_UF.double()
    all_UF = inputs.samples_U[:, None].expand_as(on_UF)
    return {
        spec.F1: (2 * both_UF, active_UF + on_UF),
        spec.PRECISION: (both_UF, active_UF),
        spec.RECALL: (both_UF, on_UF),
        spec.ACCURACY: (all_UF - active_UF - on_UF + 2 * both_UF, all_UF),
    }


def f1_floor(inputs: InputSums, sums: LatentSums, feature_F: Int[Tensor, " F"], key: str) -> Samples:
    """F1 of latents that are active as often as these, but independently of their features.

    With a and o the times that latent and feature are on in n samples it is 2 a o / (n (a + o)); the values of blocks
    are linearised.

    Args:
        inputs, sums: of the pass.
        feature_F: the feature that each latent is held against.
        key: of the samples.
    """
    parts_UF = (sums.active_UF.double(), inputs.features_UG[:, feature_F], inputs.samples_U[:, None])
    active_F, on_F, n_1 = (part.sum(dim=0) for part in parts_UF)
    both_F = n_1 * (active_F + on_F)
    value_F = ratio(2 * active_F * on_F, both_F)
    slopes_F = (
        ratio(2 * on_F.pow(2), both_F * (active_F + on_F)),
        ratio(2 * active_F.pow(2), both_F * (active_F + on_F)),
        -value_F / n_1,
    )
    moved_UF = sum(slope * (part - part.mean(dim=0)) for slope, part in zip(slopes_F, parts_UF, strict=True))
    values_U = (value_F + len(inputs.samples_U) * moved_UF).mean(dim=1)
    return Samples.of_equal_units(values_U[None], unit=UNIT, key=key, random=False)


def _samples(num_UM: Float[Tensor, "U M"], den_UM: Float[Tensor, "U M"], key: str) -> Samples:
    """Of a mean of M ratios of sums over blocks, each linearised; a ratio that is undefined adds 0."""
    value_M, mean_M = ratio(num_UM.sum(dim=0), den_UM.sum(dim=0)), den_UM.mean(dim=0)
    values_U = (value_M + ratio(num_UM - value_M * den_UM, mean_M.expand_as(num_UM))).mean(dim=1)
    return Samples.of_equal_units(values_U[None], unit=UNIT, key=key, random=False)


def _details(
    inputs: InputSums, sums: LatentSums, feature_F: Int[Tensor, " F"], cosine_F: Float[Tensor, " F"]
) -> list[GroundTruthResultDetail]:
    n = float(inputs.samples_U.sum())
    ratios = {
        path.split(".")[1]: ratio(num_UF.sum(dim=0), den_UF.sum(dim=0)).tolist()
        for path, (num_UF, den_UF) in detection(inputs, sums, feature_F).items()
        if path != spec.ACCURACY
    }
    columns: dict[str, Sequence[float]] = {
        "index": range(len(feature_F)),
        "feature": feature_F.tolist(),
        "cosine": cosine_F.tolist(),
        "density": (sums.active_UF.sum(dim=0).double() / n).tolist(),
        "feature_rate": (inputs.features_UG.sum(dim=0)[feature_F] / n).tolist(),
        **ratios,
    }
    rows = zip(*columns.values(), strict=True)
    return [GroundTruthResultDetail.model_validate(dict(zip(columns, row, strict=True))) for row in rows]
