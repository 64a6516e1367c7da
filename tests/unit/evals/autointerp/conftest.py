"""Texts with planted letters."""

from __future__ import annotations

import pytest
import torch
from autointerp_planted import LETTERS
from torch import Tensor

from sae_bench.language_models import LanguageModel


@pytest.fixture(scope="session")
def rows(lm: LanguageModel) -> Tensor:
    """Packed sentences; each planted letter is in a sixth of them."""
    texts = []
    for i in range(900):
        letter = LETTERS[i % 6] if i % 6 < 3 else ""
        texts.append(f"the cat {i % 7} sat by a river {letter} and looked at the {i % 5} dogs.")
    ids = [token for text in lm.tokenizer(texts, add_special_tokens=False)["input_ids"] for token in text]
    rows_RL = torch.tensor(ids[: 94 * 64]).view(94, 64).clone()
    rows_RL[:, 0] = lm.bos_token_id
    return rows_RL
