"""Absorption: words and prompts once per model, activations and letter probes once per hook, then SAE after SAE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean, stdev

import torch
from torch import Tensor

from sae_bench.activations.requests import Request, Served
from sae_bench.custom_saes.loading import Member
from sae_bench.errors import UsageError
from sae_bench.evals.absorption.eval_config import AbsorptionEvalConfig
from sae_bench.evals.absorption.eval_output import (
    AbsorptionMeanMetrics,
    AbsorptionMetricCategories,
    AbsorptionResultDetail,
)
from sae_bench.evals.absorption.letters import (
    LetterScores,
    PreparedLetters,
    prepare_letters,
    score_letters,
    unstructured_results,
)
from sae_bench.evals.absorption.prompts import build_prompts, word_activations
from sae_bench.evals.absorption.word_codes import encode_words
from sae_bench.evals.absorption.words import LETTERS, LetterWords, letter_words
from sae_bench.evals.base import EvalContext, Scores
from sae_bench.evals.families.reported import columns, mean_of_known, report
from sae_bench.results.references import Reference, References
from sae_bench.results.samples import Samples

SHARED_EXAMPLES = (
    "words_per_examples is {n}: words share their in-context examples in groups, where the published eval draws "
    "examples for every word"
)
SILENT = (
    "no latent of this SAE is active on any word that its letter's probe gets right (seed {seeds}): absorption is 0 "
    "there because nothing can be absorbed, and no sign of quality"
)
NO_PLACE = "no latent is active on any word: nothing can be absorbed, and its 0 is no merit"


class AbsorptionJob:
    """Absorption of one model; nothing is asked of the shared pass, for words are read in prompts of their own.

    Args:
        words: the words to read; by default those of the model's vocabulary.
    """

    def __init__(self, context: EvalContext, config: AbsorptionEvalConfig, words: LetterWords | None = None) -> None:
        if len(set(context.seeds)) < len(context.seeds) or not context.seeds:
            raise UsageError(f"seeds must be one or more and differ, got {list(context.seeds)}.")
        self.lm = context.lm
        self.config = config
        self.seeds = context.seeds
        self.words = letter_words(self.lm, config) if words is None else words
        self.prompts = build_prompts(self.lm, self.words.words, config)
        self._activations: dict[str, Tensor] = {}
        self._prepared: dict[str, PreparedLetters] = {}
        self.read_prompts(context.hook_names)
        for hook in context.hook_names:
            self.prepared_at(hook)

    @property
    def datasets(self) -> dict[str, dict[str, str]]:
        return {
            "vocabulary": {
                "source": f"tokenizer of {self.lm.name}",
                "revision": self.words.key,
                "words": str(len(self.words.words)),
            }
        }

    def requests(self, members: Sequence[Member]) -> Sequence[Request]:  # noqa: ARG002 (no pass is needed)
        return []

    def score(self, member: Member, served: Sequence[Served] = ()) -> Scores:  # noqa: ARG002 (nothing was asked)
        self.read_prompts([member.hook_name, member.hook_name_out])
        prepared = self.prepared_at(member.hook_name_out)
        codes = encode_words(member.sae, self._activations[member.hook_name])
        scores = score_letters(prepared, codes, member.sae.W_dec, self.config)
        return _scores(prepared, scores, self.config)

    def read_prompts(self, hooks: Sequence[str]) -> None:
        """Activations of all words at hooks; those that are there already are not read again."""
        missing = [hook for hook in dict.fromkeys(hooks) if hook not in self._activations]
        if missing:
            self._activations |= word_activations(self.lm, self.prompts, missing, batch_size=self.config.llm_batch_size)

    def prepared_at(self, hook: str) -> PreparedLetters:
        """What all SAEs at a hook share, made once: activations and letter probes."""
        if hook not in self._prepared:
            self.read_prompts([hook])
            self._prepared[hook] = prepare_letters(self.words, self._activations[hook], self.seeds)
        return self._prepared[hook]


_TABLES = {
    "absorption_fraction_score": "fraction_SC",
    "full_absorption_score": "full_SC",
    "num_split_features": "n_split_SC",
    "absorption_fraction_thresholded_score": "thresholded_SC",
}
"""Metric (after `mean_` and `std_dev_`) -> its values by seed and letter."""


def _scores(prepared: PreparedLetters, scores: LetterScores, config: AbsorptionEvalConfig) -> Scores:
    per_seed = [_seed_metrics(prepared, scores, config, seed) for seed in range(len(prepared.splits))]
    by_seed = columns(per_seed, "mean")
    return report(
        AbsorptionMetricCategories,
        [split.seed for split in prepared.splits],
        samples=_samples(prepared, scores, by_seed),
        seed_values=by_seed,
        references=_references(prepared, scores, config),
        reasons={path: _why_null(prepared, scores, config, path) for path in by_seed},
        details=_details(prepared, scores),
        unstructured=unstructured_results(prepared, scores),
        warnings=_warnings(prepared, scores, config),
    )


def _references(prepared: PreparedLetters, scores: LetterScores, config: AbsorptionEvalConfig) -> dict[str, References]:
    """Path of a metric -> the best and the worst that its definition allows; lower is better.

    A letter that no latent carries scores 0, as a perfect SAE does, though nothing could be absorbed: an SAE that is
    silent on all scored words has no place between the two.
    """
    n_latents = min(config.max_k_value, scores.latents.latents_SCK.shape[2])
    silent = len(silent_seeds(prepared, scores)) == len(prepared.splits)
    ends: dict[str, tuple[str, float, str, float]] = {
        "num_split_features": ("as many latents for a letter as are tried", n_latents, "one latent for a letter", 1.0)
    }
    usual = ("every word's letter in latents of other words", 1.0, "every letter in latents of its own", 0.0)
    references: dict[str, References] = {}
    for name in _TABLES:
        worst, highest, best, lowest = ends.get(name, usual)
        floor = Reference(worst, None, NO_PLACE) if silent else Reference(worst, float(highest))
        references[f"mean.mean_{name}"] = References(floor=floor, ceiling=Reference(best, lowest))
    return references


def _seed_metrics(
    prepared: PreparedLetters, scores: LetterScores, config: AbsorptionEvalConfig, seed: int
) -> dict[str, float | None]:
    """The metrics of one seed; None where too few letters count."""
    counts_C = scores.counts_SC[seed]
    metrics: dict[str, float | None] = {"mean_probe_f1": float(prepared.f1_SC[seed].mean())}
    enough = int(counts_C.sum()) >= config.min_feats_for_eval
    for name, table in _TABLES.items():
        values = getattr(scores, table)[seed][counts_C].tolist() if enough else []
        metrics[f"mean_{name}"] = fmean(values) if values else None
        metrics[f"std_dev_{name}"] = stdev(values) if len(values) > 1 else None
    return {field: metrics.get(field) for field in AbsorptionMeanMetrics.model_fields}


def _why_null(prepared: PreparedLetters, scores: LetterScores, config: AbsorptionEvalConfig, path: str) -> str:
    most = int(scores.counts_SC.sum(dim=1).max())
    if path.startswith("mean.std_dev_") and most >= config.min_feats_for_eval:
        return f"a standard deviation over letters needs two; {most} counts."
    return (
        f"of {len(prepared.words.letters)} letters {most} count (test F1 of the probe above {config.min_GT_probe_f1:g} "
        f"and a word found), {config.min_feats_for_eval} are needed. Next: lower min_feats_for_eval or "
        "min_GT_probe_f1, read more words, or take a model that spells better."
    )


def _details(prepared: PreparedLetters, scores: LetterScores) -> list[AbsorptionResultDetail]:
    """One row for every letter that counts in some seed."""
    rows: list[AbsorptionResultDetail] = []
    for c, letter in enumerate(prepared.words.letters):
        in_S = scores.counts_SC[:, c]
        if not bool(in_S.any()):
            continue

        def mean(values_SC: Tensor, column: int = c, seeds: Tensor = in_S) -> float:
            return float(values_SC[seeds, column].double().mean())

        rows.append(
            AbsorptionResultDetail(
                first_letter=LETTERS[letter],
                mean_absorption_fraction=mean(scores.fraction_SC),
                full_absorption_rate=mean(scores.full_SC),
                num_full_absorption=round(mean(scores.n_full_SC)),
                num_probe_true_positives=round(mean(scores.n_found_SC)),
                num_split_features=round(mean(scores.n_split_SC)),
                num_full_absorption_mean=mean(scores.n_full_SC),
                num_probe_true_positives_mean=mean(scores.n_found_SC),
                num_split_features_mean=mean(scores.n_split_SC),
                mean_absorption_fraction_thresholded=mean(scores.thresholded_SC),
                probe_f1=mean(prepared.f1_SC),
                probe_precision=mean(prepared.precision_SC),
                probe_recall=mean(prepared.recall_SC),
                num_train_words=int(prepared.n_train_C[c]),
                num_test_words=int(prepared.n_test_C[c]),
            )
        )
    return rows


def _samples(
    prepared: PreparedLetters, scores: LetterScores, by_seed: Mapping[str, Sequence[float | None]]
) -> dict[str, Samples]:
    """Letters are the units; which of them count in a seed does not depend on the SAE."""
    words = prepared.words
    key = f"absorption:{''.join(LETTERS[letter] for letter in words.letters)}:{words.key}"
    return {
        f"mean.mean_{name}": replace(
            Samples.of_equal_units(getattr(scores, table), unit="letter", key=key), ids_U=torch.tensor(words.letters)
        )
        for name, table in _TABLES.items()
        if mean_of_known(by_seed[f"mean.mean_{name}"]) is not None
    }


def _warnings(prepared: PreparedLetters, scores: LetterScores, config: AbsorptionEvalConfig) -> list[str]:
    words = prepared.words
    warnings: list[str] = []
    if words.left_out:
        listed = ", ".join(f"{letter} ({n})" for letter, n in words.left_out.items())
        warnings.append(f"letters with fewer than {config.min_words_per_letter} words are left out: {listed}")
    some_S = scores.counts_SC.any(dim=0)
    lost = [LETTERS[letter] for letter, counted in zip(words.letters, some_S.tolist(), strict=True) if not counted]
    if lost:
        warnings.append(f"letters whose probe is not good enough in any seed are left out: {', '.join(lost)}")
    if config.words_per_examples > 1:
        warnings.append(SHARED_EXAMPLES.format(n=config.words_per_examples))
    width = scores.latents.latents_SCK.shape[2]
    if width < config.max_k_value:
        warnings.append(f"the SAE has {width} latents, so sparse probes end at k = {width}")
    if silent_S := silent_seeds(prepared, scores):
        warnings.append(SILENT.format(seeds=", ".join(map(str, silent_S))))
    if scores.latents.n_unfinished:
        warnings.append(f"{scores.latents.n_unfinished} sparse probes did not converge")
    return warnings


def silent_seeds(prepared: PreparedLetters, scores: LetterScores) -> list[int]:
    """Seeds in which no latent is active on any word that its letter's probe gets right."""
    return [
        split.seed
        for s, split in enumerate(prepared.splits)
        if not bool(scores.speaks_SC[s][scores.counts_SC[s]].any())
    ]
