"""Texts laid over one another: the tree, what its tokens see, and hidden states equal to those of each text."""

from __future__ import annotations

import pytest
import torch
from lm_families import family_model

from sae_bench.language_models import Resume
from sae_bench.language_models.layout import TokenTree, attention_window, lay_out

TEXTS = [(3, 5, 7, 9), (3, 5, 8), (4, 5), (3, 5, 7, 9, 2)]
WITHOUT_WINDOW = ("gpt2", "gpt_neox", "llama", "qwen3", "opt", "phi")


def test_a_tree_holds_every_shared_beginning_once():
    tree = TokenTree.of(TEXTS)
    assert tree.ids == (3, 5, 7, 9, 8, 4, 5, 2)
    assert tree.parents == (-1, 0, 1, 2, 1, -1, 5, 3)
    assert tree.paths == ((0, 1, 2, 3), (0, 1, 4), (5, 6), (0, 1, 2, 3, 7))
    assert lay_out([tree]).position_BL.tolist() == [[0, 1, 2, 3, 2, 0, 1, 4]]
    for text, path in zip(TEXTS, tree.paths, strict=True):
        assert tuple(tree.ids[place] for place in path) == text


def test_tokens_see_their_own_text_alone():
    tree, short = TokenTree.of(TEXTS), TokenTree.of([(1, 2)])
    layout = lay_out([tree, short])
    for path in tree.paths:
        seen = layout.sees_BLL[0, path[-1]].nonzero()[:, 0].tolist()
        assert seen == sorted(path)
    assert torch.equal(layout.sees_BLL[1, 2:], torch.eye(8, dtype=torch.bool)[2:])  # padding sees itself
    assert layout.position_BL[1].tolist() == [0, 1, 0, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("family", WITHOUT_WINDOW)
def test_hidden_states_are_those_of_each_text_alone(family):
    lm = family_model(family)
    assert lm.shares_beginnings()
    trees = [TokenTree.of(TEXTS), TokenTree.of([(6, 2, 9), (6, 2, 4, 4)])]
    layout = lay_out(trees)
    ids_BL = torch.zeros(2, 8, dtype=torch.long)
    for b, tree in enumerate(trees):
        ids_BL[b, : len(tree.ids)] = torch.tensor(tree.ids)
    with torch.no_grad():
        hidden_BLD = lm.final_hidden(ids_BL, layout=layout)
        stream = lm.capture(ids_BL, ["blocks.0.hook_resid_post"], layout=layout)["blocks.0.hook_resid_post"]
        resumed_BLD = lm.final_hidden(ids_BL, layout=layout, resume=Resume(1, stream))
        for b, tree in enumerate(trees):
            for path in tree.paths:
                text = torch.tensor([[tree.ids[place] for place in path]])
                expected_LD = lm.final_hidden(text)[0]
                torch.testing.assert_close(hidden_BLD[b, list(path)], expected_LD, rtol=1e-4, atol=1e-4)
    assert torch.equal(resumed_BLD, hidden_BLD)


@pytest.mark.parametrize("family", ["mistral", "gemma2", "gemma3"])
def test_a_window_shorter_than_the_texts_is_noticed(family):
    lm = family_model(family)
    assert attention_window(lm.config) == 5
    assert not lm.shares_beginnings()


def test_a_layout_can_be_cut_to_some_rows():
    layout = lay_out([TokenTree.of([(1, 2)]), TokenTree.of([(1, 2), (1, 3)])])
    part = layout.select(torch.tensor([1, 1, 0]))
    assert part.position_BL.tolist() == [[0, 1, 1], [0, 1, 1], [0, 1, 0]]
    mask = part.mask(torch.float32, torch.device("cpu"))
    assert mask.shape == (3, 1, 3, 3)
    assert mask[0, 0, 2].tolist() == [0.0, torch.finfo(torch.float32).min, 0.0]
