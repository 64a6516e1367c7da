"""Tokens: the BOS policy, truncation, empty input, special ids."""

from __future__ import annotations

import pytest

from sae_bench.errors import UsageError
from sae_bench.language_models import LanguageModel
from sae_bench.testing.tiny_models import tiny_model

TEXT = "The cat sat on the mat."


def with_policy(*, bos: bool, prepend_bos: bool | None) -> LanguageModel:
    lm = tiny_model("gpt2", bos=bos)
    return LanguageModel(lm.model, lm.tokenizer, name="tiny", prepend_bos=prepend_bos)


@pytest.mark.parametrize(
    ("bos", "prepend_bos", "starts_with_bos"),
    [(True, None, True), (True, True, True), (True, False, False), (False, None, False), (False, False, False)],
)
def test_bos_policy(bos: bool, prepend_bos: bool | None, starts_with_bos: bool):
    lm = with_policy(bos=bos, prepend_bos=prepend_bos)
    plain = lm.tokenizer.encode(TEXT, add_special_tokens=False)
    assert lm.prepend_bos is starts_with_bos
    assert lm.tokenize([TEXT]) == [[lm.bos_token_id, *plain] if starts_with_bos else plain]


def test_bos_that_does_not_exist_is_refused():
    with pytest.raises(UsageError, match="the tokenizer of 'tiny' has no BOS token"):
        with_policy(bos=False, prepend_bos=True)


@pytest.mark.parametrize("prepend_bos", [True, False])
@pytest.mark.parametrize("max_length", [1, 2, 5, 1000])
def test_truncation_counts_bos_and_keeps_the_beginning(prepend_bos: bool, max_length: int):
    lm = with_policy(bos=True, prepend_bos=prepend_bos)
    (full,) = lm.tokenize([TEXT])
    assert 5 < len(full) < 1000
    assert lm.tokenize([TEXT], max_length=max_length) == [full[:max_length]]


@pytest.mark.parametrize("max_length", [0, -1])
def test_no_room_is_refused(max_length: int):
    with pytest.raises(UsageError, match=f"max_length is {max_length}"):
        tiny_model("gpt2").tokenize([TEXT], max_length=max_length)


def test_empty_inputs():
    assert tiny_model("gpt2").tokenize([]) == []
    assert with_policy(bos=True, prepend_bos=True).tokenize(["", TEXT])[0] == [0]
    assert with_policy(bos=False, prepend_bos=None).tokenize(["", ""]) == [[], []]


def test_texts_do_not_influence_one_another():
    lm = tiny_model("gpt2")
    texts = [TEXT, "a", "", TEXT * 3]
    assert lm.tokenize(texts) == [lm.tokenize([text])[0] for text in texts]


def test_special_token_ids():
    assert tiny_model("gpt2").special_token_ids == {0, 1, 2}
    assert tiny_model("gpt2", bos=False).special_token_ids == {1, 2}
    assert LanguageModel(tiny_model("gpt2").model, None, name="no tokenizer").special_token_ids == frozenset()
