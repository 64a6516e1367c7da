"""What scr and tpp are held against: a supervised direction taken out, and random latents in place of the ranked ones.

Nothing changes a score of 0, which is the floor by definition of both metrics. The ceiling is the best that one
direction made from the labels does; it is no bound, as hundreds of latents are more than one direction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sae_bench.activations.pooled import CodeMatrix
from sae_bench.evals.families.controls import CONTROL, LatentMatcher
from sae_bench.evals.families.reported import finite, mean_of_known
from sae_bench.evals.scr_and_tpp.ablation import Ablation, decoder_projections
from sae_bench.probes import AdamWProbes
from sae_bench.results.references import Reference, References
from sae_bench.results.samples import Samples
from sae_bench.seeding import named_generator

NO_ABLATION = Reference("no ablation", 0.0)
NOT_LINEAR = "the decoder is not linear in the code, so that a control would cost as much as the eval"

PROBE, DIFFERENCE, BOTH = (
    "the probe's direction",
    "the difference of means",
    "the difference of means, as the probe sees it",
)


class Direction(NamedTuple):
    """One direction to take out: x becomes x - (read . (x - level)) written, and all texts end up level along `read`.

    Attributes:
        read_D: what tells how much of it a text has, scaled so that read . written = 1.
        written_D: what is taken away.
        level_D: where texts end up.
    """

    read_D: Float[Tensor, " D"]
    written_D: Float[Tensor, " D"]
    level_D: Float[Tensor, " D"]


def supervised_directions(x_TD: Float[Tensor, "T D"], probes: AdamWProbes, ablation: Ablation) -> dict[str, Direction]:
    """Directions made from the labels of the training texts, by name; texts end up in the middle of the two concepts.

    Args:
        x_TD: the mean activation of each text.
        probes: those that the ablation names by number.
        ablation: what is ablated.
    """
    rows = (ablation.contrast.positive_rows, ablation.contrast.negative_rows)
    positive_D, negative_D = (x_TD[of].double().mean(dim=0).cpu() for of in rows)
    level_D = (positive_D + negative_D) / 2
    probe_D, difference_D = probes.weights_PF[ablation.probe].double().cpu(), positive_D - negative_D

    def direction(read_D: Tensor, written_D: Tensor) -> Direction:
        along = float(read_D @ written_D)
        return Direction(read_D / along if along else torch.zeros_like(read_D), written_D, level_D)

    return {
        PROBE: direction(probe_D, probe_D),
        DIFFERENCE: direction(difference_D, difference_D),
        BOTH: direction(probe_D, difference_D),
    }


def supervised_shifts(
    x_TD: Float[Tensor, "T D"], probes: AdamWProbes, ablations: Sequence[Ablation]
) -> dict[str, list[Float[Tensor, "1 J U"]]]:
    """How far the logits move when one supervised direction is taken out in place of latents.

    Args:
        x_TD: the mean activation of each text.
        probes: those that the ablations name by number.
        ablations: what is ablated, and which probes look.

    Returns:
        name of the direction -> the changes of every ablation, in the form of one N.
    """
    shifts: dict[str, list[Tensor]] = {PROBE: [], DIFFERENCE: [], BOTH: []}
    for ablation in ablations:
        weights_JD = probes.weights_PF[list(ablation.evaluated)].double().cpu()
        x_UD = x_TD[ablation.test_rows].double().cpu()
        for name, (read_D, written_D, level_D) in supervised_directions(x_TD, probes, ablation).items():
            moved_JU = -torch.outer(weights_JD @ written_D, (x_UD - level_D) @ read_D)
            shifts[name].append(moved_JU[None].float())
    return shifts


def best_first(of_directions: Mapping[str, Samples]) -> list[Reference]:
    """The directions by the mean over seeds of what they score, the best first."""

    def mean(samples: Samples) -> float:
        return mean_of_known(map(finite, samples.seed_values())) or 0.0

    ranked = sorted(of_directions.items(), key=lambda named: -mean(named[1]))
    return [Reference(f"ablating {name}", samples) for name, samples in ranked]


def control_shifts(
    sae: Any,
    codes: CodeMatrix,
    probes: AdamWProbes,
    ablations: Sequence[Ablation],
    latents: Sequence[Int[Tensor, " _"]],
    sizes: Sequence[int],
) -> tuple[list[Float[Tensor, "N J U"]], dict[int, str]]:
    """How far the logits move when as many random latents are zeroed that write as much as often on the test texts.

    Every N has a draw of its own, from all latents but the N that are ablated.

    Args:
        sae: its decoder is linear.
        codes: its pooled codes.
        probes: those that the ablations name by number.
        ablations: as for the score.
        latents: those that every ablation ranked.
        sizes: how many are ablated, ascending.

    Returns:
        the changes, and N -> why there is no control: too few latents are left.
    """
    projections_PF = decoder_projections(sae.W_dec, probes.weights_PF)
    norms_F = sae.W_dec.float().norm(dim=1).cpu()
    matchers: dict[int, LatentMatcher] = {}
    shifts, reasons = [], {}
    for ablation, latents_K in zip(ablations, latents, strict=True):
        if id(ablation.test_rows) not in matchers:
            sums = codes.column_sums(ablation.test_rows)
            matchers[id(ablation.test_rows)] = LatentMatcher(
                sums.active_F.cpu().double() / len(ablation.test_rows), sums.magnitude_F.cpu() * norms_F
            )
        generator = named_generator(*ablation.name, "control")
        draws: dict[int, Tensor] = {}
        for size in sizes:
            n = min(size, len(latents_K))
            if n not in draws:
                draws[n] = matchers[id(ablation.test_rows)].draw(latents_K[:n], generator=generator)
            if len(draws[n]) < n:
                reasons[size] = f"besides the {n} latents that are ablated, only {len(draws[n])} are active"
        shifts.append(_shift(codes, projections_PF, ablation, [draws[min(n, len(latents_K))] for n in sizes]))
    return shifts, reasons


def _shift(
    codes: CodeMatrix, projections_PF: Float[Tensor, "P F"], ablation: Ablation, draws: Sequence[Int[Tensor, " _"]]
) -> Float[Tensor, "N J U"]:
    """Change of the evaluated probes' logits without the latents of each draw."""
    all_K = torch.cat(list(draws))
    values_UK = codes.columns(ablation.test_rows, all_K).cpu()
    weights_KJ = projections_PF[list(ablation.evaluated)][:, all_K].T
    lengths = [len(draw_K) for draw_K in draws]
    parts = zip(values_UK.split(lengths, dim=1), weights_KJ.split(lengths), strict=True)
    return torch.stack([-(values_UN @ weights_NJ).T for values_UN, weights_NJ in parts])


def references_of(
    paths: Mapping[int, str],
    directions: Sequence[Reference],
    control: Mapping[str, Samples] | None,
    reasons: Mapping[int, str],
) -> dict[str, References]:
    """Path of a headline metric -> its floor, ceiling and control.

    Args:
        paths: N -> path.
        directions: what single directions score, the best first, the same for every N.
        control: path -> what random latents score; None if that was not asked for.
        reasons: N -> why it has no control.
    """
    beside = {}
    for n, path in paths.items():
        drawn = None
        if n in reasons:
            drawn = Reference(CONTROL, None, reasons[n])
        elif control is not None:
            drawn = Reference(CONTROL, control[path])
        beside[path] = References(NO_ABLATION, directions[0], drawn, tuple(directions[1:]))
    return beside
