"""Random generators that are named by what they draw for, so that no result depends on the order of the work."""

from __future__ import annotations

import hashlib
import json

import torch


def named_generator(*names: object) -> torch.Generator:
    """A fresh CPU generator whose seed is a hash of the names, such as `(eval, dataset, class, seed)`.

    Names are compared as text, so `1` and `"1"` name the same generator; `("ab", "c")` and `("a", "bc")` do not.
    The global random state is neither read nor changed.
    """
    text = json.dumps([str(name) for name in names])
    digest = hashlib.sha256(text.encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little"))
