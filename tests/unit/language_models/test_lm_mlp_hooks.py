"""What the MLP reads and what joins the stream: the two hooks of a transcoder, in every family."""

from __future__ import annotations

import pytest
import torch
from lm_families import FAMILIES, POST_NORM, family_model, token_rows
from torch import Tensor, nn

from sae_bench.language_models import LanguageModel

READ_NAMES = ("blocks.1.mlp.hook_in", "blocks.1.hook_mlp_in")
WRITTEN = "blocks.1.hook_mlp_out"
BEHIND = {"gemma2": "post_feedforward_layernorm", "gemma3": "post_feedforward_layernorm"}


def by_definition(lm: LanguageModel, family: str, read_BLD: Tensor) -> Tensor:
    """What layer 1 adds to the stream when its MLP reads this."""
    layer = lm.layers[1]
    if family == "opt":
        return layer.fc2(layer.activation_fn(layer.fc1(read_BLD)))
    written_BLD = layer.get_submodule("mlp")(read_BLD)
    behind: nn.Module = layer.get_submodule(BEHIND[family]) if family in BEHIND else nn.Identity()
    return behind(written_BLD)


@pytest.mark.parametrize("family", [family for family in FAMILIES if family not in POST_NORM])
@torch.no_grad()
def test_what_is_read_makes_what_is_written(family: str):
    lm = family_model(family)
    ids = token_rows(lm)
    values = lm.capture(ids, [*READ_NAMES, WRITTEN])
    assert torch.equal(values[READ_NAMES[0]], values[READ_NAMES[1]])
    # 1e-5: OPT multiplies its tokens as one row
    torch.testing.assert_close(by_definition(lm, family, values[READ_NAMES[0]]), values[WRITTEN], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", READ_NAMES)
@pytest.mark.parametrize("family", [family for family in FAMILIES if family not in POST_NORM])
@torch.no_grad()
def test_a_replacement_reaches_the_mlp_and_nothing_else(family: str, name: str):
    lm = family_model(family)
    ids = token_rows(lm)
    before, after = "blocks.1.hook_attn_out", "blocks.1.hook_resid_post"
    plain = lm.capture(ids, ["blocks.1.hook_resid_pre", before, after])
    new_BLD = torch.randn(*ids.shape, lm.d_model, generator=torch.Generator().manual_seed(0))
    seen: dict[str, Tensor] = {}

    def keep(hook: str):
        return lambda value: seen.setdefault(hook, value)

    lm.final_hidden(
        ids, replace={name: lambda _old: new_BLD, **{hook: keep(hook) for hook in (before, WRITTEN, after)}}
    )
    expected = by_definition(lm, family, new_BLD)
    assert torch.equal(seen[before], plain[before])
    torch.testing.assert_close(seen[WRITTEN], expected, rtol=1e-5, atol=1e-5)
    whole = plain["blocks.1.hook_resid_pre"] + plain[before] + expected
    torch.testing.assert_close(seen[after], whole, rtol=1e-5, atol=1e-5)
