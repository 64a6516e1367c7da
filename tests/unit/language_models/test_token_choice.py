"""Which tokens SAEs read: positions and ids that a run leaves out."""

from __future__ import annotations

import pytest
import torch

from sae_bench.errors import UsageError
from sae_bench.language_models.token_choice import ALL_TOKENS, TokenChoice
from sae_bench.language_models.token_texts import TokenTexts
from sae_bench.testing import tiny_model

SLICES = [(None,), (4,), (1, None), (1, 3), (None, 5, 2), (2, None, 3)]


@pytest.mark.parametrize("arguments", SLICES)
def test_positions_are_those_of_a_slice(arguments: tuple[int | None, ...]):
    ids_BL = torch.arange(5, 19).view(2, 7)
    kept_BL = torch.zeros(2, 7, dtype=torch.bool)
    kept_BL[:, slice(*arguments)] = True
    kept_BL[1, 2] = False
    assert torch.equal(TokenChoice.of((14, 99), arguments).keeps(ids_BL), kept_BL)


def test_no_choice_is_every_token():
    assert TokenChoice.of() == TokenChoice.of((), (None,)) == ALL_TOKENS
    assert bool(ALL_TOKENS.keeps(torch.arange(6)[None]).all())


@pytest.mark.parametrize("arguments", [(-1, None), (None, -2), (3, 3), (0, 8, 0), (0, 8, -1), (1, 2, 3, 4)])
def test_positions_from_the_end_and_none_at_all_are_refused(arguments: tuple[int | None, ...]):
    with pytest.raises(UsageError, match="seqpos_slice"):
        TokenChoice.of((), arguments)


def test_texts_count_what_is_read_of_them():
    texts = TokenTexts([[1, 5, 6, 7, 5], [], [1, 6], [5, 5, 5]])
    for choice in (TokenChoice.of((5,)), TokenChoice.of((5,), (1, 3)), TokenChoice.of((), (2, None))):
        expected = [
            sum(token != 1 and token not in choice.excluded and choice.at(place) for place, token in enumerate(ids))
            for ids in texts
        ]
        assert texts.n_besides([1], choice).tolist() == expected


def test_a_model_with_another_choice_shares_the_weights_and_leaves_the_first_as_it_is():
    lm = tiny_model("gpt2")
    before = lm.fingerprint()
    other = lm.reading(TokenChoice.of((7,), (1, None)), prepend_bos=False)
    assert other.model is lm.model
    assert (lm.prepend_bos, lm.choice, lm.fingerprint()) == (True, ALL_TOKENS, before)
    assert (other.prepend_bos, len(other.tokenize(["a"])[0])) == (False, 1)
    marks = {one.fingerprint() for one in (
        lm, other, lm.reading(TokenChoice.of((7,))), lm.reading(TokenChoice.of((8,))),
        lm.reading(TokenChoice.of((), (1, None))), lm.reading(ALL_TOKENS, prepend_bos=False),
    )}  # fmt: skip
    assert len(marks) == 6
    assert lm.reading(ALL_TOKENS, prepend_bos=True).fingerprint() == before
    ids_BL = torch.tensor([[lm.bos_token_id, 7, 8, 9], [9, 8, 7, 7]])
    assert other.is_read(ids_BL).tolist() == [[False, False, True, True], [False, True, False, False]]


def test_ids_and_bos_that_the_model_does_not_have_are_refused():
    with pytest.raises(UsageError, match=r"has token ids 0 to 319, not \[320\]"):
        tiny_model("gpt2").reading(TokenChoice.of((320,)))
    with pytest.raises(UsageError, match="has no BOS token"):
        tiny_model("gpt2", bos=False).reading(ALL_TOKENS, prepend_bos=True)
