"""Unlearning the plain way: one full forward per row with a hook on the layer, two decodes, all logits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from sae_bench.datasets.multiple_choice import Question
from sae_bench.evals.unlearning.clamping import Clamp
from sae_bench.evals.unlearning.formats import AnswerReader, Letters
from sae_bench.evals.unlearning.prompts import Ask
from sae_bench.language_models import LanguageModel

WORDS = ("river", "bread", "code", "film", "price", "letter", "city", "salt", "cat", "team", "story", "money")


def questions(n: int, *, answer: int = 0) -> list[Question]:
    """Questions with choices of different lengths."""
    found = []
    for i in range(n):
        words = [WORDS[(i * 5 + 3 * j) % len(WORDS)] for j in range(4)]
        choices = (words[0], f"{words[1]} water", f"the {words[2]}", f"{words[3]}s of Paris")
        found.append(Question(i, f"Question {i}: what about the {WORDS[(i * 7) % 12]}?", choices, answer))
    return found


def clamp_value(sae: Any, x_LD: Tensor, clamp: Clamp) -> Tensor:
    """The clamped value of one text, by its definition: error + decode of the clamped codes."""
    codes_LF = sae.encode(x_LD)
    codes_LF = codes_LF.clone()
    codes_LF[0] = 0.0
    error_LD = x_LD - sae.decode(codes_LF)
    for latent in clamp.latents:
        codes_LF[:, latent] = torch.where(codes_LF[:, latent] > 0, -clamp.multiplier, codes_LF[:, latent])
    return error_LD + sae.decode(codes_LF)


@torch.no_grad()
def plain_scores(
    lm: LanguageModel, reader: AnswerReader, ask: Ask, sae: Any | None, clamp: Clamp | None
) -> list[float]:
    """Scores of the four choices of one ask, nothing shared with any other."""
    scores: list[float] = []
    for row in reader.rows([ask]):
        replace = {}
        if sae is not None and clamp is not None and clamp.latents:
            replace = {sae.cfg.hook_name: lambda x, c=clamp: clamp_value(sae, x[0], c)[None]}
        ids = torch.tensor([row.ids])
        log_probs_LV = lm.unembed(lm.final_hidden(ids, replace=replace))[0].log_softmax(-1)
        if isinstance(reader, Letters):
            return log_probs_LV[-1][reader.token_ids_VC].amax(0).tolist()
        targets = row.ids[row.scored_from :]
        places = range(row.scored_from - 1, len(row.ids) - 1)
        found = [float(log_probs_LV[place, target]) for place, target in zip(places, targets, strict=True)]
        scores.append(sum(found) / len(found))
    return scores


def with_model_answers(lm: LanguageModel, reader: AnswerReader, asked: Sequence[Question]) -> list[Question]:
    """The same questions, their right answer being what the model says."""
    best = [max(range(4), key=plain_scores(lm, reader, Ask(q, "words"), None, None).__getitem__) for q in asked]
    return [Question(q.index, q.text, q.choices, answer) for q, answer in zip(asked, best, strict=True)]
