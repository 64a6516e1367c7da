"""What is found out about a model by trying: hooks whose parts do not add up, paths it cannot take, broken numbers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers
from lm_families import FAMILIES, POST_NORM, family_model, variant
from torch import nn
from transformers import AutoModelForCausalLM

from sae_bench.errors import HookError, ModelError
from sae_bench.language_models import LanguageModel
from sae_bench.language_models.generation import generate
from sae_bench.testing.tiny_models import tiny_model, tiny_tokenizer

SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 320, "pad_token_id": 2}
GATED = {**SIZES, "intermediate_size": 64, "num_key_value_heads": 2}


def made(kind: str, **settings: Any) -> LanguageModel:
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(**{"bos_token_id": 0, "eos_token_id": 1, **settings})
    return LanguageModel(AutoModelForCausalLM.from_config(config).float(), tiny_tokenizer(), name=kind)


REFUSED = {
    "Bloom": {**SIZES, "n_layer": 2, "n_head": 4},
    "Granite": {**GATED, "residual_multiplier": 0.22},
}


@pytest.mark.parametrize(
    ("kind", "hook"),
    [(kind, hook) for kind in REFUSED for hook in ("hook_attn_out", "hook_mlp_out")][1:],  # Bloom names no attention
)
def test_outputs_that_do_not_add_up_to_the_stream_are_refused(kind: str, hook: str):
    lm = made(kind, **REFUSED[kind])
    with pytest.raises(HookError, match=rf"blocks\.1\.{hook}' is not what joins the residual stream"):
        lm.capture(torch.tensor([[5, 9, 3]]), [f"blocks.1.{hook}"])
    assert lm.hook_site("blocks.1.hook_resid_post") is not None


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("hook", ["blocks.0.hook_attn_out", "blocks.2.hook_mlp_out"])
def test_outputs_that_add_up_are_taken(family: str, hook: str):
    lm = family_model(family)
    if family in POST_NORM:
        with pytest.raises(HookError, match="is not what joins"):
            lm.hook_site(hook)
    else:
        assert lm.hook_site(hook) is not None


SANDWICHED = {
    "Glm4": {**GATED, "head_dim": 8},
    "Afmoe": {**GATED, "head_dim": 8, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16},
}


@pytest.mark.parametrize("kind", SANDWICHED)
def test_norms_around_attention_and_mlp_are_told_by_their_names(kind: str):
    lm, ids = made(kind, **SANDWICHED[kind]), torch.tensor([[5, 9, 3]])
    kinds = ("resid_pre", "attn_out", "resid_mid", "mlp_out", "resid_post")
    pre, attention, mid, mlp, post = lm.capture(ids, [f"blocks.1.hook_{one}" for one in kinds]).values()
    torch.testing.assert_close((pre + attention, mid + mlp), (mid, post))


def test_a_norm_that_the_mlp_does_not_read_tells_no_stream():
    lm = tiny_model("llama")
    lm.layers[1].mlp.register_forward_pre_hook(lambda _module, args: (args[0] * 2,))
    for hook in ("hook_resid_mid", "ln2.hook_normalized"):
        with pytest.raises(HookError, match=rf"blocks.1.{hook}' is not known in .*its MLP does not read"):
            lm.hook_site(f"blocks.1.{hook}")
    assert lm.hook_site("blocks.1.mlp.hook_in") is not None


class _TwoStreams(nn.Module):
    """A layer that hands on two streams for each token."""

    def forward(self, hidden_states: torch.Tensor, **_: Any) -> torch.Tensor:
        return torch.stack([hidden_states] * 2, dim=2)


def test_a_model_of_several_streams_is_refused_when_it_is_loaded():
    model = tiny_model("llama").model
    model.model.layers = nn.ModuleList([_TwoStreams()])
    with pytest.raises(ModelError, match=r"hand on \(1, 4, 2, 32\) numbers for 4 tokens of width 32"):
        LanguageModel(model, tiny_tokenizer(), name="hyper-connected")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_no_reason_to_refuse(dtype: torch.dtype):
    for family in ("llama", "gemma2", "phi"):
        lm = tiny_model(family)
        lm.model.to(dtype)
        assert lm.hook_site("blocks.1.hook_mlp_out") is not None


def test_a_scaled_stream_is_refused_in_half_precision_too():
    lm = made("Granite", **REFUSED["Granite"])
    lm.model.to(torch.bfloat16)
    for layer in lm.layers:  # as large beside the stream as in trained models
        for parameter in layer.get_submodule("mlp").parameters():
            parameter.data *= 20
    with pytest.raises(HookError):
        lm.hook_site("blocks.0.hook_mlp_out")


UNUSUAL = {
    "Jamba": {**GATED, "attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2, "num_experts": 1,
              "num_experts_per_tok": 1, "mamba_d_state": 4, "use_mamba_kernels": False},
    "Qwen3Next": {**GATED, "head_dim": 8, "linear_num_value_heads": 2, "linear_num_key_heads": 2,
                  "linear_key_head_dim": 8, "linear_value_head_dim": 8, "num_experts": 2, "num_experts_per_tok": 1,
                  "moe_intermediate_size": 16, "shared_expert_intermediate_size": 16,
                  "layer_types": ["linear_attention", "full_attention"]},
    "Falcon": {**SIZES, "alibi": True, "new_decoder_architecture": False, "parallel_attn": False, "bias": True},
    "Bloom": REFUSED["Bloom"],
}  # fmt: skip


@pytest.mark.parametrize("kind", UNUSUAL)
def test_what_a_model_cannot_do_is_an_answer(kind: str):
    lm = made(kind, **UNUSUAL[kind])
    assert not lm.shares_beginnings()
    assert lm.reads_on() == (kind == "Falcon")  # its biases go by what was read before
    ids = torch.tensor([[5, 9, 3, 17]])
    (written,) = generate(lm, ids, n_tokens=2)
    plain = lm.model(input_ids=ids, use_cache=False).logits[0, -1].argmax()
    assert written[0] == int(plain)


def test_a_model_whose_logits_are_no_numbers_is_refused_with_the_dtype_to_try():
    model = tiny_model("gpt2").model
    with torch.no_grad():
        model.get_input_embeddings().weight[:] *= 4e6
    with pytest.raises(ModelError, match=r"NaN or infinite in float16\..*--llm-dtype bfloat16 or float32"):
        LanguageModel(model.half(), tiny_tokenizer(), name="overflowing")
    broken = variant(tiny_model("llama")).model
    broken.lm_head.weight.data[5] = float("nan")
    with pytest.raises(ModelError, match=r"in float32\. Next: look for broken weights"):
        LanguageModel(broken, tiny_tokenizer(), name="broken")
