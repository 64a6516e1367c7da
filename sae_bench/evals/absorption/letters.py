"""Letters: what the probes make of them, and the absorption of their words averaged.

S seeds, C letters, W words, D width of the activations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sae_bench.evals.absorption.absorption_scores import probe_cosines, score_words
from sae_bench.evals.absorption.eval_config import AbsorptionEvalConfig
from sae_bench.evals.absorption.probe_training import LetterProbes, ProbeSettings, train_letter_probes
from sae_bench.evals.absorption.sparse_probes import L2_DECAY, LetterLatents, Split, f1_scores, find_letter_latents
from sae_bench.evals.absorption.word_codes import DenseRows, WordCodes
from sae_bench.evals.absorption.words import LetterWords, split_words


@dataclass(frozen=True)
class FoundWords:
    """Test words of one seed that their letter's probe gets right.

    Attributes:
        rows_N: the words.
        letter_N: their letters, as places among the measured ones.
        projection_N: activation times the probe's unit direction.
    """

    rows_N: Int[Tensor, " N"]
    letter_N: Int[Tensor, " N"]
    projection_N: Float[Tensor, " N"]


@dataclass(frozen=True)
class PreparedLetters:
    """What all SAEs at a hook share.

    Attributes:
        f1_SC, precision_SC, recall_SC: test quality of the letter probes.
        n_train_C, n_test_C: words of each letter, alike for all seeds.
    """

    words: LetterWords
    x_WD: Float[Tensor, "W D"]
    splits: tuple[Split, ...]
    probes: LetterProbes
    solved: tuple[FoundWords, ...]
    f1_SC: Float[Tensor, "S C"]
    precision_SC: Float[Tensor, "S C"]
    recall_SC: Float[Tensor, "S C"]
    n_train_C: Int[Tensor, " C"]
    n_test_C: Int[Tensor, " C"]


@dataclass(frozen=True)
class LetterScores:
    """Scores of one SAE for every seed and letter; NaN where the letter does not count in that seed.

    Attributes:
        counts_SC: whether it counts: its probe finds a test word, and with an F1 above the least.
        n_found_SC: words that the probe gets right.
        n_full_SC: those that are fully absorbed.
        speaks_SC: whether any latent is active on any of them.
    """

    counts_SC: Tensor
    fraction_SC: Float[Tensor, "S C"]
    thresholded_SC: Float[Tensor, "S C"]
    full_SC: Float[Tensor, "S C"]
    n_split_SC: Float[Tensor, "S C"]
    n_found_SC: Float[Tensor, "S C"]
    n_full_SC: Float[Tensor, "S C"]
    speaks_SC: Tensor
    latents: LetterLatents


def prepare_letters(words: LetterWords, x_WD: Float[Tensor, "W D"], seeds: Sequence[int]) -> PreparedLetters:
    """Split the words and train the letter probes of every seed on the activations.

    Raises:
        UsageError: activations that are not finite.
    """
    splits = tuple(Split(seed, *split_words(words, seed)) for seed in seeds)
    probes = train_letter_probes(
        DenseRows(x_WD),
        words.labels_W,
        words.letters,
        [split.train_N for split in splits],
        [("absorption", "letter probe", split.seed) for split in splits],
    )
    device = x_WD.device
    is_letter_WC = (words.labels_W[:, None] == torch.tensor(words.letters)).to(device)
    qualities, solved = [], []
    for seed, split in enumerate(splits):
        test_M = split.test_M.to(device)
        weights_DC, x_MD = probes.weights_SFC[seed], x_WD[test_M]
        logits_MC = x_MD @ weights_DC + probes.bias_SC[seed]
        truth_MC = is_letter_WC[test_M]
        qualities.append(f1_scores((logits_MC > 0).T, truth_MC.T))
        right_N, letter_N = ((logits_MC > 0) & truth_MC).nonzero(as_tuple=True)
        unit_DC = torch.nn.functional.normalize(weights_DC, dim=0)
        projection_N = (x_MD[right_N] * unit_DC.T[letter_N]).sum(dim=1)
        solved.append(FoundWords(test_M[right_N], letter_N, projection_N))
    n_all_C = is_letter_WC.sum(dim=0).cpu()
    n_test_C = is_letter_WC[splits[0].test_M.to(device)].sum(dim=0).cpu()
    return PreparedLetters(
        words=words,
        x_WD=x_WD,
        splits=splits,
        probes=probes,
        solved=tuple(solved),
        f1_SC=torch.stack([q.f1 for q in qualities]).cpu(),
        precision_SC=torch.stack([q.precision for q in qualities]).cpu(),
        recall_SC=torch.stack([q.recall for q in qualities]).cpu(),
        n_train_C=n_all_C - n_test_C,
        n_test_C=n_test_C,
    )


def score_letters(
    prepared: PreparedLetters, codes: WordCodes, W_dec_FD: Float[Tensor, "F D"], config: AbsorptionEvalConfig
) -> LetterScores:
    """Find the latents of the letters and measure how much of each word other latents have absorbed."""
    words = prepared.words
    latents = find_letter_latents(
        codes,
        words.labels_W,
        words.letters,
        prepared.splits,
        max_k=config.max_k_value,
        settings=ProbeSettings(
            batch_size=config.k_sparse_probe_batch_size,
            epochs=config.k_sparse_probe_num_epochs,
            weight_decay=L2_DECAY,
            l1=config.k_sparse_probe_l1_decay,
        ),
        f1_jump=config.f1_jump_threshold,
    )
    per_seed = [
        _seed_sums(prepared, codes, W_dec_FD, latents, seed) for seed in range(len(prepared.splits))
    ]  # each (5, C): words found, and sums over them
    n_found_SC, fraction_SC, thresholded_SC, n_full_SC, n_spoken_SC = torch.stack(per_seed, dim=1)
    counts_SC = (prepared.f1_SC > config.min_GT_probe_f1) & (n_found_SC > 0)

    def where_it_counts(values_SC: Tensor) -> Tensor:
        return values_SC.double().masked_fill(~counts_SC, float("nan"))

    return LetterScores(
        counts_SC=counts_SC,
        fraction_SC=where_it_counts(fraction_SC / n_found_SC),
        thresholded_SC=where_it_counts(thresholded_SC / n_found_SC),
        full_SC=where_it_counts(n_full_SC / n_found_SC),
        n_split_SC=where_it_counts(latents.n_split_SC),
        n_found_SC=n_found_SC,
        n_full_SC=n_full_SC,
        speaks_SC=n_spoken_SC > 0,
        latents=latents,
    )


def _seed_sums(
    prepared: PreparedLetters, codes: WordCodes, W_dec_FD: Tensor, latents: LetterLatents, seed: int
) -> Float[Tensor, "5 C"]:
    solved = prepared.solved[seed]
    n_letters = len(prepared.words.letters)
    device = codes.device
    is_own_FC = torch.zeros(codes.shape[1], n_letters, dtype=torch.bool, device=device)
    rank_K = torch.arange(latents.latents_SCK.shape[2])
    own_CK = (rank_K < latents.n_split_SC[seed][:, None]).to(device)
    letter_CK = torch.arange(n_letters, device=device)[:, None].expand_as(own_CK)
    is_own_FC[latents.latents_SCK[seed].to(device)[own_CK], letter_CK[own_CK]] = True
    scores = score_words(
        codes,
        solved.rows_N,
        solved.letter_N,
        solved.projection_N,
        cosine_FC=probe_cosines(W_dec_FD.to(device), prepared.probes.weights_SFC[seed].to(device)),
        is_own_FC=is_own_FC,
    )
    values_5N = torch.stack([torch.ones_like(scores.fraction_N), scores.fraction_N, scores.thresholded_N,
                             scores.full_N.float(), scores.active_N.float()]).double().cpu()  # fmt: skip
    sums_5C = torch.zeros(5, n_letters, dtype=torch.float64)
    return sums_5C.index_add_(1, solved.letter_N.cpu(), values_5N)


def unstructured_results(prepared: PreparedLetters, scores: LetterScores) -> dict[str, Any]:
    """Words, and by seed and letter: its own latents, F1 for every k, and the probe's quality."""
    words = prepared.words
    names = _names(words)
    return {
        "words": {
            "used": len(words.words),
            "one_token_words_in_vocabulary": words.n_in_vocabulary,
            "vocabulary_words_of_other_tokens": words.n_not_whole,
            "letters_left_out": dict(words.left_out),
        },
        "seeds": {
            str(split.seed): {
                name: {
                    "latents": scores.latents.latents_SCK[s, c, : scores.latents.n_split_SC[s, c]].tolist(),
                    "sparse_probe_f1": scores.latents.f1_SCK[s, c].tolist(),
                    "probe_f1": float(prepared.f1_SC[s, c]),
                    "probe_precision": float(prepared.precision_SC[s, c]),
                    "probe_recall": float(prepared.recall_SC[s, c]),
                    "num_probe_true_positives": int(scores.n_found_SC[s, c]),
                    "counts": bool(scores.counts_SC[s, c]),
                }
                for c, name in enumerate(names)
            }
            for s, split in enumerate(prepared.splits)
        },
    }


def _names(words: LetterWords) -> list[str]:
    return [chr(ord("a") + letter) for letter in words.letters]
