"""What RAVEL stands beside: no change, the mean and the whole activation, masks of random latents."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from ravel_tiny import HOOK, N_TOKENS, SETTINGS, known_class, plain_completion, write_files

from sae_bench.custom_saes.loading import Member
from sae_bench.evals.base import EvalContext
from sae_bench.evals.ravel.completions import decode
from sae_bench.evals.ravel.control import BEST, MEAN, UNTOUCHED, WHOLE, Unchosen, control_masks, references_of
from sae_bench.evals.ravel.correctness import is_correct
from sae_bench.evals.ravel.entity_class import (
    KnownClass,
    score,
    score_untouched,
    score_whole_and_mean,
)
from sae_bench.evals.ravel.eval_config import RAVELEvalConfig
from sae_bench.evals.ravel.evaluate import RAVELJob
from sae_bench.evals.ravel.outcomes import CAUSE, DISENTANGLEMENT, ISOLATION, Outcome, best_place, samples
from sae_bench.evals.ravel.states import PromptStates
from sae_bench.evals.ravel.swaps import LatentMask, MeanActivation, RotatedMask, encode_entities
from sae_bench.language_models import LanguageModel
from sae_bench.results.references import describe_references
from sae_bench.testing.tiny_models import tiny_model, tiny_sae

SEEDS = (42, 43)


@pytest.fixture(scope="module")
def llama() -> LanguageModel:
    return tiny_model("llama")


@pytest.fixture(scope="module")
def known(llama: LanguageModel) -> KnownClass:
    return known_class(llama, SEEDS)


@pytest.fixture(scope="module")
def states(llama: LanguageModel, known: KnownClass) -> PromptStates:
    return known.states(llama, HOOK, n_tokens=N_TOKENS)


@pytest.fixture(scope="module")
def unchosen(known: KnownClass, states: PromptStates) -> Unchosen:
    return Unchosen(*score_whole_and_mean(known, states), score_untouched(known))


def test_the_mean_activation_is_the_same_for_every_pair(llama: LanguageModel, known: KnownClass, states, unchosen):
    """Against one full forward of the whole text per token."""
    mean_D = torch.stack([states.value_NW[row] for row in range(len(states.value_NW))]).mean(dim=0)
    outcome = unchosen.mean[0]
    for pair, right in zip(outcome.pairs[:6], outcome.right_B[:6].tolist(), strict=True):
        base, source = (known.known[number].prompt for number in (pair.base, pair.source))
        said = decode(llama, [plain_completion(llama, base.ids, base.position, HOOK, mean_D)])[0]
        assert right == is_correct(base.question.text, (source if pair.is_cause else base).question.value, said)
    assert MeanActivation(states.value_NW).mixed(torch.tensor([0, 1]), torch.tensor([2, 3]), None).shape == (2, 32)


def test_no_intervention_is_an_empty_mask_of_the_identity(llama: LanguageModel, known: KnownClass, states, unchosen):
    mask = LatentMask(encode_entities(tiny_sae("identity"), states.value_NW), llama.device)
    for outcome, expected in zip(unchosen.untouched, score(known, states, [mask] * len(known.splits)), strict=True):
        assert outcome.right_B.tolist() == expected.right_B.tolist()
        assert outcome.isolation == 1.0


def test_pairs_that_count_without_any_change_are_left_out(known: KnownClass, unchosen: Unchosen):
    for outcome in unchosen.untouched:
        aided = outcome.aided_B.tolist()
        assert not (outcome.cause_B & outcome.right_B & ~outcome.aided_B).any()
        assert not (outcome.aided_B & ~outcome.cause_B).any()
        rest = outcome.unaided()
        assert rest.pairs == tuple(p for p, is_aided in zip(outcome.pairs, aided, strict=True) if not is_aided)
        assert rest.cause in (0.0, None)
        assert rest.isolation == outcome.isolation
    first = unchosen.patched[0]
    place = first.cause_B.nonzero()[0].item()
    pair = first.pairs[place]
    value = known.known[pair.source].prompt.question.value
    for change in ({"completion": f" {value}"}, {"entity": f"{value.upper()} City"}):
        changed = list(known.known)
        base = changed[pair.base]
        if "completion" in change:
            changed[pair.base] = replace(base, completion=change["completion"])
        else:
            question = replace(base.prompt.question, **change)
            changed[pair.base] = replace(base, prompt=replace(base.prompt, question=question))
        assert replace(first, known=changed).aided_B[place]


def outcome_of(outcomes: list[Outcome]) -> dict:
    return samples([[outcome for outcome in outcomes if outcome.seed == seed] for seed in SEEDS])


def test_ceilings_stand_at_one_and_floors_at_zero(unchosen: Unchosen):
    references = references_of(SEEDS, unchosen, None, "")
    best = best_place(unchosen.patched, unchosen.untouched)
    at_best = describe_references(references, outcome_of(best), {})
    at_floor = describe_references(references, outcome_of(unchosen.mean), {})
    names = {CAUSE: WHOLE, ISOLATION: UNTOUCHED, DISENTANGLEMENT: BEST}
    for path, name in names.items():
        assert (at_best[path].floor.name, at_best[path].ceiling.name) == (MEAN, name)
        assert at_best[path].control is None
        if at_best[path].above_floor.value is not None:  # floor and ceiling can be told apart
            assert at_best[path].above_floor.value == pytest.approx(1.0, abs=1e-6)
            assert at_floor[path].above_floor.value == pytest.approx(0.0, abs=1e-6)
    assert at_best[ISOLATION].above_floor.value is not None
    assert at_best[ISOLATION].ceiling.value == 1.0


# ---- control


def masks_of(known: KnownClass, states: PromptStates, n_chosen: int) -> list[LatentMask]:
    latents = encode_entities(tiny_sae("topk"), states.value_NW)
    masks = []
    for number, _ in enumerate(known.splits):
        mask = LatentMask(latents, torch.device("cpu"))
        live = torch.cat(list(latents.parts())).ne(0).any(dim=0).nonzero()[:, 0]
        mask.mask_F = torch.full((latents.n_latents,), -0.5)
        mask.mask_F[live[number : number + n_chosen]] = 0.5
        masks.append(mask)
    return masks


def test_a_control_takes_over_as_many_other_live_latents(known: KnownClass, states: PromptStates):
    masks = masks_of(known, states, 8)
    active_F = torch.cat(list(masks[0].latents.parts())).ne(0).any(dim=0)
    drawn, reason = control_masks(known, masks)
    assert reason == ""
    chosen = [set((control.mask_F > 0).nonzero()[:, 0].tolist()) for control in drawn]
    for mask, control, of_control in zip(masks, drawn, chosen, strict=True):
        assert control.n_chosen == mask.n_chosen == 8
        assert not of_control & set((mask.mask_F > 0).nonzero()[:, 0].tolist())
        assert active_F[control.mask_F > 0].all()
    assert len({tuple(sorted(of)) for of in chosen}) > 1
    assert all(a.mask_F.equal(b.mask_F) for a, b in zip(drawn, control_masks(known, masks)[0], strict=True))


def test_why_there_is_no_control_is_said(known: KnownClass, states: PromptStates):
    drawn, reason = control_masks(known, masks_of(known, states, 40))
    assert drawn == []
    assert "besides" in reason
    assert control_masks(known, [RotatedMask(states.value_NW)] * len(known.splits)) == (
        [],
        "no mask over latents was trained",
    )


def test_a_dense_and_a_sparse_code_have_the_same_parts(states: PromptStates):
    sae = tiny_sae("topk")
    latents = encode_entities(sae, states.value_NW)
    torch.testing.assert_close(torch.cat(list(latents.parts())), sae.encode(states.value_NW))


# ---- the whole eval


@pytest.fixture(scope="module")
def files(llama: LanguageModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_files(tmp_path_factory.mktemp("ravel"), llama)


def scored(lm: LanguageModel, files: Path, architecture: str = "topk", *, controls: bool = True, **settings: object):
    config = RAVELEvalConfig(**{**SETTINGS, "dataset_name": str(files), "model_name": "tiny", **settings})
    job = RAVELJob(EvalContext(lm, (HOOK,), SEEDS, controls=controls), config)
    return job.score(Member("tiny", architecture, tiny_sae(architecture), HOOK))


def test_controls_change_no_score_and_can_be_left_out(llama: LanguageModel, files: Path):
    with_controls, without = (scored(llama, files, controls=controls) for controls in (True, False))
    assert with_controls.metrics == without.metrics
    assert list(with_controls.details) == list(without.details)
    assert with_controls.references.keys() == {CAUSE, ISOLATION, DISENTANGLEMENT}
    for path, beside in with_controls.references.items():
        assert without.references[path].control is None
        assert beside.control.measured is not None or beside.control.reason
        assert beside.floor.measured.key == beside.ceiling.measured.key == with_controls.samples[path].key
        assert {other.name for other in beside.others} | {beside.ceiling.name} >= {WHOLE, UNTOUCHED}


def test_strict_and_unaided_scores_stand_beside_the_published_ones(llama: LanguageModel, files: Path):
    scores = scored(llama, files)
    metrics = scores.metrics.ravel
    assert metrics.strict_cause_score <= metrics.cause_score
    assert metrics.strict_isolation_score <= metrics.isolation_score
    expected = (metrics.strict_cause_score + metrics.strict_isolation_score) / 2
    assert metrics.strict_disentanglement_score == pytest.approx(expected)
    for row in scores.details:
        assert row.n_train_steps >= 1
        assert 0 <= row.n_aided_pairs <= row.n_cause_pairs


@pytest.mark.parametrize(("steps", "has_power"), [({"llm_batch_size": 1, "num_epochs": 4}, True), ({}, False)])
def test_too_few_pairs_or_steps_are_told(llama: LanguageModel, files: Path, steps: dict, has_power: bool):
    scores = scored(llama, files, **steps)
    few = min(min(row.n_cause_pairs, row.n_isolation_pairs) for row in scores.details)
    n_steps = min(row.n_train_steps for row in scores.details)
    told = any(warning.startswith("no power") for warning in scores.warnings)
    assert told == (few < 10 or n_steps < 20)
    assert told or has_power
