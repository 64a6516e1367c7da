"""RAVEL: known prompts and pairs once per model, states once per hook, masks and completions once per group of SAEs."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sae_bench.activations.requests import Request as PassRequest
from sae_bench.activations.requests import Served
from sae_bench.custom_saes.loading import Member
from sae_bench.datasets.entities import load_entity_class
from sae_bench.evals.base import EvalContext, Scores
from sae_bench.evals.ravel import results
from sae_bench.evals.ravel.completions import Request, find_completions
from sae_bench.evals.ravel.control import Unchosen, control_masks, references_of
from sae_bench.evals.ravel.entity_class import (
    KnownClass,
    MakeSwap,
    score_together,
    score_untouched,
    score_whole_and_mean,
    train_masks,
)
from sae_bench.evals.ravel.eval_config import RAVELEvalConfig
from sae_bench.evals.ravel.outcomes import Outcome
from sae_bench.evals.ravel.pairs import check_known, draw_pairs, keep_best
from sae_bench.evals.ravel.states import PromptStates
from sae_bench.evals.ravel.swaps import LatentMask, RotatedMask, Swap, encode_entities
from sae_bench.evals.ravel.training import Schedule

logger = logging.getLogger(__name__)

BYTES_TOGETHER = 1 << 30
"""Room for what the masks of several SAEs need while they are trained and scored together."""
BYTES_PER_CODE = 24
"""Of a pair and latent in a training step: both codes, their mixture, what their gradients need."""


@dataclass(frozen=True)
class _AtHook:
    """One entity class at one hook."""

    known: KnownClass
    states: PromptStates
    unchosen: Unchosen


@dataclass
class _Masked:
    """What the masks of one SAE are worth, until it is scored.

    Attributes:
        outcomes, control: of the trained masks, and of random ones like them.
        chosen: `<class>_<attribute>` -> latents that a mask takes over.
    """

    outcomes: list[Outcome] = field(default_factory=list)
    control: list[Outcome] = field(default_factory=list)
    why_no_control: str = ""
    chosen: dict[str, list[int]] = field(default_factory=dict)


class RAVELJob:
    """RAVEL on one model."""

    def __init__(
        self, context: EvalContext, config: RAVELEvalConfig, known: Sequence[KnownClass] | None = None
    ) -> None:
        self.lm = context.lm
        self.config = config
        self.seeds = context.seeds
        self._has_controls = context.controls
        self._provenance: dict[str, dict[str, str]] = {}
        self.known = list(known) if known is not None else self._find_known(context)
        self._hooks: tuple[str, str] | None = None
        self._prepared: list[_AtHook] = []
        self._waiting: list[Member] = []
        self._masked: dict[str, _Masked] = {}

    @property
    def datasets(self) -> dict[str, dict[str, str]]:
        return self._provenance

    def requests(self, members: Sequence[Member]) -> Sequence[PassRequest]:
        """Nothing of the shared pass: prompts are read on from what their templates begin with."""
        self._waiting, self._masked = list(members), {}
        return []

    def score(self, member: Member, served: Sequence[Served] = ()) -> Scores:  # noqa: ARG002 (nothing was asked)
        if member.key not in self._masked:
            self._masked |= self._mask_with_others(member)
        masked = self._masked.pop(member.key)
        unchosen = Unchosen([], [], [])
        for prepared in self._at(hooks_of(member)):
            unchosen.patched.extend(prepared.unchosen.patched)
            unchosen.mean.extend(prepared.unchosen.mean)
            unchosen.untouched.extend(prepared.unchosen.untouched)
        control = masked.control if self._has_controls else None
        references = references_of(self.seeds, unchosen, control, masked.why_no_control)
        return results.to_scores(
            masked.outcomes, unchosen, masked.chosen, self.known, self.config, self.seeds, references
        )

    def _mask_with_others(self, first: Member) -> dict[str, _Masked]:
        """Masks and scores of an SAE and of those of its group that wait at the same hook.

        Where that fails, the SAE is alone, and so is each of the others later: a fault is that of its own SAE.
        """
        others = [m for m in self._waiting if hooks_of(m) == hooks_of(first) and m.key != first.key]
        together = [first, *others][: self._n_together([first, *others])]
        keys = [member.key for member in together]
        self._waiting = [member for member in self._waiting if member.key not in keys]
        try:
            return dict(zip(keys, self._mask(together), strict=True))
        except Exception as error:
            if len(together) == 1:
                raise
            logger.warning("ravel: %d SAEs cannot be masked together (%s); one after the other", len(keys), error)
        return {first.key: self._mask([first])[0]}

    def _mask(self, members: Sequence[Member]) -> list[_Masked]:
        """Train the masks of SAEs at one hook, draw their controls, and complete all test prompts in one go."""
        makes = [rotations] if self.config.train_mdas else [latent_masks(member) for member in members]
        masked = [_Masked() for _ in makes]
        for prepared in self._at(hooks_of(members[0])):
            known, states = prepared.known, prepared.states
            swaps_of = train_masks(known, states, makes, self.schedule)
            controls: list[tuple[_Masked, Sequence[Swap]]] = []
            for of_sae, swaps in zip(masked, swaps_of, strict=True):
                if self._has_controls and not of_sae.why_no_control:
                    drawn, of_sae.why_no_control = control_masks(known, swaps)
                    controls += [(of_sae, drawn)] if drawn else []
            scored = iter(score_together(known, states, [*swaps_of, *(drawn for _, drawn in controls)]))
            for of_sae, swaps in zip(masked, swaps_of, strict=True):
                trained = next(scored)
                of_sae.outcomes += trained
                of_sae.chosen |= results.chosen_latents(trained, swaps)
            for of_sae, _ in controls:
                of_sae.control += next(scored)
        return masked * len(members) if self.config.train_mdas else masked

    def _n_together(self, members: Sequence[Member]) -> int:
        """How many of these SAEs have room to be masked together."""
        if self.config.train_mdas:
            return len(members)
        widest = max(int(member.sae.cfg.d_sae) for member in members)
        splits = [split for known in self.known for split in known.splits]
        n_tests = sum(len(split.test) for split in splits)
        of_training = len(splits) * self.schedule.pairs_per_step * widest * BYTES_PER_CODE
        return max(1, BYTES_TOGETHER // (of_training + 2 * n_tests * self.lm.d_model * 4))

    @property
    def schedule(self) -> Schedule:
        """How masks are trained."""
        return Schedule(self.config.pairs_per_step, self.config.num_epochs, self.config.learning_rate)

    def _at(self, hooks: tuple[str, str]) -> list[_AtHook]:
        """The known prompts at the hooks that are read and written; kept for the SAEs that follow there."""
        if self._hooks != hooks:
            self._prepared = []
            for known in self.known:
                states = known.states(self.lm, hooks[1], n_tokens=self.config.n_generated_tokens, reads=hooks[0])
                unchosen = Unchosen(*score_whole_and_mean(known, states), score_untouched(known))
                self._prepared.append(_AtHook(known, states, unchosen))
            self._hooks = hooks
        return self._prepared

    def _find_known(self, context: EvalContext) -> list[KnownClass]:
        config, lm = self.config, self.lm
        folder = None if context.artifacts_folder is None else context.artifacts_folder / Path(config.artifact_dir)
        fingerprint = lm.fingerprint() if folder is not None else ""
        classes: list[KnownClass] = []
        for name, attributes in config.entity_attribute_selection.items():
            entities = load_entity_class(config.dataset_name, name, data_dir=context.data_dir)
            self._provenance[f"{config.dataset_name}: {name}"] = entities.provenance
            request = Request(
                entities, tuple(attributes), config.full_dataset_downsample, config.n_generated_tokens,
                config.random_seed, config.prompt_bos,
            )  # fmt: skip
            completions = find_completions(
                lm, request, folder=folder, fingerprint=fingerprint, recompute=config.force_dataset_recompute
            )
            best = keep_best(
                completions.known, top_n_entities=config.top_n_entities, top_n_templates=config.top_n_templates
            )
            n_kept = Counter(answer.prompt.question.attribute for answer in best)
            counts = {attribute: {**n, "kept": n_kept[attribute]} for attribute, n in completions.counts.items()}
            logger.info("%s knows of %s: %s", lm.name, name, counts)
            check_known(best, counts, model=lm.name, entity_class=name)
            splits = [s for seed in self.seeds for s in draw_pairs(best, name, attributes, config, seed=seed)]
            classes.append(KnownClass(name, counts, tuple(best), tuple(splits)))
        return classes


def hooks_of(member: Member) -> tuple[str, str]:
    """The hook that an SAE reads and the one that it writes."""
    return member.hook_name, member.hook_name_out


def latent_masks(member: Member) -> MakeSwap:
    """Masks over the latents of an SAE; its codes of the prompts are computed once for all of them."""

    def make(states: PromptStates):
        written_NW = None if member.hook_name_out == member.hook_name else states.value_NW
        latents = encode_entities(member.sae, states.read_ND, written_NW)
        return lambda: LatentMask(latents, states.value_NW.device)

    return make


def rotations(states: PromptStates):
    """Rotations with masks over the axes."""
    return lambda: RotatedMask(states.value_NW)
