"""The tiny models: every family builds, is reproducible, and reads any text."""

from __future__ import annotations

import pytest
import torch

from sae_bench.errors import UnknownNameError
from sae_bench.testing import FAMILIES, tiny_model, tiny_sae, tiny_tokenizer


@pytest.mark.parametrize("family", FAMILIES)
def test_models_are_the_same_for_the_same_seed_only(family: str) -> None:
    state = torch.get_rng_state()
    ids = torch.tensor(tiny_model(family).tokenize(["The cat in Zürich: 猫"]))
    one, same, other = (tiny_model(family, seed=seed).final_hidden(ids) for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.allclose(one, other)
    assert torch.equal(state, torch.get_rng_state())
    model = tiny_model(family)
    assert (model.n_layers, model.d_model, model.name) == (3, 32, f"tiny-{family}")


def test_the_tokenizer_loses_nothing_and_knows_offsets() -> None:
    tokenizer = tiny_tokenizer()
    text = "Zürich has 7 cats.\n猫"
    encoded = tokenizer(text, return_offsets_mapping=True)
    assert tokenizer.decode(encoded["input_ids"]) == text
    assert encoded["offset_mapping"][-1][1] == len(text)
    assert encoded["input_ids"][0] != tokenizer.bos_token_id
    assert tiny_tokenizer(bos=False).bos_token_id is None
    assert not tiny_model("llama", bos=False).prepend_bos


def test_unknown_names_are_corrected() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'gpt2'"):
        tiny_model("gpt-2")
    with pytest.raises(UnknownNameError, match="Did you mean 'jumprelu'"):
        tiny_sae("jump_relu")
