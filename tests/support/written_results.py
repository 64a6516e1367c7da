"""Result files as runs leave them, without a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from sae_bench.results.files import result_path
from sae_bench.results.metric_statistics import describe_metrics
from sae_bench.results.model import SeedResult
from sae_bench.results.sample_files import samples_path, write_samples
from sae_bench.results.samples import Samples

TOP_1 = "sae.sae_top_1_test_accuracy"


def write(
    folder: Path,
    sae: str,
    samples: Samples,
    *,
    eval_name: str = "sparse_probing",
    path: str = TOP_1,
    release: str = "tiny",
    first_seed: int = 42,
    keep_samples: bool = True,
    **changes: Any,
) -> Path:
    """One result with one metric; `changes` replace parts of its content."""
    values = samples.seed_values()
    seeds = [first_seed + i for i in range(len(values))]
    seed_results = [SeedResult(seed=s, metrics={path: v}) for s, v in zip(seeds, values, strict=True)]
    mean = float(np.mean(values))
    kept = {path: samples} if keep_samples else {}
    category, name = path.split(".")
    statistics = describe_metrics({path: mean}, seed_results=seed_results, samples=kept, bootstrap_draws=50)
    content: dict[str, Any] = {
        "eval_type_id": eval_name,
        "eval_config": {"random_seed": first_seed, "k_values": [1, 2]},
        "eval_id": f"run of {first_seed}",
        "datetime_epoch_millis": 1_700_000_000_000,
        "eval_result_metrics": {category: {name: mean}},
        "eval_result_details": [{"anything": 1}],
        "sae_lens_id": sae,
        "sae_lens_release_id": release,
        "eval_result_unstructured": {},
        "provenance": {"protocol": f"{eval_name}-1", "seeds": seeds, "model": "tiny", "model_fingerprint": "f"},
        "seed_results": [s.model_dump() for s in seed_results],
        "statistics": {p: s.model_dump() for p, s in statistics.items()},
        **changes,
    }
    target = result_path(folder / eval_name, release, sae)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(content))
    beside = samples_path(target.parent, release, sae)
    write_samples(beside, kept, eval_name=eval_name, eval_id=content["eval_id"], seeds=seeds)
    return target


def published(folder: Path, sae: str, metrics: dict[str, Any], *, eval_name: str = "core") -> Path:
    """A result as the published package writes it."""
    content = {
        "eval_type_id": eval_name,
        "eval_config": {"model_name": "pythia", "context_size": 128},
        "eval_id": "a",
        "datetime_epoch_millis": 1_600_000_000_000,
        "eval_result_metrics": metrics,
        "sae_bench_commit_hash": "Unknown",
        "sae_lens_id": sae,
        "sae_lens_release_id": "old",
    }
    target = result_path(folder / eval_name, "old", sae)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(content))
    return target
