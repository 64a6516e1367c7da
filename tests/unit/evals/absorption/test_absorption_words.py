"""Words of a vocabulary, their prompts, and their activations: shared and cut prompts give those of the full ones."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from absorption_tiny import HOOK, MANY, TEMPLATE, TINY, vocabulary, word_model

from sae_bench.errors import ModelError, UsageError
from sae_bench.evals.absorption import prompts as prompting
from sae_bench.evals.absorption.eval_config import AbsorptionEvalConfig
from sae_bench.evals.absorption.prompts import build_prompts, can_share, draw_examples, word_activations
from sae_bench.evals.absorption.words import (
    LETTERS,
    choose_words,
    group_words,
    last_token_within,
    letter_words,
    split_words,
    vocabulary_words,
)
from sae_bench.language_models import LanguageModel
from sae_bench.testing.tiny_models import tiny_model

MODELS = [("byte", True), ("byte", False), ("sentencepiece", True), ("sentencepiece", False)]


def config(**changes: object) -> AbsorptionEvalConfig:
    return AbsorptionEvalConfig(**{**TINY, **changes})


# ---- words


@pytest.mark.parametrize("kind", ["byte", "sentencepiece"])
def test_words_are_the_alphabetic_tokens_with_and_without_space(kind):
    lm = word_model(kind)
    found = vocabulary_words(lm.tokenizer)
    assert set(vocabulary()) <= set(found)
    assert all(word.lstrip(" ").isalpha() and word.lstrip(" ").isascii() for word in found)
    assert all(lm.tokenizer.decode([token]) == word for word, token in found.items())
    assert not {"<bos>", "bos", "eos", "pad", ":", "\n"} & set(found)


@pytest.mark.parametrize("kind", ["byte", "sentencepiece"])
def test_letters_with_too_few_words_are_left_out_and_named(kind):
    words = letter_words(word_model(kind), config())
    assert [LETTERS[i] for i in words.letters] == list(MANY)
    counts = torch.bincount(words.labels_W, minlength=26).tolist()
    assert words.left_out == {LETTERS[i]: n for i, n in enumerate(counts) if n < 20}
    assert words.left_out["d"] >= 6
    assert len(words.words) == sum(counts), "their words stay, as negatives"
    assert words.n_in_vocabulary == len(words.words)


def test_a_word_that_the_prompt_writes_with_other_tokens_is_left_out():
    """`xasu has`: after an x the tokenizer does not write the token `asu`."""
    lm = word_model()
    words = letter_words(lm, config(prompt_template="x{word} has the first letter:"))
    whole = letter_words(lm, config())
    assert words.n_not_whole > 0
    assert words.n_in_vocabulary + words.n_not_whole == whole.n_in_vocabulary
    assert set(words.words) < set(whole.words)


def test_too_few_words_or_letters_are_refused():
    with pytest.raises(ModelError, match=r"two or more letters with at least 500 words; .* Next: raise max_words"):
        letter_words(word_model(), config(min_words_per_letter=500))
    with pytest.raises(ModelError, match="two or more letters"):
        group_words(["apple", "axe"] * 20, min_per_letter=20, n_whole=40, n_not_whole=0)


@pytest.mark.parametrize("tokenizer", [SimpleNamespace(is_fast=False), None])
def test_a_tokenizer_without_offsets_is_refused(tokenizer, monkeypatch):
    lm = word_model()
    monkeypatch.setattr(lm, "tokenizer", tokenizer)
    with pytest.raises(ModelError, match="tokenizer's offsets, which 'tiny-words-byte' lacks"):
        letter_words(lm, config())


def test_max_words_are_shared_among_letters():
    words = [f"{letter}{i}x" for letter, n in (("a", 50), ("b", 10), ("c", 40)) for i in range(n)]
    chosen = choose_words(words, 60, seed=1)
    assert [sum(w[0] == letter for w in chosen) for letter in "abc"] == [25, 10, 25]
    assert chosen == [w for w in words if w in set(chosen)], "in the order of the vocabulary"
    assert chosen == choose_words(words, 60, seed=1)
    assert chosen != choose_words(words, 60, seed=2)
    assert choose_words(words, 1000, seed=1) == words


def test_split_is_four_fifths_of_every_letter():
    words = letter_words(word_model(), config())
    train_N, test_M = split_words(words, 7)
    assert sorted([*train_N.tolist(), *test_M.tolist()]) == list(range(len(words.words)))
    for letter in words.letters:
        n_all, n_train = ((words.labels_W[rows] == letter).sum() for rows in (slice(None), train_N))
        assert n_train == int(0.8 * n_all)
    assert not torch.equal(split_words(words, 8)[1], test_M)
    assert torch.equal(split_words(words, 7)[1], test_M)


# ---- positions


def test_last_token_within():
    offsets = [(0, 1), (1, 4), (4, 4), (4, 6), (6, 9)]
    assert last_token_within(offsets, 2, 6) == (3, 2)
    assert last_token_within(offsets, 1, 4) == (1, 1)
    with pytest.raises(UsageError, match="no token covers the characters 9 to 12"):
        last_token_within(offsets, 9, 12)


@pytest.mark.parametrize(("kind", "bos"), MODELS)
def test_prompts_end_at_the_word(kind, bos):
    lm = word_model(kind, bos=bos)
    words = letter_words(lm, config()).words
    prompts = build_prompts(lm, words, config())
    token_of = vocabulary_words(lm.tokenizer)
    assert len(prompts.token_ids) == len(words)
    for word, ids in zip(words, prompts.token_ids, strict=True):
        assert ids[-1] == token_of[word]
        assert (ids[0] == lm.bos_token_id) if bos else (lm.bos_token_id is None)
        lines = lm.tokenizer.decode(ids[1:] if bos else ids).split("\n")
        assert lines[0] == ""
        assert len(lines) == 5, "an empty line, three examples and the word"
        assert lines[-1] == word
        for line in lines[1:-1]:
            solved, _, answer = line.rpartition(" has the first letter: ")
            assert solved in words
            assert solved != word
            assert answer == solved.lstrip()[0].upper()
        assert len(set(lines[1:-1])) == 3


def plain_activation(lm: LanguageModel, ids: list[int], rest: list[int], hook: str) -> torch.Tensor:
    """The activation of the word in the full prompt, alone in its batch."""
    return lm.capture(torch.tensor([[*ids, *rest]]), [hook])[hook][0, len(ids) - 1]


@pytest.mark.parametrize("together", [1, 7])
@pytest.mark.parametrize(("kind", "bos"), MODELS)
def test_cut_batched_and_shared_prompts_give_the_activation_of_the_full_prompt(kind, bos, together):
    lm = word_model(kind, bos=bos)
    settings = config(words_per_examples=together)
    words = letter_words(lm, settings).words[:40]
    prompts = build_prompts(lm, words, settings)
    assert can_share(lm, prompts) is (together > 1)
    hooks = ["blocks.0.hook_resid_post", HOOK]
    found = word_activations(lm, prompts, hooks, batch_size=5)
    by_default = word_activations(lm, prompts, hooks)
    rest = lm.tokenizer(TEMPLATE.removeprefix("{word}"), add_special_tokens=False)["input_ids"]
    for hook in hooks:
        expected_WD = torch.stack([plain_activation(lm, ids, rest, hook) for ids in prompts.token_ids])
        scale = expected_WD.abs().max()
        torch.testing.assert_close(found[hook] / scale, expected_WD / scale, atol=2e-6, rtol=0)
        torch.testing.assert_close(by_default[hook] / scale, expected_WD / scale, atol=2e-6, rtol=0)


def test_words_of_a_group_share_their_examples_and_are_none_of_them():
    lm = word_model()
    words = letter_words(lm, config()).words
    prompts = build_prompts(lm, words, config(words_per_examples=9))
    assert sorted(word for group in prompts.groups for word in group) == list(range(len(words)))
    assert {len(group) for group in prompts.groups[:-1]} == {9}
    starts = set()
    for group in prompts.groups:
        texts = [lm.tokenizer.decode(prompts.token_ids[word][1:]) for word in group]
        heads = {text.rpartition("\n")[0] for text in texts}
        assert len(heads) == 1
        starts |= heads
        solved = {line.rpartition(" has")[0] for line in heads.pop().split("\n")[1:]}
        assert solved.isdisjoint({words[word] for word in group})
    assert len(starts) == len(prompts.groups)


def test_shared_examples_are_read_once(monkeypatch):
    lm = word_model()
    settings = config(words_per_examples=16)
    words = letter_words(lm, settings).words
    prompts = build_prompts(lm, words, settings)
    read: list[int] = []
    capture = prompting.capture_with_halving
    monkeypatch.setattr(
        prompting, "capture_with_halving", lambda *a, **k: (read.append(a[1].numel()), capture(*a, **k))[1]
    )
    word_activations(lm, prompts, [HOOK])
    shared = sum(read)
    read.clear()
    monkeypatch.setattr(prompting, "can_share", lambda *_: False)
    word_activations(lm, prompts, [HOOK])
    assert shared < sum(read) / 8


def test_examples_are_not_shared_where_a_window_of_attention_is_shorter():
    lm = word_model(family="windowed")
    settings = config(words_per_examples=8)
    words = letter_words(lm, settings).words[:20]
    prompts = build_prompts(lm, words, settings)
    assert not can_share(lm, prompts)
    x_WD = word_activations(lm, prompts, [HOOK])[HOOK]
    expected_WD = torch.stack([plain_activation(lm, ids, [], HOOK) for ids in prompts.token_ids])
    torch.testing.assert_close(x_WD / expected_WD.abs().max(), expected_WD / expected_WD.abs().max(), atol=2e-6, rtol=0)


def test_out_of_memory_halves_the_batch(monkeypatch):
    lm = word_model()
    settings = config(words_per_examples=4)
    words = letter_words(lm, settings).words[:32]
    prompts = build_prompts(lm, words, settings)
    expected = word_activations(lm, prompts, [HOOK])[HOOK]
    capture, rows = lm.capture, []

    def small_memory(ids_BL, hooks, **kwargs):
        if len(ids_BL) > 2:
            raise torch.OutOfMemoryError
        rows.append(len(ids_BL))
        return capture(ids_BL, hooks, **kwargs)

    monkeypatch.setattr(lm, "capture", small_memory)
    found = word_activations(lm, prompts, [HOOK])[HOOK]
    assert max(rows) == 2
    torch.testing.assert_close(found / expected.abs().max(), expected / expected.abs().max(), atol=2e-6, rtol=0)


def test_examples_depend_on_the_seed_and_need_enough_words():
    groups = [[0, 1], [2, 3]]
    assert draw_examples(30, groups, 5, 1) == draw_examples(30, groups, 5, 1)
    assert draw_examples(30, groups, 5, 1) != draw_examples(30, groups, 5, 2)
    assert sorted(draw_examples(4, groups, 2, 1)[0]) == [2, 3]
    with pytest.raises(ModelError, match="5 examples for 2 words at a time need 7 words; there are 6"):
        draw_examples(6, groups, 5, 1)


def test_a_vocabulary_without_words_is_refused():
    with pytest.raises(ModelError, match="take a model with words in its vocabulary"):
        letter_words(tiny_model("gpt2"), AbsorptionEvalConfig(min_words_per_letter=50))


@pytest.mark.parametrize("template", ["the first letter", "{word} and {word}", "{word} {0}", "{words}"])
def test_wrong_templates_are_refused(template):
    with pytest.raises(ValueError, match=r"must hold \{word\} once and no other brace"):
        config(prompt_template=template)


def test_words_of_the_embedded_model(embedded_lm: LanguageModel):
    """Every letter has words, and shared examples give the activations of full prompts."""
    found = list(vocabulary_words(embedded_lm.tokenizer))
    assert len(found) > 40_000
    settings = AbsorptionEvalConfig(words_per_examples=4)
    prompts = build_prompts(embedded_lm, found[5000:5020], settings)
    part = prompting.WordPrompts(prompts.token_ids, prompts.groups[:1])
    assert can_share(embedded_lm, part)
    hook = "blocks.10.hook_resid_post"
    x_WD = word_activations(embedded_lm, part, [hook])[hook]
    rest = embedded_lm.tokenizer(TEMPLATE.removeprefix("{word}"), add_special_tokens=False)["input_ids"]
    for word in part.groups[0]:
        expected_D = plain_activation(embedded_lm, prompts.token_ids[word], rest, hook)
        torch.testing.assert_close(x_WD[word], expected_D, atol=1e-3, rtol=0)  # values reach 100: rounding of float32
