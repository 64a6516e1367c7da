"""Shared beginnings, kept streams and resumed layers against the plain forward of whole texts."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from ravel_tiny import HOOK, N_TOKENS, known_class, plain_completion
from torch import Tensor

from sae_bench.errors import ModelError
from sae_bench.evals.ravel.entity_class import KnownClass, train_pairs
from sae_bench.evals.ravel.states import PromptStates
from sae_bench.evals.ravel.swaps import LatentMask, encode_entities
from sae_bench.evals.ravel.training import Schedule, TrainPairs, train
from sae_bench.language_models import LanguageModel
from sae_bench.testing.tiny_models import tiny_model, tiny_sae

HOOKS = ("hook_embed", "blocks.0.hook_resid_pre", HOOK, "blocks.1.hook_mlp_out", "blocks.1.attn.hook_z")


@pytest.fixture(scope="module", params=["gpt2", "llama", "gemma3"])
def known(request: pytest.FixtureRequest) -> tuple[LanguageModel, KnownClass]:
    lm = tiny_model(request.param)
    return lm, known_class(lm)


def value_at(lm: LanguageModel, states: PromptStates, row: int, hook: str) -> Tensor:
    prompt = states.tails.prompts[row]
    return lm.capture(torch.tensor([prompt.ids]), [hook])[hook][0, prompt.position]


@pytest.mark.parametrize("hook", HOOKS)
def test_values_are_those_of_the_whole_text(known: tuple[LanguageModel, KnownClass], hook: str):
    lm, of_class = known
    states = of_class.states(lm, hook, n_tokens=N_TOKENS)
    for row in range(0, len(states.value_NW), 5):
        torch.testing.assert_close(states.value_NW[row], value_at(lm, states, row, hook), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("hook", HOOKS)
def test_changed_logits_and_gradients_are_those_of_the_whole_text(known: tuple[LanguageModel, KnownClass], hook: str):
    lm, of_class = known
    states = of_class.states(lm, hook, n_tokens=N_TOKENS)
    rows = states.rows(of_class.trained).tolist()[:7]
    value_BW = states.value_NW[list(reversed(range(len(rows))))].clone().requires_grad_()
    logits_BV = states.changed_logits(rows, value_BW)
    weights_BV = torch.randn(logits_BV.shape, generator=torch.Generator().manual_seed(0))
    (logits_BV * weights_BV).sum().backward()
    for b, row in enumerate(rows):
        prompt = states.tails.prompts[row]
        new_W = value_BW[b].detach().clone().requires_grad_()

        def put(value: Tensor, place: int = prompt.position, new: Tensor = new_W) -> Tensor:
            at = (torch.arange(value.shape[1]) == place)[None, :, None]
            return torch.where(at, new, value)

        expected_V = lm.unembed(lm.final_hidden(torch.tensor([prompt.ids]), replace={hook: put})[0, -1])
        (expected_V * weights_BV[b]).sum().backward()
        torch.testing.assert_close(logits_BV[b], expected_V, rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(value_BW.grad[b], new_W.grad, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("hook", ["hook_embed", HOOK, "blocks.1.hook_mlp_out"])
@pytest.mark.parametrize("reads_on", [True, False])
def test_changed_completions_are_those_of_the_whole_text(
    known: tuple[LanguageModel, KnownClass], hook: str, reads_on: bool, monkeypatch: pytest.MonkeyPatch
):
    lm, of_class = known
    monkeypatch.setattr(lm, "reads_on", lambda: reads_on)
    states = of_class.states(lm, hook, n_tokens=N_TOKENS)
    assert (states.past is not None) == reads_on
    rows = list(range(0, len(states.value_NW), 12))
    value_BW = states.value_NW[[len(states.value_NW) - 1 - row for row in rows]]
    found = states.changed_completions(rows, value_BW)
    for row, new_W, written in zip(rows, value_BW, found, strict=True):
        prompt = states.tails.prompts[row]
        assert written == plain_completion(lm, prompt.ids, prompt.position, hook, new_W)


def plainly_trained(
    lm: LanguageModel, states: PromptStates, sae: object, pairs: TrainPairs, schedule: Schedule
) -> Tensor:
    """The mask by its definition: whole texts through the whole model, pair by pair, one mask alone."""
    mask_F = torch.zeros(sae.cfg.d_sae, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([mask_F], lr=schedule.learning_rate)
    n = len(pairs.base_B)
    n_steps = schedule.n_epochs * -(-n // schedule.pairs_per_step)
    for step in range(n_steps):
        temperature = 10 ** (-4 * step / max(1, n_steps - 1))
        first = step % (n_steps // schedule.n_epochs) * schedule.pairs_per_step
        batch = range(first, min(first + schedule.pairs_per_step, n))
        loss = torch.zeros((), dtype=torch.float64)
        for place in batch:
            base, source = (states.tails.prompts[int(of[place])] for of in (pairs.base_B, pairs.source_B))
            x_base, x_source = (lm.capture(torch.tensor([p.ids]), [HOOK])[HOOK][0, p.position] for p in (base, source))
            m_F = torch.sigmoid(mask_F / temperature)
            new_D = sae.decode((1 - m_F) * sae.encode(x_base) + m_F * sae.encode(x_source))
            at = (torch.arange(len(base.ids)) == base.position)[None, :, None]
            hidden = lm.final_hidden(
                torch.tensor([base.ids]), replace={HOOK: lambda old, at=at, new=new_D: torch.where(at, new, old)}
            )
            target = pairs.target_B[place]
            loss = loss + torch.nn.functional.cross_entropy(lm.unembed(hidden[0, -1]), target) / len(batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return mask_F.detach()


@pytest.mark.parametrize("architecture", ["relu", "topk"])
def test_masks_trained_together_are_those_trained_plainly(architecture: str):
    """In float64, so that rounding cannot hide behind Adam's division by tiny gradients."""
    lm = tiny_model("llama")
    of_class = known_class(lm, num_pairs_per_attribute=5)
    lm = LanguageModel(lm.model.double(), lm.tokenizer, name=lm.name)
    sae = tiny_sae(architecture).double()
    states = of_class.states(lm, HOOK, n_tokens=N_TOKENS)
    schedule = Schedule(pairs_per_step=3, n_epochs=2, learning_rate=0.05)
    own = [train_pairs(of_class, states, split) for split in of_class.splits]
    own[1] = TrainPairs(own[1].base_B[:3], own[1].source_B[:3], own[1].target_B[:3])  # one that ends earlier
    latents = encode_entities(sae, states.value_NW)
    swaps = [LatentMask(latents, lm.device) for _ in own]
    for swap in swaps:
        swap.mask_F = swap.mask_F.detach().double().requires_grad_()
    train(swaps, own, states, schedule)
    for swap, pairs in zip(swaps, own, strict=True):
        expected_F = plainly_trained(lm, states, sae, pairs, schedule)
        assert float(expected_F.abs().max()) > 0.05
        # Adam divides by the size of the gradient: latents whose gradient is rounding noise are left out
        sure_F = expected_F.abs() > 1e-3
        torch.testing.assert_close(swap.mask_F.detach()[sure_F], expected_F[sure_F], rtol=1e-4, atol=1e-5)


def test_values_that_are_not_finite_name_the_hook(known: tuple[LanguageModel, KnownClass], monkeypatch):
    lm, of_class = known
    capture = lm.capture

    def overflowing(*args: Any, **options: Any) -> dict[str, Tensor]:
        return {name: torch.full_like(value, float("inf")) for name, value in capture(*args, **options).items()}

    monkeypatch.setattr(lm, "capture", overflowing)
    with pytest.raises(ModelError, match=f"activations at {HOOK} that are NaN or infinite"):
        of_class.states(lm, HOOK, n_tokens=N_TOKENS)
