"""A judge in this process: a Hugging Face causal LM that takes the likeliest token each time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Bool
from jinja2 import TemplateError
from torch import Tensor

from sae_bench.judges.interface import Deliver, Message, Question, Reply
from sae_bench.language_models import LanguageModel
from sae_bench.language_models.generation import generate
from sae_bench.language_models.layout import attention_window
from sae_bench.language_models.text_cache import Past, TextCache

TOKENS_AT_ONCE = 8192
"""Padded tokens, beyond what all questions begin with, of the questions that are answered together."""


class LocalJudge:
    """Answers with a language model, greedily; what the questions of a kind begin with is read once.

    A question's `only` is kept to by looking no further than tokens that fit.
    """

    def __init__(self, lm: LanguageModel) -> None:
        self.lm = lm
        self._allowed: dict[str, Tensor] = {}

    @property
    def identity(self) -> Mapping[str, Any]:
        return {"kind": "local", "model": self.lm.name, "fingerprint": self.lm.fingerprint()}

    def answer(self, questions: Sequence[Question], deliver: Deliver) -> None:
        prompts = [self._prompt(question.messages) for question in questions]
        groups: dict[tuple[int, str | None], list[int]] = {}
        for place, question in enumerate(questions):
            groups.setdefault((question.max_tokens, question.only), []).append(place)
        for (max_tokens, only), places in groups.items():
            past, n_past = self._beginning([prompts[place] for place in places], max_tokens)
            lengths = {place: len(prompts[place]) - n_past + max_tokens for place in places}
            for batch in _batches(sorted(places, key=lengths.__getitem__), lengths):
                replies = self._generate([prompts[place] for place in batch], past, n_past, max_tokens, only)
                for place, ids in zip(batch, replies, strict=True):
                    text = self.lm.tokenizer.decode(ids, skip_special_tokens=True)
                    deliver(place, Reply(text.strip(), len(prompts[place]), len(ids)))

    def _prompt(self, messages: Sequence[Message]) -> list[int]:
        """Token ids of a conversation: the tokenizer's chat template, else the bare texts."""
        tokenizer = self.lm.tokenizer
        if getattr(tokenizer, "chat_template", None):
            return list(tokenizer(self._chat(list(messages)), add_special_tokens=False)["input_ids"])
        text = "\n\n".join(message["content"] for message in messages) + "\n\nAnswer:"
        return self.lm.tokenize([text])[0]

    def _chat(self, messages: list[Message]) -> str:
        """The conversation in the template's form; templates that know no system role get its text from the user."""
        try:
            return self.lm.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        except TemplateError:
            text = "\n\n".join(message["content"] for message in messages)
            return self.lm.tokenizer.apply_chat_template(
                [Message(role="user", content=text)], tokenize=False, add_generation_prompt=True
            )

    @torch.no_grad()
    def _generate(
        self, prompts: Sequence[Sequence[int]], past: Past | None, n_past: int, max_tokens: int, only: str | None
    ) -> list[list[int]]:
        """New tokens of each prompt, up to its end of text; the first `n_past` tokens are in `past`."""
        device, ends = self.lm.device, self._ends()
        length = max(map(len, prompts)) - n_past
        ids_BL = torch.zeros(len(prompts), length, dtype=torch.long, device=device)
        real_BL = torch.zeros(len(prompts), length, dtype=torch.bool, device=device)
        for row, ids in enumerate(prompts):
            own = ids[n_past:]
            ids_BL[row, length - len(own) :] = torch.tensor(own, device=device)
            real_BL[row, length - len(own) :] = True
        everyone = torch.zeros(len(prompts), dtype=torch.long)
        replies = generate(
            self.lm, ids_BL, n_tokens=max_tokens, real_BL=real_BL, past=None if past is None else past.select(everyone),
            allowed_V=None if only is None else self._allowed_tokens(only, ends).to(device), stop=ends,
        )  # fmt: skip
        return [_until(ids, ends) for ids in replies]

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

    def _ends(self) -> set[int]:
        """Tokens that end a reply."""
        named = getattr(self.lm.model.generation_config, "eos_token_id", None)
        found = named if isinstance(named, list) else [named, self.lm.tokenizer.eos_token_id]
        return {int(token) for token in found if token is not None}

    def _allowed_tokens(self, only: str, ends: set[int]) -> Bool[Tensor, " V"]:
        """Which tokens consist of these characters alone, or end the reply."""
        if only not in self._allowed:
            allowed_V = torch.zeros(self.lm.d_vocab, dtype=torch.bool)
            allowed_V[list(ends)] = True
            n_tokens = min(self.lm.d_vocab, len(self.lm.tokenizer))
            texts = self.lm.tokenizer.batch_decode([[token] for token in range(n_tokens)])
            special = set(self.lm.tokenizer.all_special_ids)
            for token, text in enumerate(texts):
                if text and token not in special and set(text) <= set(only):
                    allowed_V[token] = True
            self._allowed[only] = allowed_V
        return self._allowed[only]


def _until(ids: Sequence[int], ends: set[int]) -> list[int]:
    for place, token in enumerate(ids):
        if token in ends:
            return list(ids[:place])
    return list(ids)


def _batches(places: Sequence[int], lengths: Mapping[int, int]) -> list[list[int]]:
    """Questions of like length together; `places` are in order of length."""
    batches: list[list[int]] = []
    for place in places:
        if batches and (len(batches[-1]) + 1) * lengths[place] <= TOKENS_AT_ONCE:
            batches[-1].append(place)
        else:
            batches.append([place])
    return batches
