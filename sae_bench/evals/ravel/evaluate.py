"""RAVEL: known prompts and pairs once per model, states once per hook, then masks and completions per SAE."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

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
    score,
    score_mean_activation,
    score_untouched,
    score_whole_activation,
    train_and_score,
)
from sae_bench.evals.ravel.eval_config import RAVELEvalConfig
from sae_bench.evals.ravel.outcomes import Outcome
from sae_bench.evals.ravel.pairs import check_known, draw_pairs, keep_best
from sae_bench.evals.ravel.states import PromptStates
from sae_bench.evals.ravel.swaps import LatentMask, RotatedMask, encode_entities
from sae_bench.evals.ravel.training import Schedule

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _AtHook:
    """One entity class at one hook."""

    known: KnownClass
    states: PromptStates
    unchosen: Unchosen


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
        self._hook: str | None = None
        self._prepared: list[_AtHook] = []

    @property
    def datasets(self) -> dict[str, dict[str, str]]:
        return self._provenance

    def requests(self, members: Sequence[Member]) -> Sequence[PassRequest]:
        """Nothing of the shared pass: prompts are read on from what their templates begin with."""
        del members
        return []

    def score(self, member: Member, served: Sequence[Served] = ()) -> Scores:  # noqa: ARG002 (nothing was asked)
        outcomes: list[Outcome] = []
        unchosen = Unchosen([], [], [])
        control: list[Outcome] | None = [] if self._has_controls else None
        why_no_control = ""
        chosen: dict[str, list[int]] = {}
        make = rotations if self.config.train_mdas else latent_masks(member)
        for prepared in self._at(member.hook_name):
            trained, swaps = train_and_score(prepared.known, prepared.states, make, self.schedule)
            outcomes += trained
            unchosen.patched.extend(prepared.unchosen.patched)
            unchosen.mean.extend(prepared.unchosen.mean)
            unchosen.untouched.extend(prepared.unchosen.untouched)
            chosen |= results.chosen_latents(trained, swaps)
            if control is not None and not why_no_control:
                masks, why_no_control = control_masks(prepared.known, swaps)
                control += score(prepared.known, prepared.states, masks) if masks else []
        references = references_of(self.seeds, unchosen, control, why_no_control)
        return results.to_scores(outcomes, unchosen, chosen, self.known, self.config, self.seeds, references)

    @property
    def schedule(self) -> Schedule:
        """How masks are trained."""
        return Schedule(self.config.pairs_per_step, self.config.num_epochs, self.config.learning_rate)

    def _at(self, hook: str) -> list[_AtHook]:
        """The known prompts at a hook; those of the last hook are kept, for the SAEs that follow there."""
        if self._hook != hook:
            self._prepared = []
            for known in self.known:
                states = known.states(self.lm, hook, n_tokens=self.config.n_generated_tokens)
                unchosen = Unchosen(
                    score_whole_activation(known, states), score_mean_activation(known, states), score_untouched(known)
                )
                self._prepared.append(_AtHook(known, states, unchosen))
            self._hook = hook
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


def latent_masks(member: Member) -> MakeSwap:
    """Masks over the latents of an SAE; its codes of the prompts are computed once for all of them."""

    def make(value_NW: Tensor):
        latents = encode_entities(member.sae, value_NW)
        return lambda: LatentMask(latents, value_NW.device)

    return make


def rotations(value_NW: Tensor):
    """Rotations with masks over the axes."""
    return lambda: RotatedMask(value_NW)
