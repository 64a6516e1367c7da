"""What unlearning is held against: no clamp, and as many random latents that are as active."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from sae_bench.datasets.multiple_choice import N_CHOICES
from sae_bench.evals.families.controls import CONTROL, LatentMatcher
from sae_bench.evals.unlearning.answers import Answers
from sae_bench.evals.unlearning.selection import Selection, Setting
from sae_bench.results.references import Reference, References
from sae_bench.results.samples import Samples
from sae_bench.seeding import named_generator

NO_CLAMP = "no clamp"
ALL_FORGOTTEN = Reference("every question forgotten, no other", 1.0)
GUESSING = Reference("guessing", 1 - 1 / N_CHOICES)
NOTHING_CLAMPED = "no latent was clamped in any setting, so that nothing was measured"
SHARE_OF_GRID = 4
"""The control is measured under one in so many settings, those where the SAE does best: it costs as much as they do."""


@dataclass(frozen=True)
class Control:
    """Settings whose latents are random ones; none, and why, where there are none."""

    settings: tuple[Setting, ...]
    reason: str = ""


def control_settings(selection: Selection, answers: Answers, threshold: float) -> Control:
    """A quarter of the settings, with as many random latents that are as active on the tokens of both corpora.

    Those settings are taken that keep the side effects and forget most, so that the control has the best of them.

    Args:
        selection: what was clamped, and how often every latent is active.
        answers: what came of it.
        threshold: side-effect accuracy that a setting has to keep.
    """
    settings = selection.settings
    if not any(setting.latents for setting in settings):
        return Control((), NOTHING_CLAMPED)
    forget_G, side_G = answers.forget_accuracy().tolist(), answers.side_accuracy().tolist()
    ranked = sorted(range(len(settings)), key=lambda g: (side_G[g] < threshold, forget_G[g], -side_G[g]))
    matcher = LatentMatcher((selection.forget_F + selection.retain_F) / 2)
    chosen: list[Setting] = []
    for g in ranked[: max(1, len(settings) // SHARE_OF_GRID)]:
        setting = settings[g]
        generator = named_generator("unlearning", "control", setting.retain_threshold, setting.n_features)
        drawn = matcher.draw(torch.tensor(setting.latents, dtype=torch.long), generator=generator)
        if len(drawn) < len(setting.latents):
            return Control((), f"besides {len(setting.latents)} latents that are clamped, only {len(drawn)} are active")
        chosen.append(replace(setting, latents=tuple(drawn.tolist())))
    return Control(tuple(chosen))


def references_of(
    paths: Sequence[str],
    selection: Selection,
    untouched: Mapping[str, Samples],
    control: Mapping[str, Samples] | None,
    reason: str,
) -> dict[str, References]:
    """Path of a headline metric -> its floor, ceiling and control, on the same questions.

    Args:
        paths: the metrics that have samples.
        selection: what was clamped.
        untouched: path -> what the model scores without a clamp.
        control: path -> what random latents score; None if that was not asked for, nothing where there is a reason.
        reason: why there is no control.
    """
    is_clamped = any(setting.latents for setting in selection.settings)
    return {
        path: References(
            floor=Reference(NO_CLAMP, untouched[path] if is_clamped else None, NOTHING_CLAMPED),
            ceiling=ALL_FORGOTTEN,
            control=None if control is None else Reference(CONTROL, None if reason else control[path], reason),
            others=(GUESSING,),
        )
        for path in paths
    }
