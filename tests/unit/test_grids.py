"""The grids of other tests leave out combinations, and no value or pair."""

from __future__ import annotations

from itertools import combinations, product

from grids import each, pairs


def test_each_value_is_met():
    cases = each("abcde", (1, 2), ("x",))
    assert len(cases) == 5
    assert [set(column) for column in zip(*cases, strict=True)] == [set("abcde"), {1, 2}, {"x"}]


def test_every_pair_is_met_in_fewer_cases():
    parameters = ("abcdefghi", (0, 1, 2), ("x", "y", "z"), (True, False))
    cases = pairs(*parameters)
    for a, b in combinations(range(4), 2):
        assert {(case[a], case[b]) for case in cases} == set(product(parameters[a], parameters[b]))
    assert len(cases) < 40 < len(list(product(*parameters)))
    assert cases == pairs(*parameters)
