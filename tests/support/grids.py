"""Cases of a test with several parameters: every value, or every pair of values, without all combinations."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, cycle, islice, product
from typing import Any


def each(*parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    """As many cases as the longest parameter has values; the values of the others come round in turn."""
    longest = max(len(values) for values in parameters)
    return list(zip(*(islice(cycle(values), longest) for values in parameters), strict=True))


def pairs(*parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Cases in which every two values of different parameters meet; each time the case with most pairs not yet met."""
    columns = list(combinations(range(len(parameters)), 2))

    def met(case: tuple[int, ...]) -> set[tuple[int, int, int, int]]:
        return {(a, case[a], b, case[b]) for a, b in columns}

    candidates = list(product(*(range(len(values)) for values in parameters)))
    missing = {pair for case in candidates for pair in met(case)}
    cases: list[tuple[Any, ...]] = []
    while missing:
        best = max(candidates, key=lambda case: len(met(case) & missing))
        missing -= met(best)
        cases.append(tuple(values[i] for values, i in zip(parameters, best, strict=True)))
    return cases
