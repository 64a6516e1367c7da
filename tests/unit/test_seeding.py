"""Named generators."""

import torch

from sae_bench.seeding import named_generator


def draw(*names):
    return torch.rand(4, generator=named_generator(*names))


def test_equal_names_draw_equal_numbers():
    assert torch.equal(draw("core", "corpus", 3), draw("core", "corpus", 3))


def test_every_name_and_its_place_matter():
    draws = [draw("a", "b", 1), draw("b", "a", 1), draw("a", "b", 2), draw("ab", 1), draw("a", "b1")]
    assert len({tuple(d.tolist()) for d in draws}) == len(draws)


def test_the_global_state_is_left_alone():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    draw("anything")
    assert torch.equal(torch.rand(3), expected)


def test_the_numbers_stay_the_same_from_version_to_version():
    assert named_generator("scr", "set", 0).initial_seed() == 2542811443005122987
