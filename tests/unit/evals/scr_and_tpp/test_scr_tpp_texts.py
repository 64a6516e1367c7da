"""Pairs and quadrants: which texts, in which order, and what is refused."""

import importlib.util
import os

import pytest
from scr_tpp_settings import TINY

from sae_bench.datasets import get_spec, load_labelled, load_tables, registry
from sae_bench.errors import DatasetError, UnknownNameError, UsageError
from sae_bench.evals.scr_and_tpp.eval_config import ScrEvalConfig
from sae_bench.evals.scr_and_tpp.texts import QUADRANTS, load_pairs, pairs_of

HUB = os.environ.get("SAE_BENCH_TEST_HUB")
needs_hub = pytest.mark.skipif(HUB is None, reason="SAE_BENCH_TEST_HUB names no mirror")
needs_package = pytest.mark.skipif(importlib.util.find_spec("sae_probes") is None, reason="sae-probes is not installed")


def config(**changes):
    return ScrEvalConfig(**{**TINY, **changes})


def test_the_first_texts_of_each_quadrant_and_twice_as_many_of_the_biased(times):
    pairs, provenance = load_pairs("tiny/times", config())
    assert [pair.name for pair in pairs] == ["tiny/times_scr_river_code", "tiny/times_scr_food_code"]
    table = load_tables(times).train
    for (c, b), size in zip(QUADRANTS, (12, 6, 6, 12), strict=True):
        rows = table[(table["label"] == ("river", "code")[c]) & (table["balance"] == ("now", "then")[b])]
        assert pairs[0].train[c, b] == rows["text"].tolist()[:size]
    assert [len(pairs[0].test[quadrant]) for quadrant in QUADRANTS] == [6, 3, 3, 6]
    assert provenance["pairs"] == "river / code; food / code"
    assert provenance["second_attribute"] == "now / then"


def test_texts_can_be_drawn_by_seed(times):
    first, one, again, other = (
        load_pairs("tiny/times", config(train_set_size=8, test_set_size=8, text_choice=choice, random_seed=seed))
        for choice, seed in (("first", 1), ("drawn", 1), ("drawn", 1), ("drawn", 2))
    )
    assert one == again
    for chosen in (one, other):
        assert {q: len(texts) for q, texts in chosen[0][0].train.items()} == {
            q: len(texts) for q, texts in first[0][0].train.items()
        }
        assert all(text.startswith("now") == (b == 0) for (_, b), of in chosen[0][0].train.items() for text in of)
    assert len({str(pairs[0].train) for pairs, _ in (first, one, other)}) == 3
    assert one[1]["draw"] == "texts of each quadrant at random, seed 1"


def test_a_set_that_is_not_listed_pairs_its_classes_in_order(times):
    assert pairs_of(times, config(column1_vals_lookup={})) == [("river", "code")]
    emotions = get_spec("embedded/emotions_by_address")
    assert pairs_of(emotions, ScrEvalConfig()) == [("worry", "happiness"), ("sadness", "surprise")]


def test_the_published_pairs_reach_beyond_the_five_classes_of_their_set():
    for name, pairs in ScrEvalConfig().column1_vals_lookup.items():
        whole = get_spec(get_spec(name).whole_set)
        assert {c for pair in pairs for c in pair} <= set(whole.classes.values())
        assert set(whole.classes) >= set(get_spec(name).classes)
        assert whole.repository == get_spec(name).repository or name.startswith(whole.repository)


def test_classes_of_the_whole_set_are_found(times):
    small = times.model_copy(
        update={"name": "tiny/small", "classes": {"river": "river", "food": "food"}, "whole_set": "tiny/times"}
    )
    registry.register(small)
    pairs, _ = load_pairs("tiny/small", config(column1_vals_lookup={"tiny/small": [("river", "code")]}))
    assert pairs[0].train[1, 1][0].startswith("then")


def test_too_few_texts_name_the_counts_and_the_largest_size(times):
    with pytest.raises(
        DatasetError, match=r"(?s)train_set_size = 40.*river, now: 13.*Lower train_set_size to 24 or less"
    ):
        load_pairs("tiny/times", config(train_set_size=40))
    with pytest.raises(DatasetError, match="Lower test_set_size to 12"):
        load_pairs("tiny/times", config(test_set_size=16))


def test_unknown_classes_and_sets_without_a_second_attribute_are_refused(times, words):
    with pytest.raises(UnknownNameError, match="Did you mean 'river'"):
        load_pairs("tiny/times", config(column1_vals_lookup={"tiny/times": [("rivr", "code")]}))
    with pytest.raises(UsageError, match="'tiny/words' has none"):
        load_pairs("tiny/words", config())


@needs_package
def test_the_embedded_tweets():
    (first, second), _ = load_pairs(
        "embedded/emotions_by_address", ScrEvalConfig(train_set_size=700, test_set_size=176)
    )
    for pair in (first, second):
        for split, size in ((pair.train, 175), (pair.test, 44)):
            assert [len(split[q]) for q in QUADRANTS] == [2 * size, size, size, 2 * size]
            assert all("@" in text for c in (0, 1) for text in split[c, 0])
            assert not any("@" in text for c in (0, 1) for text in split[c, 1])
    drawn = load_labelled("embedded/emotions_by_address", train_set_size=40, test_set_size=8, seed=0)
    assert [sum("@" in text for text in drawn.train[name]) for name in drawn.classes] == [10] * 4
    with pytest.raises(DatasetError, match="Lower train_set_size to 716"):
        load_pairs("embedded/emotions_by_address", ScrEvalConfig())


@needs_hub
def test_amazon_reviews_of_the_mirror():
    settings = ScrEvalConfig(train_set_size=1400, test_set_size=480)
    pairs, provenance = load_pairs("blitzer/amazon_multi_domain", settings, data_dir=HUB)
    assert [pair.pair for pair in pairs] == [("books", "dvd"), ("electronics", "kitchen")]
    assert [len(pairs[0].train[q]) for q in QUADRANTS] == [700, 350, 350, 700]
    assert provenance["second_attribute"] == "negative / positive"
