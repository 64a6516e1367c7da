"""Absorption of all letters from the tables of the sparse probes, under its published names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from sae_bench.evals.absorption.absorption_scores import (
    ABSORBER_MIN_COSINE,
    FULL_MIN_COSINE,
    MAX_ABSORBERS,
    MIN_SHARE,
)
from sae_bench.published.absorption_prompting import first_letter_formatter
from sae_bench.published.absorption_steps import files
from sae_bench.published.absorption_steps.calculator import FeatureAbsorptionCalculator, WordAbsorptionResult
from sae_bench.published.absorption_steps.k_sparse_probing import (
    SPARSE_PROBING_EXPERIMENT_NAME,
    add_feature_splits_to_metrics_df,
    get_sparse_probing_metrics_filename,
    get_sparse_probing_raw_results_filename,
)
from sae_bench.published.absorption_steps.probing import LinearProbe
from sae_bench.published.absorption_steps.reading import PromptReader
from sae_bench.published.absorption_vocab import LETTERS, get_alpha_tokens

FEATURE_ABSORPTION_EXPERIMENT_NAME = "feature_absorption"
FULL_ABSORPTION_PROBE_COS_THRESHOLD = FULL_MIN_COSINE
ABSORPTION_FRACTION_PROBE_COS_THRESHOLD = ABSORBER_MIN_COSINE
ABSORPTION_PROBE_PROJECTION_PROPORTION_THRESHOLD = MIN_SHARE
ABSORPTION_FRACTION_MAX_ABSORBING_LATENTS = MAX_ABSORBERS


@dataclass
class StatsAndLikelyFalseNegativeResults:
    """What the probes make of the words of a letter.

    Attributes:
        probe_true_positives: words that the letter probe gets right.
        split_feats_true_positives: those that the sparse probe on the letter's own latents gets right too.
        split_feats: the letter's own latents.
        potential_false_negatives: the words that the letter probe gets right.
    """

    probe_true_positives: int
    split_feats_true_positives: int
    split_feats: list[int]
    potential_false_negatives: list[str]


def calculate_projection_and_cos_sims(
    calculator: FeatureAbsorptionCalculator, sae: Any, probe: LinearProbe, layer: int,
    likely_negs: Mapping[str, StatsAndLikelyFalseNegativeResults],
) -> pd.DataFrame:  # fmt: skip
    """A row per word of each letter: its absorption, and the latents that carry it.

    Args:
        probe: letter probes on activations.
        likely_negs: letter -> its words and latents.
    """
    rows = []
    for letter, stats in likely_negs.items():
        direction_D = probe.weights[LETTERS.index(letter)].detach()
        results = calculator.calculate_absorption(
            sae, stats.potential_false_negatives, direction_D, stats.split_feats, layer, show_progress=False
        )
        rows += [_row(letter, stats, word) for word in results.word_results]
    return pd.DataFrame(rows)


def _row(letter: str, stats: StatsAndLikelyFalseNegativeResults, word: WordAbsorptionResult) -> dict[str, Any]:
    own, top = word.main_feature_scores, word.top_projection_feature_scores
    row: dict[str, Any] = {
        "letter": letter, "token": word.word, "prompt": word.prompt,
        "num_probe_true_positives": stats.probe_true_positives, "split_feats": stats.split_feats,
        "split_feat_acts": [latent.activation for latent in own],
        "split_feat_probe_cos": [latent.probe_cos_sim for latent in own],
    }  # fmt: skip
    for rank, latent in (("top", top[0]), ("second", top[min(1, len(top) - 1)])):
        row[f"{rank}_projection_feat"] = latent.feature_id
        row[f"{rank}_probe_projection"] = latent.probe_projection
        row[f"{rank}_projection_feat_probe_cos"] = latent.probe_cos_sim
    return row | {
        "probe_projections": [latent.probe_projection for latent in top],
        "projection_feats": [latent.feature_id for latent in top],
        "projection_feat_acts": [latent.activation for latent in top],
        "projection_feat_probe_cos": [latent.probe_cos_sim for latent in top],
        "absorption_fraction": word.absorption_fraction, "is_full_absorption": word.is_full_absorption,
    }  # fmt: skip


def get_stats_and_likely_false_negative_tokens(
    metrics_df: pd.DataFrame, sae_name: str, layer: int, sparse_probing_task_output_dir: Path
) -> dict[str, StatsAndLikelyFalseNegativeResults]:
    """Letter -> its words and latents, from the tables of the sparse probes.

    Args:
        metrics_df: of `run_k_sparse_probing_experiment`.
        sae_name, layer: of the file with the words' scores.
        sparse_probing_task_output_dir: its folder.
    """
    path = sparse_probing_task_output_dir / get_sparse_probing_raw_results_filename(sae_name, layer)
    words = files.load_experiment_df(SPARSE_PROBING_EXPERIMENT_NAME, path)
    own_latents = metrics_df.set_index("letter")["split_feats"]
    stats = {}
    for letter in LETTERS:
        latents = list(own_latents[letter])
        right = words[(words["answer_letter"] == letter) & (words[f"score_probe_{letter}"] > 0)]
        n_both = int((right[f"score_sparse_sae_{letter}_k_{len(latents)}"] > 0).sum())
        stats[letter] = StatsAndLikelyFalseNegativeResults(len(right), n_both, latents, right["token"].tolist())
    return stats


def load_and_run_calculate_projections_and_cos_sims(
    model: Any, sae: Any, calculator: FeatureAbsorptionCalculator, metrics_df: pd.DataFrame, sae_name: str,
    layer: int, probes_dir: Path | str, sparse_probing_task_output_dir: Path, device: str,
) -> pd.DataFrame:  # fmt: skip
    """`calculate_projection_and_cos_sims` with the probe and the words of the steps before.

    Args:
        model: see `PromptReader`; it names the probe's folder.
        metrics_df, sae_name, layer, sparse_probing_task_output_dir: as in `get_stats_and_likely_false_negative_tokens`.
        probes_dir: of `load_probe`.
    """
    probe = files.load_probe(PromptReader(model).name, layer, probes_dir, device=device)
    words = get_stats_and_likely_false_negative_tokens(metrics_df, sae_name, layer, sparse_probing_task_output_dir)
    return calculate_projection_and_cos_sims(calculator, sae, probe, layer, words)


def run_feature_absortion_experiment(
    model: Any, sae: Any, layer: int, sae_name: str, max_k_value: int, prompt_template: str, prompt_token_pos: int,
    device: str, experiment_dir: Path | str = files.RESULTS_DIR / FEATURE_ABSORPTION_EXPERIMENT_NAME,
    sparse_probing_experiment_dir: Path | str = files.RESULTS_DIR / SPARSE_PROBING_EXPERIMENT_NAME,
    probes_dir: Path | str = files.PROBES_DIR, force: bool = False, feature_split_f1_jump_threshold: float = 0.03,
    batch_size: int = 10,
) -> pd.DataFrame:  # fmt: skip
    """Absorption word by word, from `<experiment_dir>/<sae_name>` where it is there.

    Args:
        model: see `PromptReader`.
        layer, sae_name, max_k_value, prompt_template, prompt_token_pos: those of `run_k_sparse_probing_experiment`,
            which runs before.
        sparse_probing_experiment_dir, probes_dir: where that kept its tables and probes.
        force: make the table anew.
        feature_split_f1_jump_threshold: of `add_feature_splits_to_metrics_df`.
        batch_size: prompts at once.
    Raises:
        FileNotFoundError: the sparse probes were not run.
    """
    before = files.get_or_make_dir(sparse_probing_experiment_dir) / sae_name
    metrics_path = before / get_sparse_probing_metrics_filename(sae_name, layer)
    metrics_df = files.load_experiment_df(SPARSE_PROBING_EXPERIMENT_NAME, metrics_path)
    add_feature_splits_to_metrics_df(metrics_df, max_k_value, feature_split_f1_jump_threshold)
    calculator = FeatureAbsorptionCalculator(
        model, get_alpha_tokens(PromptReader(model).tokenizer), 10, prompt_template, first_letter_formatter(),
        word_token_pos=prompt_token_pos, batch_size=batch_size,
    )  # fmt: skip
    return files.load_df_or_run(
        lambda: load_and_run_calculate_projections_and_cos_sims(
            model, sae, calculator, metrics_df, sae_name, layer, probes_dir, before, device
        ),
        files.get_or_make_dir(experiment_dir) / sae_name / f"layer_{layer}_{sae_name}.parquet",
        force,
    )
