"""Pareto fronts: the SAEs that no other beats in both of two numbers."""

from __future__ import annotations

from collections.abc import Iterable


def pareto_front(points: Iterable[tuple[float, float, int]], *, x_better: int, y_better: int) -> list[int]:
    """Labels of the points that no other point beats in one number without losing in the other, by rising x.

    Args:
        points: x, y and a label each.
        x_better, y_better: 1 if higher is better, -1 if lower is.
    """
    best_first = sorted(points, key=lambda point: (-x_better * point[0], -y_better * point[1]))
    front: list[tuple[float, int]] = []
    best_y: float | None = None
    for x, y, label in best_first:
        if best_y is None or y_better * y > y_better * best_y:
            front.append((x, label))
            best_y = y
    return [label for _, label in sorted(front)]
