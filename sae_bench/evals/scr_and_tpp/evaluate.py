"""scr and tpp on the shared pass: texts in, pooled activations and codes out, then ablations of pooled codes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Generic, TypeVar

import torch
from torch import Tensor

from sae_bench.activations.requests import PooledTexts, PooledValues, Request, Served, only
from sae_bench.custom_saes.loading import Member
from sae_bench.datasets import LabelledTexts, load_labelled
from sae_bench.errors import UsageError
from sae_bench.evals.base import Caveat, EvalContext, EvalSpec, Metric, Scores, Shows
from sae_bench.evals.scr_and_tpp import eval_output as output
from sae_bench.evals.scr_and_tpp import scr, tpp
from sae_bench.evals.scr_and_tpp.ablation import TokenSource, all_shifts
from sae_bench.evals.scr_and_tpp.eval_config import ScrAndTppEvalConfig, ScrEvalConfig, TppEvalConfig
from sae_bench.evals.scr_and_tpp.eval_output import scr_key, tpp_key
from sae_bench.evals.scr_and_tpp.text_samples import scr_samples, text_hashes, tpp_samples
from sae_bench.evals.scr_and_tpp.texts import QUADRANTS, PairTexts, Quadrant, load_pairs
from sae_bench.evals.sparse_probing.probing import PooledDataset
from sae_bench.probes import AdamWSettings
from sae_bench.results.model import SeedResult

HEADLINE_N = (10, 20, 2, 50, 500)
AUDIT = (
    "an independent audit (arXiv 2605.18229, 2026) found scr and tpp unreliable at their usual settings: tpp falls as "
    "SAEs train longer, scr turns against the ground truth at large N, and reseeding moves both more than SAEs of one "
    "family differ; do not rank SAEs by them alone"
)
AUDIT_SAYS = "An independent audit (arXiv 2605.18229) found"
TEST_SELECTED = (
    "probes keep the epoch with the best test accuracy, as published, which flatters them; probe_selection=validation "
    "does not"
)

ConfigT = TypeVar("ConfigT", bound=ScrAndTppEvalConfig)
PreparedT = TypeVar("PreparedT", scr.PreparedScr, tpp.PreparedTpp)


class _AblationJob(ABC, Generic[ConfigT, PreparedT]):
    """What scr and tpp do alike: texts are placed once, probes are trained once per hook, every SAE is ablated."""

    def __init__(self, context: EvalContext, config: ConfigT) -> None:
        if not context.seeds or len(set(context.seeds)) < len(context.seeds):
            raise UsageError(f"seeds must be one or more and differ, got {list(context.seeds)}.")
        self.lm = context.lm
        self.config = config
        self.seeds = context.seeds
        self._token_ids: list[list[int]] = []
        self._prepared: dict[str, PreparedT] = {}

    def requests(self, members: Sequence[Member]) -> Sequence[Request]:
        return [PooledTexts(self._token_ids, frozenset(member.key for member in members))]

    def score(self, member: Member, served: Sequence[Served]) -> Scores:
        pooled = only(served, PooledValues)
        prepared = self._prepare_once(member.hook_name, pooled.activations[member.hook_name])
        codes = pooled.codes[member.key]
        n_latents = codes.shape[1]
        sizes = [n for n in sorted(self.config.n_values) if n <= n_latents]
        not_computed = {
            key: f"N = {n} is more than the {n_latents} latents there are."
            for n in self.config.n_values
            if n > n_latents
            for key in self._keys(n)
        }
        if not sizes:
            raise UsageError(f"n_values {self.config.n_values} are all above the {n_latents} latents there are.")
        source = TokenSource(self.lm, member.hook_name, self._token_ids)
        shifts, n_ranked = all_shifts(member.sae, codes, prepared.probes, prepared.ablations, sizes, source)
        scores = self._scores(prepared, shifts, sizes)
        scores.not_computed |= not_computed
        scores.warnings[:0] = [AUDIT, *([TEST_SELECTED] if self.config.probe_selection == "test" else [])]
        scores.warnings += _few_effects(n_ranked, sizes)
        return scores

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

    def _place(self, texts: Sequence[str]) -> Tensor:
        """Tokenise texts; returns where they stand among all texts of the request."""
        start = len(self._token_ids)
        self._token_ids.extend(self.lm.tokenize(texts, max_length=self.config.context_length))
        return torch.arange(start, len(self._token_ids))

    @cached_property
    def _hashes_T(self) -> Tensor:
        return text_hashes(self._token_ids)

    def _prepare_once(self, hook: str, activations_TD: Tensor) -> PreparedT:
        """Probes at a hook; trained once, however many groups of SAEs follow."""
        if hook not in self._prepared:
            self._prepared[hook] = self._prepare(activations_TD)
        return self._prepared[hook]

    @abstractmethod
    def _prepare(self, activations_TD: Tensor) -> PreparedT: ...

    @abstractmethod
    def _keys(self, n: int) -> list[str]: ...

    @abstractmethod
    def _scores(self, prepared: PreparedT, shifts: Sequence[Tensor], sizes: Sequence[int]) -> Scores: ...


class ScrJob(_AblationJob[ScrEvalConfig, scr.PreparedScr]):
    """Spurious correlation removal of one model."""

    def __init__(self, context: EvalContext, config: ScrEvalConfig, pairs: Sequence[PairTexts] | None = None) -> None:
        super().__init__(context, config)
        self.datasets: dict[str, dict[str, str]] = {}
        if pairs is None:
            loaded = {name: load_pairs(name, config, data_dir=context.data_dir) for name in config.dataset_names}
            self.datasets = {name: provenance for name, (_, provenance) in loaded.items()}
            pairs = [pair for of_set, _ in loaded.values() for pair in of_set]
        self.pairs = [scr.ScrPair(p.name, self._place_split(p.train), self._place_split(p.test)) for p in pairs]

    def _place_split(self, split: Mapping[Quadrant, list[str]]) -> dict[Quadrant, Tensor]:
        return {quadrant: self._place(split[quadrant]) for quadrant in QUADRANTS}

    def _prepare(self, activations_TD: Tensor) -> scr.PreparedScr:
        return scr.prepare_scr(
            self.pairs, activations_TD, seeds=self.seeds, settings=self.probe_settings, device=self.lm.device
        )

    def _keys(self, n: int) -> list[str]:
        return [f"scr_metrics.{scr_key(kind, n)}" for kind in scr.KINDS]

    def _scores(self, prepared: scr.PreparedScr, shifts: Sequence[Tensor], sizes: Sequence[int]) -> Scores:
        results = scr.score_scr(prepared, shifts, sizes)
        per_seed = scr.seed_metrics(results, sizes)
        means = {key: scr.mean_of([of[key] for of in per_seed.values()]) for key in next(iter(per_seed.values()))}
        details = [
            output.ScrResultDetail.model_validate(
                {
                    "dataset_name": f"{result.pair.name}_results",
                    **scr.pair_metrics(result, sizes),
                    **scr.pair_accuracies(result),
                }
            )
            for result in results
        ]
        not_computed, warnings = _undirected(results, sizes)
        if all(result.metric_direction(seed) is None for result in results for seed in self.seeds):
            not_computed |= {f"scr_metrics.{scr_key('metric', n)}": _NO_DIRECTION for n in sizes}
        return Scores(
            metrics=output.ScrMetricCategories(scr_metrics=output.ScrMetrics.model_validate(means)),
            details=details,
            unstructured=scr.unstructured_results(results),
            not_computed=not_computed,
            seed_results=_seed_results("scr_metrics", per_seed),
            samples=scr_samples(results, sizes, self._hashes_T),
            warnings=[*warnings, *_small_denominators(results)],
        )


class TppJob(_AblationJob[TppEvalConfig, tpp.PreparedTpp]):
    """Targeted probe perturbation of one model."""

    def __init__(
        self, context: EvalContext, config: TppEvalConfig, labelled: Sequence[LabelledTexts] | None = None
    ) -> None:
        super().__init__(context, config)
        if labelled is None:
            labelled = [
                load_labelled(
                    name,
                    train_set_size=config.train_set_size,
                    test_set_size=config.test_set_size,
                    seed=config.random_seed,
                    data_dir=context.data_dir,
                )
                for name in config.dataset_names
            ]
        self.datasets = {texts.name: texts.provenance for texts in labelled}
        self.pooled = [
            PooledDataset(
                texts.name,
                texts.classes,
                {name: self._place(texts.train[name]) for name in texts.classes},
                {name: self._place(texts.test[name]) for name in texts.classes},
            )
            for texts in labelled
        ]

    def _prepare(self, activations_TD: Tensor) -> tpp.PreparedTpp:
        return tpp.prepare_tpp(
            self.pooled, activations_TD, seeds=self.seeds, settings=self.probe_settings, device=self.lm.device
        )

    def _keys(self, n: int) -> list[str]:
        return [f"tpp_metrics.{tpp_key(kind, n)}" for kind in tpp.KINDS]

    def _scores(self, prepared: tpp.PreparedTpp, shifts: Sequence[Tensor], sizes: Sequence[int]) -> Scores:
        results = tpp.score_tpp(prepared, shifts, sizes)
        per_seed = tpp.seed_metrics(results)
        means = {key: scr.mean_of([of[key] for of in per_seed.values()]) for key in next(iter(per_seed.values()))}
        return Scores(
            metrics=output.TppMetricCategories(tpp_metrics=output.TppMetrics.model_validate(means)),
            details=[
                output.TppResultDetail.model_validate(
                    {"dataset_name": f"{result.dataset.name}_tpp_results", **tpp.dataset_metrics(result)}
                )
                for result in results
            ],
            unstructured=tpp.unstructured_results(results),
            seed_results=_seed_results("tpp_metrics", per_seed),
            samples=tpp_samples(results, self._hashes_T),
        )


_NO_DIRECTION = "the biased probe knows class and second attribute equally well, so neither direction counts."


def _undirected(results: Sequence[scr.PairScores], sizes: Sequence[int]) -> tuple[dict[str, str], list[str]]:
    """Pairs without a metric direction: null where that is so for every seed, and a warning in any case."""
    not_computed: dict[str, str] = {}
    warnings = []
    for result in results:
        seeds = [seed for seed in result.by_seed if result.metric_direction(seed) is None]
        if len(seeds) == len(result.by_seed):
            name = f"eval_result_details.{result.pair.name}_results"
            not_computed |= {f"{name}.{scr_key('metric', n)}": _NO_DIRECTION for n in sizes}
        if seeds:
            listed = ", ".join(map(str, seeds))
            warnings.append(f"{result.pair.name}: no scr_metric with seed {listed}: {_NO_DIRECTION}")
    return not_computed, warnings


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


def _seed_results(category: str, per_seed: Mapping[int, Mapping[str, float | None]]) -> list[SeedResult]:
    return [
        SeedResult(seed=seed, metrics={f"{category}.{key}": value for key, value in values.items()})
        for seed, values in per_seed.items()
    ]


PRESETS = {"paper": {}, "quick": {"train_set_size": 1000, "test_set_size": 400}}

SCR_SPEC = EvalSpec(
    name="scr",
    title="Spurious correlation removal",
    summary="Recovered share of accuracy when few latents of a spurious concept are ablated (found unreliable).",
    protocol="scr-1",
    config=ScrEvalConfig,
    output=output.ScrEvalOutput,
    metrics=tuple(Metric(f"scr_metrics.{scr_key('metric', n)}", f"SCR at N = {n}", True, 0.0) for n in HEADLINE_N),
    cost="one pass over the texts; probes once per model and hook, then about a second per SAE",
    start=ScrJob,
    presets=PRESETS,
    resampled={"text_choice": "drawn"},
    embedded={"dataset_names": ["embedded/emotions_by_address"], "train_set_size": 700, "test_set_size": 176},
    demo={"train_set_size": 300},
    caveats=(
        Caveat(
            f"{AUDIT_SAYS} SCR not valid at its usual settings: it turns against ground truth when many latents are "
            "ablated. It is a ratio: where the bias costs little accuracy the denominator is tiny and the score "
            "unstable.",
            serious=True,
        ),
    ),
    shows=Shows("dataset_name"),
)
TPP_SPEC = EvalSpec(
    name="tpp",
    title="Targeted probe perturbation",
    summary="How much more ablating few latents hurts one class's probe than the others (found unreliable).",
    protocol="tpp-1",
    config=TppEvalConfig,
    output=output.TppEvalOutput,
    metrics=tuple(
        Metric(f"tpp_metrics.{tpp_key('total_metric', n)}", f"TPP at N = {n}", True, 0.0) for n in HEADLINE_N
    ),
    cost="one pass over the texts (those of sparse_probing); probes once per model and hook, then a second per SAE",
    start=TppJob,
    presets=PRESETS,
    embedded={"dataset_names": ["embedded/news_topics", "embedded/code_languages", "embedded/ag_news"]},
    demo={
        "dataset_names": ["embedded/news_topics", "embedded/code_languages"],
        "context_length": 64,  # as sparse_probing, whose texts it shares
        "train_set_size": 240,
        "test_set_size": 120,
    },
    caveats=(
        Caveat(
            f"{AUDIT_SAYS} TPP not valid at its usual settings: it falls as SAEs train longer. Do not choose an SAE by "
            "it alone.",
            serious=True,
        ),
    ),
    shows=Shows("dataset_name"),
)
SPECS = {True: SCR_SPEC, False: TPP_SPEC}
"""perform_scr -> the eval."""
