"""The declared sets, and adding one by YAML or in Python."""

from __future__ import annotations

import pandas as pd
import pytest
from pydantic import ValidationError

from sae_bench.datasets import CorpusSpec, LabelledSpec, get_spec, list_datasets, load_labelled, register, register_yaml
from sae_bench.errors import DatasetError, UnknownNameError, UsageError

BIOS = "LabHC/bias_in_bios_class_set"
AMAZON = "canrager/amazon_reviews_mcauley_1and5"
PUBLISHED = {
    "fancyzhx/ag_news": "0 1 2 3",
    "Helsinki-NLP/europarl": "en fr de es nl",
    "codeparrot/github-code": "C Python HTML Java PHP",
    AMAZON: "1 2 3 5 6",
    f"{AMAZON}_sentiment": "1.0 5.0",
    f"{BIOS}1": "0 1 2 6 9",
    f"{BIOS}2": "11 13 14 18 19",
    f"{BIOS}3": "20 21 22 25 26",
}
OWN = """
name: own/reviews
kind: labelled
description: Reviews of pubs.
path: reviews
classes: {0: bad, 1: good}
test_split: null
"""


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_sets_have_the_published_classes(name):
    assert " ".join(get_spec(name).classes) == PUBLISHED[name]


def test_lists_by_kind():
    assert set(PUBLISHED) < set(list_datasets("labelled"))
    assert {"embedded", "Skylion007/openwebtext", "Salesforce/wikitext"} < set(list_datasets("corpus"))
    assert sorted(list_datasets("labelled") + list_datasets("corpus")) == list_datasets()


def test_every_field_and_set_is_described():
    for model in (LabelledSpec, CorpusSpec):
        for name, field in model.model_fields.items():
            assert field.description or name == "kind", name
    assert all(get_spec(name).description.endswith(".") for name in list_datasets())


def test_stand_ins_exist():
    named = [get_spec(name).stands_in_for for name in list_datasets()]
    assert all(name in list_datasets() for name in named if name is not None)


def test_unknown_names_get_suggestions():
    with pytest.raises(UnknownNameError, match="LabHC/bias_in_bios_class_set1"):
        get_spec("bias_in_bios_class_set1")


def test_specs_are_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        get_spec("fancyzhx/ag_news").text_column = "other"


def test_a_set_added_by_yaml_loads(tmp_path):
    (tmp_path / "reviews").mkdir()
    frame = pd.DataFrame({"text": [f"review {i}" for i in range(40)], "label": [0, 1] * 20})
    frame.to_csv(tmp_path / "reviews" / "all.csv", index=False)
    (tmp_path / "own.yaml").write_text(OWN)
    (spec,) = register_yaml(tmp_path / "own.yaml")
    assert get_spec("own/reviews") is spec
    texts = load_labelled("own/reviews", train_set_size=20, test_set_size=8, seed=0)
    assert texts.class_names == {"0": "bad", "1": "good"}
    assert len(texts.train["0"]) == 10
    assert not set(texts.train["1"]) & set(texts.test["1"])
    register_yaml(tmp_path / "own.yaml")  # the same again is no clash


def test_a_taken_name_is_an_error_and_nothing_of_the_file_is_added(tmp_path):
    entry = "- {name: %s, kind: corpus, description: d}\n"
    (tmp_path / "two.yaml").write_text(entry % "new/one" + entry % "fancyzhx/ag_news")
    with pytest.raises(UsageError, match=r"two\.yaml: the dataset name 'fancyzhx/ag_news' is taken"):
        register_yaml(tmp_path / "two.yaml")
    assert "new/one" not in list_datasets()
    with pytest.raises(UsageError, match="is taken"):
        register(CorpusSpec(name="embedded", description="d"))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("kind: labelled", "kind: labeled", "field 'kind': must be 'labelled' or 'corpus'"),
        ("kind: labelled", "", "field 'kind': must be"),
        ("description: Reviews of pubs.", "", "field 'description': Field required"),
        ("test_split: null", "tets_split: null", "unknown field 'tets_split'. Did you mean 'test_split'"),
        ("classes: {0: bad, 1: good}", "classes: {0: bad}", "at least two classes"),
        ("classes: {0: bad, 1: good}", "classes: [bad, good]", "field 'classes'"),
        ("test_split: null", "test_share: 1.5", "field 'test_share'"),
        ("test_split: null", "balance_column: town", "balance_column and balance_values go together"),
        ("test_split: null", "balance_column: t\nbalance_values: {0: a}", "at least two values"),
        ("test_split: null", "draw: first\nbalance_column: t\nbalance_values: {0: a, 1: b}", "cannot balance"),
        ("test_split: null", "parts: {0: {config: a, text_column: b}}", "same keys as classes"),
        ("classes: {0: bad, 1: good}", "embedded: {f: {0: a, 1: b}}\nclasses: {0: bad, 1: good}", "one of the two"),
    ],
)
def test_wrong_declarations_name_file_and_field(tmp_path, old, new, said):
    file = tmp_path / "own.yaml"
    file.write_text(OWN.replace(old, new))
    with pytest.raises(UsageError) as caught:
        register_yaml(file)
    assert said in str(caught.value)
    assert str(caught.value).startswith(f"{file}, entry 1 ('own/reviews'): ")
    assert "pydantic" not in str(caught.value)


def test_files_that_are_no_declarations(tmp_path):
    with pytest.raises(DatasetError, match="cannot read"):
        register_yaml(tmp_path / "none.yaml")
    file = tmp_path / "bad.yaml"
    file.write_text("a: [")
    with pytest.raises(DatasetError, match="is no YAML"):
        register_yaml(file)
    file.write_text("just words")
    with pytest.raises(UsageError, match="entry 1: a dataset is a mapping of fields, got str"):
        register_yaml(file)
