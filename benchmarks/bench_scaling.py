"""What a second worker brings: one run on a Ray cluster of one worker, and of two."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

from common import Page

EVALS = ("core", "scr", "tpp", "meta_structure", "ravel", "unlearning")
SAES = (
    "embedded:.*",
    *(f"baseline:permuted_decoder(embedded:{name})" for name in ("topk", "relu", "jumprelu", "gated", "batch_topk")),
    *(f"baseline:random_l0_matched(embedded:{name})" for name in ("topk", "relu", "jumprelu", "gated", "batch_topk")),
)
"""Many beside one pass: each worker pays the pass, and half of the SAEs."""


def measure(work: Path) -> Page:
    """Seconds of one worker on one core, and of two workers on two cores, their start and loading included."""
    one, two = (_seconds(n, work) for n in (1, 2))
    introduction = (
        f"`sae-bench run --engine ray` with {', '.join(EVALS)} at the demo's settings on {one['n_saes']:.0f} SAEs of "
        "the embedded model, float32, one thread per worker. Seconds run from the first worker's start to the last "
        "result: each worker imports, loads the model, prepares the evals and reads the texts for its half of the SAEs."
    )
    facts = [
        f"One worker on one core: {one['seconds']:.0f} s.",
        f"Two workers on two cores: {two['seconds']:.0f} s, **{one['seconds'] / two['seconds']:.2f}x**.",
    ]
    return Page("workers of a cluster", introduction, [], facts)


def _seconds(n_workers: int, work: Path) -> dict[str, float]:
    import ray

    from sae_bench.cli.demo import demo_settings
    from sae_bench.run.evaluate import execute
    from sae_bench.run.request import RunRequest

    settings: dict[str, Any] = {name: values for name, values in demo_settings().items() if name in EVALS}
    os.environ |= {"OMP_NUM_THREADS": "1", "RAY_worker_niceness": "0", "RAY_USAGE_STATS_ENABLED": "0"}
    with tempfile.TemporaryDirectory(dir=work) as folder:
        request = RunRequest.of(
            targets=[{"model": "embedded", "saes": SAES, "llm_dtype": "float32"}],
            evals=EVALS,
            preset="quick",
            settings=settings,
            output_folder=Path(folder),
            device="cpu",
            engine="ray",
        )
        ray.init(address="local", num_cpus=n_workers, include_dashboard=False, log_to_driver=False)
        try:
            start = perf_counter()
            summary = execute(request)
            seconds = perf_counter() - start
        finally:
            ray.shutdown()
    if summary.failures:
        raise RuntimeError(summary.failures[0].message)
    return {"seconds": seconds, "n_saes": len(summary.results) / len(EVALS)}
