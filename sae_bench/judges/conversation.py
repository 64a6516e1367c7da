"""Conversations as tokens of a local model: control tokens come from its chat template alone, never from a text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from jinja2 import TemplateError

from sae_bench.judges.interface import Message
from sae_bench.language_models import LanguageModel

_PRIVATE_USE = range(0xE000, 0xF8FF)


def conversation_ids(lm: LanguageModel, messages: Sequence[Message]) -> list[int]:
    """Token ids of a conversation: the tokenizer's chat template, else the bare texts.

    A control token that is written out in a message is tokenised as the plain text that it is there.
    """
    tokenizer = lm.tokenizer
    control = _control_tokens(tokenizer)
    mark = _unused_character(message["content"] for message in messages)
    hidden = [Message(role=m["role"], content=_hide(m["content"], control, mark)) for m in messages]
    if getattr(tokenizer, "chat_template", None):
        text, ids = _in_template(tokenizer, hidden), []
    else:
        text = "\n\n".join(message["content"] for message in hidden) + "\n\nAnswer:"
        ids = [lm.bos_token_id] if lm.prepend_bos and lm.bos_token_id is not None else []
    for number, part in enumerate(re.split(f"{mark}([0-9]+){mark}", text)):
        ids += _plain_ids(tokenizer, control[int(part)]) if number % 2 else _ids(tokenizer, part)
    return ids


def _in_template(tokenizer: Any, messages: list[Message]) -> str:
    """The conversation in the template's form; templates that know no system role get its text from the user."""
    try:
        return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    except TemplateError:
        text = "\n\n".join(message["content"] for message in messages)
        alone = [Message(role="user", content=text)]
        return tokenizer.apply_chat_template(alone, tokenize=False, add_generation_prompt=True)


def _control_tokens(tokenizer: Any) -> list[str]:
    """Texts that the tokenizer takes for control tokens, longest first."""
    special = set(tokenizer.all_special_tokens)
    for token in tokenizer.added_tokens_decoder.values():
        if token.special or re.fullmatch(r"<[^<>\s]+>", token.content):  # <think>, <tool_call>
            special.add(token.content)
    return sorted((token for token in special if token.strip()), key=lambda token: (-len(token), token))


def _hide(text: str, control: Sequence[str], mark: str) -> str:
    """The text with the number of each control token, between two marks, in its place."""
    if not control:
        return text
    number = {token: index for index, token in enumerate(control)}
    return re.sub("|".join(map(re.escape, control)), lambda match: f"{mark}{number[match[0]]}{mark}", text)


def _unused_character(texts: Iterable[str]) -> str:
    used = set("".join(texts))
    return next(character for character in map(chr, _PRIVATE_USE) if character not in used)


def _ids(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"]) if text else []


def _plain_ids(tokenizer: Any, token: str) -> list[int]:
    """Ids of the characters of a control token: its first character on its own, so that it is no token of the kind."""
    return [*_ids(tokenizer, token[:1]), *_ids(tokenizer, token[1:])]
