"""The stream between attention and MLP goes on beside the MLP too: a replacement has to reach both."""

import pytest
import torch
from lm_families import token_rows

from sae_bench.errors import HookError
from sae_bench.testing import FAMILIES, tiny_model


@pytest.mark.parametrize("family", FAMILIES)
def test_a_replacement_reaches_the_mlp_and_the_stream_around_it(family: str):
    lm = tiny_model(family)
    mid, out, post = (f"blocks.1.{kind}" for kind in ("hook_resid_mid", "hook_mlp_out", "hook_resid_post"))
    try:
        lm.hook_site(mid)
    except HookError:
        pytest.skip(f"{family} has no {mid}")
    ids = token_rows(lm)
    seen: dict[str, torch.Tensor] = {}

    def keep(name: str):
        return lambda value: seen.setdefault(name, value)

    new = torch.randn(*ids.shape, lm.d_model, generator=torch.Generator().manual_seed(0))
    lm.final_hidden(ids, replace={mid: lambda _old: new, out: keep(out), post: keep(post)})
    # 1e-5: the layer adds the old stream, the change takes it away again
    torch.testing.assert_close(seen[post], new + seen[out], rtol=1e-5, atol=1e-5)


def test_an_unchanged_value_leaves_the_forward_bit_for_bit():
    lm = tiny_model("llama")
    ids = token_rows(lm)
    same = lm.final_hidden(ids, replace={"blocks.1.hook_resid_mid": lambda value: value})
    assert torch.equal(same, lm.final_hidden(ids))
