"""Sparsities, the choice of latents, and scores against small tables worked out by hand."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from sae_bench.activations.batches import ActivationBatch
from sae_bench.custom_saes.interface import SparseCodes
from sae_bench.custom_saes.loading import Member
from sae_bench.datasets.multiple_choice import Question
from sae_bench.evals.unlearning import answers as maths
from sae_bench.evals.unlearning.answers import Answers
from sae_bench.evals.unlearning.control import NOTHING_CLAMPED, Control, control_settings
from sae_bench.evals.unlearning.eval_config import UnlearningEvalConfig
from sae_bench.evals.unlearning.known import KnownQuestions
from sae_bench.evals.unlearning.results import HELD_OUT, SCORE, answers_of, to_scores
from sae_bench.evals.unlearning.selection import Selection, Setting
from sae_bench.evals.unlearning.sparsity import ActiveCounter, count_active, select_latents
from sae_bench.results.references import describe_references


def test_active_tokens_are_counted_alike_for_sparse_and_dense_codes():
    dense = torch.relu(torch.randn(50, 12, generator=torch.Generator().manual_seed(0)))
    top = dense.topk(12, dim=1)
    sparse = SparseCodes(top.values, top.indices, 12)
    assert torch.equal(count_active(dense), count_active(sparse))
    assert torch.equal(count_active(dense), (dense != 0).sum(0))


def test_counters_give_shares_of_tokens():
    member = Member("a", "b", SimpleNamespace(cfg=SimpleNamespace(d_sae=3)), "hook")
    two = torch.ones(1, 2, dtype=torch.bool)
    batch = ActivationBatch((0,), torch.zeros(1, 2, dtype=torch.long), two, {})
    counter = ActiveCounter([member])
    for codes in (torch.tensor([[1.0, 0, 0], [2.0, 0, -1.0]]), torch.tensor([[1.0, 3.0, 0], [0, 0, 0]])):
        counter.on_activations(batch)
        counter.on_codes(batch, member, codes)
    assert counter.sparsity(member).tolist() == [0.75, 0.25, 0.25]
    counter.drop(member)
    assert counter.counts_F == {}


def test_latents_are_chosen_by_forget_share_below_the_retain_threshold():
    forget = torch.tensor([0.5, 0.2, 0.2, 0.0, 0.9, 0.3])
    retain = torch.tensor([0.01, 0.0, 0.0, 0.0, 0.5, 0.0099])
    assert select_latents(forget, retain, retain_threshold=0.01, n=10) == (5, 1, 2)  # at the threshold is too much
    assert select_latents(forget, retain, retain_threshold=0.02, n=2) == (0, 5)
    assert select_latents(forget, retain, retain_threshold=0.02, n=3) == (0, 5, 1)  # ties: the lower index
    assert select_latents(forget, retain, retain_threshold=1e-9, n=10) == (1, 2)


def table(rows: list[str], forget: str, side: str) -> Answers:
    def bits(text: str) -> torch.Tensor:
        return torch.tensor([c == "1" for c in text])

    return Answers(torch.stack([bits(row) for row in rows]), bits(forget), bits(side))


def test_score_is_the_best_setting_that_keeps_the_rest():
    answers = table(["1111" + "1111", "1100" + "1111", "0000" + "1110"], "11110000", "00001111")
    assert maths.unlearning_score(answers, 0.99) == 0.5
    assert maths.unlearning_score(answers, 0.75) == 1.0
    assert maths.best_setting(answers, 0.99) == 1
    assert maths.forgotten_at_best(answers, 0.99).tolist() == [0.0, 0.0, 1.0, 1.0]


def test_score_is_zero_where_no_setting_counts():
    answers = table(["0000" + "0111"], "11110000", "00001111")
    assert maths.unlearning_score(answers, 0.99) == 0.0
    assert maths.best_setting(answers, 0.99) is None
    assert maths.forgotten_at_best(answers, 0.99).tolist() == [0.0] * 4


def test_the_threshold_itself_counts():
    answers = table(["0" + "1" * 99 + "0"], "1" + "0" * 100, "0" + "1" * 100)
    assert maths.unlearning_score(answers, 0.99) == 1.0


def test_questions_of_neither_side_play_no_part():
    answers = table(["01" + "00" + "1"], "11000", "00001")
    assert maths.unlearning_score(answers, 0.99) == 0.5


def test_held_out_uses_the_setting_of_the_other_half():
    # setting 0 forgets the first half, setting 1 the second: each half chooses the one that fails on the other
    answers = table(["0011" + "11", "1100" + "11"], "111100", "000011")
    halves = torch.tensor([True, True, False, False, False, False])
    assert maths.unlearning_score(answers, 0.99) == 0.5
    assert maths.forgotten_held_out(answers, 0.99, halves).tolist() == [0.0, 0.0, 0.0, 0.0]
    same = table(["0101" + "11"], "111100", "000011")
    assert maths.forgotten_held_out(same, 0.99, halves).mean() == maths.unlearning_score(same, 0.99)


def test_halves_are_drawn_by_seed_and_dataset():
    forget = torch.tensor([True] * 21 + [False] * 4)
    first = maths.draw_halves(forget, dataset="a", seed=1)
    assert int(first.sum()) == 10
    assert not bool(first[~forget].any())
    assert torch.equal(first, maths.draw_halves(forget, dataset="a", seed=1))
    assert not torch.equal(first, maths.draw_halves(forget, dataset="a", seed=2))
    assert not torch.equal(first, maths.draw_halves(forget, dataset="b", seed=1))


def test_accuracy():
    correct = torch.tensor([[True, False, True], [False, False, True]])
    assert maths.accuracy(correct, torch.tensor([True, True, False])).tolist() == pytest.approx([0.5, 0.0])


def test_a_single_forget_question_has_no_halves_and_the_result_says_why():
    config = UnlearningEvalConfig(forget_dataset="a", dataset_names=["a", "b"], not_side_effects=[])
    questions = [Question(n, "?", ("x", "y", "z", "w"), 0) for n in range(3)]
    known = [KnownQuestions("a", "a", tuple(questions[:1]), {}), KnownQuestions("b", "b", tuple(questions[1:]), {})]
    selection = Selection(torch.zeros(3), torch.zeros(3), [Setting(0.01, 1, 5, (0,))])
    correct = torch.tensor([[False, True, True]])
    scores = to_scores(selection, known, correct, torch.ones(3, dtype=torch.bool), config=config, seeds=(0, 1))
    assert scores.metrics.unlearning.unlearning_score == 1.0
    assert set(scores.not_computed) == {"eval_result_metrics.unlearning.unlearning_score_held_out"}
    assert [result.metrics[HELD_OUT] for result in scores.seed_results] == [None, None]


# ---- floor, ceiling, control


def config_and_questions(n_forget=4, n_keep=3):
    config = UnlearningEvalConfig(forget_dataset="a", dataset_names=["a", "b"], not_side_effects=[])
    asked = [Question(n, "?", ("x", "y", "z", "w"), 0) for n in range(n_forget + n_keep)]
    return config, [
        KnownQuestions("a", "a", tuple(asked[:n_forget]), {}),
        KnownQuestions("b", "b", tuple(asked[n_forget:]), {}),
    ]


def settings_of(*latents):
    return [Setting(0.01, len(of), multiplier, of) for of in latents for multiplier in (25, 100)]


def described(selection, correct_GQ, control=None, control_GQ=None):
    config, known = config_and_questions()
    untouched_Q = torch.ones(7, dtype=torch.bool)
    scores = to_scores(
        selection, known, correct_GQ, untouched_Q, config=config, seeds=(0, 1), control=control, control_GQ=control_GQ
    )
    return describe_references(scores.references, scores.samples, {SCORE: (0.0, 1.0)})


def test_no_clamp_is_the_floor_and_random_latents_are_subtracted():
    selection = Selection(torch.ones(3), torch.zeros(3), settings_of((0,)))
    all_forgotten = torch.tensor([[False] * 4 + [True] * 3] * 2)
    untouched = torch.ones(1, 7, dtype=torch.bool)
    for path, beside in described(selection, all_forgotten, Control(()), untouched).items():
        assert (beside.floor.value, beside.ceiling.value, beside.above_floor.value) == (0.0, 1.0, 1.0), path
        assert (beside.control.value, beside.score_minus_control.value) == (0.0, 1.0)
    nothing_forgotten = torch.ones(2, 7, dtype=torch.bool)
    score = described(selection, nothing_forgotten)[SCORE]
    assert score.above_floor.value == 0.0
    assert score.control is None


def test_where_nothing_was_clamped_nothing_stands_above_a_floor():
    selection = Selection(torch.zeros(3), torch.zeros(3), settings_of((), ()))
    correct_GQ = torch.ones(4, 7, dtype=torch.bool)
    config, known = config_and_questions()
    control = control_settings(selection, answers_of(correct_GQ, known, config), 0.99)
    assert control == Control((), NOTHING_CLAMPED)
    for beside in described(selection, correct_GQ, control).values():
        assert (beside.above_floor.value, beside.above_floor.reason) == (None, NOTHING_CLAMPED)
        assert (beside.score_minus_control.value, beside.score_minus_control.reason) == (None, NOTHING_CLAMPED)


def test_a_control_has_the_settings_that_forget_most_and_other_latents_that_are_as_active():
    rates_F = torch.linspace(0, 1, 200).double()
    forget_F, retain_F = rates_F.clone(), rates_F.clone()
    forget_F[100], retain_F[100] = 2 * rates_F[100], 0.0  # as active as its neighbours, on the topic alone
    selection = Selection(forget_F, retain_F, settings_of((100,), (100, 3)))
    correct_GQ = torch.ones(4, 7, dtype=torch.bool)
    correct_GQ[3, :4] = False
    correct_GQ[2, :7] = False  # with side effects
    config, known = config_and_questions()
    control = control_settings(selection, answers_of(correct_GQ, known, config), 0.99)
    (setting,) = control.settings  # a quarter of four
    assert (setting.n_features, setting.multiplier) == (2, 100)
    assert not set(setting.latents) & {0, 3, 100}
    assert (rates_F[list(setting.latents)] - rates_F[[100, 3]]).abs().max() < 0.12  # 20 of 200 neighbours
    few = Selection(torch.tensor([0.5, 0.0, 0.0]).double(), torch.zeros(3).double(), settings_of((0,)))
    assert "only 0 are active" in control_settings(few, answers_of(correct_GQ[2:], known, config), 0.99).reason
