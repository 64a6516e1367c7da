"""How an answer is read: which letter comes next, or which choice is the most likely continuation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sae_bench.datasets.multiple_choice import N_CHOICES
from sae_bench.errors import ModelError
from sae_bench.evals.unlearning.eval_config import AnswerFormat, PromptFormat
from sae_bench.evals.unlearning.prompts import (
    GIVEN_ORDER,
    LETTERS,
    ORDERS,
    Ask,
    Order,
    Row,
    cloze_rows,
    letters_rows,
    uses_chat,
)
from sae_bench.evals.unlearning.trees import ReadStates
from sae_bench.language_models import LanguageModel

LOGIT_BYTES = 64 << 20
"""Size of the float32 logits that exist at one time."""


@runtime_checkable
class AnswerReader(Protocol):
    """One answer format for one model.

    Attributes:
        rows_per_ask: rows that the model reads for one ask.
        orders: the orders of choices that can differ in their outcome, the given one first.
    """

    rows_per_ask: int
    orders: tuple[Order, ...]

    def rows(self, asks: Sequence[Ask]) -> list[Row]:
        """What the model reads, `rows_per_ask` rows for each ask in turn."""

    def scores(self, states: ReadStates) -> Float[Tensor, "R W"]:
        """Scores of R rows, float32 on the CPU: of all four choices, or of the row's own."""

    def correct(self, scores_QC: Float[Tensor, "Q C"], asks: Sequence[Ask]) -> Bool[Tensor, " Q"]:
        """Whether each ask is answered right, that is, whether its right choice has the highest score."""


class Letters:
    """The letter with the largest logit after the prompt, written with or without a space before it."""

    rows_per_ask: int = 1
    orders: tuple[Order, ...] = ORDERS

    def __init__(self, lm: LanguageModel, *, chat: bool) -> None:
        self.lm = lm
        self.chat = chat
        self.token_ids_VC = letter_tokens(lm)

    def rows(self, asks: Sequence[Ask]) -> list[Row]:
        return letters_rows(self.lm, asks, chat=self.chat)

    def scores(self, states: ReadStates) -> Float[Tensor, "R W"]:
        letters_VC = self.token_ids_VC.to(states.hidden_UD.device)
        parts = [
            self.lm.unembed(hidden_UD)[:, letters_VC].float().amax(dim=1)
            for hidden_UD in states.hidden_UD.split(_tokens_at_once(self.lm))
        ]
        return torch.cat(parts).cpu()[states.read_N]

    def correct(self, scores_QC: Float[Tensor, "Q C"], asks: Sequence[Ask]) -> Bool[Tensor, " Q"]:
        return scores_QC.argmax(dim=1) == torch.tensor([ask.right for ask in asks])


class Cloze:
    """The choice whose tokens have the highest mean log-likelihood; the order of the choices plays no part.

    A tie of the right choice with another one is no knowledge.
    """

    rows_per_ask: int = N_CHOICES
    orders: tuple[Order, ...] = (GIVEN_ORDER,)

    def __init__(self, lm: LanguageModel, *, chat: bool) -> None:
        self.lm = lm
        self.chat = chat

    def rows(self, asks: Sequence[Ask]) -> list[Row]:
        return cloze_rows(self.lm, asks, chat=self.chat)

    def scores(self, states: ReadStates) -> Float[Tensor, "R W"]:
        """Mean log-likelihood in nats per scored token, (R, 1)."""
        target_N = torch.tensor([token for row in states.rows for token in row.ids[row.scored_from :]])
        row_N = torch.tensor([number for number, row in enumerate(states.rows) for _ in row.reads])
        log_prob_N = self._log_probs(states, target_N)
        total_R = torch.zeros(len(states.rows)).index_add(0, row_N, log_prob_N)
        return (total_R / torch.bincount(row_N, minlength=len(states.rows)))[:, None]

    def correct(self, scores_QC: Float[Tensor, "Q C"], asks: Sequence[Ask]) -> Bool[Tensor, " Q"]:
        right_Q1 = torch.tensor([ask.right for ask in asks])[:, None]
        others_QC = scores_QC.scatter(1, right_Q1, -torch.inf)
        return scores_QC.gather(1, right_Q1)[:, 0] > others_QC.amax(dim=1)

    def _log_probs(self, states: ReadStates, target_N: Int[Tensor, " N"]) -> Float[Tensor, " N"]:
        """Log-likelihood of each target; logits exist for a few of the distinct tokens at a time."""
        log_prob_N = torch.zeros(len(target_N))
        size = _tokens_at_once(self.lm)
        for start in range(0, len(states.hidden_UD), size):
            logits_UV = self.lm.unembed(states.hidden_UD[start : start + size]).float()
            norm_U = torch.logsumexp(logits_UV, dim=-1)
            mine = ((states.read_N >= start) & (states.read_N < start + size)).nonzero()[:, 0]
            index_N = (states.read_N[mine] - start).to(logits_UV.device)
            targets = target_N[mine].to(logits_UV.device)
            log_prob_N[mine] = (logits_UV[index_N, targets] - norm_U[index_N]).cpu()
        return log_prob_N


def make_reader(lm: LanguageModel, answer_format: AnswerFormat, prompt_format: PromptFormat) -> AnswerReader:
    """The reader of one answer format.

    Raises:
        UsageError: a chat is asked for, and the tokenizer has no template.
        ModelError: the tokenizer has no single tokens for the letters.
    """
    chat = uses_chat(lm, answer_format, prompt_format)
    return Letters(lm, chat=chat) if answer_format == "letters" else Cloze(lm, chat=chat)


def letter_tokens(lm: LanguageModel) -> Tensor:
    """Token ids of the four letters, (V, 4): one row for the letters as such and one for those after a space.

    A way of writing them that takes more than one token, or the same token for two letters, is left out.

    Raises:
        ModelError: neither way has four tokens of its own.
    """
    ids_of_letters: list[list[int]] = []
    for before in ("", " "):
        encoded = [lm.tokenizer(before + letter, add_special_tokens=False)["input_ids"] for letter in LETTERS]
        ids = [tokens[0] for tokens in encoded if len(tokens) == 1]
        if len(set(ids)) == len(LETTERS) and ids not in ids_of_letters:
            ids_of_letters.append(ids)
    if not ids_of_letters:
        raise ModelError(
            f"the tokenizer of '{lm.name}' has no single tokens for the letters {', '.join(LETTERS)}. Next: take "
            "answer_format cloze."
        )
    return torch.tensor(ids_of_letters)


def _tokens_at_once(lm: LanguageModel) -> int:
    return max(1, LOGIT_BYTES // (4 * lm.d_vocab))
