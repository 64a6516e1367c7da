"""`run_eval` and `run_eval_single_sae` on the configs, models and SAEs that scripts hand over."""

from __future__ import annotations

import inspect
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar
from unittest.mock import MagicMock, patch

import pytest
import torch

from sae_bench.errors import ModelError, UsageError
from sae_bench.evals.autointerp import main as autointerp
from sae_bench.evals.autointerp.eval_config import AutoInterpEvalConfig
from sae_bench.evals.sparse_probing import main as sparse_probing
from sae_bench.evals.sparse_probing.eval_config import SparseProbingEvalConfig
from sae_bench.evals.sparse_probing.eval_output import SparseProbingEvalOutput
from sae_bench.judges import CachedJudge, Reply
from sae_bench.judges.cached import ReplyCache
from sae_bench.language_models import LanguageModel
from sae_bench.published.autointerp_class import run_to_its_end
from sae_bench.published.models import as_language_model
from sae_bench.sae_bench_utils import sae_selection_utils, testing_utils
from sae_bench.testing.tiny_models import tiny_model, tiny_sae


@pytest.fixture
def config(words: Any, model_dir: str) -> SparseProbingEvalConfig:
    """Made as the published scripts do: from nothing, then changed."""
    config = SparseProbingEvalConfig()
    config.dataset_names = ["tiny/words"]
    config.model_name = model_dir
    config.random_seed = 44
    config.llm_batch_size = 8
    config.k_values = [1, 2]
    config.llm_dtype = "float32"
    config.lower_vram_usage = True
    config.context_length, config.probe_train_set_size, config.probe_test_set_size = 16, 16, 8
    return config


def test_a_script_from_selection_to_checked_results(config: Any, suite: Path, tmp_path: Path):
    selected = sae_selection_utils.select_saes_multiple_patterns(["embedded"], ["(topk)"])
    results = sparse_probing.run_eval(
        config, selected, "cpu", output_path=str(tmp_path / "out"), force_rerun=True, clean_up_activations=True
    )
    metrics = results["embedded_topk"]["eval_result_metrics"]
    keys = ["llm_test_accuracy", "llm_top_1_test_accuracy", "llm_top_2_test_accuracy"]
    testing_utils.compare_dicts_within_tolerance(metrics["llm"], metrics["llm"], 0.04, keys_to_compare=keys)
    testing_utils.validate_eval_output_format_file(
        tmp_path / "out" / "embedded_topk_eval_results.json", SparseProbingEvalOutput
    )


def test_a_transformers_model_is_taken_in_every_form(config: Any, lm: LanguageModel, model_dir: str, tmp_path: Path):
    def accuracies(model: Any) -> Any:
        return sparse_probing.run_eval_single_sae(config, tiny_sae("topk"), model, "cpu", str(tmp_path))[0]

    expected = accuracies(lm)
    other = tiny_model("gpt2")
    assert accuracies((other.model, other.tokenizer)) == expected
    other.model.tokenizer = other.tokenizer
    assert accuracies(other.model) == expected
    del other.model.tokenizer
    other.model.config._name_or_path = model_dir
    assert accuracies(other.model) == expected


def test_models_that_are_not_taken_are_answered_with_what_is():
    hooked = type("HookedTransformer", (), {"__module__": "transformer_lens.HookedTransformer"})()
    hooked.cfg = SimpleNamespace(model_name="gpt2")
    with pytest.raises(UsageError, match=r"HookedTransformer was given.*'gpt2'.*load_language_model"):
        as_language_model(hooked)
    with pytest.raises(ValueError, match="a dict is no model"):
        as_language_model({})
    nameless = tiny_model("gpt2").model
    nameless.config._name_or_path = "nobody/knows-this"
    with pytest.raises(ModelError, match="pass a pair"):
        as_language_model(nameless)


def test_a_transformers_model_is_given_back_as_it_came(config: Any, tmp_path: Path):
    other = tiny_model("gpt2")
    frozen, *trained = other.model.parameters()
    other.model.train()
    other.model.get_input_embeddings().eval()
    for weight in trained:
        weight.requires_grad_(True)
    sparse_probing.run_eval_single_sae(config, tiny_sae("topk"), (other.model, other.tokenizer), "cpu", str(tmp_path))
    assert other.model.training
    assert not other.model.get_input_embeddings().training
    assert [weight.requires_grad for weight in trained] == [True] * len(trained)
    assert not frozen.requires_grad


@pytest.fixture
def asked(data: Path) -> AutoInterpEvalConfig:
    return AutoInterpEvalConfig(
        model_name="org/tiny", dataset_name=str(data / "corpus.jsonl"), n_latents=2, total_tokens=255,
        llm_context_size=32, llm_batch_size=4, llm_dtype="float32", buffer=2, dead_latent_threshold=1.0,
        n_top_ex_for_generation=2, n_iw_sampled_ex_for_generation=1, embeddings="none",
    )  # fmt: skip


def test_a_running_event_loop_is_no_obstacle():
    async def answer() -> int:
        return 42

    async def in_a_notebook() -> int:
        return run_to_its_end(answer())

    assert run_to_its_end(answer()) == run_to_its_end(in_a_notebook()) == 42


def test_autointerp_keeps_the_tokens(asked: AutoInterpEvalConfig, lm: LanguageModel, tmp_path: Path):
    with patch("sae_bench.evals.autointerp.main.AutoInterp.run", return_value={}):
        found = autointerp.run_eval_single_sae(
            config=asked, sae=tiny_sae("topk"), model=lm, device="cpu", artifacts_folder=str(tmp_path / "kept"),
            api_key="none", sae_sparsity=torch.ones(64),
        )  # fmt: skip
    assert found == {}
    rows = torch.load(tmp_path / "kept" / "org_tiny_255_tokens_32_ctx.pt", weights_only=True)
    assert rows.shape == (asked.n_rows, 32)


class AlwaysOne:
    """Explains every latent alike, and takes the first example."""

    identity: ClassVar[dict[str, str]] = {"kind": "test", "model": "one"}

    def answer(self, questions: Any, deliver: Any) -> None:
        for place, question in enumerate(questions):
            deliver(place, Reply("1" if question.form else "This neuron activates on words.", 1, 1, "stop"))


def test_autointerp_on_tokens_and_a_judge_of_the_caller(asked: AutoInterpEvalConfig, lm: LanguageModel, tmp_path: Path):
    rows = torch.randint(5, 300, (40, 32), generator=torch.Generator().manual_seed(0))
    judge = CachedJudge(AlwaysOne(), ReplyCache(tmp_path))
    asked.override_latents, asked.judge_scoring = [3, 5], "list"
    interp = autointerp.AutoInterp(asked, lm, tiny_sae("relu"), rows, torch.ones(64), "cpu", "none", judge)
    assert (interp.latents, interp.n_latents) == ([3, 5], 2)
    records = run_to_its_end(interp.run())
    assert set(records) == {3, 5}
    assert all((r["explanation"], r["predictions"]) == ("words", [1]) for r in records.values())
    assert all(0 <= r["score"] <= 1 for r in records.values())
    assert interp.parse_explanation("This neuron activates on verbs.") == "verbs"
    assert (interp.parse_predictions("1, 3 and 4."), interp.parse_predictions("None")) == ([1, 3, 4], [])
    assert interp.parse_predictions("perhaps") is None
    asked.override_latents, asked.n_latents = None, 4
    sparsity = torch.zeros(64)
    sparsity[[7, 9]] = 1.0
    assert sorted(autointerp.AutoInterp(asked, lm, None, rows, sparsity, "cpu", None).latents or []) == [7, 9]
    with pytest.raises(ValueError, match="rows have 31 tokens"):
        autointerp.AutoInterp(asked, lm, None, rows[:, 1:], None, "cpu", None)


def test_autointerp_takes_the_published_arguments():
    published = "config sae model device artifacts_folder api_key sae_sparsity"
    assert list(inspect.signature(autointerp.run_eval_single_sae).parameters) == published.split()


# ---- pretrained SAEs


@pytest.fixture
def releases() -> Any:
    """SAELens' directory with two releases of two SAEs each."""

    def record(release: str, *ids: str) -> Any:
        return MagicMock(
            model=f"model of {release}", release=release, repo_id=f"org/{release}",
            saes_map={sae_id: f"path/{sae_id}" for sae_id in ids},
            expected_var_explained={sae_id: 0.5 + len(sae_id) / 100 for sae_id in ids},
            expected_l0={sae_id: 10 * len(sae_id) for sae_id in ids},
        )  # fmt: skip

    directory = {"first": record("first", "a", "bb"), "second": record("second", "ccc")}
    path = "sae_bench.sae_bench_utils.sae_selection_utils.get_pretrained_saes_directory"
    with patch(path, return_value=directory):
        yield directory


def test_loadable_saes_come_with_what_is_expected_of_them(releases: Any):
    assert sae_selection_utils.all_loadable_saes() == [
        ("first", "a", 0.51, 10), ("first", "bb", 0.52, 20), ("second", "ccc", 0.53, 30),
    ]  # fmt: skip


def test_patterns_match_whole_names(releases: Any):
    assert sae_selection_utils.get_saes_from_regex("first", "[ab]+") == [("first", "a"), ("first", "bb")]
    assert sae_selection_utils.get_saes_from_regex(".*", "b+|c+") == [("first", "bb"), ("second", "ccc")]
    assert sae_selection_utils.get_saes_from_regex("firs", ".*") == []


def test_releases_are_printed(releases: Any, capsys: pytest.CaptureFixture[str]):
    sae_selection_utils.print_all_sae_releases()
    said = capsys.readouterr().out
    assert all(word in said for word in ("first", "second", "model of first", "org/second"))
    releases["first"] = SimpleNamespace(**{k: getattr(releases["first"], k) for k in ("model", "repo_id", "saes_map")})
    sae_selection_utils.print_release_details("first")
    said = capsys.readouterr().out
    assert all(word in said for word in ("first", "org/first", "saes_map"))


def test_torch_keeps_its_gradients(config: Any, lm: LanguageModel, tmp_path: Path):
    sparse_probing.run_eval_single_sae(config, tiny_sae("topk"), lm, "cpu", str(tmp_path))
    assert torch.is_grad_enabled()
