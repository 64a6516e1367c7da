"""Tokens of a vocabulary as text, for scripts; the eval itself chooses its words in `absorption.words`."""

from __future__ import annotations

import string
from collections.abc import Callable
from typing import Any

LETTERS = string.ascii_lowercase
LETTERS_UPPER = string.ascii_uppercase
ALL_ALPHA_LETTERS = string.ascii_letters

_SPACE = "\u2581"
"""How SentencePiece writes a leading space; some tokenizers drop it on the way back to text."""


def _every(_text: str) -> bool:
    return True


def get_tokens(
    tokenizer: Any,
    filter: Callable[[str], bool] = _every,
    replace_special_chars: bool = True,
) -> list[str]:
    """Tokens whose text passes a filter, by their ids: `get_vocab` has another order in every process.

    Args:
        tokenizer: of transformers.
        filter: from a token's text to whether it is taken.
        replace_special_chars: whether texts are returned, or tokens as the vocabulary writes them.
    """
    vocab = tokenizer.get_vocab()
    pairs = ((convert_tokens_to_string(token, tokenizer), token) for token in sorted(vocab, key=vocab.__getitem__))
    return [text if replace_special_chars else token for text, token in pairs if filter(text)]


def convert_tokens_to_string(token: str, tokenizer: Any) -> str:
    """The text of one token, with its leading space."""
    text = tokenizer.convert_tokens_to_string([token])
    return f" {text}" if token.startswith(_SPACE) and not text.startswith(" ") else text


def get_alpha_tokens(
    tokenizer: Any,
    allow_leading_space: bool = True,
    replace_special_chars: bool = True,
) -> list[str]:
    """Tokens of ASCII letters alone.

    Args:
        tokenizer: of transformers.
        allow_leading_space: whether one space may stand before the letters.
        replace_special_chars: as in `get_tokens`.
    """

    def is_word(text: str) -> bool:
        letters = text.removeprefix(" ") if allow_leading_space else text
        return letters.isascii() and letters.isalpha()

    return get_tokens(tokenizer, is_word, replace_special_chars)
