"""Loss and KL in chunks, branches that resume, and the logits of an empty stream, against full forwards."""

from __future__ import annotations

import pytest
import torch
from core_plain import corpus_rows, cross_entropy, divergence, log_probabilities, valid_tokens
from grids import pairs

from sae_bench.errors import HookError
from sae_bench.evals.core import loss as branches
from sae_bench.evals.core.loss import BranchSums, LossSums, compare_branches, zero_stream_logits
from sae_bench.language_models import parse_hook_name
from sae_bench.language_models.branches import resume_point, run_branch
from sae_bench.testing import FAMILIES, tiny_model

ATTENTION_ROUNDING = 1e-5
"""Relative to the largest logit: weights of an average sum to 1 up to a few float32 steps, over three layers."""
KINDS = (
    "hook_resid_pre", "hook_resid_mid", "hook_resid_post", "hook_attn_out", "hook_mlp_out", "attn.hook_z",
    "mlp.hook_post",
)  # fmt: skip


def places(valid: torch.Tensor) -> torch.Tensor:
    return valid.flatten().nonzero()[:, 0]


@pytest.mark.parametrize(
    ("family", "n_tokens", "n_entries"), pairs(("llama", "gemma2", "phi", "whole head"), (1, 7, 1000), (7, 1000))
)
def test_loss_and_divergence_equal_full_logits(
    family: str, n_tokens: int, n_entries: int, monkeypatch: pytest.MonkeyPatch
):
    lm = tiny_model("llama" if family == "whole head" else family)
    if family == "whole head":  # a head with a hook cannot be taken in parts
        lm.model.get_output_embeddings().register_forward_hook(lambda _m, _a, logits: logits * 2)
        monkeypatch.setattr(branches, "OTHER_PART_BYTES", n_tokens * 4 * lm.d_vocab)
    else:
        monkeypatch.setattr(branches, "TOKENS_OF_A_PART", {"cpu": n_tokens})
        monkeypatch.setattr(branches, "PART_BYTES", {"cpu": 4 * n_tokens * n_entries})
    original = lm.final_hidden(corpus_rows(lm, 6))
    generator = torch.Generator().manual_seed(0)
    noisy = {s: original + s * torch.randn(original.shape, generator=generator) for s in (1e-3, 0.5)}
    constant = torch.randn(lm.d_vocab, generator=generator) * 3
    totals, sums = LossSums(), {name: BranchSums() for name in ("same", "near", "far", "constant")}
    ids = corpus_rows(lm, 6)
    hidden = {"same": original.clone(), "near": noisy[1e-3], "far": noisy[0.5]}
    for start in (0, 4):  # two batches add up
        part = slice(start, start + 4)
        compare_branches(
            lm, original[part], {k: v[part] for k, v in hidden.items()}, {"constant": constant}, ids[part],
            places(valid_tokens(lm, ids[part])), totals, sums,
        )  # fmt: skip
    keep = valid_tokens(lm, ids)
    log_p = log_probabilities(lm, original)
    assert (totals.n_tokens, totals.n_targets) == (int(keep.sum()), int(keep[:, :-1].sum()))
    assert totals.loss == pytest.approx(float(cross_entropy(log_p, ids)[keep[:, :-1]].sum()), rel=1e-6)
    log_q = {name: log_probabilities(lm, h) for name, h in hidden.items()}
    log_q["constant"] = torch.log_softmax(constant.double(), -1).expand_as(log_p)
    for name, q in log_q.items():
        assert sums[name].loss == pytest.approx(float(cross_entropy(q, ids)[keep[:, :-1]].sum()), rel=1e-6), name
        kl = float(divergence(log_p, q)[keep].sum())
        assert sums[name].kl == pytest.approx(kl, rel=1e-5, abs=1e-6 * totals.n_tokens), name
    assert sums["same"].kl == 0.0
    assert sums["far"].kl > sums["near"].kl


def test_only_valid_tokens_count():
    lm = tiny_model("llama")
    ids = corpus_rows(lm, 2)
    hidden = lm.final_hidden(ids)
    valid = torch.zeros_like(ids, dtype=torch.bool)
    valid[0, 2] = valid[1, -1] = True
    totals = LossSums()
    compare_branches(lm, hidden, {}, {}, ids, places(valid), totals, {})
    assert (totals.n_tokens, totals.n_targets) == (2, 1)  # the last token of a row predicts nothing
    expected = float(cross_entropy(log_probabilities(lm, hidden), ids)[0, 2])
    assert totals.loss == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("family", "layer", "kind"), pairs(FAMILIES, (0, 1, 2), ("hook_resid_pre", "hook_resid_mid", "hook_resid_post"))
)
def test_an_empty_stream_gives_the_same_logits_everywhere(family: str, layer: int, kind: str):
    lm, hook = tiny_model(family), f"blocks.{layer}.{kind}"
    try:
        lm.hook_site(hook)
    except HookError:
        pytest.skip(f"{family} has no {kind}")
    found = zero_stream_logits(lm, hook)
    assert found is not None
    ids = corpus_rows(lm, 3, length=24)
    plain = lm.unembed(lm.final_hidden(ids, replace={hook: torch.zeros_like}))
    assert float((plain - found).abs().max()) <= ATTENTION_ROUNDING * max(1.0, float(plain.abs().max()))


def test_a_model_whose_layers_see_more_than_the_stream_has_no_such_logits():
    """A layer that adds something of its own to each position: the ablated branch has to run for real."""
    lm, hook = tiny_model("llama"), "blocks.0.hook_resid_post"
    mlp = lm.layers[2].get_submodule("mlp")
    mlp.register_forward_hook(lambda _m, _a, out: out + torch.arange(out.shape[1])[None, :, None])
    assert zero_stream_logits(lm, hook) is None
    assert zero_stream_logits(lm, "blocks.2.hook_resid_post") is not None


@pytest.mark.parametrize("family", FAMILIES)
def test_branches_equal_full_forwards(family: str):
    lm = tiny_model(family)
    ids = corpus_rows(lm, 2)
    hooks = ["hook_embed"]
    for name in (f"blocks.{layer}.{kind}" for layer in (0, 2) for kind in KINDS):
        try:
            lm.hook_site(name)
        except HookError:
            continue
        hooks.append(name)
    assert len(hooks) >= 11
    streams = [f"blocks.{layer}.hook_resid_pre" for layer in (0, 2)]
    x = lm.capture(ids, [*hooks, *streams])
    generator = torch.Generator().manual_seed(0)
    untouched = lm.final_hidden(ids)
    for name in hooks:
        point = parse_hook_name(name)
        value = x[name] + 0.5 * torch.randn(x[name].shape, generator=generator)
        plain = lm.final_hidden(ids, replace={name: lambda _x, value=value: value})
        found = run_branch(lm, point, ids, resume_point(point, x), value)
        assert torch.equal(found, plain), name
        assert float((plain - untouched).abs().max()) > 1e-2, name


def test_branches_start_where_their_hook_is():
    x = {
        f"blocks.{i}.{k}": torch.full((1, 1, 2), float(i))
        for i in range(3)
        for k in ("hook_resid_pre", "hook_resid_post")
    }
    found = {}
    for name in (
        "blocks.2.hook_resid_post",
        "blocks.1.hook_resid_pre",
        "blocks.1.hook_mlp_out",
        "blocks.2.attn.hook_z",
    ):
        start = resume_point(parse_hook_name(name), x)
        assert start is not None
        found[name] = (start.layer, float(start.hidden_BLD[0, 0, 0]))
    assert list(found.values()) == [(3, 2.0), (1, 1.0), (1, 1.0), (2, 2.0)]
    assert resume_point(parse_hook_name("hook_embed"), x) is None
