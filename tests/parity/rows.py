"""One compared number, and the usual ways of comparing."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One compared number."""

    what: str
    reference: float | None
    ours: float | None
    allowed: str
    good: bool

    def markdown(self) -> str:
        return f"| {self.what} | {_show(self.reference)} | {_show(self.ours)} | {self.allowed} | {self.verdict} |"

    @property
    def verdict(self) -> str:
        return "equal" if self.good else "**differs**"


def equal(what: str, reference: float | None, ours: float | None, *, relative: float) -> Row:
    """Deterministic numbers: equal within a relative difference."""
    good = reference is not None and ours is not None and close(reference, ours, relative)
    return Row(what, reference, ours, f"relative {relative:g}", good or (reference is None and ours is None))


def means(what: str, reference: Sequence[float], ours: Sequence[float], *, within: float) -> Row:
    """Means over seeds: within `within` or two standard errors of their difference, whichever is more.

    The spread over seeds is pooled, so that many seeds of one side help where the other side can afford few.
    """
    a, b = statistics.fmean(reference), statistics.fmean(ours)
    n, m = len(reference), len(ours)
    variance = ((n - 1) * statistics.variance(reference) + (m - 1) * statistics.variance(ours)) / (n + m - 2)
    error = math.sqrt(variance * (1 / n + 1 / m))
    allowed = max(within, 2 * error)
    seeds = f"{n} seeds" if n == m else f"{n} and {m} seeds"
    return Row(what, a, b, f"{allowed:.2g} ({seeds}, two SE {2 * error:.2g})", abs(a - b) <= allowed)


def close(a: float, b: float, relative: float) -> bool:
    """Whether two numbers differ by at most `relative` of the larger one."""
    return abs(a - b) <= relative * max(abs(a), abs(b), 1e-6)


def _show(value: float | None) -> str:
    return "none" if value is None else f"{value:.6g}"
