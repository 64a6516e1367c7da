"""What RAVEL is held against: no change, the mean activation, the whole activation, and masks of random latents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sae_bench.evals.families.controls import CONTROL, LatentMatcher
from sae_bench.evals.ravel import outcomes as maths
from sae_bench.evals.ravel.entity_class import KnownClass
from sae_bench.evals.ravel.outcomes import CAUSE, DISENTANGLEMENT, ISOLATION, Outcome
from sae_bench.evals.ravel.pairs import PairSplit
from sae_bench.evals.ravel.swaps import LatentMask, Latents, Swap
from sae_bench.results.references import Reference, References
from sae_bench.results.samples import Samples
from sae_bench.seeding import named_generator

MEAN, UNTOUCHED, WHOLE = "mean activation", "no intervention", "whole activation"
BEST = "whole activation for cause pairs, no intervention for isolation pairs"
NO_LATENTS = "no mask over latents was trained"


@dataclass(frozen=True)
class Unchosen:
    """The same pairs without an SAE.

    Attributes:
        patched: with the source's whole activation.
        mean: with the mean activation of all entities.
        untouched: without any change.
    """

    patched: list[Outcome]
    mean: list[Outcome]
    untouched: list[Outcome]


def control_masks(known: KnownClass, swaps: Sequence[Swap]) -> tuple[list[Swap], str]:
    """For every trained mask one of as many random latents, matched in firing rate and in how much they change.

    Returns:
        the masks; none, and why, where there are no latents or too few of them.
    """
    masks = [swap for swap in swaps if isinstance(swap, LatentMask)]
    if len(masks) < len(swaps) or not masks:
        return [], NO_LATENTS
    matcher = LatentMatcher(*_activity(masks[0].latents))
    drawn: list[Swap] = []
    for split, mask in zip(known.splits, masks, strict=True):
        control, n_matched = _control_mask(mask, matcher, split)
        if n_matched < mask.n_chosen:
            return [], f"besides {mask.n_chosen} latents that a mask takes over, only {n_matched} are active"
        drawn.append(control)
    return drawn, ""


def _control_mask(mask: LatentMask, matcher: LatentMatcher, split: PairSplit) -> tuple[LatentMask, int]:
    generator = named_generator("ravel", split.entity_class, split.attribute, split.seed, "control")
    matches = matcher.draw((mask.mask_F.detach() > 0).nonzero()[:, 0].cpu(), generator=generator)
    control = LatentMask(mask.latents, mask.mask_F.device)
    control.mask_F = torch.full_like(mask.mask_F.detach(), -1.0)
    control.mask_F[matches.to(mask.mask_F.device)] = 1.0
    return control, len(matches)


@torch.no_grad()
def _activity(latents: Latents) -> tuple[Float[Tensor, " F"], Float[Tensor, " F"]]:
    """Share of prompts where each latent is active; spread of its code between prompts times its decoder's norm."""
    n, active_F, sum_F, square_F = 0, *torch.zeros(3, latents.n_latents, dtype=torch.float64)
    for codes_BF in latents.parts():
        codes_BF = codes_BF.double().cpu()
        n += len(codes_BF)
        active_F += (codes_BF != 0).sum(dim=0)
        sum_F += codes_BF.sum(dim=0)
        square_F += codes_BF.square().sum(dim=0)
    spread_F = (square_F / n - (sum_F / n).square()).clamp(min=0).sqrt()
    return active_F / n, spread_F * latents.sae.W_dec.double().norm(dim=1).cpu()


def references_of(
    seeds: Sequence[int], unchosen: Unchosen, control: Sequence[Outcome] | None, reason: str
) -> dict[str, References]:
    """Path of a headline metric -> its floor, ceiling and control, on the same pairs.

    Args:
        seeds: those of the run.
        unchosen: the pairs without an SAE.
        control: the pairs under random masks; None if that was not asked for, nothing where there is a reason.
        reason: why there is no control.
    """

    def samples(outcomes: Sequence[Outcome]) -> dict[str, Samples]:
        return maths.samples([[outcome for outcome in outcomes if outcome.seed == seed] for seed in seeds])

    def reference(name: str, of_pairs: dict[str, Samples], path: str) -> Reference:
        return Reference(name, of_pairs.get(path), "no pairs")

    mean, patched, untouched = (samples(of) for of in (unchosen.mean, unchosen.patched, unchosen.untouched))
    best = samples(maths.best_place(unchosen.patched, unchosen.untouched))
    random = samples(control or [])
    ceilings = {CAUSE: (WHOLE, patched), ISOLATION: (UNTOUCHED, untouched), DISENTANGLEMENT: (BEST, best)}
    beside = {}
    for path, ceiling in ceilings.items():
        held_against = None
        if control is not None:
            held_against = Reference(CONTROL, None, reason) if reason else reference(CONTROL, random, path)
        others = [(UNTOUCHED, untouched), (WHOLE, patched)]
        beside[path] = References(
            floor=reference(MEAN, mean, path),
            ceiling=reference(*ceiling, path),
            control=held_against,
            others=tuple(reference(*other, path) for other in others if other[0] != ceiling[0]),
        )
    return beside
