"""Values at hooks against the plain Hugging Face forward, early exit, several hooks at once."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from grids import each
from lm_families import (
    FAMILIES,
    PARALLEL,
    POST_NORM,
    SEQUENTIAL,
    family_model,
    hf_inputs,
    padding_mask,
    token_rows,
)
from torch import Tensor, nn

from sae_bench.errors import HookError
from sae_bench.language_models import LanguageModel

LAYER = 1
_LLAMA = {
    "hook_attn_out": ("model.layers.1.self_attn", "out"),
    "hook_mlp_out": ("model.layers.1.mlp", "out"),
    "attn.hook_z": ("model.layers.1.self_attn.o_proj", "in"),
    "mlp.hook_post": ("model.layers.1.mlp.down_proj", "in"),
}
_GEMMA = _LLAMA | {
    "hook_attn_out": ("model.layers.1.post_attention_layernorm", "out"),
    "hook_mlp_out": ("model.layers.1.post_feedforward_layernorm", "out"),
}
_NEOX = {
    "hook_attn_out": ("gpt_neox.layers.1.attention", "out"),
    "hook_mlp_out": ("gpt_neox.layers.1.mlp", "out"),
    "attn.hook_z": ("gpt_neox.layers.1.attention.dense", "in"),
    "mlp.hook_post": ("gpt_neox.layers.1.mlp.dense_4h_to_h", "in"),
}
_OPT = {
    "hook_attn_out": ("model.decoder.layers.1.self_attn", "out"),
    "hook_mlp_out": ("model.decoder.layers.1.fc2", "out"),
    "attn.hook_z": ("model.decoder.layers.1.self_attn.out_proj", "in"),
    "mlp.hook_post": ("model.decoder.layers.1.fc2", "in"),
}
MODULES: dict[str, dict[str, tuple[str, str]]] = {
    "gpt2": {
        "hook_attn_out": ("transformer.h.1.attn", "out"),
        "hook_mlp_out": ("transformer.h.1.mlp", "out"),
        "attn.hook_z": ("transformer.h.1.attn.c_proj", "in"),
        "mlp.hook_post": ("transformer.h.1.mlp.c_proj", "in"),
    },
    "gpt_neox": _NEOX,
    "gpt_neox_sequential": _NEOX,
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen3": _LLAMA,
    "gemma2": _GEMMA,
    "gemma3": _GEMMA,
    "opt": _OPT,
    "opt_post_norm": {kind: site for kind, site in _OPT.items() if "out" not in kind},  # its norms come after the sum
    "phi": _LLAMA
    | {
        "attn.hook_z": ("model.layers.1.self_attn.dense", "in"),
        "mlp.hook_post": ("model.layers.1.mlp.fc2", "in"),
    },
}
"""Where each value is in the modules of transformers, written down by hand: (module, side)."""


def at(kind: str, layer: int = LAYER) -> str:
    return f"blocks.{layer}.{kind}"


def module_value(lm: LanguageModel, path: str, side: str, **inputs: Any) -> Tensor:
    """The input or output of a module in a plain forward, tokens in rows and columns."""
    values: list[Tensor] = []

    def keep(_module: nn.Module, args: tuple[Tensor, ...], output: Any) -> None:
        value = args[0] if side == "in" else (output[0] if isinstance(output, tuple) else output)
        values.append(value.reshape(*inputs["input_ids"].shape, -1))

    handle = lm.model.get_submodule(path).register_forward_hook(keep)
    lm.model(**inputs)
    handle.remove()
    return values[0]


@pytest.mark.parametrize(("family", "side"), each(FAMILIES, ("none", "right", "left")))
def test_residual_stream_is_hidden_states(family: str, side: str):
    lm = family_model(family)
    ids, mask = token_rows(lm), padding_mask(side)
    expected = lm.model(**hf_inputs(lm, ids, mask), output_hidden_states=True).hidden_states
    hooks = [at("hook_resid_pre", layer) for layer in range(3)] + [at("hook_resid_post", layer) for layer in range(2)]
    values = lm.capture(ids, hooks, attention_mask_BL=mask)
    assert set(values) == set(hooks)
    for layer in range(3):
        assert torch.equal(values[at("hook_resid_pre", layer)], expected[layer])
    for layer in range(2):
        assert torch.equal(values[at("hook_resid_post", layer)], expected[layer + 1])


@pytest.mark.parametrize("family", FAMILIES)
def test_other_hooks_are_the_modules_values(family: str):
    lm = family_model(family)
    ids = token_rows(lm)
    for kind, (path, side) in MODULES[family].items():
        expected = module_value(lm, path, side, input_ids=ids)
        assert torch.equal(lm.capture(ids, [at(kind)])[at(kind)], expected), kind


@pytest.mark.parametrize("family", FAMILIES)
def test_embedding_hook(family: str):
    lm = family_model(family)
    ids = token_rows(lm)
    assert torch.equal(lm.capture(ids, ["hook_embed"])["hook_embed"], lm.embedding(ids))


@pytest.mark.parametrize("family", SEQUENTIAL)
def test_attention_and_mlp_add_up_in_sequence(family: str):
    lm = family_model(family)
    kinds = ("hook_resid_pre", "hook_attn_out", "hook_resid_mid", "hook_mlp_out", "hook_resid_post")
    values = lm.capture(token_rows(lm), [at(kind) for kind in kinds])
    pre, attention, mid, mlp, post = (values[at(kind)] for kind in kinds)
    assert torch.equal(mid, pre + attention)
    assert torch.equal(post, mid + mlp)


@pytest.mark.parametrize("family", PARALLEL)
def test_attention_and_mlp_add_up_in_parallel(family: str):
    lm = family_model(family)
    kinds = ("hook_resid_pre", "hook_attn_out", "hook_mlp_out", "hook_resid_post")
    values = lm.capture(token_rows(lm), [at(kind) for kind in kinds])
    pre, attention, mlp, post = (values[at(kind)] for kind in kinds)
    torch.testing.assert_close(post, pre + attention + mlp)  # the order of the sum differs


@pytest.mark.parametrize("family", [family for family in FAMILIES if family not in POST_NORM])
def test_projections_lead_from_inner_to_outer_hooks(family: str):
    lm = family_model(family)
    values = lm.capture(token_rows(lm), [at(kind) for kind in MODULES[family]])
    for inner, outer in (("attn.hook_z", "hook_attn_out"), ("mlp.hook_post", "hook_mlp_out")):
        projected = lm.model.get_submodule(MODULES[family][inner][0])(values[at(inner)])
        if family.startswith("gemma"):  # the outer hook is what joins the residual stream: after the norm
            projected = lm.model.get_submodule(MODULES[family][outer][0])(projected)
        torch.testing.assert_close(projected, values[at(outer)])


@pytest.mark.parametrize("family", FAMILIES)
def test_early_exit_runs_no_later_layer(family: str):
    lm = family_model(family)
    called: list[int] = []
    handles = [
        layer.register_forward_pre_hook(lambda *_args, i=i: called.append(i)) for i, layer in enumerate(lm.layers)
    ]
    try:
        lm.capture(token_rows(lm), [at("hook_resid_post", 0), at("attn.hook_z", 1)])
        assert called == [0, 1]
        called.clear()
        lm.capture(token_rows(lm), ["hook_embed"])
        assert called == []
        lm.final_hidden(token_rows(lm))
        assert called == [0, 1, 2]
    finally:
        for handle in handles:
            handle.remove()


def test_early_exit_stops_inside_a_layer():
    lm = family_model("llama")
    called: list[str] = []
    handle = lm.layers[1].get_submodule("mlp").register_forward_pre_hook(lambda *_args: called.append("mlp"))
    lm.capture(token_rows(lm), [at("hook_attn_out", 1)])
    handle.remove()
    assert called == []


def test_hooks_may_repeat_come_in_any_order_or_not_at_all():
    lm = family_model("gpt2")
    ids = token_rows(lm)
    hooks = [at("hook_resid_post", 2), at("hook_resid_pre", 0), at("hook_resid_post", 2)]
    values = lm.capture(ids, hooks)
    assert set(values) == set(hooks)
    assert torch.equal(values[at("hook_resid_pre", 0)], lm.capture(ids, [at("hook_resid_pre", 0)])[hooks[1]])
    assert lm.capture(ids, []) == {}


@pytest.mark.parametrize("family", FAMILIES)
def test_padding_on_the_right_needs_no_mask(family: str):
    """Later tokens cannot change earlier ones. Only the order of sums in longer matrix products may: 1e-5 of the
    scale of the stream, where a leak from the padding would be of the order of the scale itself."""
    lm = family_model(family)
    short = token_rows(lm, length=7)
    padded = torch.cat([short, torch.full((3, 5), 2)], dim=1)
    expected = lm.capture(short, [at("hook_resid_post", 2)])[at("hook_resid_post", 2)]
    found = lm.capture(padded, [at("hook_resid_post", 2)])[at("hook_resid_post", 2)][:, :7]
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_a_left_padded_row_is_the_unpadded_row():
    lm = family_model("llama")
    ids, mask = token_rows(lm), padding_mask("left")
    hook = at("hook_resid_post", 2)
    expected = lm.capture(ids[2:, 6:], [hook])[hook][0]
    found = lm.capture(ids, [hook], attention_mask_BL=mask)[hook][2, 6:]
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_a_sliding_window_matters_here():
    """Else the Mistral and Gemma models of these tests would prove nothing about windows."""
    lm = family_model("mistral")
    ids = token_rows(lm)
    changed = ids.clone()
    changed[:, 0] = (changed[:, 0] + 1) % 200 + 10
    hook = at("hook_resid_post", 0)
    difference = (lm.capture(ids, [hook])[hook] - lm.capture(changed, [hook])[hook]).abs().amax(dim=(0, 2))
    assert bool((difference[:5] > 0).any())
    assert torch.equal(difference[5:], torch.zeros(7))


def test_unknown_hook_in_a_capture_leaves_the_model_untouched():
    lm = family_model("phi")
    before = sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in lm.model.modules())
    with pytest.raises(HookError):
        lm.capture(token_rows(lm), [at("hook_resid_post", 0), at("hook_resid_mid", 0)])
    assert sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in lm.model.modules()) == before
