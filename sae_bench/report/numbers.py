"""Numbers as the page reads them."""

from __future__ import annotations

import math


def round6(value: float | None) -> float | None:
    """Six significant digits; None for what is not finite."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.6g}")
