"""The shared pass on another device than the CPU: its numbers, and a tensor that was left behind is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from core_plain import corpus_rows, flat, run_core, settings
from pretend_device import DEVICE, Counted, moved
from torch.utils._pytree import tree_map

from sae_bench.activations.one_pass import run_pass
from sae_bench.activations.requests import PooledTexts
from sae_bench.custom_saes import codes
from sae_bench.custom_saes.loading import Member
from sae_bench.language_models import LanguageModel
from sae_bench.testing import tiny_model, tiny_sae
from sae_bench.testing.tiny_models import tiny_transcoder

HOOK = "blocks.1.hook_resid_post"
TEXTS = [[5, 6, 7, 8], [9, 8], [11, 12, 13], [7]]


def sae_of(name: str) -> Any:
    if name.startswith("wide"):
        return tiny_sae(name.removeprefix("wide "), hook_name=HOOK, d_sae=600)
    return tiny_transcoder(skip=True) if name == "transcoder" else tiny_sae(name, hook_name=HOOK)


def divide(lm: LanguageModel, first: torch.device, second: torch.device) -> None:
    """Embedding and first layer on one device, the rest on another; what a part is given is moved to its device."""
    of_first = (lm.embedding, lm.layers[0], lm.base.rotary_emb)
    for part in (*of_first, *lm.layers[1:], lm.base.norm, lm.model.get_output_embeddings()):
        device = first if part in of_first else second
        if device == DEVICE:
            moved(part)

        def take(_module: Any, args: Any, kwargs: Any, device: torch.device = device) -> Any:
            return tree_map(lambda leaf: leaf.to(device) if isinstance(leaf, torch.Tensor) else leaf, (args, kwargs))

        part.register_forward_pre_hook(take, with_kwargs=True)


def numbers(name: str, *, on_device: bool) -> tuple[dict[str, float | None], list[torch.Tensor]]:
    """Core's numbers of an SAE, and the pooled codes and activations of some texts: of all tokens and of the last."""
    lm, sae = tiny_model("llama"), sae_of(name)
    rows = corpus_rows(lm, 4)
    if on_device:
        moved(lm.model)
        moved(sae)
    member = Member("tiny", name, sae, sae.cfg.hook_name)
    (scores,) = run_core(lm, settings(compute_pairwise_cosines=False), rows, [member])
    report = run_pass(lm, [PooledTexts(TEXTS), PooledTexts(TEXTS, tokens="last")], [member])
    assert not report.failed
    pooled = [of.codes[member.key].rows(torch.arange(len(TEXTS))) for of in report.served]
    return flat(scores), [*pooled, *(of.activations[member.hook_name] for of in report.served)]


@pytest.mark.parametrize("name", ["relu", "topk", "batch_topk", "gated", "transcoder", "wide jumprelu"])
def test_numbers_are_those_of_the_cpu(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(codes, "WIDE", 600)
    expected, vectors = numbers(name, on_device=False)
    with Counted() as counted:
        found, of_device = numbers(name, on_device=True)
    assert counted.n > 100, "it ran there"
    for key, value in expected.items():
        assert found[key] == (None if value is None else pytest.approx(value, rel=2e-5, abs=2e-5)), key
    for one, other in zip(of_device, vectors, strict=True):
        assert one.device.type == "cpu"
        torch.testing.assert_close(one, other, atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize("left_behind", ["W_enc", "b_enc", "W_dec", "b_dec"])
def test_a_weight_left_on_the_cpu_is_refused(left_behind: str):
    lm, sae = tiny_model("llama"), sae_of("relu")
    kept = getattr(sae, left_behind)
    with Counted():
        moved(lm.model)
        moved(sae)._parameters[left_behind] = kept
        with pytest.raises(RuntimeError, match="are on the CPU, others on the device"):
            run_core(lm, settings(), corpus_rows(lm, 4), [Member("tiny", "mixed", sae, HOOK)])


@pytest.mark.parametrize("begins_on", ["the CPU", "the device"])
def test_a_model_divided_over_two_devices(begins_on: str):
    member = Member("tiny", "topk", sae_of("topk"), HOOK)
    lm = tiny_model("llama")
    (expected,) = run_core(lm, settings(), corpus_rows(lm, 4), [member])
    cpu = torch.device("cpu")
    with Counted() as counted:
        divide(lm, *((cpu, DEVICE) if begins_on == "the CPU" else (DEVICE, cpu)))
        if begins_on == "the device":
            moved(member.sae)
        assert lm.device.type == member.sae.device.type
        (found,) = run_core(lm, settings(), corpus_rows(lm, 4), [member])
    assert counted.n > 100
    assert flat(found) == {
        key: None if value is None else pytest.approx(value, rel=2e-5, abs=2e-5)
        for key, value in flat(expected).items()
    }
