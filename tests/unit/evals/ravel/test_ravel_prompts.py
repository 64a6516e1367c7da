"""Prompts, their entities' last tokens, what they share, and pairs."""

from __future__ import annotations

import pytest
import torch
from ravel_tiny import ENTITIES, known_answers
from tokenizers.processors import TemplateProcessing

from sae_bench.datasets.entities import EntityClass
from sae_bench.errors import DatasetError, ModelError, UnknownNameError, UsageError
from sae_bench.evals.ravel.eval_config import PromptBOS, RAVELEvalConfig
from sae_bench.evals.ravel.pairs import draw_pairs, keep_best
from sae_bench.evals.ravel.prompts import Answer, Prompt, Question, questions_of, shared_beginnings, tokenize_questions
from sae_bench.evals.ravel.reading import Tails
from sae_bench.testing.tiny_models import tiny_model

CLASS = EntityClass(
    "city",
    {"Paris": {"Country": "France", "Size": "big"}, "Oslo": {"Country": "Norway"}, "Lima": {"Country": "Peru"}},
    {"Country": ("%s is in", "see %s, in"), "Size": ("%s is",), "Mood": ("%s:",)},
    {},
)


@pytest.mark.parametrize("bos", [True, False])
@pytest.mark.parametrize("template", ["%s is in", "I saw %s, a city in", 'city="%s" in="', "%s", "naïve %s\n"])
@pytest.mark.parametrize("entity", ["Paris", "São Paulo", "Sunchŏn", "x"])
def test_the_entity_ends_at_its_last_token(bos: bool, template: str, entity: str):
    """With and without BOS: everything up to that token holds the entity, everything before it does not."""
    lm = tiny_model("gpt2", bos=bos)
    question = Question(entity, "a", template, "v")
    prompt = tokenize_questions(lm, [question], bos="always" if bos else "never")[0]
    decode = lm.tokenizer.decode
    beginning = template.split("%s")[0] + entity
    assert decode(prompt.ids, skip_special_tokens=True) == prompt.question.text
    assert decode(prompt.ids[: prompt.position + 1], skip_special_tokens=True).startswith(beginning)
    assert not decode(prompt.ids[: prompt.position], skip_special_tokens=True).startswith(beginning)
    assert (prompt.ids[0] == lm.bos_token_id) is bos


@pytest.mark.parametrize("adds_bos", [True, False])
@pytest.mark.parametrize("prepend_bos", [True, False])
def test_prompts_begin_as_the_tokenizer_begins_texts(adds_bos: bool, prepend_bos: bool):
    """`tokenizer` is `tokenizer(text)`, whatever the run puts before other texts; the entity is found in all three."""
    lm = tiny_model("gpt2", bos=True)
    lm.prepend_bos = prepend_bos
    if adds_bos:
        lm.tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
            single="<bos> $A", special_tokens=[("<bos>", lm.bos_token_id)]
        )
    question = Question("São Paulo", "a", "see %s, a city in", "v")
    plain = lm.tokenizer(question.text, add_special_tokens=False)["input_ids"]
    with_bos = [lm.bos_token_id, *plain]
    wanted: dict[PromptBOS, list[int]] = {
        "tokenizer": with_bos if adds_bos else plain,
        "always": with_bos,
        "never": plain,
    }
    for setting, ids in wanted.items():
        (prompt,) = tokenize_questions(lm, [question], bos=setting)
        assert list(prompt.ids) == ids
        assert lm.tokenizer.decode(prompt.ids[: prompt.position + 1], skip_special_tokens=True) == "see São Paulo"
    assert tokenize_questions(lm, [question])[0].ids == tuple(lm.tokenizer(question.text)["input_ids"])


def test_bos_that_does_not_exist_is_refused():
    with pytest.raises(UsageError, match="no BOS token"):
        tokenize_questions(tiny_model("gpt2", bos=False), [], bos="always")


def test_a_tokenizer_without_offsets_is_refused(monkeypatch: pytest.MonkeyPatch):
    lm = tiny_model("gpt2")
    monkeypatch.setattr(type(lm.tokenizer), "is_fast", False)
    with pytest.raises(ModelError, match="fast tokenizer"):
        tokenize_questions(lm, [])


def test_questions_are_all_or_a_sample():
    every = questions_of(CLASS, ["Country", "Size"])
    assert [question.text for question in every[:3]] == ["Paris is in", "see Paris, in", "Paris is"]
    assert len(every) == 7  # two cities have no size
    sample = questions_of(CLASS, ["Country"], downsample=4, seed=1)
    assert len(sample) == 4
    assert set(sample) <= set(every)
    assert sample == questions_of(CLASS, ["Country"], downsample=4, seed=1)
    assert sample != questions_of(CLASS, ["Country"], downsample=4, seed=2)
    assert len(questions_of(CLASS, ["Country"], downsample=99)) == 6
    with pytest.raises(UnknownNameError, match="Did you mean 'Country'"):
        questions_of(CLASS, ["Contry"])
    with pytest.raises(DatasetError, match="no 'city' has a value of 'Mood'"):
        questions_of(CLASS, ["Mood"])


def test_beginnings_end_before_the_first_difference_and_the_entity():
    def prompt(template: str, ids: tuple[int, ...], position: int) -> Prompt:
        return Prompt(Question("e", "a", template, "v"), ids, position)

    prompts = [prompt("a", (1, 2, 3, 4), 3), prompt("a", (1, 2, 5), 2), prompt("b", (1, 2, 3), 1)]
    assert shared_beginnings(prompts) == [2, 2, 1]


def test_nothing_is_shared_where_a_window_is_too_short(monkeypatch: pytest.MonkeyPatch):
    lm = tiny_model("gemma3")
    prompts = [answer.prompt for answer in known_answers(lm)][:6]
    assert max(map(len, Tails.of(lm, prompts, n_more=3).beginnings)) > 0
    monkeypatch.setattr(lm.config, "sliding_window", 8)
    assert Tails.of(lm, prompts, n_more=3).beginnings == ((),)


def answers(rows: list[tuple[str, str, str, str]]) -> list[Answer]:
    return [Answer(Prompt(Question(*row), (1,), 0), row[3], 7, True) for row in rows]


def test_the_best_entities_and_templates_are_kept():
    known = answers(
        [
            ("Paris", "C", "t1", "x"), ("Paris", "C", "t2", "x"), ("Paris", "L", "t3", "y"), ("Oslo", "C", "t1", "z"),
            ("Oslo", "L", "t3", "z"), ("Lima", "C", "t2", "z"),
        ]
    )  # fmt: skip

    def kept(**limits: int | None) -> list[tuple[str, str]]:
        best = keep_best(known, **{"top_n_entities": 9, "top_n_templates": None, **limits})
        return [(a.prompt.question.entity, a.prompt.question.template) for a in best]

    assert kept() == [(a.prompt.question.entity, a.prompt.question.template) for a in known]
    assert kept(top_n_entities=2)[-1] == ("Oslo", "t3")
    assert {template for _, template in kept(top_n_entities=2, top_n_templates=2)} == {"t1", "t3"}


def test_pairs_ask_for_one_attribute_and_differ_in_value():
    known = answers(
        [(e, a, t, f"{a}{n % 3}") for n, e in enumerate(ENTITIES) for a in "CLP" for t in (f"{a}1 %s", f"{a}2 %s")]
    )
    config = RAVELEvalConfig(num_pairs_per_attribute=20)
    splits = draw_pairs(known, "city", ["C", "L", "P"], config, seed=42)
    assert splits == draw_pairs(known, "city", ["C", "L", "P"], config, seed=42)
    assert splits != draw_pairs(known, "city", ["C", "L", "P"], config, seed=43)
    for split in splits:
        pairs = [*split.train, *split.test]
        assert len(pairs) == 40
        assert len(split.train) == 28
        assert sum(pair.is_cause for pair in pairs) == 20
        for pair in pairs:
            base, source = (known[place].prompt.question for place in (pair.base, pair.source))
            assert base.attribute == source.attribute
            assert base.value != source.value
            assert (base.attribute == split.attribute) is pair.is_cause
        assert len({pair.base for pair in pairs if pair.is_cause}) == 20
    assert len({pair for split in splits for pair in split.test}) > 20
    everything = RAVELEvalConfig(num_pairs_per_attribute=99)
    assert len(draw_pairs(known, "city", ["C", "L"], everything, seed=1)[0].train) == int(0.7 * 48)


def test_sampling_leaves_the_global_state_alone():
    before = torch.random.get_rng_state()
    questions_of(CLASS, ["Country"], downsample=2)
    assert torch.equal(before, torch.random.get_rng_state())
