"""scr and tpp on the shared pass: texts in, pooled activations and codes out, then ablations of pooled codes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, TypeVar

from jaxtyping import Float, Int
from torch import Tensor

from sae_bench.activations.pooled import CodeMatrix
from sae_bench.custom_saes.interface import decoder_is_linear
from sae_bench.custom_saes.loading import Member
from sae_bench.datasets import LabelledTexts
from sae_bench.errors import UsageError
from sae_bench.evals.base import EvalContext, Scores
from sae_bench.evals.families.labelled import load_sets
from sae_bench.evals.families.reported import columns, report, unit_ids
from sae_bench.evals.families.texts import TextsJob
from sae_bench.evals.scr_and_tpp import eval_output as output
from sae_bench.evals.scr_and_tpp import scr, tpp
from sae_bench.evals.scr_and_tpp.ablation import TokenSource, all_shifts
from sae_bench.evals.scr_and_tpp.eval_config import (
    PUBLISHED_N_VALUES,
    ScrAndTppEvalConfig,
    ScrEvalConfig,
    TppEvalConfig,
)
from sae_bench.evals.scr_and_tpp.eval_output import scr_key, tpp_key
from sae_bench.evals.scr_and_tpp.references import (
    NOT_LINEAR,
    best_first,
    control_shifts,
    references_of,
    supervised_shifts,
)
from sae_bench.evals.scr_and_tpp.synthetic_pairs import synthetic_pairs
from sae_bench.evals.scr_and_tpp.text_samples import scr_samples, tpp_samples
from sae_bench.evals.scr_and_tpp.texts import QUADRANTS, PairTexts, Quadrant, load_pairs
from sae_bench.language_models.synthetic.model import SyntheticModel
from sae_bench.language_models.token_texts import text_key
from sae_bench.probes import AdamWSettings
from sae_bench.results.references import Reference, References
from sae_bench.results.samples import Samples

AUDIT = (
    "an independent audit (arXiv 2605.18229, 2026) found scr and tpp unreliable at their usual settings: tpp falls as "
    "SAEs train longer, scr turns against the ground truth at large N, and reseeding moves both more than SAEs of one "
    "family differ; do not rank SAEs by them alone"
)
TEST_SELECTED = (
    "probes keep the epoch with the best test accuracy, as published, which flatters them; probe_selection=validation "
    "does not"
)

ConfigT = TypeVar("ConfigT", bound=ScrAndTppEvalConfig)
PreparedT = TypeVar("PreparedT", scr.PreparedScr, tpp.PreparedTpp)


@dataclass(frozen=True)
class AtHook(Generic[PreparedT]):
    """What all SAEs at a hook share: trained probes, and what directions made from the labels score, the best first."""

    prepared: PreparedT
    directions: tuple[Reference, ...]


class _AblationJob(TextsJob[ConfigT, AtHook[PreparedT]]):
    """What scr and tpp do alike: probes are trained once per hook, then the latents of every SAE are ablated.

    Probes read what the SAE reconstructs: for a transcoder the hook that it predicts, where its latents write.
    """

    at_output = True

    def __init__(self, context: EvalContext, config: ConfigT) -> None:
        super().__init__(context, config)
        self._has_controls = context.controls

    def prepare(self, activations_TD: Float[Tensor, "T D"]) -> AtHook[PreparedT]:
        prepared = self.train(activations_TD)
        shifts = supervised_shifts(activations_TD, prepared.probes, prepared.ablations)
        headline = self.headline(1)
        of_directions = {name: self.samples(prepared, of_name, [1])[headline] for name, of_name in shifts.items()}
        return AtHook(prepared, tuple(best_first(of_directions)))

    def score_codes(self, member: Member, codes: CodeMatrix, prepared: AtHook[PreparedT]) -> Scores:
        config: ScrAndTppEvalConfig = self.config
        n_latents = codes.shape[1]
        sizes: list[int] = [n for n in sorted(config.n_values) if n <= n_latents]
        if not sizes:
            raise UsageError(f"n_values {config.n_values} are all above the {n_latents} latents there are.")
        source = TokenSource(self.lm, member.hook_name, self.token_ids)
        probes, ablations = prepared.prepared.probes, prepared.prepared.ablations
        shifts, latents = all_shifts(member.sae, codes, probes, ablations, sizes, source)
        reasons: dict[str, str] = {}
        for n in sorted({*PUBLISHED_N_VALUES, *config.n_values} - {*sizes}):
            asked = n in config.n_values
            why = f"more than the {n_latents} latents there are" if asked else "not among n_values"
            reasons |= dict.fromkeys(self.paths(n), f"N = {n} is {why}.")
        references = self._references(member, codes, prepared, latents, sizes)
        scores = self.report(prepared.prepared, shifts, sizes, reasons, references)
        scores.warnings[:0] = [AUDIT, *([TEST_SELECTED] if config.probe_selection == "test" else [])]
        scores.warnings += _few_effects([len(latents_K) for latents_K in latents], sizes)
        return scores

    def _references(
        self,
        member: Member,
        codes: CodeMatrix,
        at_hook: AtHook[PreparedT],
        latents: Sequence[Int[Tensor, " _"]],
        sizes: Sequence[int],
    ) -> dict[str, References]:
        """Floor, ceiling and control of every headline metric.

        Args:
            member: the SAE.
            codes: its pooled codes.
            at_hook: what all SAEs share.
            latents: those that every ablation ranked.
            sizes: how many are ablated, ascending.
        """
        prepared, paths = at_hook.prepared, {n: self.headline(n) for n in sizes}
        control: dict[str, Samples] | None = None
        reasons: dict[int, str] = {}
        if self._has_controls and decoder_is_linear(member.sae):
            shifts, reasons = control_shifts(member.sae, codes, prepared.probes, prepared.ablations, latents, sizes)
            control = self.samples(prepared, shifts, sizes)
        elif self._has_controls:
            reasons = dict.fromkeys(sizes, NOT_LINEAR)
        return references_of(paths, at_hook.directions, control, reasons)

    @property
    def probe_settings(self) -> AdamWSettings:
        """The recipe of the probes."""
        config = self.config
        return AdamWSettings(
            batch_size=config.probe_train_batch_size,
            epochs=config.probe_epochs,
            lr=config.probe_lr,
            l1_penalty=config.probe_l1_penalty,
            patience=config.early_stopping_patience,
            selection=config.probe_selection,
        )

    @cached_property
    def text_ids_T(self) -> Int[Tensor, " T"]:
        """A hash of each text's tokens."""
        return unit_ids(map(text_key, self.token_ids))

    @abstractmethod
    def train(self, activations_TD: Float[Tensor, "T D"]) -> PreparedT:
        """Probes of the activations at a hook, and the ablations."""

    @abstractmethod
    def paths(self, n: int) -> list[str]:
        """Paths of the metrics with `n` ablated latents."""

    @abstractmethod
    def headline(self, n: int) -> str:
        """Path of the headline metric with `n` ablated latents."""

    @abstractmethod
    def samples(self, prepared: PreparedT, shifts: Sequence[Tensor], sizes: Sequence[int]) -> dict[str, Samples]:
        """Path of every headline metric -> what it is a mean of, as `report` takes the shifts."""

    @abstractmethod
    def report(
        self,
        prepared: PreparedT,
        shifts: Sequence[Tensor],
        sizes: Sequence[int],
        reasons: Mapping[str, str],
        references: Mapping[str, References],
    ) -> Scores:
        """The scores from how far the ablations move the logits.

        Args:
            prepared: what all SAEs share.
            shifts: of every ablation, (N, C, U).
            sizes: how many latents are ablated, ascending.
            reasons: path -> why a metric is null for want of latents or because it was not asked for.
            references: path -> floor, ceiling and control.
        """


class ScrJob(_AblationJob[ScrEvalConfig, scr.PreparedScr]):
    """Spurious correlation removal of one model."""

    def __init__(self, context: EvalContext, config: ScrEvalConfig, pairs: Sequence[PairTexts] | None = None) -> None:
        super().__init__(context, config)
        set_of: dict[str, str] = {}
        if pairs is None:
            loaded = {name: _load_pairs(name, config, context) for name in config.dataset_names}
            self.datasets = {name: provenance for name, (_, provenance) in loaded.items()}
            pairs = [pair for of_set, _ in loaded.values() for pair in of_set]
            set_of = {pair.name: name for name, (of_set, _) in loaded.items() for pair in of_set}
        self.pairs = [scr.ScrPair(p.name, self._place_split(p.train), self._place_split(p.test)) for p in pairs]
        for pair in self.pairs:
            self.count_seen(set_of.get(pair.name, pair.name), pair.train.values(), pair.test.values())

    def _place_split(self, split: Mapping[Quadrant, list[str]]) -> dict[Quadrant, Tensor]:
        return {quadrant: self.place(split[quadrant]) for quadrant in QUADRANTS}

    def train(self, activations_TD: Float[Tensor, "T D"]) -> scr.PreparedScr:
        return scr.prepare_scr(
            self.pairs, activations_TD, seeds=self.seeds, settings=self.probe_settings, device=self.lm.device
        )

    def paths(self, n: int) -> list[str]:
        return [f"scr_metrics.{scr_key(kind, n)}" for kind in scr.KINDS]

    def headline(self, n: int) -> str:
        return f"scr_metrics.{scr_key('metric', n)}"

    def samples(self, prepared: scr.PreparedScr, shifts: Sequence[Tensor], sizes: Sequence[int]) -> dict[str, Samples]:
        results = scr.score_scr(prepared, shifts, sizes)
        return scr_samples(results, sizes, self.text_ids_T)

    def report(
        self,
        prepared: scr.PreparedScr,
        shifts: Sequence[Tensor],
        sizes: Sequence[int],
        reasons: Mapping[str, str],
        references: Mapping[str, References],
    ) -> Scores:
        results = scr.score_scr(prepared, shifts, sizes)
        undirected = {f"scr_metrics.{scr_key('metric', n)}": _NO_DIRECTION for n in sizes}
        detail_reasons, warnings = _undirected(results, sizes)
        return report(
            output.ScrMetricCategories,
            self.seeds,
            samples=scr_samples(results, sizes, self.text_ids_T),
            seed_values=columns(scr.seed_metrics(results, sizes).values(), "scr_metrics"),
            references=references,
            reasons={**undirected, **reasons},
            details=[output.ScrResultDetail.model_validate(scr.detail_row(result, sizes)) for result in results],
            detail_reasons=detail_reasons,
            unstructured=scr.unstructured_results(results),
            warnings=[*warnings, *_small_denominators(results)],
        )


class TppJob(_AblationJob[TppEvalConfig, tpp.PreparedTpp]):
    """Targeted probe perturbation of one model."""

    def __init__(
        self, context: EvalContext, config: TppEvalConfig, labelled: Sequence[LabelledTexts] | None = None
    ) -> None:
        super().__init__(context, config)
        if labelled is None:
            labelled = load_sets(
                config.dataset_names,
                context,
                train_set_size=config.train_set_size,
                test_set_size=config.test_set_size,
                seed=config.random_seed,
            )
        self.pooled = [self.place_labelled(texts) for texts in labelled]

    def train(self, activations_TD: Float[Tensor, "T D"]) -> tpp.PreparedTpp:
        return tpp.prepare_tpp(
            self.pooled, activations_TD, seeds=self.seeds, settings=self.probe_settings, device=self.lm.device
        )

    def paths(self, n: int) -> list[str]:
        return [f"tpp_metrics.{tpp_key(kind, n)}" for kind in tpp.KINDS]

    def headline(self, n: int) -> str:
        return f"tpp_metrics.{tpp_key('total_metric', n)}"

    def samples(self, prepared: tpp.PreparedTpp, shifts: Sequence[Tensor], sizes: Sequence[int]) -> dict[str, Samples]:
        results = tpp.score_tpp(prepared, shifts, sizes)
        return tpp_samples(results, self.text_ids_T)

    def report(
        self,
        prepared: tpp.PreparedTpp,
        shifts: Sequence[Tensor],
        sizes: Sequence[int],
        reasons: Mapping[str, str],
        references: Mapping[str, References],
    ) -> Scores:
        results = tpp.score_tpp(prepared, shifts, sizes)
        return report(
            output.TppMetricCategories,
            self.seeds,
            samples=tpp_samples(results, self.text_ids_T),
            seed_values=columns(tpp.seed_metrics(results).values(), "tpp_metrics"),
            references=references,
            reasons=reasons,
            details=[output.TppResultDetail.model_validate(tpp.detail_row(result)) for result in results],
            unstructured=tpp.unstructured_results(results),
        )


def _load_pairs(name: str, config: ScrEvalConfig, context: EvalContext) -> tuple[list[PairTexts], dict[str, str]]:
    if isinstance(context.lm, SyntheticModel):
        return synthetic_pairs(name, config, context.lm)
    return load_pairs(name, config, data_dir=context.data_dir)


_NO_DIRECTION = "the biased probe knows class and second attribute equally well, so neither direction counts."


def _undirected(results: Sequence[scr.PairScores], sizes: Sequence[int]) -> tuple[dict[str, str], list[str]]:
    """Pairs without a metric direction: null where that is so for every seed, and a warning in any case."""
    reasons: dict[str, str] = {}
    warnings = []
    for result in results:
        seeds = [seed for seed in result.by_seed if result.metric_direction(seed) is None]
        if len(seeds) == len(result.by_seed):
            reasons |= {f"{result.pair.name}_results.{scr_key('metric', n)}": _NO_DIRECTION for n in sizes}
        if seeds:
            listed = ", ".join(map(str, seeds))
            warnings.append(f"{result.pair.name}: no scr_metric with seed {listed}: {_NO_DIRECTION}")
    return reasons, warnings


def _small_denominators(results: Sequence[scr.PairScores]) -> list[str]:
    """One warning that lists the directions whose scores divide by almost nothing."""
    small = [
        f"{result.pair.name} dir{direction} ({min(denominators):.3f})"
        for result in results
        for direction in scr.DIRECTIONS
        if min(denominators := result.denominators(direction)) < scr.SMALL_DENOMINATOR
    ]
    if not small:
        return []
    return [
        f"denominators under {scr.SMALL_DENOMINATOR} in some seed, so these scores are unstable: {', '.join(small)}"
    ]


def _few_effects(n_ranked: Sequence[int], sizes: Sequence[int]) -> list[str]:
    """A warning where an ablation ran out of latents that have any effect."""
    few = sum(n < sizes[-1] for n in n_ranked)
    if not few:
        return []
    return [
        f"in {few} of {len(n_ranked)} ablations fewer than {sizes[-1]} latents have an effect (fewest: "
        f"{min(n_ranked)}); those were ablated"
    ]
