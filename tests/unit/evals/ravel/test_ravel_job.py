"""The whole eval on tiny models: artifacts, scores, planted truths, errors, the published entry points."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from ravel_tiny import HOOK, N_TOKENS, SETTINGS, known_class, plain_completion, write_files

from sae_bench.custom_saes.derived.grammar import Derivation
from sae_bench.custom_saes.derived.handles import derived_handle
from sae_bench.custom_saes.loading import Member, load_member
from sae_bench.custom_saes.spec import LoadContext, SAEHandle
from sae_bench.errors import PrerequisiteError, UsageError
from sae_bench.evals.base import EvalContext
from sae_bench.evals.ravel import completions, main
from sae_bench.evals.ravel.completions import decode
from sae_bench.evals.ravel.correctness import is_correct
from sae_bench.evals.ravel.entity_class import score, score_whole_and_mean
from sae_bench.evals.ravel.eval_config import RAVELEvalConfig
from sae_bench.evals.ravel.evaluate import RAVELJob
from sae_bench.evals.ravel.spec import SPEC
from sae_bench.evals.ravel.swaps import LatentMask, encode_entities
from sae_bench.language_models import LanguageModel
from sae_bench.testing.tiny_models import tiny_model, tiny_sae


@pytest.fixture(scope="module")
def llama() -> LanguageModel:
    return tiny_model("llama")


@pytest.fixture(scope="module")
def files(llama: LanguageModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_files(tmp_path_factory.mktemp("ravel"), llama)


def config_of(files: Path, **settings: object) -> RAVELEvalConfig:
    return RAVELEvalConfig(**{**SETTINGS, "dataset_name": str(files), "model_name": "tiny", **settings})


def member_of(architecture: str, **settings: object) -> Member:
    return Member("tiny", architecture, tiny_sae(architecture, **settings), HOOK)


def make_job(lm: LanguageModel, config: RAVELEvalConfig, folder: Path | None, seeds: tuple[int, ...] = (42, 43)):
    return RAVELJob(EvalContext(lm, (HOOK,), seeds, artifacts_folder=folder), config)


# ---- the model's side


def test_completions_are_made_once_and_kept(llama: LanguageModel, files: Path, tmp_path: Path, monkeypatch):
    config = config_of(files)
    first = make_job(llama, config, tmp_path)
    artifact = next((tmp_path / "artifacts" / "ravel").glob("*.json"))
    content = json.loads(artifact.read_text())
    assert content["asked"] == {"Country": 12, "Language": 12, "Price": 12}
    assert len(content["known"]) == len(first.known[0].known)

    def never(*_args: object, **_kwargs: object) -> None:
        raise AssertionError("the model was asked again")

    monkeypatch.setattr(completions, "answer_prompts", never)
    again = make_job(llama, config, tmp_path)
    assert again.known == first.known
    with pytest.raises(AssertionError, match="asked again"):
        make_job(llama, config_of(files, force_dataset_recompute=True), tmp_path)
    with pytest.raises(AssertionError, match="asked again"):
        make_job(llama, config_of(files, n_generated_tokens=2), tmp_path)
    with pytest.raises(AssertionError, match="asked again"):
        make_job(llama, config_of(files, prompt_bos="always"), tmp_path)


def test_a_broken_artifact_is_made_again(llama: LanguageModel, files: Path, tmp_path: Path, caplog):
    first = make_job(llama, config_of(files), tmp_path)
    artifact = next((tmp_path / "artifacts" / "ravel").glob("*.json"))
    artifact.write_text('{"known": [')
    with caplog.at_level(logging.WARNING):
        assert make_job(llama, config_of(files), tmp_path).known == first.known
    assert "completing the prompts again" in caplog.text
    json.loads(artifact.read_text())


def test_a_model_that_knows_nothing_is_told_with_counts(files: Path):
    with pytest.raises(PrerequisiteError, match=r"Country 0 of 12.*Next: leave attributes out"):
        make_job(tiny_model("llama", seed=1), config_of(files), None)


def test_one_value_alone_gives_no_pairs(llama: LanguageModel, files: Path, tmp_path: Path):
    for name in ("entity_attributes", "attribute_to_prompts"):
        content = json.loads((files / "base" / f"ravel_city_{name}.json").read_text())
        if name == "entity_attributes":
            for values in content.values():
                values["Country"] = values["Country"][:1]
            content = {entity: {**values, "Country": ""} for entity, values in content.items()}
        (tmp_path / f"ravel_city_{name}.json").write_text(json.dumps(content))
    with pytest.raises(PrerequisiteError, match=r"'Country' has 0, at least 10"):
        make_job(llama, config_of(tmp_path), None)


# ---- an SAE's side


def test_scores_are_means_of_what_is_reported(llama: LanguageModel, files: Path):
    job = make_job(llama, config_of(files), None)
    scores = job.score(member_of("topk"))
    metrics = scores.metrics.ravel
    rows = scores.details
    assert [row.attribute for row in rows] == ["Country", "Language", "Price"]
    assert metrics.cause_score == pytest.approx(sum(row.cause_score for row in rows) / 3)
    assert metrics.disentanglement_score == pytest.approx((metrics.cause_score + metrics.isolation_score) / 2)
    assert [result.seed for result in scores.seed_results] == [42, 43]
    for path, found in scores.samples.items():
        mean = sum(found.seed_values()) / 2
        assert mean == pytest.approx(getattr(metrics, path.split(".")[1]), abs=0.02), path
    published = scores.unstructured["city_results"]["city_Price"]
    assert published["disentangle_score"] == pytest.approx(rows[2].disentanglement_score)
    assert scores.unstructured["known_prompts"]["city"]["Country"]["asked"] == 12
    example = scores.unstructured["example_prompts"]["city"]
    assert example["token_ids"] == llama.tokenizer(example["text"])["input_ids"]
    assert any("one completion moves" in warning for warning in scores.warnings)


def test_scores_do_not_depend_on_other_saes_or_order(llama: LanguageModel, files: Path):
    config = config_of(files)
    alone = make_job(llama, config, None).score(member_of("relu"))
    job = make_job(llama, config, None)
    job.score(member_of("topk"))
    assert job.score(member_of("relu")).metrics == alone.metrics
    assert not any(weight.requires_grad for weight in llama.model.parameters())


def test_identity_with_a_full_mask_is_plain_patching(llama: LanguageModel):
    """Every completion, by one full forward of the whole text per token with the source's activation in place."""
    lm, known = llama, known_class(llama)
    states = known.states(lm, HOOK, n_tokens=N_TOKENS)
    mask = LatentMask(encode_entities(tiny_sae("identity"), states.value_NW), lm.device)
    mask.mask_F = torch.ones_like(mask.mask_F)
    found = score(known, states, [mask] * len(known.splits))
    whole, _ = score_whole_and_mean(known, states)
    for outcome, patched, split in zip(found, whole, known.splits, strict=True):
        expected = []
        for pair in split.test:
            base, source = (known.known[place].prompt for place in (pair.base, pair.source))
            value = lm.capture(torch.tensor([source.ids]), [HOOK])[HOOK][0, source.position]
            written = plain_completion(lm, base.ids, base.position, HOOK, value)
            wanted = source if pair.is_cause else base
            said = decode(lm, [written])[0]
            expected.append(is_correct(base.question.text, wanted.question.value, said))
        assert outcome.right_B.tolist() == expected
        assert patched.right_B.tolist() == expected
        assert outcome.n_chosen == 32


def test_an_empty_mask_of_the_identity_changes_nothing(llama: LanguageModel):
    known = known_class(llama)
    states = known.states(llama, HOOK, n_tokens=N_TOKENS)
    mask = LatentMask(encode_entities(tiny_sae("identity"), states.value_NW), llama.device)
    for outcome in score(known, states, [mask] * len(known.splits)):
        assert outcome.isolation == 1.0
        assert outcome.n_chosen == 0


def at_the_end(lm: LanguageModel, *, seeds: tuple[int, ...] = (42,)):
    """The entity's last token is the last of all, and the hook the last layer: what stands there is what is said."""
    templates = {"Country": ("the river in %s", "I like %s"), "Language": ("She wrote in %s", "A film of %s")}
    known = known_class(lm, seeds, templates=templates, n_tokens=1, num_pairs_per_attribute=24)
    only_cause = [replace(s, train=tuple(pair for pair in s.train if pair.is_cause)) for s in known.splits]
    return replace(known, splits=tuple(only_cause))


@pytest.mark.parametrize("train_mdas", [False, True])
def test_a_planted_cause_is_found(llama: LanguageModel, train_mdas: bool):
    hook = "blocks.2.hook_resid_post"
    known = at_the_end(llama)
    selection = {"city": ["Country", "Language"]}
    config = config_of(
        Path("/"), entity_attribute_selection=selection, num_epochs=6, n_generated_tokens=1, train_mdas=train_mdas
    )
    job = RAVELJob(EvalContext(llama, (hook,), (42,)), config, [known])
    saes = {name: Member("tiny", name, tiny_sae(name, hook_name=hook), hook) for name in ("identity", "random")}
    identity = job.score(saes["identity"])
    assert {row.patched_cause_score for row in identity.details} == {1.0}
    assert identity.metrics.ravel.cause_score > 0.4
    if not train_mdas:
        random = job.score(saes["random"])  # of its few pairs one may come out right by accident
        assert random.metrics.ravel.cause_score < identity.metrics.ravel.cause_score / 2


def test_another_decoder_ruins_what_the_same_codes_cause(llama: LanguageModel):
    hook = "blocks.2.hook_resid_post"
    settings = {
        "num_epochs": 6,
        "n_generated_tokens": 1,
        "entity_attribute_selection": {"city": ["Country", "Language"]},
    }
    job = RAVELJob(EvalContext(llama, (hook,), (42,)), config_of(Path("/"), **settings), [at_the_end(llama)])
    parent = SAEHandle("tiny", "identity", hook, None, lambda _: tiny_sae("identity", hook_name=hook))

    def cause(derivation: Derivation | None) -> float:
        handle = parent if derivation is None else derived_handle(derivation, parent)
        member = load_member(handle, LoadContext(torch.device("cpu"), torch.float32), llama)
        return job.score(member).metrics.ravel.cause_score

    own = cause(None)
    ladder = [cause(Derivation("degraded", kind="permuted", level=level)) for level in (0.0, 1.0)]
    assert own == ladder[0] > 0.4
    assert ladder[1] < own / 2
    assert cause(Derivation("permuted_decoder")) < own / 2
    assert cause(Derivation("degraded", kind="decoder_noise", level=1.0)) < own / 2


def test_mdas_learns_the_swap_without_an_sae(llama: LanguageModel):
    config = config_of(Path("/"), train_mdas=True, num_epochs=3)
    job = RAVELJob(EvalContext(llama, (HOOK,), (42,)), config, [known_class(llama)])
    one, other = (job.score(member_of(name)) for name in ("random", "topk"))
    assert one.metrics == other.metrics
    assert any("no part in this" in warning for warning in one.warnings)
    assert one.unstructured["latents"] == {}


def test_non_linear_decoders_go_their_own_way(llama: LanguageModel):
    """A decoder that rescales by the norm of what it encoded last: bases are encoded right before."""
    sae = tiny_sae("topk")

    class Rescaled:
        decoder_is_linear = False
        cfg, W_dec = sae.cfg, sae.W_dec

        def encode(self, x):
            self.norm = x.norm(dim=-1, keepdim=True)
            return sae.encode(x / self.norm)

        def decode(self, f):
            return sae.decode(f) * self.norm

    known = known_class(llama)
    states = known.states(llama, HOOK, n_tokens=N_TOKENS)
    mask = LatentMask(encode_entities(Rescaled(), states.value_NW), llama.device)
    mask.mask_F = torch.tensor([1.0, -1.0]).repeat(32)
    base_B, source_B = torch.tensor([3, 5]), torch.tensor([7, 1])
    found_BD = mask.mixed(base_B, source_B, None)
    for found_D, base, source in zip(found_BD, base_B, source_B, strict=True):
        x_base, x_source = states.value_NW[base], states.value_NW[source]
        f_F = torch.where(mask.mask_F > 0, sae.encode(x_source / x_source.norm()), sae.encode(x_base / x_base.norm()))
        torch.testing.assert_close(found_D, sae.decode(f_F) * x_base.norm())


# ---- the published entry points


def test_run_eval_writes_results_and_resumes(files: Path, tmp_path: Path, llama: LanguageModel, monkeypatch):
    monkeypatch.setattr("sae_bench.run.evaluate.load_language_model", lambda *_args, **_kwargs: llama)
    saes = [("my_sae", tiny_sae("topk")), ("other", tiny_sae("relu"))]
    found = main.run_eval(config_of(files), saes, "cpu", tmp_path)
    assert set(found) == {"my_sae_custom_sae", "other_custom_sae"}
    result = found["my_sae_custom_sae"]
    assert result["eval_type_id"] == "ravel"
    assert set(result["eval_result_metrics"]["ravel"]) >= {"disentanglement_score", "cause_score", "isolation_score"}
    assert result["validity"]["ravel.cause_score"]["floor"]["name"] == "mean activation"
    assert result["statistics"]["ravel.cause_score"]["n_units"] > 5
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.json")}
    assert main.run_eval(config_of(files), saes, "cpu", tmp_path) == found
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.json")} == before


def test_mdas_is_filed_under_its_own_name(files: Path, tmp_path: Path, llama: LanguageModel, monkeypatch):
    monkeypatch.setattr("sae_bench.run.evaluate.load_language_model", lambda *_args, **_kwargs: llama)
    config = config_of(files, train_mdas=True, num_epochs=1)
    assert set(main.run_eval(config, [("a", tiny_sae("topk"))], "cpu", tmp_path)) == {"mdas_mdas"}
    with pytest.raises(UsageError, match="choose one SAE; 2 match"):
        main.run_eval(config, [("a", tiny_sae("topk")), ("b", tiny_sae("topk"))], "cpu", tmp_path)


def test_single_sae_returns_the_published_tuple(files: Path, tmp_path: Path, llama: LanguageModel):
    results, per_class = main.run_eval_single_sae(config_of(files), tiny_sae("topk"), llama, "cpu", tmp_path)
    assert set(results) == {"cause_score", "isolation_score", "disentangle_score", "city_results"}
    assert set(per_class["city_results"]) == {"city_Country", "city_Language", "city_Price"}
    assert list(tmp_path.glob("artifacts/ravel/*.json"))


def test_flags_are_the_published_ones():
    names = {option for parameter in main.command.params for option in parameter.opts}
    assert {
        "--random_seed", "--model_name", "--sae_regex_pattern", "--sae_block_pattern", "--output_folder",
        "--force_rerun", "--llm_batch_size", "--llm_dtype", "--artifacts_path", "--train_mdas",
    } <= names  # fmt: skip
    assert main.mdas_settings({"train_mdas": True})["num_epochs"] == 10
    assert main.mdas_settings({"train_mdas": True, "num_epochs": 4})["num_epochs"] == 4
    assert "num_epochs" not in main.mdas_settings({})
    wrong = CliRunner().invoke(main.command, ["--entity_attribute_selection", "city:Country", "--sae_regex_pattern",
        "x", "--sae_block_pattern", "y", "--model_name", "z"])  # fmt: skip
    assert wrong.exit_code != 0
    assert "write it as JSON" in str(wrong.exception)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"entity_attribute_selection": {}}, "at least one entity class"),
        ({"entity_attribute_selection": {"city": ["Country"]}}, "at least two different attributes"),
        ({"train_test_split": 1.0}, "less than 1"),
        ({"num_pairs_per_attribute": 1}, "greater than or equal to 2"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, object], message: str):
    with pytest.raises(ValueError, match=message):
        RAVELEvalConfig(**settings)


def test_pairs_per_step_follow_the_published_command():
    sizes = {"google/gemma-2-2b": 8, "gemma-2-9b-it": 8, "pythia-160m-deduped": 64, "embedded": 16}
    assert {name: RAVELEvalConfig(model_name=name).pairs_per_step for name in sizes} == sizes
    assert RAVELEvalConfig(llm_batch_size=5).pairs_per_step == 5


def test_it_is_registered():
    from sae_bench.evals.registry import get_eval

    assert get_eval("ravel") is SPEC
