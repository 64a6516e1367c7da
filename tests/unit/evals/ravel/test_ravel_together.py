"""SAEs of a group are masked together: each gets what it gets alone."""

from __future__ import annotations

import logging

import pytest
import torch
from ravel_tiny import HOOK, N_TOKENS, SETTINGS, known_class

from sae_bench.custom_saes.loading import Member
from sae_bench.evals.base import EvalContext
from sae_bench.evals.ravel import evaluate
from sae_bench.evals.ravel.entity_class import train_masks
from sae_bench.evals.ravel.eval_config import RAVELEvalConfig
from sae_bench.evals.ravel.evaluate import RAVELJob, latent_masks
from sae_bench.evals.ravel.states import PromptStates
from sae_bench.language_models import LanguageModel
from sae_bench.testing.tiny_models import tiny_model, tiny_sae

SEEDS = (42, 43)
ARCHITECTURES = ("topk", "relu", "identity")
ROUNDING = {"rtol": 1e-4, "atol": 1e-6}
"""A product of more rows adds up in another order, and Adam's first steps enlarge small gradients."""


@pytest.fixture(scope="module")
def llama() -> LanguageModel:
    return tiny_model("llama")


def member_of(architecture: str) -> Member:
    return Member("tiny", architecture, tiny_sae(architecture), HOOK)


def job_on(lm: LanguageModel, **settings: object) -> RAVELJob:
    config = RAVELEvalConfig(**{**SETTINGS, **settings})
    return RAVELJob(EvalContext(lm, (HOOK,), SEEDS), config, [known_class(lm, SEEDS)])


def test_no_mask_sees_the_pairs_of_another(llama: LanguageModel):
    job = job_on(llama)
    known = job.known[0]
    states = known.states(llama, HOOK, n_tokens=N_TOKENS)
    makes = [latent_masks(member_of(name)) for name in ARCHITECTURES]
    together = train_masks(known, states, makes, job.schedule)
    for make, masks in zip(makes, together, strict=True):
        for mask, alone in zip(masks, train_masks(known, states, [make], job.schedule)[0], strict=True):
            assert mask.mask_F.abs().max() > 0
            torch.testing.assert_close(mask.mask_F, alone.mask_F, **ROUNDING)


def test_masks_trained_in_half_precision_are_near_those_of_full_precision(llama: LanguageModel):
    """Gradients of bfloat16 have 8 bits; Adam's steps are of one size, so that single latents may go another way."""
    make, masks = latent_masks(member_of("identity")), []
    job = job_on(llama, num_epochs=6)
    other = tiny_model("llama")
    halved = LanguageModel(other.model.to(torch.bfloat16), other.tokenizer, name="halved")
    for lm in (llama, halved):
        states = job.known[0].states(lm, HOOK, n_tokens=N_TOKENS)
        masks.append(
            torch.stack([m.mask_F.detach() for m in train_masks(job.known[0], states, [make], job.schedule)[0]])
        )
    alike = torch.nn.functional.cosine_similarity(*(mask.flatten() for mask in masks), dim=0)
    assert alike > 0.8


@pytest.mark.parametrize("train_mdas", [False, True])
def test_a_group_scores_as_its_saes_do_alone_in_fewer_passes(llama: LanguageModel, monkeypatch, train_mdas: bool):
    passes: list[int] = []
    complete = PromptStates.changed_completions

    def counted(self, rows, value_BW):
        passes.append(len(rows))
        return complete(self, rows, value_BW)

    monkeypatch.setattr(PromptStates, "changed_completions", counted)
    members = [member_of(name) for name in ARCHITECTURES]
    job = job_on(llama, train_mdas=train_mdas)
    job.requests(members)
    together = [job.score(member) for member in reversed(members)]
    assert len(passes) == 2  # the references of the hook, then all masks and their controls
    for member, scores in zip(reversed(members), together, strict=True):
        alone = job_on(llama, train_mdas=train_mdas).score(member)
        assert scores.metrics == alone.metrics
        assert list(scores.details) == list(alone.details)
        assert scores.unstructured == alone.unstructured
        for path, samples in alone.samples.items():
            torch.testing.assert_close(scores.samples[path].values_SU, samples.values_SU, equal_nan=True)
        for path, beside in alone.references.items():
            control, expected = scores.references[path].control, beside.control
            assert (control.name, control.reason) == (expected.name, expected.reason)
            if expected.measured is not None:
                torch.testing.assert_close(control.measured.values_SU, expected.measured.values_SU, equal_nan=True)


def test_the_fault_of_one_sae_is_its_own(llama: LanguageModel, caplog):
    broken = member_of("relu")
    broken.sae.decode = lambda _codes: (_ for _ in ()).throw(ValueError("no decoder today"))
    members = [member_of("topk"), broken, member_of("identity")]
    job = job_on(llama)
    job.requests(members)
    with caplog.at_level(logging.WARNING):
        first = job.score(members[0])
    assert "one after the other" in caplog.text
    with pytest.raises(ValueError, match="no decoder today"):
        job.score(broken)
    assert first.metrics == job_on(llama).score(members[0]).metrics
    assert job.score(members[2]).metrics == job_on(llama).score(members[2]).metrics


def test_without_room_every_sae_is_alone(llama: LanguageModel, monkeypatch):
    members = [member_of(name) for name in ARCHITECTURES]
    monkeypatch.setattr(evaluate, "BYTES_TOGETHER", 1)
    job = job_on(llama)
    job.requests(members)
    for member in members:
        assert job.score(member).metrics == job_on(llama).score(member).metrics
