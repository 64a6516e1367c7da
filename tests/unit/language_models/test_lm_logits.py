"""Logits and losses against the model's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from grids import each
from lm_families import FAMILIES, family_model, token_rows, variant
from transformers import AutoModelForCausalLM, CohereConfig, GraniteConfig

from sae_bench.errors import ModelError
from sae_bench.language_models import LanguageModel
from sae_bench.testing.tiny_models import tiny_model

_SIZES: dict[str, Any] = {
    "vocab_size": 320,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.3,
    "pad_token_id": 2,
}


def scaled_models() -> dict[str, Any]:
    return {
        "cohere": CohereConfig(**_SIZES, logit_scale=0.25),
        "granite": GraniteConfig(**_SIZES, logits_scaling=4.0),
    }


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_are_the_models_own(family: str):
    lm = family_model(family)
    ids = token_rows(lm)
    assert torch.equal(lm.unembed(lm.final_hidden(ids)), lm.model(input_ids=ids).logits)


@pytest.mark.parametrize("family", ["cohere", "granite"])
def test_logit_scales(family: str):
    model = AutoModelForCausalLM.from_config(scaled_models()[family]).float()
    lm = LanguageModel(model, None, name=family)
    ids = token_rows(lm)
    hidden = lm.final_hidden(ids)
    torch.testing.assert_close(lm.unembed(hidden), model(ids).logits)
    assert not torch.allclose(lm.unembed(hidden), model.get_output_embeddings()(hidden), rtol=0.1)


def test_final_soft_cap():
    lm = family_model("gemma2")
    hidden = lm.final_hidden(token_rows(lm))
    raw = lm.model.get_output_embeddings()(hidden)
    assert raw.abs().max() > 2.0 >= lm.unembed(hidden).abs().max()
    uncapped = variant(tiny_model("gemma2"), final_logit_softcapping=None)
    assert uncapped.unembed(hidden).abs().max() > 2.0


def test_unembed_takes_any_number_of_leading_axes():
    lm = family_model("llama")
    hidden = lm.final_hidden(token_rows(lm))
    logits = lm.unembed(hidden)
    torch.testing.assert_close(lm.unembed(hidden[1, 3]), logits[1, 3])
    torch.testing.assert_close(lm.unembed(hidden[:, -1]), logits[:, -1])


@pytest.mark.parametrize(("family", "entries"), each(FAMILIES, (1, 7, 64, 10_000)))
def test_parts_of_the_vocabulary_make_the_whole(family: str, entries: int):
    lm = family_model(family)
    assert lm.unembeds_in_parts
    hidden = lm.final_hidden(token_rows(lm))
    parts = list(lm.unembed_in_parts(hidden, entries))
    assert [(part.start, part.stop) for part, _ in parts] == [
        (start, min(start + entries, lm.d_vocab)) for start in range(0, lm.d_vocab, entries)
    ]
    torch.testing.assert_close(torch.cat([logits for _, logits in parts], dim=-1), lm.unembed(hidden))


def _doubled_after(head: Any) -> None:
    head.register_forward_hook(lambda _m, _a, logits: logits * 2)


def _doubled_before(head: Any) -> None:
    head.register_forward_pre_hook(lambda _m, args: (args[0] * 2,))


def _replaced(head: Any) -> None:
    forward = head.forward
    head.forward = lambda hidden: forward(hidden) * 2


@pytest.mark.parametrize("change", [_doubled_after, _doubled_before, _replaced])
def test_a_head_that_does_more_is_not_taken_apart(change: Callable[[Any], None]):
    lm = tiny_model("llama")
    hidden = lm.final_hidden(token_rows(lm))
    plain = lm.unembed(hidden)
    change(lm.model.get_output_embeddings())
    [(part, logits)] = lm.unembed_in_parts(hidden, 8)
    assert part == slice(0, lm.d_vocab)
    torch.testing.assert_close(logits, 2 * plain)


@pytest.mark.parametrize("factor", [0.5, 1.05])
def test_a_head_that_does_something_unknown_is_refused(factor: float):
    """Also where all logits are small, as in a freshly initialised model."""
    model = tiny_model("llama").model
    model.lm_head.weight.mul_(1e-3)

    class OddHead(type(model)):  # type: ignore[misc]
        def forward(self, *args: Any, **kwargs: Any) -> Any:
            output = super().forward(*args, **kwargs)
            output.logits = output.logits * factor
            return output

    model.__class__ = OddHead
    with pytest.raises(ModelError, match=r"'odd' \(OddHead\): logits rebuilt from its final hidden states differ"):
        LanguageModel(model, None, name="odd")
