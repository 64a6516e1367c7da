"""Drawing labelled texts: which texts, how many, from which rows, and what is said when it cannot be done."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sae_bench.datasets import LabelledSpec, load_labelled, load_tables
from sae_bench.datasets.labelled import as_keys
from sae_bench.errors import DatasetError, UnknownNameError, UsageError

BIOS = "LabHC/bias_in_bios_class_set1"
BIOS_REPO = "LabHC/bias_in_bios"
AMAZON = "canrager/amazon_reviews_mcauley_1and5"


def _balanced(frame, label, value, balance, text, n, seed):
    rows = frame[frame[label] == value]
    return [t for _, group in rows.groupby(balance) for t in group.sample(n=n, random_state=seed)[text]]


@pytest.mark.parametrize("seed", [0, 42])
def test_bios_are_the_published_balanced_sample(bios, write, seed):
    data_dir = write(BIOS_REPO, bios)
    texts = load_labelled(BIOS, train_set_size=16, test_set_size=8, seed=seed, data_dir=data_dir)
    assert texts.classes == ("0", "1", "2", "6", "9")
    assert texts.class_names["6"] == "dentist"
    for key in texts.classes:
        expected = _balanced(bios["train"], "profession", int(key), "gender", "hard_text", 4, seed)
        assert texts.train[key] == expected
        assert texts.test[key] == _balanced(bios["test"], "profession", int(key), "gender", "hard_text", 2, seed)
        assert sum("gender 1" in t for t in texts.train[key]) == 4
        assert len(set(texts.train[key])) == 8


def test_amazon_categories_are_balanced_by_rating_and_sentiment_is_not_by_category(amazon, write):
    data_dir = write(AMAZON, amazon)
    texts = load_labelled(AMAZON, train_set_size=8, test_set_size=4, seed=1, data_dir=data_dir)
    assert texts.classes == ("1", "2", "3", "5", "6")
    assert texts.train["5"] == _balanced(amazon["train"], "category", 5, "rating", "text", 2, 1)
    texts = load_labelled(f"{AMAZON}_sentiment", train_set_size=8, test_set_size=4, seed=1, data_dir=data_dir)
    assert texts.classes == ("1.0", "5.0")
    train = amazon["train"]
    assert texts.train["5.0"] == train[train.rating == 5.0].text.sample(n=4, random_state=1).tolist()


def test_ag_news_is_a_sample_of_each_class(write):
    frame = pd.DataFrame({"text": [f"news {i}" for i in range(80)], "label": [i % 4 for i in range(80)]})
    test = frame.assign(text="test " + frame["text"])
    data_dir = write("fancyzhx/ag_news", {"train": frame, "test": test})
    texts = load_labelled("fancyzhx/ag_news", train_set_size=20, test_set_size=10, seed=3, data_dir=data_dir)
    for key in ("0", "1", "2", "3"):
        assert texts.train[key] == frame[frame.label == int(key)].text.sample(n=10, random_state=3).tolist()
        assert texts.test[key] == test[test.label == int(key)].text.sample(n=5, random_state=3).tolist()


def test_the_seed_decides_and_nothing_else(bios, write):
    data_dir = write(BIOS_REPO, bios)
    np.random.seed(5)
    state = np.random.get_state()[1].tolist()
    draw = {s: load_labelled(BIOS, train_set_size=8, test_set_size=4, seed=s, data_dir=data_dir) for s in (0, 1)}
    again = load_labelled(BIOS, train_set_size=8, test_set_size=4, seed=0, data_dir=data_dir)
    assert again == draw[0]
    assert draw[0].train != draw[1].train
    assert draw[0].provenance["texts_sha256"] != draw[1].provenance["texts_sha256"]
    assert np.random.get_state()[1].tolist() == state


def test_provenance_says_where_the_rows_came_from(bios, write):
    data_dir = write(BIOS_REPO, bios)
    provenance = load_labelled(BIOS, train_set_size=8, test_set_size=4, seed=7, data_dir=data_dir).provenance
    assert provenance["source"] == "mirror"
    assert provenance["location"] == str(data_dir / BIOS_REPO)
    assert (provenance["train_rows"], provenance["test_rows"]) == ("120", "60")  # of the five chosen classes
    assert provenance["seed"] == "7"
    assert provenance["texts_in_train_and_test"] == "0"
    assert all(isinstance(value, str) for value in provenance.values())


def test_texts_that_a_source_has_in_both_splits_are_counted(write):
    frame = pd.DataFrame({"text": [f"news {i}" for i in range(40)], "label": [i % 4 for i in range(40)]})
    data_dir = write("fancyzhx/ag_news", {"train": frame, "test": frame})
    texts = load_labelled("fancyzhx/ag_news", train_set_size=20, test_set_size=20, seed=0, data_dir=data_dir)
    assert texts.provenance["texts_in_train_and_test"] == "40"


def _europarl(write, rows: int) -> Path:
    pairs = {"en": "en-fr", "fr": "fr-it", "de": "de-en", "es": "es-fr", "nl": "nl-pt"}
    for language, pair in pairs.items():
        other = next(side for side in pair.split("-") if side != language)
        sides = [{language: f"{language} {i}", other: "not this side"} for i in range(rows)]
        data_dir = write(f"Helsinki-NLP/europarl/{pair}", {"train": pd.DataFrame({"translation": sides})})
    return data_dir


def test_europarl_takes_the_first_sentences_of_a_pair_and_shuffles_the_languages_in_order(write):
    data_dir = _europarl(write, rows=30)
    texts = load_labelled("Helsinki-NLP/europarl", train_set_size=12, test_set_size=8, seed=9, data_dir=data_dir)
    generator = random.Random(9)
    for language in ("en", "fr", "de", "es", "nl"):
        expected = [f"{language} {i}" for i in range(6 + 4 + 1)]
        generator.shuffle(expected)
        assert texts.train[language] == expected[:6]
        assert texts.test[language] == expected[6:10]
    assert texts.provenance["rows_read"] == "55"


def test_europarl_with_too_few_sentences_says_how_many_there_are(write):
    data_dir = _europarl(write, rows=5)
    with pytest.raises(
        DatasetError, match=r"10 of each are needed, there are en \(English\): 5; fr .* Lower train_set_"
    ):
        load_labelled("Helsinki-NLP/europarl", train_set_size=12, test_set_size=8, seed=9, data_dir=data_dir)


def _github_code(n_each: int) -> pd.DataFrame:
    rows = []
    for i in range(n_each):
        for language in ("C", "Python", "HTML", "Java", "PHP", "Rust"):
            rows.append({"code": f"{'#' * 150}{language} {i:03d} {'x' * 400}", "language": language})
            rows.append({"code": "y" * 534, "language": language})  # one character too short
    rows.insert(0, {"code": f"{'#' * 150}C first {'x' * 400}", "language": "C"})
    return pd.DataFrame(rows).assign(repo_name="r", path="p", license="mit", size=1)


def test_github_code_drops_short_files_and_cuts_the_header(write):
    frame = _github_code(12)
    data_dir = write("codeparrot/github-code", {"train": frame}, pattern="data/{split}-00000-of-01126.parquet")
    texts = load_labelled("codeparrot/github-code", train_set_size=8, test_set_size=4, seed=2, data_dir=data_dir)
    assert texts.classes == ("C", "Python", "HTML", "Java", "PHP")
    # reading stops when the last language has 4 + 2 + 1 files, by which time C has one more
    generator = random.Random(2)
    for language in texts.classes:
        pool = [f"{language} {i:03d} {'x' * 400}" for i in range(7)]
        pool = [f"C first {'x' * 400}", *pool] if language == "C" else pool
        generator.shuffle(pool)
        assert texts.train[language] == pool[:4]
        assert texts.test[language] == pool[4:6]


def test_too_few_rows_names_every_count_and_the_largest_size(bios, write):
    bios["train"] = bios["train"].drop(bios["train"].query("profession == 6 and gender == 1").index[:9])
    data_dir = write(BIOS_REPO, bios)
    with pytest.raises(DatasetError) as caught:
        load_labelled(BIOS, train_set_size=20, test_set_size=4, seed=0, data_dir=data_dir)
    message = str(caught.value)
    assert "5 of each are needed" in message
    assert "6 (dentist), 0 (male): 12; 6 (dentist), 1 (female): 3;" in message
    assert "Lower train_set_size to 12 or less" in message
    load_labelled(BIOS, train_set_size=12, test_set_size=4, seed=0, data_dir=data_dir)


def test_a_class_without_rows_points_at_the_labels(bios, write):
    data_dir = write(BIOS_REPO, {s: f.assign(profession=f["profession"] + 50) for s, f in bios.items()})
    with pytest.raises(DatasetError, match="the label column or its values differ"):
        load_labelled(BIOS, train_set_size=8, test_set_size=4, seed=0, data_dir=data_dir)


def test_too_few_test_rows_speak_of_the_test_size(bios, write):
    data_dir = write(BIOS_REPO, bios)
    with pytest.raises(DatasetError, match="Lower test_set_size to 24 or less"):
        load_labelled(BIOS, train_set_size=8, test_set_size=400, seed=0, data_dir=data_dir)


@pytest.mark.parametrize("size", [0, 3])
def test_a_set_smaller_than_its_cells_is_refused(bios, write, size):
    with pytest.raises(UsageError, match="at least 4"):
        load_labelled(BIOS, train_set_size=size, test_set_size=8, seed=0, data_dir=write(BIOS_REPO, bios))


def test_missing_column_lists_those_present(bios, write):
    data_dir = write(BIOS_REPO, {s: f.rename(columns={"hard_text": "bio"}) for s, f in bios.items()})
    with pytest.raises(DatasetError, match=r"train\.parquet' has no column 'hard_text'; its columns: 'bio', 'profe"):
        load_labelled(BIOS, train_set_size=8, test_set_size=4, seed=0, data_dir=data_dir)


def test_a_text_column_without_texts_is_refused(write):
    frame = pd.DataFrame({"text": [1, 2, 3, 4] * 4, "label": [0, 1, 2, 3] * 4})
    data_dir = write("fancyzhx/ag_news", {"train": frame, "test": frame})
    with pytest.raises(DatasetError, match=r"holds int\d*, not text"):
        load_labelled("fancyzhx/ag_news", train_set_size=4, test_set_size=4, seed=0, data_dir=data_dir)


def test_unknown_names_and_corpora_are_refused():
    with pytest.raises(UnknownNameError, match="fancyzhx/ag_news"):
        load_labelled("ag_news", train_set_size=4, test_set_size=4, seed=0)
    with pytest.raises(UsageError, match="is a corpus"):
        load_labelled("Skylion007/openwebtext", train_set_size=4, test_set_size=4, seed=0)


def _one_split(write) -> tuple[LabelledSpec, pd.DataFrame]:
    frame = pd.DataFrame({"text": [f"text {i}" for i in range(100)], "label": ["a", "b"] * 50})
    double = pd.DataFrame({"text": ["text 0", "text 1", "both", "both"], "label": ["a", "b", "a", "b"]})
    frame = pd.concat([frame, double], ignore_index=True)
    path = write("one", {"train": frame}) / "one"
    classes = {"a": "A", "b": "B"}
    return LabelledSpec(name="one", description="d", path=path, classes=classes, test_split=None), frame


def test_a_set_with_one_split_is_split_by_content(write):
    spec, frame = _one_split(write)
    tables = load_tables(spec)
    assert not set(tables.train["text"]) & set(tables.test["text"])
    assert tables.test["label"].value_counts().to_dict() == {"a": 10, "b": 10}
    assert sorted([*tables.train["text"], *tables.test["text"]]) == sorted(set(frame["text"]) - {"both"})
    # another order of the rows and an unrelated new row leave every text on its side
    write("one", {"train": pd.concat([frame[::-1], pd.DataFrame({"text": ["new"], "label": ["c"]})])})
    assert set(load_tables(spec).test["text"]) == set(tables.test["text"])


def test_one_file_cannot_hold_two_splits(write):
    spec, _ = _one_split(write)
    file = spec.path / "train.parquet"
    with pytest.raises(UsageError, match="test_split: null"):
        load_tables(spec.model_copy(update={"path": file, "test_split": "test"}))
    assert load_tables(spec.model_copy(update={"path": file})).provenance["source"] == "path"


def test_tables_keep_both_attributes(bios, write):
    tables = load_tables(BIOS, data_dir=write(BIOS_REPO, bios))
    assert list(tables.train.columns) == ["text", "label", "balance"]
    assert set(tables.train["label"]) == {"0", "1", "2", "6", "9"}
    assert set(tables.train["balance"]) == {"0", "1"}
    with pytest.raises(UsageError, match="stream"):
        load_tables("codeparrot/github-code")


def test_labels_match_by_value():
    allowed = {"1": "one", "5.0": "five", "C": "c"}
    assert as_keys(pd.Series([1.0, 5, 2]), allowed).tolist()[:2] == ["1", "5.0"]
    assert as_keys(pd.Series([1.0, 5, 2]), allowed).isna().tolist() == [False, False, True]
    assert as_keys(pd.Series(["C", "c"]), allowed).isna().tolist() == [False, True]
    assert as_keys(pd.Series([None, 1.0]), allowed).isna().tolist() == [True, False]
