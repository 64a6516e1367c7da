"""Hook names, and where they are found."""

from __future__ import annotations

import copy

import pytest
import torch
from lm_families import FAMILIES, PARALLEL, POST_NORM, family_model, token_rows
from torch import nn
from transformers import AutoModelForCausalLM, GPTNeoConfig

from sae_bench.errors import HookError, ModelError
from sae_bench.language_models import LanguageModel, parse_hook_name
from sae_bench.language_models.hooks import find_layers


def test_parse_block_hook():
    point = parse_hook_name("blocks.12.attn.hook_z")
    assert (point.name, point.layer, point.kind) == ("blocks.12.attn.hook_z", 12, "attn.hook_z")
    assert not point.is_residual


def test_parse_embedding_hook():
    point = parse_hook_name("hook_embed")
    assert (point.layer, point.kind, point.first_downstream_layer) == (-1, "hook_embed", 0)


@pytest.mark.parametrize(
    ("name", "residual", "downstream"),
    [
        ("blocks.3.hook_resid_pre", True, 3),
        ("blocks.3.hook_resid_mid", True, 3),
        ("blocks.3.hook_resid_post", True, 4),
        ("blocks.3.hook_mlp_out", False, 3),
    ],
)
def test_what_a_replacement_reaches(name: str, residual: bool, downstream: int):
    point = parse_hook_name(name)
    assert point.is_residual is residual
    assert point.first_downstream_layer == downstream


@pytest.mark.parametrize(
    "name",
    [
        "",
        "blocks.hook_resid_post",
        "blocks.-1.hook_resid_post",
        "blocks.1.hook_resid_posts",
        "blocks.1.hook_z",
        "model.layers.1",
        " blocks.1.hook_resid_post",
        "blocks.1.hook_resid_post\n",
        "blocks.1.hook_resid_post.extra",
    ],
)
def test_malformed_names_are_refused_with_the_known_forms(name: str):
    with pytest.raises(HookError, match=r"is no hook name\. Known forms: hook_embed, blocks\.<layer>"):
        parse_hook_name(name)


def test_layer_beyond_depth_names_the_last_one():
    with pytest.raises(HookError, match=r"has 3 layers, so the last one is blocks\.2"):
        family_model("gpt2").hook_site("blocks.3.hook_resid_post")


@pytest.mark.parametrize("family", FAMILIES)
def test_only_sequential_architectures_have_resid_mid(family: str):
    lm = family_model(family)
    if family in PARALLEL + POST_NORM:
        with pytest.raises(HookError, match=r"has no value for 'blocks\.0\.hook_resid_mid'"):
            lm.capture(token_rows(lm), ["blocks.0.hook_resid_mid"])
    else:
        assert lm.capture(token_rows(lm), ["blocks.0.hook_resid_mid"])["blocks.0.hook_resid_mid"].shape[-1] == 32


def test_gpt_neo_keeps_its_attention_one_level_deeper():
    config = GPTNeoConfig(
        hidden_size=32, num_layers=2, num_heads=4, vocab_size=64, attention_types=[[["global", "local"], 1]]
    )
    lm = LanguageModel(AutoModelForCausalLM.from_config(config), None, name="tiny-gpt-neo")
    values = lm.capture(torch.arange(8)[None], ["blocks.1.attn.hook_z", "blocks.1.hook_attn_out"])
    projected = lm.layers[1].get_submodule("attn.attention.out_proj")(values["blocks.1.attn.hook_z"])
    torch.testing.assert_close(projected, values["blocks.1.hook_attn_out"])


def test_a_model_without_layers_is_refused():
    with pytest.raises(ModelError, match="no list of decoder layers in Linear"):
        find_layers(nn.Linear(2, 2))


@pytest.mark.parametrize("family", ["gpt2", "llama", "gemma2", "gemma3", "gpt_neox", "opt"])
def test_what_a_norm_gives_before_its_weights(family: str):
    """Times the weights, as each family applies them, it is what the MLP reads; writing there is refused."""
    lm = copy.deepcopy(family_model(family))  # its weights are changed
    names = {"gemma2": "pre_feedforward_layernorm", "gemma3": "pre_feedforward_layernorm", "gpt2": "ln_2"}
    names["opt"] = "final_layer_norm"
    norm = getattr(lm.layers[1], names.get(family, "post_attention_layernorm"))
    with torch.no_grad():
        for value in norm.parameters():
            value.normal_(generator=torch.Generator().manual_seed(0))
    plain, read = "blocks.1.ln2.hook_normalized", "blocks.1.mlp.hook_in"
    values = lm.capture(torch.arange(12).view(2, 6), [plain, read])
    gain = 1 + norm.weight if family.startswith("gemma") else norm.weight
    bias = getattr(norm, "bias", None)
    expected = values[plain] * gain + (0 if bias is None else bias)
    torch.testing.assert_close(values[read], expected.detach(), rtol=1e-4, atol=1e-4)
    assert values[plain].pow(2).mean(-1).sqrt().sub(1).abs().max() < 0.05
    with pytest.raises(HookError, match="can be read and not replaced"):
        lm.final_hidden(torch.arange(4)[None], replace={plain: lambda value: value * 2})
