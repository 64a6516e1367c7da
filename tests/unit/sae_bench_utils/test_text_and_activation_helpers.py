"""Published helpers for texts, tokens, activations and codes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from sae_bench.datasets import LabelledSpec, registry
from sae_bench.errors import DatasetError, PrerequisiteError, UnknownNameError, UsageError
from sae_bench.language_models import LanguageModel
from sae_bench.sae_bench_utils import activation_collection as collection
from sae_bench.sae_bench_utils import dataset_info, dataset_utils
from sae_bench.testing.tiny_models import tiny_model, tiny_sae

HOOK = "blocks.1.hook_resid_post"


@pytest.fixture(scope="module")
def lm() -> LanguageModel:
    torch.set_num_threads(1)
    return tiny_model("gpt2")


@pytest.fixture
def animals(tmp_path: Path) -> Iterator[str]:
    """A labelled set of three classes, known for the time of a test."""
    for split, n in (("train", 9), ("test", 6)):
        rows = [
            {"text": f"{split} {i} of a {label}", "label": label} for label in ("cat", "dog", "eel") for i in range(n)
        ]
        (tmp_path / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    classes = {name: name for name in ("cat", "dog", "eel")}
    registry.register(LabelledSpec(name="tiny/animals", description="Animals.", path=tmp_path, classes=classes))
    yield "tiny/animals"
    registry.forget_datasets()


# ---- texts


def test_published_tables_of_classes():
    assert dataset_info.profession_int_to_str[21] == "professor"
    assert dataset_info.amazon_int_to_str[6] == "Electronics"
    assert dataset_info.chosen_classes_per_dataset["LabHC/bias_in_bios_class_set1"] == ["0", "1", "2", "6", "9"]
    assert dataset_info.dataset_metadata["LabHC/bias_in_bios"]["column2_mapping"] == {"male": 0, "female": 1}


def test_texts_by_class(animals: str):
    train, test = dataset_utils.get_multi_label_train_test_data(animals, 8, 6, 1)
    assert {name: len(texts) for name, texts in train.items()} == {"cat": 4, "dog": 4, "eel": 4}
    assert {len(texts) for texts in test.values()} == {3}
    assert all(text.endswith("dog") for text in train["dog"])
    some, _ = dataset_utils.get_ag_news_dataset(animals, ["eel", "cat"], 8, 6, 1)
    assert sorted(some) == ["cat", "eel"]
    with pytest.raises(UnknownNameError, match="Did you mean 'cat'"):
        dataset_utils.get_github_code_dataset(animals, ["cats"], 8, 6, 1)


def test_filtering_classes():
    data = {"a": ["1"], "b": ["2"], "c": ["3"]}
    assert dataset_utils.filter_dataset(data, ["c", "a"]) == {"c": ["3"], "a": ["1"]}
    with pytest.raises(UnknownNameError):
        dataset_utils.filter_dataset(data, ["d"])
    train, test = dataset_utils.ensure_shared_keys(data, {"b": [], "c": [], "z": []})
    assert (sorted(train), sorted(test)) == (["b", "c"], ["b", "c"])
    assert sorted(data) == ["a", "b", "c"], "the caller's data stay as they were"


def test_rows_of_a_corpus(lm: LanguageModel, tmp_path: Path):
    texts = [f"text {i} " + "word " * 40 for i in range(30)]
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("".join(json.dumps({"text": t}) + "\n" for t in ["short", *texts]))
    rows = dataset_utils.load_and_tokenize_dataset(str(corpus), 16, 200, lm.tokenizer)
    assert rows.shape[1] == 16
    assert 200 < rows.numel() <= 216 + 1
    assert bool((rows[:, 0] == lm.tokenizer.bos_token_id).all())
    expected = lm.tokenizer(texts[0], add_special_tokens=False)["input_ids"]
    assert rows.flatten()[1:16].tolist() == expected[1:16], "short texts are left out"
    with pytest.raises(DatasetError, match="more than 1,000,000 are needed"):
        dataset_utils.load_and_tokenize_dataset(str(corpus), 16, 1_000_000, lm.tokenizer)


def test_rows_keep_separators_and_only_whole_rows(lm: LanguageModel):
    eos = lm.tokenizer.eos_token_id
    rows = dataset_utils.tokenize_and_concat_dataset(lm.tokenizer, ["one", "two three"], 2, add_bos=False)
    ids = [lm.tokenizer(t, add_special_tokens=False)["input_ids"] for t in ("one", "two three")]
    joined = [*ids[0], eos, *ids[1], eos]
    assert rows.flatten().tolist() == joined[: len(joined) // 2 * 2]


def test_tokenised_classes(lm: LanguageModel):
    found = dataset_utils.tokenize_data_dictionary({"a": ["one two three four", "x"]}, lm.tokenizer, 6, "cpu")
    assert {key: tuple(value.shape) for key, value in found["a"].items()}.items() >= {
        "input_ids": (2, 6),
        "attention_mask": (2, 6),
    }.items()


# ---- activations


@pytest.fixture(scope="module")
def rows(lm: LanguageModel) -> torch.Tensor:
    """Six texts of different length, padded on the right."""
    texts = ["a river", "code and more code", "the soup", "salt", "water in a boat on a lake", "print"]
    ids = lm.tokenize(texts)
    out = torch.full((len(ids), max(map(len, ids))), lm.tokenizer.pad_token_id)
    for row, one in zip(out, ids, strict=True):
        row[: len(one)] = torch.tensor(one)
    return out


def test_means_are_over_unmasked_tokens(lm: LanguageModel, rows: torch.Tensor):
    x_BLD = collection.get_llm_activations(rows, lm, 4, 1, HOOK, mask_bos_pad_eos_tokens=True, show_progress=False)
    mask = collection.get_bos_pad_eos_mask(rows, lm.tokenizer)
    assert bool((x_BLD[~mask] == 0).all())
    plain = lm.capture(rows, [HOOK])[HOOK]
    torch.testing.assert_close(x_BLD[mask], plain[mask])
    mean = collection.create_meaned_model_activations({"all": x_BLD})["all"]
    expected = torch.stack([plain[i][mask[i]].mean(dim=0) for i in range(len(rows))])
    torch.testing.assert_close(mean, expected)
    sae = tiny_sae("topk")
    codes = collection.get_sae_meaned_activations({"all": x_BLD}, sae, 2)["all"]
    expected = torch.stack([sae.encode(plain[i][mask[i]]).mean(dim=0) for i in range(len(rows))])
    torch.testing.assert_close(codes, expected)


def test_codes_and_densities(lm: LanguageModel, rows: torch.Tensor):
    sae = tiny_sae("relu")
    f_BLF = collection.collect_sae_activations(rows, lm, sae, 4, 1, HOOK, mask_bos_pad_eos_tokens=True)
    mask = collection.get_bos_pad_eos_mask(rows, lm.tokenizer)
    plain = sae.encode(lm.capture(rows, [HOOK])[HOOK])
    torch.testing.assert_close(f_BLF, plain * mask[:, :, None])
    some = collection.collect_sae_activations(
        rows, lm, sae, 4, 1, HOOK, selected_latents=[3, 1], activation_dtype=torch.float64
    )
    torch.testing.assert_close(some, plain[:, :, [3, 1]].double())
    density = collection.get_feature_activation_sparsity(rows, lm, sae, 4, 1, HOOK, mask_bos_pad_eos_tokens=True)
    torch.testing.assert_close(density, (plain[mask] > 0).float().mean(dim=0))


def test_kept_activations_give_the_same_codes(lm: LanguageModel, rows: torch.Tensor, tmp_path: Path):
    sae = tiny_sae("topk")
    collection.save_activations(rows, lm, 2, 1, HOOK, 2, 3, tmp_path / "kept")
    found = collection.encode_precomputed_activations(sae, 2, 2, tmp_path / "kept", mask_bos_pad_eos_tokens=True)
    direct = collection.collect_sae_activations(rows, lm, sae, 6, 1, HOOK, mask_bos_pad_eos_tokens=True)
    torch.testing.assert_close(found, direct)
    with pytest.raises(PrerequisiteError, match="num_chunks=3"):
        collection.encode_precomputed_activations(sae, 2, 3, tmp_path / "kept")


def test_one_position_of_each_text(lm: LanguageModel, rows: torch.Tensor):
    places = collection.get_bos_pad_eos_mask(rows, lm.tokenizer).sum(dim=1)
    found = collection.get_layer_activations(lm, 1, {"input_ids": rows}, places)
    plain = lm.capture(rows, [HOOK])[HOOK]
    torch.testing.assert_close(found, torch.stack([plain[i, p] for i, p in enumerate(places)]))
    assert collection.get_module(lm, 1) is lm.layers[1]


def test_other_models_are_refused():
    with pytest.raises(UsageError, match="LanguageModel"):
        collection.get_module(object(), 0)
