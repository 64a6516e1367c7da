"""The floor and the ceiling of autointerp: a judge that finds planted words at 1, one that reads nothing at 0."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from autointerp_judges import WordJudge, reply_to

from sae_bench.evals.autointerp.eval_config import AutoInterpEvalConfig
from sae_bench.evals.autointerp.evaluate import AutoInterpJob
from sae_bench.evals.autointerp.examples import Corpus, Example, LatentExamples
from sae_bench.evals.autointerp.floors import answers_of_no_reader, with_other_explanations
from sae_bench.evals.autointerp.judging import Judgement
from sae_bench.evals.autointerp.results import Findings, to_scores
from sae_bench.evals.base import EvalContext, Scores
from sae_bench.judges import CachedJudge, Question, Reply, ReplyCache, YesOrNo
from sae_bench.judges.interface import Deliver
from sae_bench.results.model import MetricValidity
from sae_bench.results.references import describe_references
from sae_bench.testing import tiny_model

LM = tiny_model()
N_LATENTS, WORDS = 8, "QXZJKVWG"
CORPUS = Corpus(torch.zeros(1, 4, dtype=torch.long), LM.tokenizer)


def example(position: int, word: str = "") -> Example:
    """A window of its own, and behind it a word on which the latent is active."""
    plain, own = (LM.tokenizer(text, add_special_tokens=False)["input_ids"] for text in (f"{position} the", word))
    values = (0.0,) * len(plain) + (1.0,) * len(own)
    return Example(position, "top" if word else "random", (*plain, *own), values, 0.5)


def examples_of(latent: int, n_active: int = 4, n_others: int = 10) -> LatentExamples:
    """Windows with the latent's own word, and windows with none."""
    first = 100 * latent
    own = [example(first + n, WORDS[latent]) for n in range(n_active)]
    others = [example(5000 + first + n) for n in range(n_others)]
    return LatentExamples(latent, tuple(own), (*own, *others))


class NoReader(WordJudge):
    """Explains, and then answers the same whatever it is asked."""

    identity: ClassVar[dict[str, str]] = {"kind": "test", "model": "no reader"}

    def answer(self, questions: Sequence[Question], deliver: Deliver) -> None:
        for place, question in enumerate(questions):
            self.asked.append(question)
            if isinstance(question.form, YesOrNo):
                deliver(place, Reply(None, 10, 1, "length", log_odds=0.0))
            else:
                deliver(place, Reply(reply_to(question) if question.form is None else "None", 10, 2, "stop"))


def judged(judge: WordJudge, folder: Path, *, controls: bool = True, **settings: Any) -> Scores:
    config = AutoInterpEvalConfig(n_latents=N_LATENTS, embeddings="none", **settings)
    context = EvalContext(LM, ("hook_embed",), (1,), controls=controls)
    cached = CachedJudge(judge, ReplyCache(folder))
    job = AutoInterpJob(context, config, rows_RL=torch.zeros(1, 4, dtype=torch.long), judge=cached)
    density = dict.fromkeys(range(N_LATENTS), 0.01)
    findings = Findings("sae", list(range(N_LATENTS)), N_LATENTS, density)
    findings.examples = {(1, latent): examples_of(latent) for latent in range(N_LATENTS)}
    job.judge_findings([findings])
    return to_scores(findings, CORPUS, config, (1,))


def validity(scores: Scores) -> dict[str, MetricValidity]:
    described = describe_references(scores.references, scores.samples, {})
    return {path.split(".")[1]: of for path, of in described.items()}


@pytest.mark.parametrize("scoring", ["list", "logprob"])
def test_a_judge_that_finds_every_planted_word_is_at_the_ceiling(scoring: str, tmp_path: Path) -> None:
    described = validity(judged(WordJudge(), tmp_path, judge_scoring=scoring))
    names = {"autointerp_score", "balanced_accuracy"} if scoring == "list" else {"logprob_auc"}
    assert set(described) == names
    for name, beside in described.items():
        assert beside.floor is not None
        assert "another latent's explanation" in beside.floor.name
        # no latent's word is in another's windows: with another explanation every answer is None, all log-odds equal
        assert beside.floor.value == pytest.approx(10 / 14 if name == "autointerp_score" else 0.5)
        assert beside.above_floor.value == pytest.approx(1.0)


@pytest.mark.parametrize("scoring", ["list", "logprob"])
def test_a_judge_that_reads_nothing_is_at_the_floor(scoring: str, tmp_path: Path) -> None:
    for name, beside in validity(judged(NoReader(), tmp_path, judge_scoring=scoring)).items():
        assert beside.above_floor.value == pytest.approx(0.0, abs=1e-6), name


@pytest.mark.parametrize(("scoring", "questions", "more"), [("list", 16, 4), ("logprob", 8 * 15, 2 * 14)])
def test_the_floor_takes_at_most_a_quarter_more_questions(scoring: str, questions: int, more: int, tmp_path: Path):
    with_floor, without = WordJudge(), WordJudge()
    scores = judged(with_floor, tmp_path / "a", judge_scoring=scoring)
    plain = judged(without, tmp_path / "b", judge_scoring=scoring, controls=False)
    assert (len(without.asked), len(with_floor.asked)) == (questions, questions + more)
    assert with_floor.asked[: len(without.asked)] == without.asked
    counted = scores.metrics.model_dump()["autointerp"], plain.metrics.model_dump()["autointerp"]
    assert counted[0]["judge_tokens_for_floor"] > counted[1]["judge_tokens_for_floor"] == 0
    assert {**counted[0], "judge_tokens_for_floor": 0} == counted[1]


def test_without_controls_the_floor_is_an_answer_that_reads_nothing(tmp_path: Path) -> None:
    described = validity(judged(WordJudge(), tmp_path, controls=False))
    floor = described["autointerp_score"].floor
    assert floor is not None
    assert (floor.name, floor.value) == ("answering None", pytest.approx(10 / 14))
    named = {other.name: other.value for other in described["autointerp_score"].others}
    assert named["naming at random as many as are active"] == pytest.approx(116 / 196)


def test_answers_that_read_nothing_follow_from_the_examples() -> None:
    """4 of 14: 0.714 and 0.592; other settings give others."""
    blind = answers_of_no_reader({(1, 0): examples_of(0), (1, 1): examples_of(1, 6, 6)})
    assert blind["answering None"] == pytest.approx({(1, 0): 10 / 14, (1, 1): 0.5})
    assert blind["naming at random as many as are active"] == pytest.approx({(1, 0): 0.5918, (1, 1): 0.5}, abs=1e-4)


def test_balanced_accuracy_is_one_half_for_every_answer_that_reads_nothing() -> None:
    everything, nothing = list(range(1, 15)), list[int]()
    for prediction, expected in ((everything, 0.5), (nothing, 0.5), ([1, 2, 3, 4], 1.0), ([1, 2, 5], 0.7)):
        judgement = Judgement(examples_of(0), prediction=prediction)
        assert judgement.balanced_accuracy == pytest.approx(expected)
    assert Judgement(examples_of(0, 0, 3), prediction=[1]).balanced_accuracy is None


def test_no_latent_keeps_its_own_explanation_and_seeds_are_not_mixed() -> None:
    judgements = {
        (seed, latent): Judgement(examples_of(latent), explanation=f"{seed} {latent}")
        for seed in (1, 2)
        for latent in range(4)
    }
    judgements[1, 2].unanswered = "refused"
    again = with_other_explanations(judgements, "list")
    assert {case: of.explanation for case, of in again.items()} == {(1, 0): "1 1", (2, 0): "2 1", (2, 2): "2 3"}
    assert all(again[case].examples is judgements[case].examples for case in again)
