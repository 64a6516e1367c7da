"""Settings of scr and tpp for the tiny sets."""

from __future__ import annotations

from typing import Any

TINY: dict[str, Any] = {
    "dataset_names": ["tiny/times"],
    "column1_vals_lookup": {"tiny/times": [["river", "code"], ["food", "code"]]},
    "train_set_size": 24,
    "test_set_size": 12,
    "context_length": 16,
    "probe_epochs": 4,
    "probe_lr": 0.01,
    "n_values": [1, 4, 16],
    "llm_dtype": "float32",
}
