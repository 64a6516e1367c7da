"""Tiny SAEs, settings and readers of results, shared by the tests of the engine."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sae_bench.custom_saes.spec import LoadContext, SAEHandle
from sae_bench.testing.tiny_models import tiny_sae

HOOK = "blocks.1.hook_resid_post"
WORDS = {
    "river": ("river", "water", "boat", "lake", "rain"),
    "code": ("return", "def", "import", "while", "print"),
    "food": ("apple", "bread", "soup", "salt", "cake"),
}
SETTINGS: dict[str, dict[str, Any]] = {
    "core": {
        "batch_size_prompts": 4,
        "n_eval_reconstruction_batches": 1,
        "n_eval_sparsity_variance_batches": 2,
        "context_size": 16,
    },
    "sparse_probing": {
        "dataset_names": ["tiny/words"],
        "probe_train_set_size": 16,
        "probe_test_set_size": 8,
        "context_length": 16,
        "k_values": [1, 2],
    },
}


def sentences(label: str, split: str, n: int) -> list[str]:
    words = WORDS[label]
    return [
        f"{split} {i}: the {words[i % 5]} and a {words[(i * 3 + 1) % 5]} {words[(i * 7 + 2) % 5]}" for i in range(n)
    ]


def handle(
    name: str, architecture: str = "topk", *, hook: str = HOOK, load: Callable[..., Any] | None = None, **kwargs: Any
) -> SAEHandle:
    """An SAE known but not loaded; `load` replaces the tiny SAE."""

    def tiny(_context: LoadContext) -> Any:
        return tiny_sae(architecture, hook_name=hook, **kwargs)

    return SAEHandle("tiny", name, hook, "tiny-gpt2", load or tiny)


def read(path: Path) -> dict[str, Any]:
    """A result without what differs between two runs of the same work."""
    content = json.loads(path.read_text())
    for key in ("eval_id", "datetime_epoch_millis"):
        content.pop(key)
    content["provenance"].pop("seconds")
    return content


def written(*saes: str) -> set[str]:
    """The files of some SAEs, `<release>_<id>` each, in the folder of one eval."""
    results = {f"{sae}_eval_results.json" for sae in saes}
    return results | {f"samples/{sae}.safetensors" for sae in saes} | {"samples"}


def files(folder: Path) -> set[str]:
    """Every file and folder below, relative."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")} if folder.exists() else set()
