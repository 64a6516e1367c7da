"""The eval as a whole through the runner: a planted topic, seeds, order of SAEs, and plain refusals."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import torch
from pydantic import ValidationError
from tiny_runs import HOOK, handle, read
from torch import Tensor
from unlearning_plain import plain_scores, questions, with_model_answers

from sae_bench.activations.one_pass import PassOptions, run_pass
from sae_bench.custom_saes.loading import Member
from sae_bench.custom_saes.spec import SAEHandle
from sae_bench.datasets.multiple_choice import EVERYDAY, GEOGRAPHY, Question
from sae_bench.errors import DatasetError, PrerequisiteError, UsageError
from sae_bench.evals.base import EvalContext
from sae_bench.evals.registry import get_eval
from sae_bench.evals.unlearning import corpora
from sae_bench.evals.unlearning.clamping import Clamp
from sae_bench.evals.unlearning.eval_config import UnlearningEvalConfig
from sae_bench.evals.unlearning.eval_output import UnlearningEvalOutput
from sae_bench.evals.unlearning.evaluate import UnlearningJob
from sae_bench.evals.unlearning.formats import AnswerReader, make_reader
from sae_bench.evals.unlearning.main import command, run_eval, run_eval_single_sae
from sae_bench.evals.unlearning.prompts import Ask
from sae_bench.evals.unlearning.spec import SPEC
from sae_bench.language_models import LanguageModel
from sae_bench.results.model import config_fields
from sae_bench.results.samples import Samples
from sae_bench.run.planning import load_context, make_config, resolve_config
from sae_bench.run.runner import EvalRequest, RunPlan, run
from sae_bench.testing.tiny_models import tiny_sae

pytestmark = pytest.mark.slow

BOUND = 2e-4
"""Log-likelihoods closer than this may change places by rounding, float32."""
TOPIC = "Q"
"""The planted topic is a letter that no other text has."""
MULTIPLIER = 50
"""With the topic's latent at minus this, the model answers every question on the topic in another way."""


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def without_topic(lm: LanguageModel, reader: AnswerReader, n: int) -> list[Question]:
    """Questions with the model's own answers."""
    asked = [Question(q.index, q.text.replace("Question ", "No. "), q.choices, 0) for q in questions(n)]
    return with_model_answers(lm, reader, asked)


def on_topic(lm: LanguageModel, reader: AnswerReader, n: int) -> list[Question]:
    """Questions that name the topic and that the model answers in another way without it, with its own answers."""
    found: list[Question] = []
    sae, clamp = Planted(lm), Clamp((0,), float(MULTIPLIER))
    for q in questions(40 * n):
        (about,) = with_model_answers(lm, reader, [Question(q.index, q.text + f" {TOPIC}" * 16, q.choices, 0)])
        clamped = plain_scores(lm, reader, Ask(about, "words"), sae, clamp)
        if clamped[about.answer] < max(clamped):
            found.append(about)
        if len(found) == n:
            return found
    raise AssertionError("the topic does not matter to this model")


@pytest.fixture(scope="session")
def settings(lm: LanguageModel, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Files of questions that the tiny model knows, with and without the topic, and both corpora."""
    folder = tmp_path_factory.mktemp("unlearning")
    reader = make_reader(lm, "cloze", "plain")
    names = {}
    for name, asked in (("forget", on_topic(lm, reader, 12)), ("keep", without_topic(lm, reader, 8))):
        rows = [{"question": q.text, "choices": q.choices, "answer": q.answer} for q in asked]
        names[name] = write(folder / f"{name}.jsonl", rows)
    texts = [
        f"the {word} number {i} and the water of a river in the city of the cat" for i in range(30) for word in "ab"
    ]
    return {
        "dataset_names": [names["forget"], names["keep"]],
        "forget_dataset": names["forget"],
        "forget_corpus": write(folder / "topic.jsonl", [{"text": f"{text} {TOPIC} {TOPIC}"} for text in texts]),
        "retain_corpus": write(folder / "rest.jsonl", [{"text": text} for text in texts]),
        "answer_format": "cloze",
        "seq_len": 64,
        "dataset_size": 8,
        "n_features_list": [1, 2],
        "multipliers": [5, MULTIPLIER],
    }


class Planted:
    """An SAE at the embedding whose latent 0 is active on the topic's tokens and nowhere else.

    Its latents 1 to 3 are active on one of `elsewhere` each, if these are given; else the last one is always active.
    """

    def __init__(self, lm: LanguageModel, elsewhere: Sequence[int] = ()) -> None:
        self.elsewhere_TD = lm.embedding.weight[list(elsewhere)]
        ids = {lm.tokenizer(text, add_special_tokens=False)["input_ids"][-1] for text in (TOPIC, f" {TOPIC}")}
        self.topic_TD = lm.embedding.weight[list(ids)]
        rows_FD = torch.randn(4, 32, generator=torch.Generator().manual_seed(3))
        self.W_dec = rows_FD / rows_FD.norm(dim=1, keepdim=True)
        self.cfg = SimpleNamespace(d_in=32, d_sae=4, hook_name="hook_embed", model_name="tiny-gpt2", hook_layer=0)

    def encode(self, x: Tensor) -> Tensor:
        is_topic = (torch.cdist(x.reshape(-1, 32), self.topic_TD) < 1e-3).any(dim=1).view(x.shape[:-1])
        codes = torch.zeros(*x.shape[:-1], 4)
        codes[..., 0] = is_topic.float()
        if len(self.elsewhere_TD):
            codes[..., 1:] = (torch.cdist(x, self.elsewhere_TD) < 1e-3).float()
        else:
            codes[..., 3] = 1.0  # active everywhere: never chosen
        return codes

    def decode(self, f: Tensor) -> Tensor:
        return f @ self.W_dec


def planted(lm: LanguageModel) -> SAEHandle:
    return handle("planted", hook="hook_embed", load=lambda _context: Planted(lm))


def plan(lm: LanguageModel, values: dict[str, Any], handles: list[SAEHandle], out: Path, **changes: Any) -> RunPlan:
    config = make_config(SPEC, {"model_name": lm.name, "llm_dtype": "float32", **values})
    return RunPlan(
        lm=lm,
        evals=[EvalRequest(SPEC, config)],
        handles=handles,
        output_folder=out,
        load_context=load_context(lm),
        pass_options=PassOptions(max_tokens=256),
        **changes,
    )


def test_a_planted_topic_is_unlearned_without_side_effects(lm, settings, tmp_path):
    summary = run(plan(lm, settings, [planted(lm)], tmp_path, seeds=(42, 43)))
    assert summary.failures == []
    result = read(summary.written[0])
    metrics = result["eval_result_metrics"]["unlearning"]
    assert metrics["unlearning_score"] == 1.0
    beside = result["validity"]["unlearning.unlearning_score"]
    assert (beside["floor"]["value"], beside["above_floor"]["value"]) == (0.0, 1.0)
    assert beside["score_minus_control"]["value"] == 1.0 - beside["control"]["value"]  # latent 3 in its place
    rows = result["eval_result_details"]
    assert len(rows) == 2 * 2 * 2
    assert all(row["side_effect_accuracy"] == 1.0 and row["counts"] for row in rows)
    assert all(row["n_clamped"] == 1 for row in rows)  # latent 3 is active on every retain token
    assert metrics["unlearning_score"] == pytest.approx(1 - min(row["forget_accuracy"] for row in rows))
    unstructured = result["eval_result_unstructured"]
    assert [latent["latent"] for latent in unstructured["latents"]["0.001"]] == [0]
    assert unstructured["latents"]["0.001"][0]["retain"] == 0.0
    asked = unstructured["questions"][settings["forget_dataset"]]
    assert asked["counts"]["questions"] == 12
    assert asked["counts"]["correct"] == len(asked["asked"]) == 12
    assert asked["accuracy_without_clamp"] == 1.0
    assert [r["seed"] for r in result["seed_results"]] == [42, 43]
    held_out = [r["metrics"]["unlearning.unlearning_score_held_out"] for r in result["seed_results"]]
    assert metrics["unlearning_score_held_out"] == pytest.approx(sum(held_out) / 2)
    UnlearningEvalOutput.model_validate_json(summary.written[0].read_text())


def test_the_latent_of_the_topic_is_at_the_ceiling_and_its_control_at_zero(lm, settings, tmp_path):
    """Latents that are as active, on tokens that no question has, change no answer."""
    corpora = [json.loads(line)["text"] for line in Path(settings["retain_corpus"]).read_text().splitlines()]
    asked = [json.loads(line) for name in settings["dataset_names"] for line in Path(name).read_text().splitlines()]
    in_questions = [text for row in asked for text in (row["question"], *row["choices"])]
    of_corpora, of_questions = (
        {token for prefix in ("", " ") for text in texts for token in lm.tokenizer(f"{prefix}{text}")["input_ids"]}
        for texts in (corpora, in_questions)
    )
    elsewhere = sorted(of_corpora - of_questions)[:3]
    assert len(elsewhere) == 3
    sae = handle("planted", hook="hook_embed", load=lambda _context: Planted(lm, elsewhere))
    values = {**settings, "n_features_list": [1], "retain_thresholds": [1e-4]}
    summary = run(plan(lm, values, [sae], tmp_path, seeds=(42, 43)))
    beside = read(summary.written[0])["validity"]["unlearning.unlearning_score"]
    assert beside["floor"]["value"] == beside["control"]["value"] == 0.0
    assert beside["above_floor"]["value"] == beside["score_minus_control"]["value"] == beside["ceiling"]["value"] == 1.0


def test_the_whole_grid_is_that_of_one_row_and_one_question_at_a_time(lm, settings):
    grid = {"retain_thresholds": [0.1, 0.5], "n_features_list": [4], "multipliers": [2, 20]}
    config = UnlearningEvalConfig(**{**settings, **grid})
    sae = tiny_sae("topk", hook_name=HOOK)
    job, member = UnlearningJob(EvalContext(lm, (HOOK,), (1,)), config), Member("tiny", "topk", sae, HOOK)
    report = run_pass(lm, job.requests([member]), [member])
    assert not report.failed
    details = job.score(member, report.served).details
    reader = make_reader(lm, "cloze", "plain")
    shares = [plain_shares(lm, sae, rows_NL) for rows_NL in (job.forget_NL, job.retain_NL)]
    seen = set()
    for row in details:
        latents = plain_selection(*shares, threshold=row.retain_threshold, n=row.n_features)
        assert row.n_clamped == len(latents)
        clamp = Clamp(tuple(sorted(latents)), float(row.multiplier))
        for of_set in job.known:
            right = [plain_margin(lm, reader, ask, sae, clamp) for ask in of_set.asks]
            close = sum(abs(margin) < BOUND for margin in right)
            expected = sum(margin > 0 for margin in right) / len(right)
            assert abs(row.accuracies[of_set.name] - expected) <= close / len(right) + 1e-12
            seen.add(expected)
    assert len(seen) > 2  # the grid has something to tell apart


def plain_shares(lm: LanguageModel, sae: Any, rows_NL: Tensor) -> list[float]:
    """Share of the tokens that are not special on which each latent is active."""
    n_active, n_tokens = torch.zeros(int(sae.cfg.d_sae)), 0
    for ids in rows_NL.tolist():
        codes_LF = sae.encode(lm.capture(torch.tensor([ids]), [HOOK])[HOOK][0])
        text = [place for place, token in enumerate(ids) if token not in lm.special_token_ids]
        n_active += (codes_LF[text] > 0).sum(0)
        n_tokens += len(text)
    return (n_active.double() / n_tokens).tolist()


def plain_selection(forget: list[float], retain: list[float], *, threshold: float, n: int) -> list[int]:
    quiet = [i for i, share in enumerate(retain) if share < threshold and forget[i] > 0]
    return sorted(quiet, key=lambda i: -forget[i])[:n]


def plain_margin(lm: LanguageModel, reader: AnswerReader, ask: Ask, sae: Any, clamp: Clamp) -> float:
    """By how much the right choice is better than the best other one."""
    scores = plain_scores(lm, reader, ask, sae, clamp)
    right = scores.pop(ask.right)
    return right - max(scores)


def test_results_do_not_depend_on_order_or_group(lm, settings, tmp_path):
    names = {"topk": handle("topk", "topk"), "jump": handle("jump", "jumprelu"), "planted": planted(lm)}
    run(plan(lm, settings, list(names.values()), tmp_path / "a"))
    run(plan(lm, settings, list(names.values())[::-1], tmp_path / "b"))
    run(plan(lm, settings, [names["jump"]], tmp_path / "c"))
    for path in (tmp_path / "a" / "unlearning").glob("*.json"):
        assert read(path) == read(tmp_path / "b" / "unlearning" / path.name)
    alone = next((tmp_path / "c" / "unlearning").glob("*.json"))
    assert read(alone) == read(tmp_path / "a" / "unlearning" / alone.name)


def test_a_run_that_was_cut_off_goes_on_with_what_is_missing(lm, settings, tmp_path):
    names = [handle("topk", "topk"), handle("jump", "jumprelu")]
    run(plan(lm, settings, names, tmp_path / "whole"))
    run(plan(lm, settings, names[:1], tmp_path / "cut"))
    (done,) = (tmp_path / "cut" / "unlearning").glob("*.json")
    content = done.read_bytes()
    summary = run(plan(lm, settings, names, tmp_path / "cut"))
    assert len(summary.written) == 1
    assert done.read_bytes() == content
    for path in (tmp_path / "whole" / "unlearning").glob("*.json"):
        assert read(path) == read(tmp_path / "cut" / "unlearning" / path.name)


def test_samples_are_what_the_scores_are_means_of(lm, settings):
    config = UnlearningEvalConfig(**settings)
    job = UnlearningJob(EvalContext(lm, ("hook_embed",), (1, 2, 3)), config)
    member = Member("tiny", "planted", Planted(lm), "hook_embed")
    assert len(job.requests([])) == 2
    report = run_pass(lm, job.requests([member]), [member])
    assert not report.failed
    scores = job.score(member, report.served)
    metrics = scores.metrics.unlearning
    score: Samples = scores.samples["unlearning.unlearning_score"]
    held_out: Samples = scores.samples["unlearning.unlearning_score_held_out"]
    assert score.values_SU.shape == (1, 12)
    assert not score.random
    assert float(score.values_SU.mean()) == pytest.approx(metrics.unlearning_score)
    assert held_out.values_SU.shape == (3, 12)
    assert float(held_out.values_SU.mean()) == pytest.approx(metrics.unlearning_score_held_out)
    assert any("only 12 known questions" in warning for warning in scores.warnings)


def test_an_sae_without_a_quiet_latent_scores_zero_and_says_so(lm, settings, tmp_path):
    summary = run(plan(lm, {**settings, "retain_thresholds": [1e-9]}, [handle("id", "identity")], tmp_path))
    result = read(summary.written[0])
    assert result["eval_result_metrics"]["unlearning"]["unlearning_score"] == 0.0
    if all(row["n_clamped"] == 0 for row in result["eval_result_details"]):
        assert any("nothing was clamped" in warning for warning in result["provenance"]["warnings"])


def test_a_model_that_knows_nothing_stops_the_run_before_anything_is_written(lm, settings, tmp_path):
    unknown = {**settings, "dataset_names": [settings["forget_dataset"], EVERYDAY], "min_known_questions": 13}
    with pytest.raises(PrerequisiteError, match=r"knows too few questions .*12 of '.*forget.jsonl'"):
        run(plan(lm, {**unknown, "max_questions": 12}, [planted(lm)], tmp_path / "out"))
    assert not list((tmp_path / "out").rglob("*.json"))


def test_letters_format_runs_as_well(lm, settings, tmp_path):
    values = {**settings, "answer_format": "letters", "required_correct": 1, "min_known_questions": 1}
    values["dataset_names"] = [settings["forget_dataset"], EVERYDAY]
    summary = run(plan(lm, {**values, "max_questions": 12}, [planted(lm)], tmp_path))
    assert summary.failures == []
    counts = read(summary.written[0])["eval_result_unstructured"]["questions"][EVERYDAY]["counts"]
    assert 1 <= counts["correct"] <= counts["correct in the given order"]


def test_published_functions(lm, settings, tmp_path, monkeypatch):

    config = UnlearningEvalConfig(**settings, model_name="tiny")
    rows = run_eval_single_sae(lm, tiny_sae("topk"), config, tmp_path, "name", False)
    assert len(rows) == 1 + 8
    assert rows[0][settings["forget_dataset"]]["mean_correct"] == 1.0
    assert rows[1]["ablate_params"]["multiplier"] == 5
    monkeypatch.setattr("sae_bench.run.evaluate.load_language_model", lambda *_args, **_kwargs: lm)
    results = run_eval(config, [("mine", tiny_sae("topk"))], "cpu", tmp_path / "out", artifacts_path=tmp_path)
    assert "unlearning_score" in results["mine_custom_sae"]["eval_result_metrics"]["unlearning"]
    flags = {flag for option in command.params for flag in option.opts}
    assert {"--clean_up_artifacts", "--sae_regex_pattern", "--sae_block_pattern", "--artifacts_path"} <= flags
    assert {"--llm_batch_size", "--llm_dtype", "--random_seed", "--force_rerun"} <= flags


def test_the_published_command_line_is_understood():
    given = command.make_context(
        "unlearning",
        [
            *("--sae_regex_pattern", "a", "--sae_block_pattern", "b", "--model_name", "m", "--random_seed", "7"),
            *("--output_folder", "out", "--force_rerun", "--clean_up_artifacts", "--artifacts_path", "kept"),
            *("--llm_batch_size", "4", "--llm_dtype", "bfloat16"),
        ],
    ).params
    assert (given["sae_regex_pattern"], given["sae_block_pattern"], given["model_name"]) == ("a", "b", "m")
    assert (given["random_seed"], given["llm_batch_size"], given["llm_dtype"]) == (7, 4, "bfloat16")
    assert given["force_rerun"]
    assert given["clean_up_activations"]
    assert (given["output_folder"], given["artifacts_path"]) == (Path("out"), Path("kept"))


def test_on_the_embedded_model_geography_is_forgotten_and_everyday_knowledge_kept(lm, monkeypatch):
    monkeypatch.setattr(lm, "name", "embedded")
    for preset in (None, "paper", "quick"):
        config = resolve_config(SPEC, preset=preset, overrides={}, lm=lm)
        assert (config.forget_dataset, config.side_effect_datasets) == (GEOGRAPHY, (EVERYDAY,))
        assert (config.forget_corpus, config.retain_corpus, config.answer_format) == (GEOGRAPHY, EVERYDAY, "cloze")
    assert get_eval("unlearning") is SPEC


def test_published_defaults():
    config = UnlearningEvalConfig()
    assert config.dataset_names[0] == config.forget_dataset == "wmdp-bio"
    assert (config.retain_thresholds, config.n_features_list) == ([0.001, 0.01], [10, 20])
    assert (config.multipliers, config.dataset_size, config.seq_len) == ([25, 50, 100, 200], 1024, 1024)
    assert (config.target_metric, config.intervention_method) == ("correct", "clamp_feature_activation")
    assert (config.answer_format, config.required_correct) == ("letters", 24)
    for field in config_fields(UnlearningEvalConfig).values():
        assert field.description
    for preset in SPEC.presets.values():
        UnlearningEvalConfig(**preset)


@pytest.mark.parametrize(
    "change",
    [
        {"intervention_method": "scale"},
        {"dataset_names": ["human_aging", "anatomy"]},
        {"dataset_names": ["wmdp-bio", "college_biology"]},
        {"dataset_names": ["wmdp-bio"]},
        {"multipliers": [25, 25]},
        {"multipliers": [-25]},
        {"required_correct": 25},
        {"target_metric": "correct_no_tricks"},
        {"unknown": 1},
    ],
)
def test_settings_that_make_no_sense(change):
    with pytest.raises(ValidationError):
        UnlearningEvalConfig(**change)


def test_college_biology_is_neither_forgotten_nor_kept():
    config = UnlearningEvalConfig(dataset_names=["wmdp-bio", "college_biology", "human_aging"])
    assert config.side_effect_datasets == ("human_aging",)


def test_the_gated_corpus_says_where_to_get_it_and_where_to_put_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PrerequisiteError) as caught:
        corpora.open_texts("bio-forget-corpus", data_dir=tmp_path)
    text = str(caught.value)
    assert "ask for it at https://huggingface.co/datasets/cais/wmdp-bio-forget-corpus" in text
    assert "hf auth login" in text
    assert str(tmp_path / "bio-forget-corpus.jsonl") in text
    assert "sae_bench/evals/unlearning/data/bio-forget-corpus.jsonl" in text
    place = tmp_path / "sae_bench" / "evals" / "unlearning" / "data"
    place.mkdir(parents=True)
    write(place / "bio-forget-corpus.jsonl", [{"text": "long enough " * 9}, {"text": "short"}])
    assert list(corpora.open_texts("bio-forget-corpus").texts) == ["long enough " * 9]


def test_a_copy_of_the_gated_repository_will_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "cais" / "wmdp-bio-forget-corpus" / "data"
    folder.mkdir(parents=True)
    pd.DataFrame({"title": ["t"], "text": ["long enough " * 9]}).to_parquet(folder / "train-00000-of-00001.parquet")
    found = corpora.open_texts("bio-forget-corpus", data_dir=tmp_path)
    assert list(found.texts) == ["long enough " * 9]
    assert found.provenance["source"] == "mirror"


def test_packing(lm):
    texts = [f"{i} the cat sat on the mat" for i in range(20)]
    rows = corpora.pack(texts, lm, name="x", max_rows=4, length=16)
    assert rows.shape == (4, 16)
    assert bool((rows[:, 0] == lm.bos_token_id).all())
    flat = [t for text in texts for t in [*lm.tokenizer(text)["input_ids"], lm.tokenizer.eos_token_id]]
    expected = torch.tensor(flat[:64]).view(4, 16)
    assert torch.equal(rows[:, 1:], expected[:, 1:])
    for n in (1000, None):
        every = corpora.pack(texts, lm, name="x", max_rows=n, length=16)
        assert len(every) == len(flat) // 16
    some = corpora.sampled_rows(every, 5, name="x", seed=1)
    assert torch.equal(some, corpora.sampled_rows(every, 5, name="x", seed=1))
    assert not torch.equal(some, corpora.sampled_rows(every, 5, name="x", seed=2))
    assert {tuple(row) for row in some.tolist()} < {tuple(row) for row in every.tolist()}
    assert sorted(corpora.sampled_rows(every, 1000, name="x", seed=1).tolist()) == sorted(every.tolist())
    with pytest.raises(DatasetError, match="shorter seq_len"):
        corpora.pack(texts[:1], lm, name="x", max_rows=4, length=64)
    drawn = list(corpora.sampled(texts, 5, name="x", seed=1))
    assert drawn == list(corpora.sampled(texts, 5, name="x", seed=1))
    assert len(set(drawn)) == 5
    assert drawn != list(corpora.sampled(texts, 5, name="x", seed=2))


def test_a_chat_that_is_not_there_is_found_at_the_start(lm, settings, tmp_path):
    with pytest.raises(UsageError, match="no chat template"):
        run(plan(lm, {**settings, "prompt_format": "chat"}, [planted(lm)], tmp_path))
