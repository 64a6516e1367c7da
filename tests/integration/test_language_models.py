"""The two real models: SmolLM2-135M (embedded, Llama) and Gemma 3 270M (sandwich norms, sliding windows)."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from lm_families import next_token_losses

from sae_bench.language_models import LanguageModel, Resume, load_language_model

SENTENCES = (
    "The committee met on Tuesday to discuss the budget for the coming year, and most members agreed with the plan.",
    "She opened the window because the room was warm, and the sound of the street came in.",
)


@pytest.fixture(params=["embedded_lm", "gemma3_270m"])
def lm(request: pytest.FixtureRequest) -> LanguageModel:
    return request.getfixturevalue(request.param)


def padded_batch(lm: LanguageModel, *, left: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """Both sentences in one batch with its mask."""
    rows = lm.tokenize(SENTENCES)
    length = max(map(len, rows))
    ids, mask = torch.zeros(2, length, dtype=torch.long), torch.zeros(2, length, dtype=torch.long)
    for i, row in enumerate(rows):
        place = slice(length - len(row), length) if left else slice(0, len(row))
        ids[i, place], mask[i, place] = torch.tensor(row), 1
    return ids, mask


def hf_inputs(ids: torch.Tensor, mask: torch.Tensor) -> dict[str, Any]:
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    return {"input_ids": ids, "attention_mask": mask, "position_ids": positions, "use_cache": False}


@pytest.mark.parametrize("left", [False, True])
def test_capture_and_resume_are_the_plain_forward(lm: LanguageModel, left: bool):
    ids, mask = padded_batch(lm, left=left)
    plain = lm.model.base_model(**hf_inputs(ids, mask), output_hidden_states=True)
    middle = lm.n_layers // 2
    hook = f"blocks.{middle}.hook_resid_post"
    stream = lm.capture(ids, [hook], attention_mask_BL=mask)[hook]
    assert torch.equal(stream, plain.hidden_states[middle + 1])
    resumed = lm.final_hidden(ids, attention_mask_BL=mask, resume=Resume(middle + 1, stream))
    assert torch.equal(resumed, plain.last_hidden_state)


def test_attention_and_mlp_add_up(lm: LanguageModel):
    ids, _ = padded_batch(lm)
    names = ("hook_resid_pre", "hook_attn_out", "hook_resid_mid", "hook_mlp_out", "hook_resid_post")
    values = lm.capture(ids, [f"blocks.5.{name}" for name in names])
    pre, attention, mid, mlp, post = values.values()
    assert torch.equal(mid, pre + attention)
    assert torch.equal(post, mid + mlp)


def test_loss_on_plain_english(lm: LanguageModel):
    """A model whose weights or tokenizer were misread has about ln(vocabulary size) = 10.8 or 12.5 nats."""
    for row in lm.tokenize(SENTENCES):
        ids = torch.tensor([row])
        assert 0.5 < next_token_losses(lm, lm.final_hidden(ids), ids).mean().item() < 6.0


def test_the_embedded_model_knows_the_capital_of_france(embedded_lm: LanguageModel):
    ids = torch.tensor(embedded_lm.tokenize(["The capital of France is"]))
    best = embedded_lm.unembed(embedded_lm.final_hidden(ids)[0, -1]).argmax().item()
    assert embedded_lm.tokenizer.decode([best]) == " Paris"


def test_facts_of_the_embedded_model(embedded_lm: LanguageModel):
    assert (embedded_lm.n_layers, embedded_lm.d_model, embedded_lm.d_vocab) == (30, 576, 49152)
    assert embedded_lm.tokenizer("a", add_special_tokens=True)["input_ids"][0] != embedded_lm.bos_token_id
    assert embedded_lm.tokenize(["a"])[0][0] == embedded_lm.bos_token_id


def test_facts_of_gemma(gemma3_270m: LanguageModel):
    assert (gemma3_270m.n_layers, gemma3_270m.d_model) == (18, 640)
    assert gemma3_270m.tokenize(["a"])[0][0] == gemma3_270m.tokenizer.convert_tokens_to_ids("<bos>")


def test_bfloat16_loads_and_agrees(embedded_lm: LanguageModel):
    lm = load_language_model("embedded", device="cpu", dtype="bfloat16")
    assert {weight.dtype for weight in lm.model.parameters()} == {torch.bfloat16}
    assert lm.fingerprint() != embedded_lm.fingerprint()
    ids = torch.tensor([lm.tokenize(SENTENCES)[0]])
    low, high = (next_token_losses(m, m.final_hidden(ids), ids).mean().item() for m in (lm, embedded_lm))
    assert abs(low - high) < 0.1
