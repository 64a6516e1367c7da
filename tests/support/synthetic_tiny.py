"""A tiny synthetic model: 64 features in 32 dimensions, at the hook of the tiny SAEs."""

from __future__ import annotations

from typing import Any

from sae_bench.language_models.synthetic.parameters import SyntheticParameters


def tiny_parameters(**changed: Any) -> SyntheticParameters:
    """Parameters of the tiny model, some of them changed."""
    values = {
        "n_features": 64, "d_model": 32, "n_trees": 2, "branching": 3, "depth": 2, "smallest_probability": 0.01,
        "hook_name": "blocks.1.hook_resid_post",
    }  # fmt: skip
    return SyntheticParameters(**{**values, **changed})
