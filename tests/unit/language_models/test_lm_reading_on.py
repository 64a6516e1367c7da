"""Texts read in parts and texts continued: as one reading, and as the model's own greedy generation."""

from __future__ import annotations

import pytest
import torch
from grids import each
from lm_families import FAMILIES, family_model
from torch import Tensor

from sae_bench.language_models import LanguageModel, Resume
from sae_bench.language_models.generation import generate
from sae_bench.language_models.text_cache import Past, TextCache
from sae_bench.testing.tiny_models import tiny_model

WINDOWED = ("mistral", "gemma2", "gemma3")
"""Variants with a window of 5 tokens, which padding between tokens would shift."""
UNWINDOWED = tuple(name for name in FAMILIES if name not in WINDOWED)
TEXTS = ([5, 9, 3, 40, 41, 42, 7], [11, 12, 13, 14, 8], [21, 22, 23])
N_FIRST = (4, 2, 0)


def padded(rows: list[list[int]], side: str) -> tuple[Tensor, Tensor]:
    length = max(map(len, rows))
    ids, real = torch.zeros(len(rows), length, dtype=torch.long), torch.zeros(len(rows), length, dtype=torch.bool)
    for number, row in enumerate(rows):
        place = slice(length - len(row), None) if side == "left" else slice(0, len(row))
        ids[number, place], real[number, place] = torch.tensor(row, dtype=torch.long), True
    return ids, real


def first_parts(lm: LanguageModel) -> Past:
    ids, real = padded([text[:n] for text, n in zip(TEXTS, N_FIRST, strict=True)], "right")
    cache = TextCache()
    lm.final_hidden(ids, attention_mask_BL=real.long(), cache=cache)
    return cache.past()


@pytest.mark.parametrize(("family", "side"), each(UNWINDOWED, ("left", "right")))
def test_read_in_two_parts_is_read_at_once(family: str, side: str):
    lm = family_model(family)
    assert lm.reads_on()
    rests = [text[n:] for text, n in zip(TEXTS, N_FIRST, strict=True)]
    ids, real = padded(rests, side)
    texts = torch.arange(3)
    found = lm.final_hidden(ids, attention_mask_BL=real.long(), cache=TextCache(first_parts(lm).select(texts)))
    for number, (text, n) in enumerate(zip(TEXTS, N_FIRST, strict=True)):
        expected = lm.final_hidden(torch.tensor([text]))[0, n:]
        torch.testing.assert_close(found[number, real[number]], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("family", UNWINDOWED)
def test_read_on_from_a_layer(family: str):
    lm = family_model(family)
    text, n, layer = TEXTS[0], 4, 1
    stream = lm.capture(torch.tensor([text]), [f"blocks.{layer}.hook_resid_pre"])[f"blocks.{layer}.hook_resid_pre"]
    past = first_parts(lm).select(torch.tensor([0]), first_layer=layer)
    found = lm.final_hidden(torch.tensor([text[n:]]), resume=Resume(layer, stream[:, n:]), cache=TextCache(past))
    torch.testing.assert_close(found, lm.final_hidden(torch.tensor([text]))[:, n:], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("family", "reads_on"), each(FAMILIES, (True, False)))
def test_generation_is_the_models_own(family: str, reads_on: bool, monkeypatch: pytest.MonkeyPatch):
    lm = family_model(family)
    if not reads_on:
        monkeypatch.setattr(lm, "reads_on", lambda: False)
    ids, real = padded(list(TEXTS), "left")
    found = generate(lm, ids, real_BL=real, n_tokens=6)
    for text, written in zip(TEXTS, found, strict=True):
        own = lm.model.generate(
            torch.tensor([text]), attention_mask=torch.ones(1, len(text), dtype=torch.long), max_new_tokens=6,
            do_sample=False,
        )  # fmt: skip
        assert written == own[0, len(text) :].tolist()


@pytest.mark.parametrize("family", UNWINDOWED)
def test_generation_goes_on_from_a_past(family: str):
    lm = family_model(family)
    ids, real = padded([text[n:] for text, n in zip(TEXTS, N_FIRST, strict=True)], "left")
    whole, whole_real = padded(list(TEXTS), "left")
    assert generate(lm, ids, real_BL=real, n_tokens=5, past=first_parts(lm)) == generate(
        lm, whole, real_BL=whole_real, n_tokens=5
    )


@pytest.mark.parametrize("reads_on", [True, False])
def test_a_change_is_made_once_and_stays(reads_on: bool, monkeypatch: pytest.MonkeyPatch):
    lm = tiny_model("llama")
    monkeypatch.setattr(lm, "reads_on", lambda: reads_on)
    text, hook = [5, 9, 3, 40, 41], "blocks.1.hook_resid_post"
    new_D = torch.linspace(-3, 3, lm.d_model)

    def put(value: Tensor) -> Tensor:
        changed = value.clone()
        changed[:, 2] = new_D
        return changed

    found = generate(lm, torch.tensor([text]), n_tokens=4, replace={hook: put})[0]
    expected: list[int] = []
    for _ in range(4):
        hidden = lm.final_hidden(torch.tensor([text + expected]), replace={hook: put})
        expected.append(int(lm.unembed(hidden[:, -1]).argmax()))
    assert found == expected
    assert found != generate(lm, torch.tensor([text]), n_tokens=4)[0]


def test_a_text_ends_with_a_stop_token(monkeypatch: pytest.MonkeyPatch):
    lm = tiny_model("llama")
    written = generate(lm, torch.tensor([[5, 9, 3], [7, 8, 9]]), n_tokens=6)
    monkeypatch.setattr(lm.model.generation_config, "eos_token_id", [written[0][1], 10**6])
    ended = generate(lm, torch.tensor([[5, 9, 3], [7, 8, 9]]), n_tokens=6)
    first = written[0].index(written[0][1]) + 1
    assert ended[0] == written[0][:first]


def test_a_model_that_cannot_read_on_says_so():
    lm = family_model("mistral")  # its window is shorter than the padding that the trial puts between the parts
    assert not lm.reads_on()
