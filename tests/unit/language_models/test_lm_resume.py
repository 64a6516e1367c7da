"""Starting from a layer, replacing values, gradients, and what is left behind."""

from __future__ import annotations

import pytest
import torch
from grids import each
from lm_families import FAMILIES, POST_NORM, family_model, hf_inputs, next_token_losses, padding_mask, token_rows
from torch import Tensor, nn

from sae_bench.errors import HookError, UsageError
from sae_bench.language_models import LanguageModel, Resume
from sae_bench.language_models.hooks import HookSite
from sae_bench.language_models.interventions import intervene, start_from


def stream_into(lm: LanguageModel, layer: int, ids: Tensor, mask: Tensor | None = None) -> Resume:
    """The residual stream that enters a layer, as a start."""
    hook = f"blocks.{layer}.hook_resid_pre" if layer < lm.n_layers else f"blocks.{layer - 1}.hook_resid_post"
    return Resume(layer, lm.capture(ids, [hook], attention_mask_BL=mask)[hook])


@pytest.mark.parametrize(("family", "side"), each(FAMILIES, ("none", "right", "left")))
def test_resume_is_the_full_forward_bit_for_bit(family: str, side: str):
    lm = family_model(family)
    ids, mask = token_rows(lm), padding_mask(side)
    plain = lm.model.base_model(**hf_inputs(lm, ids, mask)).last_hidden_state
    assert torch.equal(lm.final_hidden(ids, attention_mask_BL=mask), plain)
    for layer in range(lm.n_layers + 1):
        start = stream_into(lm, layer, ids, mask)
        assert torch.equal(lm.final_hidden(ids, attention_mask_BL=mask, resume=start), plain), layer


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_the_given_stream_is_what_counts(layer: int):
    """The token ids of a resumed pass only say where tokens are: other ids give the same result."""
    lm = family_model("gemma3")
    ids = token_rows(lm)
    start = stream_into(lm, layer, ids)
    assert torch.equal(lm.final_hidden(token_rows(lm, seed=1), resume=start), lm.final_hidden(ids))
    other = Resume(layer, start.hidden_BLD + 1.0)
    assert not torch.allclose(lm.final_hidden(ids, resume=other), lm.final_hidden(ids), atol=1e-3)


def test_resume_skips_the_earlier_layers():
    lm = family_model("llama")
    ids = token_rows(lm)
    start = stream_into(lm, 2, ids)
    called: list[int] = []
    handles = [
        layer.get_submodule("self_attn").register_forward_pre_hook(lambda *_args, i=i: called.append(i))
        for i, layer in enumerate(lm.layers)
    ]
    lm.final_hidden(ids, resume=start)
    for handle in handles:
        handle.remove()
    assert called == [2]


@pytest.mark.parametrize("layer", [0, 1])
def test_capture_in_a_resumed_pass(layer: int):
    lm = family_model("gpt_neox")
    ids = token_rows(lm)
    start = stream_into(lm, layer, ids)
    hooks = [f"blocks.{layer}.hook_resid_pre", f"blocks.{layer}.hook_attn_out", "blocks.2.hook_resid_post"]
    expected, found = lm.capture(ids, hooks), lm.capture(token_rows(lm, seed=1), hooks, resume=start)
    assert all(torch.equal(found[hook], expected[hook]) for hook in hooks)


def test_the_start_itself_can_be_captured():
    lm = family_model("gpt2")
    ids = token_rows(lm)
    start = stream_into(lm, 2, ids)
    hook = "blocks.1.hook_resid_post"
    assert torch.equal(lm.capture(ids, [hook], resume=start)[hook], start.hidden_BLD)


@pytest.mark.parametrize("hook", ["hook_embed", "blocks.0.hook_resid_post", "blocks.1.hook_resid_pre"])
def test_hooks_before_the_start_are_refused(hook: str):
    lm = family_model("gpt2")
    ids = token_rows(lm)
    start = stream_into(lm, 2, ids)
    with pytest.raises(HookError, match=f"starts from layer 2 does not compute {hook}"):
        lm.capture(ids, [hook], resume=start)
    with pytest.raises(HookError, match=f"starts from layer 2 does not compute {hook}"):
        lm.final_hidden(ids, replace={hook: torch.zeros_like}, resume=start)


@pytest.mark.parametrize("layer", [-1, 4])
def test_a_start_outside_the_model_is_refused(layer: int):
    lm = family_model("gpt2")
    ids = token_rows(lm)
    with pytest.raises(HookError, match=rf"cannot start from layer {layer}: the model has 3 layers"):
        lm.final_hidden(ids, resume=Resume(layer, torch.zeros(3, 12, 32)))


def test_a_stream_of_another_batch_is_refused():
    lm = family_model("gpt2")
    with pytest.raises(UsageError, match=r"has \(batch, sequence\) \(3, 11\), the token ids have \(3, 12\)"):
        lm.final_hidden(token_rows(lm), resume=Resume(1, torch.zeros(3, 11, 32)))


ALL_KINDS = ("hook_resid_pre", "hook_attn_out", "hook_mlp_out", "hook_resid_post", "attn.hook_z", "mlp.hook_post")


@pytest.mark.parametrize("family", FAMILIES)
def test_identity_replacement_changes_nothing_and_zeros_change_the_result(family: str):
    lm = family_model(family)
    ids = token_rows(lm)
    full = lm.final_hidden(ids)
    kinds = [kind for kind in ALL_KINDS if family not in POST_NORM or "out" not in kind]
    for hook in ("hook_embed", *(f"blocks.1.{kind}" for kind in kinds)):
        assert torch.equal(lm.final_hidden(ids, replace={hook: lambda value: value}), full), hook
        assert not torch.allclose(lm.final_hidden(ids, replace={hook: torch.zeros_like}), full, atol=1e-3), hook


@pytest.mark.parametrize("family", FAMILIES)
def test_replacing_the_stream_at_one_position_leaves_the_earlier_ones(family: str):
    lm = family_model(family)
    ids = token_rows(lm)

    def shift(value_BLD: Tensor) -> Tensor:
        changed = value_BLD.clone()
        changed[:, 6] += torch.linspace(-1.0, 1.0, 32)  # not uniform: a layer norm would not see a uniform shift
        return changed

    full = lm.final_hidden(ids)
    for hook in ("blocks.1.hook_resid_post", *([] if family in POST_NORM else ["blocks.1.hook_mlp_out"])):
        found = lm.final_hidden(ids, replace={hook: shift})
        assert torch.equal(found[:, :6], full[:, :6])
        assert not torch.allclose(found[:, 6], full[:, 6], atol=1e-3)
        assert not torch.allclose(found[:, 7], full[:, 7], atol=1e-5)


@pytest.mark.parametrize("layer", [0, 2])
def test_replace_in_a_resumed_pass_is_replace_in_the_full_pass(layer: int):
    lm = family_model("gemma2")
    ids = token_rows(lm)
    start = stream_into(lm, layer, ids)
    replace = {f"blocks.{layer}.hook_resid_pre": lambda x: x * 0.5, "blocks.2.attn.hook_z": lambda x: x + 1.0}
    full = lm.final_hidden(ids, replace=replace)
    assert torch.equal(lm.final_hidden(ids, replace=replace, resume=start), full)
    assert not torch.allclose(full, lm.final_hidden(ids), atol=1e-3)


def test_replacing_the_stream_is_resuming_from_the_replacement():
    lm = family_model("opt")
    ids = token_rows(lm)
    replaced = lm.final_hidden(ids, replace={"blocks.0.hook_resid_post": lambda x: x * 0.5})
    start = Resume(1, stream_into(lm, 1, ids).hidden_BLD * 0.5)
    assert torch.equal(lm.final_hidden(ids, resume=start), replaced)


def footprint(lm: LanguageModel) -> list[object]:
    """Everything a pass could leave on the modules."""
    modules = list(lm.model.modules())
    hooks = [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in modules]
    return [hooks, [m for m in modules if "forward" in vars(m)]]


@pytest.mark.parametrize("family", ["gpt2", "llama", "opt"])
def test_nothing_is_left_after_exceptions(family: str):
    lm = family_model(family)
    ids = token_rows(lm)
    expected = lm.final_hidden(ids)
    before = footprint(lm)

    def fail(_value: Tensor) -> Tensor:
        raise ZeroDivisionError

    for start in (None, stream_into(lm, 0, ids), stream_into(lm, 2, ids)):
        with pytest.raises(ZeroDivisionError):
            lm.final_hidden(ids, replace={"blocks.2.hook_mlp_out": fail}, resume=start)
        assert footprint(lm) == before
    assert torch.equal(lm.final_hidden(ids), expected)
    assert len(lm.model(ids, output_hidden_states=True).hidden_states) == 4


def test_no_gradient_is_kept_unless_an_input_asks_for_one():
    lm = family_model("llama")
    ids = token_rows(lm)
    with torch.enable_grad():
        start = stream_into(lm, 1, ids)
        assert not start.hidden_BLD.requires_grad
        assert not lm.final_hidden(ids, resume=start).requires_grad
    assert not any(p.requires_grad for p in lm.model.parameters())


@pytest.mark.parametrize("grad", [True, False])
def test_the_grad_mode_is_the_callers(grad: bool):
    lm = family_model("gpt2")
    with torch.set_grad_enabled(grad):
        stream_into(lm, 1, token_rows(lm))
        LanguageModel(lm.model, lm.tokenizer, name="again")
        assert torch.is_grad_enabled() is grad


@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_flow_through_the_later_layers(family: str):
    """A mask trained at layer 1, started from there or replaced in the full pass: the same gradient."""
    lm = family_model(family)
    ids = token_rows(lm)
    start = stream_into(lm, 1, ids)
    gradients = []
    for resumed in (True, False):
        mask_D = torch.full((32,), 0.5, requires_grad=True)
        with torch.enable_grad():
            if resumed:
                hidden = lm.final_hidden(ids, resume=Resume(1, start.hidden_BLD * mask_D))
            else:
                hook, scaled = "blocks.1.hook_resid_pre", lambda x, mask=mask_D: x * mask
                hidden = lm.final_hidden(ids, replace={hook: scaled})
            next_token_losses(lm, hidden, ids).mean().backward()
        assert mask_D.grad is not None
        gradients.append(mask_D.grad)
    assert gradients[0].abs().max() > 1e-3
    torch.testing.assert_close(gradients[0], gradients[1])
    assert all(p.grad is None for p in lm.model.parameters())


class TupleLayer(nn.Module):
    """A layer in the manner of older transformers: it takes its input by name and returns a tuple."""

    def forward(self, hidden_states: Tensor) -> tuple[Tensor, str]:
        return hidden_states + 1.0, "attention weights"


def run(layers: nn.ModuleList, value: Tensor) -> Tensor:
    for layer in layers:
        value = layer(hidden_states=value)[0]
    return value


def test_layers_that_return_tuples():
    layers = nn.ModuleList(TupleLayer() for _ in range(3))
    x = torch.zeros(1, 2, 4)
    with start_from(Resume(2, x + 10.0), layers, beside_stream=1):
        assert torch.equal(run(layers, x), x + 11.0)
    with start_from(Resume(0, x + 10.0), layers, beside_stream=1):
        assert torch.equal(run(layers, x), x + 13.0)
    with intervene(HookSite(layers[1], "output"), lambda v: v * 5.0, batch_shape=x.shape[:2]):
        assert torch.equal(run(layers, x), x + 11.0)
        assert layers[1](hidden_states=x)[1] == "attention weights"
    assert torch.equal(run(layers, x), x + 3.0)


def test_a_forward_that_another_library_patched_is_put_back():
    layers = nn.ModuleList(TupleLayer() for _ in range(2))

    def patched(hidden_states: Tensor) -> tuple[Tensor]:
        return (hidden_states + 100.0,)

    layers[0].forward = patched
    x = torch.zeros(1, 2, 4)
    with start_from(Resume(1, x), layers, beside_stream=1):
        assert torch.equal(run(layers, x), x + 1.0)
    assert layers[0].forward is patched
    assert torch.equal(run(layers, x), x + 101.0)
