"""A judge in this process: a Hugging Face causal LM that takes the likeliest token each time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from sae_bench.errors import PrerequisiteError
from sae_bench.judges.conversation import conversation_ids
from sae_bench.judges.grammar import NumberListGrammar
from sae_bench.judges.interface import Deliver, NumberList, Question, Reply, YesOrNo
from sae_bench.language_models import LanguageModel
from sae_bench.language_models.generation import generate
from sae_bench.language_models.layout import attention_window
from sae_bench.language_models.text_cache import Past, TextCache

TOKENS_AT_ONCE = 8192
"""Padded tokens, beyond what all questions begin with, of the questions that are answered together."""
DECIMALS = 3
"""Of log-odds: the last digits depend on which questions are answered together, and equal pieces of text stay equal."""


class LocalJudge:
    """Answers with a language model, greedily; what the questions of a kind begin with is read once.

    A list of numbers is written under a grammar of the numbers that exist; of yes or no, the log-odds are read off.
    """

    def __init__(self, lm: LanguageModel) -> None:
        self.lm = lm
        self._grammars: dict[int, NumberListGrammar] = {}

    @property
    def identity(self) -> Mapping[str, Any]:
        return {"kind": "local", "model": self.lm.name, "fingerprint": self.lm.fingerprint()}

    def answer(self, questions: Sequence[Question], deliver: Deliver) -> None:
        prompts = [conversation_ids(self.lm, question.messages) for question in questions]
        groups: dict[tuple[int, NumberList | YesOrNo | None], list[int]] = {}
        for index, question in enumerate(questions):
            groups.setdefault((question.max_tokens, question.form), []).append(index)
        for (max_tokens, form), indices in groups.items():
            if isinstance(form, NumberList):
                max_tokens = self._grammar(form.most).longest
            past, n_past = self._beginning([prompts[index] for index in indices], max_tokens)
            lengths = {index: len(prompts[index]) - n_past + max_tokens for index in indices}
            for batch in _batches(sorted(indices, key=lengths.__getitem__), lengths):
                of_batch = [prompts[index] for index in batch]
                if isinstance(form, YesOrNo):
                    replies = self._yes_or_no(of_batch, past, n_past)
                else:
                    replies = self._written(of_batch, past, n_past, max_tokens, form)
                for index, reply in zip(batch, replies, strict=True):
                    deliver(index, reply)

    def _written(
        self, prompts: Sequence[Sequence[int]], past: Past | None, n_past: int, max_tokens: int, form: NumberList | None
    ) -> list[Reply]:
        """Texts that follow the prompts; the first `n_past` tokens of each are in `past`."""
        from transformers import PrefixConstrainedLogitsProcessor

        ids_BL, real_BL = self._padded(prompts, n_past)
        constrain = None
        if form is not None:
            constrain = PrefixConstrainedLogitsProcessor(self._grammar(form.most).allowed, num_beams=1)
        written = generate(
            self.lm, ids_BL, n_tokens=max_tokens, real_BL=real_BL, past=_for_each(past, prompts), constrain=constrain,
            stop=self.end_tokens,
        )  # fmt: skip
        replies = []
        for prompt, ids in zip(prompts, written, strict=True):
            own = _until(ids, self.end_tokens)
            text = self.lm.tokenizer.decode(own, skip_special_tokens=True)
            finish_reason = "length" if len(own) == len(ids) else "stop"
            replies.append(Reply(text.strip(), len(prompt), len(own), finish_reason))
        return replies

    @torch.no_grad()
    def _yes_or_no(self, prompts: Sequence[Sequence[int]], past: Past | None, n_past: int) -> list[Reply]:
        """How much likelier yes is than no as the first word that follows the prompts."""
        ids_BL, real_BL = self._padded(prompts, n_past)
        of_each = _for_each(past, prompts)
        cache = None if of_each is None else TextCache(of_each)
        hidden_BLD = self.lm.final_hidden(ids_BL, attention_mask_BL=real_BL.long(), cache=cache)
        logits_BV = self.lm.unembed(hidden_BLD[:, -1]).float()
        yes_B, no_B = (logits_BV[:, words].logsumexp(dim=1) for words in self.yes_and_no)
        log_odds = (yes_B - no_B).tolist()
        return [
            Reply("Yes" if odds > 0 else "No", len(prompt), 1, "stop", log_odds=round(odds, DECIMALS))
            for prompt, odds in zip(prompts, log_odds, strict=True)
        ]

    def _padded(self, prompts: Sequence[Sequence[int]], n_past: int) -> tuple[Tensor, Tensor]:
        """Tokens behind the first `n_past` of each prompt, padded on the left, and where they are tokens."""
        length = max(map(len, prompts)) - n_past
        ids_BL = torch.zeros(len(prompts), length, dtype=torch.long, device=self.lm.device)
        real_BL = torch.zeros(len(prompts), length, dtype=torch.bool, device=self.lm.device)
        for row, ids in enumerate(prompts):
            own = ids[n_past:]
            ids_BL[row, length - len(own) :] = torch.tensor(own, device=self.lm.device)
            real_BL[row, length - len(own) :] = True
        return ids_BL, real_BL

    def _beginning(self, prompts: Sequence[Sequence[int]], max_tokens: int) -> tuple[Past | None, int]:
        """What all prompts begin with, read once; nothing for one prompt, or where the model cannot read on."""
        window = attention_window(self.lm.config)
        longest = max(map(len, prompts)) + max_tokens
        if len(prompts) < 2 or not self.lm.reads_on() or (window is not None and 2 * longest > window):
            return None, 0  # padding between beginning and rest must not push tokens out of a window
        shortest = min(map(len, prompts))
        n = next((n for n, tokens in enumerate(zip(*prompts, strict=False)) if len(set(tokens)) > 1), shortest)
        n = min(n, shortest - 1)
        if n == 0:
            return None, 0
        cache = TextCache()
        self.lm.final_hidden(
            torch.tensor([prompts[0][:n]], device=self.lm.device),
            attention_mask_BL=torch.ones(1, n, dtype=torch.long),
            cache=cache,
        )
        return cache.past(), n

    @cached_property
    def end_tokens(self) -> set[int]:
        """Tokens that end a reply."""
        named = getattr(self.lm.model.generation_config, "eos_token_id", None)
        end_ids = named if isinstance(named, list) else [named, self.lm.tokenizer.eos_token_id]
        return {int(token) for token in end_ids if token is not None}

    @cached_property
    def pieces(self) -> dict[int, str]:
        """Token -> its text within a text, with its leading space where it has one; without control tokens."""
        tokenizer = self.lm.tokenizer
        anchor = tokenizer("a", add_special_tokens=False)["input_ids"][:1]
        before = tokenizer.decode(anchor, clean_up_tokenization_spaces=False)
        special = set(tokenizer.all_special_ids)
        tokens = [token for token in range(min(self.lm.d_vocab, len(tokenizer))) if token not in special]
        texts = tokenizer.batch_decode([[*anchor, token] for token in tokens], clean_up_tokenization_spaces=False)
        return {token: text[len(before) :] for token, text in zip(tokens, texts, strict=True)}

    def _grammar(self, most: int) -> NumberListGrammar:
        if most not in self._grammars:
            self._grammars[most] = NumberListGrammar(self.pieces, self.end_tokens, most)
        return self._grammars[most]

    @cached_property
    def yes_and_no(self) -> tuple[list[int], list[int]]:
        """Tokens that are the word yes and those that are the word no, in any case; else those they begin with.

        Raises:
            PrerequisiteError: the two begin with the same tokens.
        """
        tokenizer = self.lm.tokenizer
        first_tokens = []
        for word in ("yes", "no"):
            tokens = [token for token, piece in self.pieces.items() if piece.strip().casefold() == word]
            written = [word, f" {word}", word.title(), f" {word.title()}"]
            firsts = {tokenizer(text, add_special_tokens=False)["input_ids"][0] for text in written}
            first_tokens.append(set(tokens) or firsts)
        yes, no = (sorted(words - others) for words, others in zip(first_tokens, first_tokens[::-1], strict=True))
        if not yes or not no:
            raise PrerequisiteError(
                f"the vocabulary of the judge '{self.lm.name}' cannot tell yes from no by one token. "
                "Next: take judge_scoring: list, or another judge."
            )
        return yes, no


def _for_each(past: Past | None, prompts: Sequence[object]) -> Past | None:
    return None if past is None else past.select(torch.zeros(len(prompts), dtype=torch.long))


def _until(ids: Sequence[int], ends: set[int]) -> list[int]:
    for length, token in enumerate(ids):
        if token in ends:
            return list(ids[:length])
    return list(ids)


def _batches(indices: Sequence[int], lengths: Mapping[int, int]) -> list[list[int]]:
    """Questions of like length together; `indices` are in order of length."""
    batches: list[list[int]] = []
    for index in indices:
        if batches and (len(batches[-1]) + 1) * lengths[index] <= TOKENS_AT_ONCE:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches
