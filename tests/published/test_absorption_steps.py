"""Letter probes, sparse probes and absorption of words step by step, as scripts import them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn.functional import cosine_similarity, normalize, one_hot

from sae_bench.errors import UnknownNameError
from sae_bench.evals.absorption import probing
from sae_bench.evals.absorption.common import (
    _parse_probe_data_split,
    load_experiment_df,
    load_probe,
    train_and_save_probes,
)
from sae_bench.evals.absorption.feature_absorption import (
    StatsAndLikelyFalseNegativeResults,
    calculate_projection_and_cos_sims,
    run_feature_absortion_experiment,
)
from sae_bench.evals.absorption.feature_absorption_calculator import FeatureAbsorptionCalculator
from sae_bench.evals.absorption.k_sparse_probing import (
    _get_sae_acts,
    add_feature_splits_to_metrics_df,
    eval_probe_and_sae_k_sparse_raw_scores,
    run_k_sparse_probing_experiment,
    train_k_sparse_probes,
    train_sparse_multi_probe,
)
from sae_bench.evals.absorption.prompting import first_letter_formatter
from sae_bench.evals.absorption.util import batchify, batchify_indices, dict_zip, flip_dict, listify
from sae_bench.evals.absorption.vocab import LETTERS
from sae_bench.language_models import LanguageModel
from sae_bench.testing.tiny_models import tiny_sae

CPU = torch.device("cpu")
WIDTH = 32


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.fixture
def sae() -> Any:
    return tiny_sae("relu")


# ---- helpers


def test_batches_and_turns():
    assert list(batchify([1, 2, 3], 2)) == [[1, 2], [3]]
    assert [part.tolist() for part in batchify(torch.arange(3), 2)] == [[0, 1], [2]]
    assert list(batchify_indices(3, 2)) == [(0, 2), (2, 4)]
    assert flip_dict({"a": "b"}) == {"b": "a"}
    assert listify(1) == listify([1]) == [1]
    assert list(dict_zip({"a": 1, "b": 2}, {"b": 3})) == [("b", (2, 3))]
    assert list(dict_zip()) == []


@pytest.mark.parametrize(
    ("labels", "expected"), [([[1], [0]], [1]), ([[1]] + [[0]] * 3, [3]), ([[1]] * 4 + [[0]], [0.25]),
                             ([[0, 1], [0, 1], [1, 1], [1, 1], [0, 1], [1, 0]], [1, 0.2])]
)  # fmt: skip
def test_a_rare_class_weighs_more(labels: list, expected: list[float]):
    assert probing._calc_pos_weights(torch.tensor(labels)).tolist() == pytest.approx(expected)


def test_the_learning_rate_falls_by_the_same_factor():
    optimizer = torch.optim.Adam([torch.zeros(1)], lr=0.01)
    schedule = probing._get_exponential_decay_scheduler(optimizer, start_lr=0.01, end_lr=1e-5, num_steps=10)
    rates = []
    for _ in range(11):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    assert rates == pytest.approx([0.01 * 1000 ** (-step / 10) for step in range(11)])


# ---- probes


def cloud(centers: torch.Tensor, sizes: list[int], spread: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Samples around centers in random order, and which they are around."""
    labels = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    order = torch.randperm(len(labels))
    return (centers[labels] + spread * torch.randn(len(labels), centers.shape[1]))[order], labels[order]


@pytest.mark.parametrize(("distance", "spread", "least"), [(5.0, 1.0, 0.98), (1.0, 3.0, 0.9)])
def test_a_binary_probe_finds_the_direction(distance: float, spread: float, least: float):
    x, y = cloud(distance * torch.tensor([[1.0], [-1.0]]).expand(-1, 64), [1024, 368], spread)
    with torch.no_grad():  # probes train whatever the caller's state
        probe = probing.train_binary_probe(
            x[:768], y[:768], batch_size=128, num_epochs=30, lr=1.0, weight_decay=1e-7, show_progress=False, device=CPU
        )
        for part in (slice(768), slice(768, None)):
            assert ((probe(x[part])[:, 0] > 0) == y[part].bool()).float().mean() > least
        assert cosine_similarity(-torch.ones(1, 64), probe.weights).item() > (0.98 if spread == 1 else 0.85)


@pytest.mark.parametrize(("scale", "least"), [(10, 0.98), (0.5, 0.9)])
def test_probes_of_several_classes(scale: float, least: float):
    x, y = cloud(scale * torch.randn(3, 64), [300, 200, 400], 1.0)
    labels = one_hot(y)
    probe = probing.train_multi_probe(x[:600], labels[:600], num_probes=3, num_epochs=40, batch_size=64, device=CPU)
    assert ((probe(x[600:]) > 0) == labels[600:]).float().mean() > least
    assert (probe.weights.shape, probe.biases.shape) == ((3, 64), (3,))


def test_an_unknown_optimizer_is_named():
    with pytest.raises(UnknownNameError, match="Adamax"):
        probing.train_multi_probe(torch.rand(4, 2), torch.ones(4, 1), optimizer="Adamax")


def test_more_l1_more_zeros():
    x, y = torch.rand(500, 100), torch.randint(2, (500, 3))
    zeros = [
        int((train_sparse_multi_probe(x, y, l1_decay=decay, device=CPU).weights.abs() < 1e-5).sum())
        for decay in (0.015, 1.0)
    ]
    assert 0 < zeros[0] < zeros[1]


def test_stats_of_letters():
    probe = probing.LinearProbe(input_dim=4, num_outputs=26)
    with torch.no_grad():
        probe.weights.zero_()
        probe.biases.fill_(-1.0)
        probe.weights[0, 0] = 9.0
    stats = probing.gen_probe_stats(probe, torch.eye(4), torch.tensor([0, 0, 1, 2]), device=CPU)
    assert stats[0] == probing.ProbeStats("a", f1=2 / 3, accuracy=0.75, precision=1.0, recall=0.5)
    assert [one.letter for one in stats] == list(LETTERS)
    assert stats[1] == probing.ProbeStats("b", f1=0.0, accuracy=0.75, precision=0.0, recall=0.0)


# ---- data of probes


def test_prompts_of_training_and_test_words_are_apart():
    words = [f"{letter}word" for letter in LETTERS[:18]]
    train, test = probing.create_dataset_probe_training(
        words, lambda word: word[0].upper(), 2, max_icl_examples=2, base_template="{word}:", train_test_fraction=0.5
    )
    assert len(train) == len(test) == 18
    assert {prompt.word for prompt, _ in train}.isdisjoint(prompt.word for prompt, _ in test)
    assert all(isinstance(prompt, probing.SpellingPrompt) and prompt.base.startswith("\n") for prompt, _ in train)
    assert all(LETTERS[label] == prompt.word[0] for prompt, label in [*train, *test])


def test_activations_of_a_hooked_model_are_kept(tmp_path: Path):
    dataset = [
        (probing.SpellingPrompt(base=f"{word}:", answer=" x", word=word), i) for i, word in enumerate(["cat", "dog"])
    ]
    x_BLD = torch.rand(2, 10, WIDTH)
    hooked = MagicMock(cfg=SimpleNamespace(d_model=WIDTH), run_with_cache=lambda *_, **__: (None, {"place": x_BLD}))
    train_df, test_df, train, test = probing.gen_and_save_df_acts_probing(
        hooked, test_dataset=dataset, train_dataset=dataset, path=tmp_path, hook_point="place", batch_size=2,
        position_idx=-2,
    )  # fmt: skip
    assert isinstance(train, np.memmap)
    assert np.array_equal(train, x_BLD[:, -2])
    assert np.array_equal(test, train)
    assert {path.name for path in tmp_path.iterdir()} == {
        "train_df.csv", "test_df.csv", "train_act_tensor.dat", "test_act_tensor.dat",
    }  # fmt: skip
    assert pd.read_csv(tmp_path / "test_df.csv")["token"].tolist() == test_df["token"].tolist() == ["cat", "dog"]
    assert train_df["answer_class"].tolist() == [0, 1]


def test_a_probe_is_trained_from_tables_and_kept(tmp_path: Path):
    table = pd.DataFrame({"answer_class": np.arange(200) % 26})
    activations = np.random.default_rng(0).random((200, WIDTH), dtype=np.float32)
    probe, data = probing.train_linear_probe_for_task(
        table, table, device=CPU, train_activations=activations, test_activations=activations, num_classes=26,
        batch_size=32, num_epochs=2,
    )  # fmt: skip
    assert {name: tuple(tensor.shape) for name, tensor in data.items()} == {
        "X_train": (200, WIDTH), "X_test": (200, WIDTH), "y_train": (200,), "y_test": (200,),
    }  # fmt: skip
    probing.save_probe_and_data(probe, data, tmp_path / "model" / "layer_3")
    loaded = load_probe("model", 3, tmp_path, torch.float32, "cpu")
    assert torch.equal(loaded.weights, probe.weights)
    with np.load(tmp_path / "model" / "layer_3" / "data.npz") as arrays:
        assert np.array_equal(arrays["X_train"], activations)


def test_rows_without_a_token_are_left_out(lm: LanguageModel):
    x = torch.randn(5, WIDTH)
    table = pd.DataFrame({"token": ["fish", "\u0120bird", float("nan"), "whale", "<0x6A>"]})
    activations, words = _parse_probe_data_split(lm.tokenizer, x, [5, 1, 18, 22, 23], table)
    assert torch.equal(activations, x[[0, 1, 3]])
    assert words == [("fish", 5), (" bird", 1), ("whale", 22)]


# ---- sparse probes


def test_codes_do_not_depend_on_the_batch(sae: Any):
    x = torch.randn(10, WIDTH)
    codes = _get_sae_acts(sae, x, batch_size=1)
    assert codes.shape == (10, sae.cfg.d_sae)
    assert torch.allclose(codes, _get_sae_acts(sae, x, batch_size=5), atol=1e-5)  # another order of sums
    assert torch.equal(_get_sae_acts(sae, x, 1, torch.tensor([3, 1])), codes[:, [3, 1]])


@pytest.mark.parametrize("at_once", [False, True])
def test_sparse_probes_and_their_scores(sae: Any, at_once: bool):
    words, x = [(letter, i) for i, letter in enumerate(LETTERS)], torch.randn(26, WIDTH)
    probes = train_k_sparse_probes(sae, words, x, ks=[1, 2, 3], num_epochs=3, precalc_sae_acts=at_once)
    assert {k: set(of_letter) for k, of_letter in probes.items()} == {k: set(range(26)) for k in (1, 2, 3)}
    for k, of_letter in probes.items():
        assert all(p.k == k and p.weight.shape == p.feature_ids.shape == (k,) for p in of_letter.values())
    assert torch.equal(probes[1][4].feature_ids, probes[3][4].feature_ids[:1])
    table = eval_probe_and_sae_k_sparse_raw_scores(sae, probing.LinearProbe(WIDTH, 26), probes, words, x)
    expected = {"token", "answer_letter", *(f"score_probe_{letter}" for letter in LETTERS)}
    for name in ("score_sparse_sae_{}_k_{}", "sum_sparse_sae_{}_k_{}", "sparse_sae_{}_k_{}_acts"):
        expected |= {name.format(letter, k) for letter in LETTERS for k in (1, 2, 3)}
    assert set(table.columns) == expected
    codes = _get_sae_acts(sae, x)
    own = codes[7, probes[2][5].feature_ids]
    assert table["sparse_sae_f_k_2_acts"][7].tolist() == pytest.approx(own.tolist())
    assert table["score_sparse_sae_f_k_2"][7] == pytest.approx(probes[2][5](codes[7]).item(), abs=1e-5)


def test_a_letter_is_split_as_long_as_f1_jumps():
    row = {f"f1_sparse_sae_{k}": f1 for k, f1 in ((1, 0.5), (2, 0.6), (3, 0.61), (4, 0.9))}
    row |= {f"sparse_sae_k_{k}_feats": np.arange(k) for k in range(1, 5)}
    table = pd.DataFrame([{"letter": letter, **row} for letter in LETTERS])
    add_feature_splits_to_metrics_df(table, max_k_value=4)
    assert table["split_feats"][0] == [0, 1]
    assert set(table["num_split_features"]) == {1}


# ---- absorption of words


def test_prompts_of_different_length_are_refused(lm: LanguageModel):
    calculator = FeatureAbsorptionCalculator(lm, icl_word_list=["dog"])
    prompts = calculator._build_prompts([" cat", " cat"])
    calculator._validate_prompts_are_same_length(prompts)
    prompts[1].base += " and more"
    with pytest.raises(ValueError, match="tokens; ask about words"):
        calculator._validate_prompts_are_same_length(prompts)


def test_absorption_of_words_names_the_latents(lm: LanguageModel, sae: Any):
    calculator = FeatureAbsorptionCalculator(
        lm, icl_word_list=["dog"], topk_feats=10, batch_size=2, answer_formatter=first_letter_formatter()
    )
    words, direction = [" cat", " cat", " cat"], normalize(torch.randn(WIDTH), dim=0)
    results = calculator.calculate_absorption(
        sae, words, probe_direction=3 * direction, layer=0, main_feature_ids=[1, 2, 3]
    )
    assert results.main_feature_ids == [1, 2, 3]
    assert [result.word for result in results.word_results] == words
    prompt = results.word_results[0].prompt
    assert prompt == "\ndog: D\n cat:"
    ids = torch.tensor(list(lm.tokenize([prompt])))
    x_D = lm.capture(ids, ["blocks.0.hook_resid_post"])["blocks.0.hook_resid_post"][0, -2]
    cosines, codes = normalize(sae.W_dec, dim=1) @ direction, sae.encode(x_D)
    for result in results.word_results:
        assert result.probe_projection == pytest.approx((x_D @ direction).item(), abs=1e-5)
        assert [score.feature_id for score in result.main_feature_scores] == [1, 2, 3]
        top = result.top_projection_feature_scores
        assert [score.feature_id for score in top] == (codes * cosines).topk(10).indices.tolist()
        for score in (*result.main_feature_scores, *top):
            assert score.probe_cos_sim == pytest.approx(cosines[score.feature_id].item(), abs=1e-5)
            assert score.activation == pytest.approx(codes[score.feature_id].item(), abs=1e-5)
            assert score.probe_projection == score.activation * score.probe_cos_sim
    with pytest.raises(ValueError, match="one vector"):
        calculator.calculate_absorption(sae, words, torch.ones(2, WIDTH), [1], layer=0)


def hooked_at(x_D: torch.Tensor) -> Any:
    """A model that has this activation everywhere."""

    def run_with_cache(texts: list[str], names_filter: list[str]) -> Any:
        return None, {names_filter[0]: x_D.expand(len(texts), 4, -1)}

    return SimpleNamespace(run_with_cache=run_with_cache, to_tokens=lambda _: [[0]], cfg=SimpleNamespace(d_model=4))


@pytest.mark.parametrize(
    ("x", "main", "fraction", "full"),
    [
        ([0.0, 1.0, 0.0, 0.0], [0], 1.0, True),  # another latent carries all of the letter
        ([1.0, 0.0, 0.0, 0.0], [0], 0.0, False),  # its own does
        ([1.0, 1.0, 0.0, 0.0], [0], 0.5, False),  # both do
        ([0.0, 0.0, 1.0, 0.0], [0], 0.0, False),  # the word is not along the probe
    ],
)
def test_who_carries_the_letter(x: list[float], main: list[int], fraction: float, full: bool):
    identity = SimpleNamespace(W_dec=torch.eye(4), encode=lambda x_BD: x_BD)
    calculator = FeatureAbsorptionCalculator(hooked_at(torch.tensor(x)), ["dog"], topk_feats=2)
    probe = torch.tensor([1.0, 1.0, 0.0, 0.0])
    (result,) = calculator.calculate_absorption(identity, ["cat"], probe, main, layer=0).word_results
    assert (result.absorption_fraction, result.is_full_absorption) == (pytest.approx(fraction), full)


COLUMNS = [
    "letter", "token", "prompt", "num_probe_true_positives", "split_feats", "split_feat_acts", "split_feat_probe_cos",
    "top_projection_feat", "top_probe_projection", "top_projection_feat_probe_cos", "second_projection_feat",
    "second_probe_projection", "second_projection_feat_probe_cos", "probe_projections", "projection_feats",
    "projection_feat_acts", "projection_feat_probe_cos", "absorption_fraction", "is_full_absorption",
]  # fmt: skip


def test_the_table_of_words(lm: LanguageModel, sae: Any):
    calculator = FeatureAbsorptionCalculator(lm, icl_word_list=["dog"])
    words = {
        "a": StatsAndLikelyFalseNegativeResults(10, 10, [1, 2, 3], [" a", " a"]),
        "b": StatsAndLikelyFalseNegativeResults(100, 100, [12], [" b"]),
    }
    table = calculate_projection_and_cos_sims(
        calculator, sae, probing.LinearProbe(WIDTH, 26), layer=0, likely_negs=words
    )
    assert table.columns.tolist() == COLUMNS
    assert table["letter"].tolist() == ["a", "a", "b"]
    assert table["split_feats"].tolist() == [[1, 2, 3], [1, 2, 3], [12]]


@pytest.fixture
def _every_letter_in_training() -> Iterator[None]:
    """The steps split words with Python's own generator; with this state all 26 letters have words to train on."""
    state = random.getstate()
    random.seed(1)
    yield
    random.setstate(state)


@pytest.mark.usefixtures("_every_letter_in_training")
@pytest.mark.slow
def test_all_steps_from_the_model_to_the_words(lm: LanguageModel, sae: Any, tmp_path: Path):
    template, folders = "{word} is spelled:", {"probes_dir": tmp_path / "probes"}
    train_and_save_probes(lm, [0], template, -4, tmp_path / "probes", num_epochs=30, device="cpu")
    metrics = run_k_sparse_probing_experiment(
        lm, sae, 0, "mine", 2, template, -4, "cpu", tmp_path / "sparse", k_sparse_probe_num_epochs=3, **folders
    )
    assert metrics["letter"].tolist() == list(LETTERS)
    assert {"auc_probe", "f1_sparse_sae_2", "auc_sum_sparse_sae_1", "cos_probe_sae_dec_k_2", "split_feats"} <= {
        *metrics
    }
    again = run_k_sparse_probing_experiment(lm, sae, 0, "mine", 2, template, -4, "cpu", tmp_path / "sparse", **folders)
    assert again["f1_sparse_sae_2"].tolist() == metrics["f1_sparse_sae_2"].tolist()
    with pytest.raises(FileNotFoundError, match="k_sparse_probing"):
        load_experiment_df("k_sparse_probing", tmp_path / "nowhere.parquet")
    words = run_feature_absortion_experiment(
        lm, sae, 0, "mine", 2, template, -4, "cpu", tmp_path / "words", tmp_path / "sparse", **folders
    )
    assert words.columns.tolist() == COLUMNS
    assert words["absorption_fraction"].between(0, 1).all()
