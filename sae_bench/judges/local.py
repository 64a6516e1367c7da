"""A judge in this process: a Hugging Face causal LM that takes the likeliest token each time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from jinja2 import TemplateError
from torch import Tensor

from sae_bench.judges.interface import Deliver, Message, Question, Reply
from sae_bench.language_models import LanguageModel

TOKENS_AT_ONCE = 8192
"""Padded tokens of the questions that are answered together."""


class LocalJudge:
    """Answers with a language model; a question's `only` is kept to by looking no further than tokens that fit."""

    def __init__(self, lm: LanguageModel) -> None:
        self.lm = lm
        self._fingerprint: str | None = None
        self._allowed: dict[str, Tensor] = {}

    @property
    def identity(self) -> Mapping[str, Any]:
        self._fingerprint = self._fingerprint or self.lm.fingerprint()
        return {"kind": "local", "model": self.lm.name, "fingerprint": self._fingerprint}

    def answer(self, questions: Sequence[Question], deliver: Deliver) -> None:
        prompts = [self._prompt(question.messages) for question in questions]
        groups: dict[tuple[int, str | None], list[int]] = {}
        for place, question in enumerate(questions):
            groups.setdefault((question.max_tokens, question.only), []).append(place)
        for (max_tokens, only), places in groups.items():
            for batch in _batches(sorted(places, key=lambda place: len(prompts[place])), prompts):
                replies = self._generate([prompts[place] for place in batch], max_tokens, only)
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
    def _generate(self, prompts: Sequence[Sequence[int]], max_tokens: int, only: str | None) -> list[list[int]]:
        """New tokens of each prompt, up to its end of text."""
        tokenizer, device = self.lm.tokenizer, self.lm.device
        pad = tokenizer.pad_token_id or 0
        length = max(map(len, prompts))
        ids_BL = torch.tensor([[pad] * (length - len(ids)) + list(ids) for ids in prompts], device=device)
        mask_BL = torch.tensor([[0] * (length - len(ids)) + [1] * len(ids) for ids in prompts], device=device)
        ends = self._ends()
        processors = [] if only is None else [_Only(self._allowed_tokens(only, ends).to(device))]
        out_BL: Int[Tensor, "B L"] = self.lm.model.generate(
            input_ids=ids_BL,
            attention_mask=mask_BL,
            max_new_tokens=max_tokens,
            do_sample=False,
            temperature=None,
            top_p=None,
            top_k=None,
            pad_token_id=pad,
            eos_token_id=sorted(ends) or None,
            logits_processor=processors,
        )
        return [_until(row, ends) for row in out_BL[:, length:].tolist()]

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


class _Only:
    """Makes every token but the allowed ones impossible."""

    def __init__(self, allowed_V: Bool[Tensor, " V"]) -> None:
        self._forbidden_V = ~allowed_V

    def __call__(self, _ids: Int[Tensor, "B L"], scores_BV: Float[Tensor, "B V"]) -> Float[Tensor, "B V"]:
        return scores_BV.masked_fill(self._forbidden_V, float("-inf"))


def _until(ids: Sequence[int], ends: set[int]) -> list[int]:
    for place, token in enumerate(ids):
        if token in ends:
            return list(ids[:place])
    return list(ids)


def _batches(places: Sequence[int], prompts: Sequence[Sequence[int]]) -> list[list[int]]:
    """Questions of like length together; `places` are in order of length."""
    batches: list[list[int]] = []
    for place in places:
        if batches and (len(batches[-1]) + 1) * len(prompts[place]) <= TOKENS_AT_ONCE:
            batches[-1].append(place)
        else:
            batches.append([place])
    return batches
